import { refuse } from '../errors.ts';
import { type ByteReader, decodeText } from './byte-reader.ts';
import { type ByteWriter, encodeText } from './byte-writer.ts';
import { LONGEST_TEXT, MOST_TEXT, malformedAt } from './layout.ts';

/**
 * Every text of a manifest once, ascending by UTF-16 code units, each as the bytes that it shares with the one before
 * it and the rest: exporters give long names that differ at the end.
 */
export function writeStrings(writer: ByteWriter, texts: Iterable<string>): Map<string, number> {
  const sorted = [...new Set(texts)].sort();
  writer.count(sorted.length);
  let before = new Uint8Array(0);
  for (const text of sorted) {
    const bytes = encodeText(text) as Uint8Array<ArrayBuffer>;
    if (bytes.length > LONGEST_TEXT) refuse(`at most ${LONGEST_TEXT} bytes`, 'a name', bytes);
    const shared = sharedLength(before, bytes);
    writer.count(shared);
    writer.count(bytes.length - shared);
    writer.write(bytes.subarray(shared));
    before = bytes;
  }
  return new Map(sorted.map((text, i) => [text, i]));
}

function sharedLength(a: Uint8Array, b: Uint8Array): number {
  let length = 0;
  while (length < a.length && length < b.length && a[length] === b[length]) length++;
  return length;
}

export function readStrings(reader: ByteReader): string[] {
  const count = reader.countOf('texts', 2);
  const texts: string[] = [];
  let before: Uint8Array = new Uint8Array(0);
  let total = 0;
  for (let i = 0; i < count; i++) {
    const at = reader.at;
    const shared = reader.count('a length shared with the text before', before.length);
    const rest = reader.take(reader.count('the length of a text', LONGEST_TEXT - shared), 'a text');
    total += shared + rest.length;
    if (total > MOST_TEXT) malformedAt(at, `at most ${MOST_TEXT} bytes of text`, total);
    const bytes = new Uint8Array(shared + rest.length);
    bytes.set(before.subarray(0, shared));
    bytes.set(rest, shared);
    const text = decodeText(bytes, at, 'a text');
    if (i > 0 && text <= texts[i - 1])
      malformedAt(at, `a text that follows ${JSON.stringify(texts[i - 1])}`, JSON.stringify(text));
    texts.push(text);
    before = bytes;
  }
  return texts;
}
