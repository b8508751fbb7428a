/** Larger images are refused, before they are decoded where the decoder allows it: 64 megapixels take 192 MB. */
export const MAX_PIXELS = 64 * 2 ** 20;

/** Planar bytes [channels][height][width]. */
export interface Image {
  channels: number;
  height: number;
  width: number;
  x: Uint8Array;
}

/** Throws whatever the decoder says about an image that it cannot read. */
export type DecodeImage = (file: Uint8Array) => Promise<Image>;

/** Makes a decoder to 3 channels (sRGB) or 1 (grey). Throws DATA_UNREADABLE where there is none. */
export type CreateDecoder = (channels: 1 | 3) => Promise<DecodeImage>;

/** Interleaved to planar; a grey image decoded to one channel is repeated for three, further ones are left out. */
export function planar(
  data: Uint8Array | Uint8ClampedArray,
  channels: number,
  stored: number,
  pixels: number,
): Uint8Array {
  const out = new Uint8Array(channels * pixels);
  for (let c = 0, at = 0; c < channels; c++) {
    for (let i = Math.min(c, stored - 1); at < (c + 1) * pixels; i += stored) out[at++] = data[i];
  }
  return out;
}
