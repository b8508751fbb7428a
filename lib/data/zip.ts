import { type Bytes, inflatedBytes, storedBytes } from './bytes.ts';
import { type Source, unreadable } from './source.ts';

// Zip records, all little-endian: APPNOTE.TXT sections 4.3.7, 4.3.12 and 4.3.16.
const LOCAL_SIGNATURE = 0x04034b50;
const CENTRAL_SIGNATURE = 0x02014b50;
const END_SIGNATURE = 0x06054b50;
const LOCAL_BYTES = 30;
const CENTRAL_BYTES = 46;
const END_BYTES = 22;
const MAX_COMMENT = 65_535;
/** A set of arrays has a handful of members; a directory beyond this is garbage. */
const MAX_DIRECTORY = 2 ** 20;
/** Sizes of 2^32 - 1 mean zip64, which only archives beyond 4 GiB need. */
const ZIP64 = 0xffffffff;

/** Members of a zip archive by name. Throws DATA_UNREADABLE where the archive is truncated or not one. */
export async function openZip(source: Source): Promise<Map<string, Bytes>> {
  const { count, offset, size } = await findDirectory(source);
  if (size > MAX_DIRECTORY || offset + size > source.size) {
    throw unreadable(
      `Expected a zip directory inside ${source.name} but it claims ${size} bytes at ${offset}.`,
    );
  }
  const directory = await source.read(offset, size);
  const view = new DataView(directory.buffer, directory.byteOffset, directory.byteLength);
  const members = new Map<string, Bytes>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    if (at + CENTRAL_BYTES > size || view.getUint32(at, true) !== CENTRAL_SIGNATURE) {
      throw unreadable(
        `Expected ${count} members in ${source.name} but its directory breaks off after ${i}.`,
      );
    }
    const nameLength = view.getUint16(at + 28, true);
    const name = new TextDecoder().decode(
      directory.subarray(at + CENTRAL_BYTES, at + CENTRAL_BYTES + nameLength),
    );
    members.set(name, await openMember(source, name, view, at));
    at += CENTRAL_BYTES + nameLength + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  return members;
}

async function findDirectory(source: Source): Promise<{ count: number; offset: number; size: number }> {
  const tailBytes = Math.min(source.size, END_BYTES + MAX_COMMENT);
  const tail = await source.read(source.size - tailBytes, tailBytes);
  const view = new DataView(tail.buffer, tail.byteOffset, tail.byteLength);
  for (let at = tailBytes - END_BYTES; at >= 0; at--) {
    if (view.getUint32(at, true) !== END_SIGNATURE) continue;
    return {
      count: view.getUint16(at + 10, true),
      size: view.getUint32(at + 12, true),
      offset: view.getUint32(at + 16, true),
    };
  }
  throw unreadable(
    `Expected an .npz archive in ${source.name} but found no zip directory: it is truncated or not an archive.`,
  );
}

async function openMember(source: Source, name: string, view: DataView, at: number): Promise<Bytes> {
  const label = `${source.name}, member ${name}`;
  const flags = view.getUint16(at + 8, true);
  const method = view.getUint16(at + 10, true);
  const crc = view.getUint32(at + 16, true);
  const packed = view.getUint32(at + 20, true);
  const length = view.getUint32(at + 24, true);
  const offset = view.getUint32(at + 42, true);
  if (flags & 1) throw unreadable(`Expected plain data in ${label} but it is encrypted.`);
  if (packed === ZIP64 || length === ZIP64 || offset === ZIP64) {
    throw unreadable(`Expected a member below 4 GiB in ${label} but it is larger.`);
  }
  if (method !== 0 && method !== 8) {
    throw unreadable(
      `Expected stored or deflated data in ${label} but received compression method ${method}.`,
    );
  }
  const broken = () =>
    unreadable(`Expected ${packed} bytes of ${label} inside the file but it is truncated.`);
  if (offset + LOCAL_BYTES > source.size) throw broken();
  const header = await source.read(offset, LOCAL_BYTES);
  const local = new DataView(header.buffer, header.byteOffset, header.byteLength);
  if (local.getUint32(0, true) !== LOCAL_SIGNATURE) throw broken();
  const start = offset + LOCAL_BYTES + local.getUint16(26, true) + local.getUint16(28, true);
  if (start + packed > source.size) throw broken();
  if (method === 8) return inflatedBytes(source, label, start, packed, length, crc);
  if (packed !== length)
    throw unreadable(`Expected ${length} stored bytes in ${label} but received ${packed}.`);
  return storedBytes(source, start, length);
}
