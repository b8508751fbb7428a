import { closeSync, constants, fstatSync, openSync, readSync, realpathSync } from 'node:fs';
import { dirname, join, sep } from 'node:path';
import { malformed, SigmaQuantError } from '../errors.ts';
import type { ExternalRange, ReadExternal } from '../onnx/index.ts';
import { because } from './files.ts';

/** All external data of one model together, as for the model file: what one machine should hold at most. */
const MOST_BYTES = 2 ** 31;

/** Reads external data beside the model at `path`; links that lead out of its folder are refused. */
export function externalReader(path: string): ReadExternal {
  const folder = dirname(path);
  let total = 0;
  return (range, what) => {
    total += range.length;
    if (total > MOST_BYTES)
      malformed(`Expected at most ${MOST_BYTES} bytes of external data but received more at ${what}.`);
    return readRange(insideOf(folder, range.location, what), range, what);
  };
}

function unreadable(location: string, what: string, error: unknown): never {
  throw new SigmaQuantError(
    'INVALID_ARGUMENT',
    `Expected a readable file for the external data of ${what} but received ${JSON.stringify(location)}: ${because(error)}.`,
    { cause: error },
  );
}

/** The real path of a file in the folder. */
function insideOf(folder: string, location: string, what: string): string {
  let [root, file] = ['', ''];
  try {
    root = realpathSync(folder || '.');
    file = realpathSync(join(root, location));
  } catch (error) {
    unreadable(location, what, error);
  }
  if (!file.startsWith(root.endsWith(sep) ? root : root + sep))
    malformed(
      `Expected a path inside the model's folder for the external data of ${what} but received ${JSON.stringify(location)}, a link that leads out of it.`,
    );
  return file;
}

function readRange(file: string, { location, offset, length }: ExternalRange, what: string): Uint8Array {
  let descriptor: number;
  try {
    // A pipe without a writer must not hold us up; flags that a system lacks are undefined.
    descriptor = openSync(file, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (error) {
    unreadable(location, what, error);
  }
  try {
    const status = fstatSync(descriptor);
    if (!status.isFile()) unreadable(location, what, 'it is no regular file');
    if (offset + length > status.size)
      malformed(
        `Expected ${length} bytes at ${offset} of ${JSON.stringify(location)} for ${what} but received a file of ${status.size}.`,
      );
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const read = readSync(descriptor, bytes, done, length - done, offset + done);
      if (read === 0) unreadable(location, what, 'it became shorter while it was read');
      done += read;
    }
    return bytes;
  } finally {
    closeSync(descriptor);
  }
}
