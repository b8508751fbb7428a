import { malformed, SigmaQuantError } from '../errors.ts';
import { type TensorProto, TensorProto_DataLocation } from './generated/onnx_pb.ts';

/** Bytes of a tensor that lie in another file. */
export interface ExternalRange {
  /** Path of the file relative to the model's folder: it names nothing outside it. */
  location: string;
  /** First byte. */
  offset: number;
  length: number;
}

/**
 * Gives exactly `length` bytes, which nobody changes later. Called once per tensor, in the model's order. Throws where
 * the file cannot be read or ends before; `what` names the tensor for its message.
 */
export type ReadExternal = (range: ExternalRange, what: string) => Uint8Array;

/** A sane end to relative paths; systems allow 4,096 or less. */
const LONGEST_LOCATION = 1024;
const WHOLE = /^\d{1,15}$/;

/** Moves a tensor's data into the model. `expected` is what its type and shape take, in bytes. */
export function embedExternal(
  tensor: TensorProto,
  expected: number,
  what: string,
  read: ReadExternal | undefined,
): void {
  const entries = new Map(tensor.externalData.map(({ key, value }) => [key, value]));
  if (!read)
    throw new SigmaQuantError(
      'UNSUPPORTED_MODEL',
      `Expected data inside the model for ${what} but received a reference to ${JSON.stringify(entries.get('location') ?? '')}; give the model by its path, with that file beside it, or save it as one file.`,
    );
  const location = locationOf(entries.get('location') ?? '', what);
  const offset = numberOf(entries, 'offset', what) ?? 0;
  const length = numberOf(entries, 'length', what) ?? expected;
  if (length !== expected)
    malformed(
      `Expected ${expected} bytes in the external data of ${what} of shape [${tensor.dims.join(', ')}] but received length ${length}.`,
    );
  const bytes = length === 0 ? new Uint8Array(0) : read({ location, offset, length }, what);
  if (bytes.length !== length)
    malformed(
      `Expected ${length} bytes at ${offset} of ${JSON.stringify(location)} for ${what} but received ${bytes.length}.`,
    );
  tensor.rawData = bytes;
  tensor.externalData = [];
  tensor.dataLocation = TensorProto_DataLocation.DEFAULT;
}

/** A relative path that stays inside its folder on every system: no root, no drive, no `..`, no NUL. */
function locationOf(location: string, what: string): string {
  const outside =
    location === '' ||
    location.length > LONGEST_LOCATION ||
    location.includes('\0') ||
    /^[/\\]|^[A-Za-z]:/.test(location) ||
    location.split(/[/\\]/).includes('..');
  if (outside)
    malformed(
      `Expected a path inside the model's folder for the external data of ${what} but received ${JSON.stringify(location.slice(0, LONGEST_LOCATION))}.`,
    );
  return location;
}

function numberOf(entries: ReadonlyMap<string, string>, key: string, what: string): number | undefined {
  const text = entries.get(key);
  if (text === undefined) return undefined;
  if (!WHOLE.test(text))
    malformed(
      `Expected a whole number for ${key} of the external data of ${what} but received ${JSON.stringify(text.slice(0, 40))}.`,
    );
  return Number(text);
}
