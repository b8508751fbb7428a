/** The polynomial of zip, gzip and PNG, bits reversed. */
const POLYNOMIAL = 0xedb88320;
/** Bytes per round: each has a table of its own, so that a round costs one step of dependent work. */
const SLICES = 16;

/** [slice][byte]: what a byte does to the checksum when `slice` bytes follow it. */
function tables(): Int32Array {
  const table = new Int32Array(SLICES * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1;
    table[byte] = crc;
  }
  for (let i = 256; i < table.length; i++) table[i] = (table[i - 256] >>> 8) ^ table[table[i - 256] & 255];
  return table;
}

let made: Int32Array | undefined;

/** CRC-32 as an unsigned number. */
export function crc32(bytes: Uint8Array): number {
  const T = (made ??= tables());
  const end = bytes.length;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let crc = -1;
  let at = 0;
  for (; at + SLICES <= end; at += SLICES) {
    const a = crc ^ view.getInt32(at, true);
    const b = view.getInt32(at + 4, true);
    const c = view.getInt32(at + 8, true);
    const d = view.getInt32(at + 12, true);
    crc =
      T[3840 + (a & 255)] ^
      T[3584 + ((a >>> 8) & 255)] ^
      T[3328 + ((a >>> 16) & 255)] ^
      T[3072 + (a >>> 24)] ^
      T[2816 + (b & 255)] ^
      T[2560 + ((b >>> 8) & 255)] ^
      T[2304 + ((b >>> 16) & 255)] ^
      T[2048 + (b >>> 24)] ^
      T[1792 + (c & 255)] ^
      T[1536 + ((c >>> 8) & 255)] ^
      T[1280 + ((c >>> 16) & 255)] ^
      T[1024 + (c >>> 24)] ^
      T[768 + (d & 255)] ^
      T[512 + ((d >>> 8) & 255)] ^
      T[256 + ((d >>> 16) & 255)] ^
      T[d >>> 24];
  }
  for (; at < end; at++) crc = (crc >>> 8) ^ T[(crc ^ bytes[at]) & 255];
  return ~crc >>> 0;
}
