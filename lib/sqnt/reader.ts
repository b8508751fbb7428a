import { refuse, SigmaQuantError } from '../errors.ts';
import { ByteReader } from './byte-reader.ts';
import { crc32 as plainCrc32 } from './crc32.ts';
import { readQuantizer } from './layers.ts';
import {
  CHECKSUM_BYTES,
  HEADER_BYTES,
  LARGEST_DIMENSION,
  LARGEST_OPSET,
  MAGIC,
  MOST_AXES,
  malformedAt,
  SHA256_BYTES,
  VERSION,
} from './layout.ts';
import type { PackedModel, PackedPort, PackedProvenance, PackedQuantizer, PackedTensor } from './model.ts';
import { readNodes } from './nodes.ts';
import { readPreprocessing } from './preprocessing.ts';
import { type ReadOptions, readText, type Source } from './sections.ts';
import { readStrings } from './strings.ts';
import { readDtype, readTensor } from './tensors.ts';

/** Least bytes of a port: name, type, rank; of a constant the same; of a quantizer: name and its five fields. */
const PORT_BYTES = 3;
const QUANTIZER_BYTES = 7;

/**
 * A file's content. Integers of layers stay in `bytes`, which may not change any more; those below 8 bits are unpacked
 * anew whenever they are asked for. Checked in this order: magic, version, lengths of the sections, checksum, then every field
 * with its bounds; time and memory are linear in the file's size. Throws MALFORMED_MODEL naming the
 * byte, UNSUPPORTED_MODEL for a file of a newer version, INVALID_ARGUMENT for anything but bytes. What operators mean
 * by their inputs is not checked here.
 */
export function readSqnt(bytes: Uint8Array, options: ReadOptions = {}): PackedModel {
  if (!(bytes instanceof Uint8Array)) refuse('a Uint8Array', 'bytes', bytes);
  const source = open(bytes, options);
  const model = readManifest(source);
  source.manifest.finish('manifest');
  source.weights.finish('weights');
  source.constants.finish('constants');
  return model;
}

/** True for bytes that begin as a packed file does. */
export function isSqnt(bytes: Uint8Array): boolean {
  return MAGIC.every((byte, at) => bytes[at] === byte);
}

/** The sections of a file whose header and checksum are right. */
function open(bytes: Uint8Array, options: ReadOptions): Omit<Source, 'texts'> {
  const { crc32 = plainCrc32 } = options;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  MAGIC.forEach((expected, at) => {
    if (bytes[at] !== expected)
      malformedAt(at, `${expected} (a file that begins with SQNT)`, bytes[at] ?? 'the end of the file');
  });
  if (bytes.length < HEADER_BYTES + CHECKSUM_BYTES)
    malformedAt(
      bytes.length,
      `a header of ${HEADER_BYTES} bytes and a checksum of ${CHECKSUM_BYTES}`,
      'the end of the file',
    );
  const [version, flags] = [view.getUint16(4, true), view.getUint16(6, true)];
  if (version > VERSION || flags !== 0)
    throw new SigmaQuantError(
      'UNSUPPORTED_MODEL',
      `Expected version ${VERSION} without flags at byte 4 but received version ${version} with flags ${flags}; a newer release may read it.`,
    );
  if (version !== VERSION) malformedAt(4, `version ${VERSION}`, version);
  const lengths = [8, 12, 16].map((at) => view.getUint32(at, true));
  const starts = [HEADER_BYTES];
  for (const length of lengths) starts.push(starts.at(-1)! + length);
  const end = starts.at(-1)!;
  if (end + CHECKSUM_BYTES !== bytes.length)
    malformedAt(
      8,
      `sections of ${bytes.length - HEADER_BYTES - CHECKSUM_BYTES} bytes together`,
      lengths.join(' + '),
    );
  const [stored, computed] = [view.getUint32(end, true), crc32(bytes.subarray(0, end))];
  if (stored !== computed) malformedAt(end, `the checksum ${computed}`, stored);
  const [manifest, weights, constants] = lengths.map(
    (_, i) => new ByteReader(bytes, starts[i], starts[i + 1]),
  );
  return { manifest, weights, constants, options };
}

