import { reason, unreadable } from './source.ts';

/** Larger images are refused before they are decoded: 64 megapixels take 192 MB. */
const MAX_PIXELS = 64 * 2 ** 20;

/** Planar bytes [channels][height][width]. */
export interface Image {
  channels: number;
  height: number;
  width: number;
  x: Uint8Array;
}

/** Throws whatever the decoder says about an image that it cannot read. */
export type DecodeImage = (file: Uint8Array) => Promise<Image>;

/**
 * Decoder to 3 channels (sRGB) or 1 (grey); alpha is dropped, orientation tags are not applied, as Pillow's
 * convert('RGB') does. Needs the optional package sharp: DATA_UNREADABLE with a sentence where it is absent.
 */
export async function imageDecoder(channels: 1 | 3, load = () => import('sharp')): Promise<DecodeImage> {
  const sharp = await load().then(
    (module) => module.default,
    (cause) => {
      throw unreadable(
        `Expected the optional package sharp for reading images but could not load it (${reason(cause)}): install it with npm install sharp.`,
        cause,
      );
    },
  );
  return async (file) => {
    const { data, info } = await sharp(file, { failOn: 'error', limitInputPixels: MAX_PIXELS })
      .removeAlpha()
      .toColourspace(channels === 3 ? 'srgb' : 'b-w')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    const { height, width } = info;
    return { channels, height, width, x: planar(data, channels, info.channels, height * width) };
  };
}

/** Interleaved to planar; a grey image decoded to one channel is repeated for three. */
function planar(data: Uint8Array, channels: number, stored: number, pixels: number): Uint8Array {
  const out = new Uint8Array(channels * pixels);
  for (let c = 0, at = 0; c < channels; c++) {
    for (let i = Math.min(c, stored - 1); at < (c + 1) * pixels; i += stored) out[at++] = data[i];
  }
  return out;
}
