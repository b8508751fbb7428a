import { crc32 } from 'node:zlib';

/** Zlib's CRC-32 where this node has it, else bit by bit. */
const checksum: (bytes: Uint8Array) => number = crc32 ?? plain;

function plain(bytes: Uint8Array): number {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return ~crc >>> 0;
}

/** Writes the checksum that belongs to the bytes before it, in place. */
export function repaired(bytes: Uint8Array): Uint8Array {
  if (bytes.length < 4) return bytes;
  const end = bytes.length - 4;
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(end, checksum(bytes.subarray(0, end)), true);
  return bytes;
}