function readManifest(sections: Omit<Source, 'texts'>): PackedModel {
  const source: Source = { ...sections, texts: readStrings(sections.manifest) };
  const name = readText(source, 'the name of the model');
  const opset = source.manifest.count('the operator set', LARGEST_OPSET, 1);
  const provenance = readProvenance(source);
  const preprocessing = readPreprocessing(source);
  const known = new Set<string>();
  const inputs = readPorts(source, 'input', 0, (value) => !known.has(value) && known.add(value) !== null);
  const constants = readConstants(source, known);
  const { nodes, layers } = readNodes(source, known, constants);
  const named = new Set<string>();
  const outputs = readPorts(source, 'output', 1, (value) => {
    const fits = known.has(value) && !named.has(value);
    named.add(value);
    return fits;
  });
  const activations = readActivations(source, known, constants);
  return {
    ...{ name, opset, inputs, outputs, nodes, constants, layers, activations },
    ...{ preprocessing, provenance },
  };
}

function readProvenance(source: Source): PackedProvenance {
  const tool = readText(source, 'the name of the tool');
  const version = readText(source, 'the version of the tool');
  const name = readText(source, 'the name of the source');
  const digest = source.manifest.take(SHA256_BYTES, 'the sha256 of the source');
  const sha256 = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return { tool, version, source: { name, sha256 } };
}

function readPorts(
  source: Source,
  what: string,
  least: number,
  fits: (name: string) => boolean,
): PackedPort[] {
  const { manifest } = source;
  const start = manifest.at;
  const count = manifest.countOf(`${what}s`, PORT_BYTES);
  if (count < least) malformedAt(start, `at least one ${what}`, 'none');
  const ports: PackedPort[] = [];
  for (let i = 0; i < count; i++) {
    const at = manifest.at;
    const name = readText(source, `the name of an ${what}`);
    if (name === '' || !fits(name))
      malformedAt(
        at,
        what === 'input' ? 'a new name for an input' : 'a value, once, for an output',
        JSON.stringify(name),
      );
    const dtype = readDtype(manifest, `${what} ${name}`);
    const rank = manifest.count(`the rank of ${what} ${name}`, MOST_AXES);
    const shape: (number | string)[] = [];
    for (let axis = 0; axis < rank; axis++) shape.push(readDimension(source, `${what} ${name}`));
    ports.push({ name, dtype, shape });
  }
  return ports;
}

function readDimension({ manifest, texts }: Source, what: string): number | string {
  const at = manifest.at;
  const value = manifest.count(`a dimension of ${what}`, 2 * LARGEST_DIMENSION + 1);
  if (value % 2 === 0) return value / 2;
  const index = (value - 1) / 2;
  if (index >= texts.length)
    malformedAt(at, `the name of a dimension among ${texts.length} texts`, `index ${index}`);
  return texts[index];
}

/** Name and value of each, by ascending name. */
function readSorted<T>(
  source: Source,
  what: string,
  bytes: number,
  read: (name: string, at: number) => T,
): Map<string, T> {
  const count = source.manifest.countOf(`${what}s`, bytes);
  const map = new Map<string, T>();
  let before: string | null = null;
  for (let i = 0; i < count; i++) {
    const at = source.manifest.at;
    const name = readText(source, `the name of a ${what}`);
    if (before !== null && name <= before)
      malformedAt(at, `a name that follows ${JSON.stringify(before)}`, JSON.stringify(name));
    map.set(name, read(name, at));
    before = name;
  }
  return map;
}

function readConstants(source: Source, known: Set<string>): Map<string, PackedTensor> {
  return readSorted(source, 'constant', PORT_BYTES, (name, at) => {
    if (name === '' || known.has(name)) malformedAt(at, 'a new name for a constant', JSON.stringify(name));
    known.add(name);
    return readTensor(source, `constant ${name}`);
  });
}

function readActivations(
  source: Source,
  known: ReadonlySet<string>,
  constants: ReadonlyMap<string, PackedTensor>,
): Map<string, PackedQuantizer> {
  return readSorted(source, 'quantizer', QUANTIZER_BYTES, (name, at) => {
    if (!known.has(name) || constants.has(name))
      malformedAt(at, 'a value of the graph for a quantizer', JSON.stringify(name));
    return readQuantizer(source, `the quantizer of ${name}`);
  });
}
