import { type DecodeImage, type Image, MAX_PIXELS, planar } from './image.ts';
import { unreadable } from './source.ts';

/** What is used here of browsers, of which the compiler has no types. */
interface Bitmap {
  readonly width: number;
  readonly height: number;
  close(): void;
}
interface Canvas {
  getContext(
    kind: '2d',
    options: { willReadFrequently: boolean },
  ): {
    drawImage(bitmap: Bitmap, x: number, y: number): void;
    getImageData(x: number, y: number, width: number, height: number): { data: Uint8ClampedArray };
  } | null;
}
declare const createImageBitmap:
  | ((image: Blob, options: { premultiplyAlpha: 'none'; colorSpaceConversion: 'none' }) => Promise<Bitmap>)
  | undefined;
declare const OffscreenCanvas: (new (width: number, height: number) => Canvas) | undefined;

/** Shares of red, green and blue in linear light, of the grey that the decoder of Node makes. */
const GREY = [0.2, 0.7, 0.1] as const;

/**
 * The browser's own decoder, to 3 channels (sRGB) or 1 (grey). It may differ from Node's by a unit here and there, and
 * applies orientation tags. Throws DATA_UNREADABLE where the browser has none for workers.
 */
export async function bitmapDecoder(channels: 1 | 3): Promise<DecodeImage> {
  if (typeof createImageBitmap === 'undefined' || typeof OffscreenCanvas === 'undefined')
    throw unreadable(
      'Expected a browser that decodes images in workers (createImageBitmap, OffscreenCanvas) but this one does not: give an .npz.',
    );
  const [decode, Canvas] = [createImageBitmap, OffscreenCanvas];
  return async (file) => {
    const image = new Blob([file as Uint8Array<ArrayBuffer>]);
    const bitmap = await decode(image, { premultiplyAlpha: 'none', colorSpaceConversion: 'none' });
    try {
      return imageOf(bitmap, channels, Canvas);
    } finally {
      bitmap.close();
    }
  };
}

function imageOf(
  bitmap: Bitmap,
  channels: 1 | 3,
  Canvas: new (width: number, height: number) => Canvas,
): Image {
  const { width, height } = bitmap;
  if (width * height > MAX_PIXELS)
    throw unreadable(`Expected at most ${MAX_PIXELS} pixels but received ${width} x ${height}.`);
  const context = new Canvas(width, height).getContext('2d', { willReadFrequently: true });
  if (!context) throw unreadable(`Expected a canvas of ${width} x ${height} but the browser has none.`);
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  const x = channels === 3 ? planar(data, 3, 4, width * height) : grey(data, width * height);
  return { channels, height, width, x };
}

function grey(data: Uint8ClampedArray, pixels: number): Uint8Array {
  const out = new Uint8Array(pixels);
  for (let i = 0; i < pixels; i++) {
    const [r, g, b] = data.subarray(4 * i, 4 * i + 3);
    // What has no colour stays as it is, to the bit.
    out[i] =
      r === g && g === b ? r : encoded(GREY[0] * linear(r) + GREY[1] * linear(g) + GREY[2] * linear(b));
  }
  return out;
}

/** IEC 61966-2-1. */
function linear(byte: number): number {
  const v = byte / 255;
  return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
}

function encoded(light: number): number {
  return Math.round(255 * (light <= 0.0031308 ? 12.92 * light : 1.055 * light ** (1 / 2.4) - 0.055));
}
