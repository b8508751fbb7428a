import { type DecodeImage, MAX_PIXELS, planar } from './image.ts';
import { reason, unreadable } from './source.ts';

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
