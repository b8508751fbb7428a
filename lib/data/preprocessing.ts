import { refuse } from '../errors.ts';
import type { Preprocessing } from './dataset.ts';
import type { NumberArray } from './npy.ts';
import { mismatch } from './source.ts';

/** Larger frames are a typing error. */
const MAX_SIDE = 16_384;

/** Preprocessing as flags, a config file or pairs.json say it: text, numbers or lists of numbers. */
export type PreprocessingInput = {
  [Key in 'resize' | 'crop' | 'scale' | 'mean' | 'std']?: string | number | readonly number[] | undefined;
};

/**
 * `WxH` or [width, height] for resize and crop; a number, a fraction (`1/255`) or, for mean and std, a list
 * (`.485,.456,.406`, one per channel). Throws INVALID_ARGUMENT naming the key.
 */
export function parsePreprocessing(input: PreprocessingInput): Preprocessing {
  const out: { -readonly [Key in keyof Preprocessing]: Preprocessing[Key] } = {};
  for (const key of Object.keys(input)) {
    if (!['resize', 'crop', 'scale', 'mean', 'std'].includes(key)) {
      refuse('one of resize, crop, scale, mean, std', 'preprocessing', key);
    }
  }
  if (input.resize !== undefined) out.resize = parseFrame(input.resize, 'resize');
  if (input.crop !== undefined) out.crop = parseFrame(input.crop, 'crop');
  if (input.scale !== undefined) {
    const scale = parseNumbers(input.scale, 'scale');
    if (scale.length !== 1 || scale[0] === 0) refuse('one number other than 0', 'scale', input.scale);
    out.scale = scale[0];
  }
  if (input.mean !== undefined) out.mean = oneOrMany(parseNumbers(input.mean, 'mean'));
  if (input.std !== undefined) {
    const std = parseNumbers(input.std, 'std');
    if (std.some((value) => value <= 0)) refuse('positive numbers', 'std', input.std);
    out.std = oneOrMany(std);
  }
  return out;
}

function oneOrMany(values: number[]): number | number[] {
  return values.length === 1 ? values[0] : values;
}

function parseFrame(value: string | number | readonly number[], name: string): readonly [number, number] {
  const sides =
    typeof value === 'string'
      ? (/^(\d+)x(\d+)$/.exec(value.trim())?.slice(1).map(Number) ?? [])
      : typeof value === 'number'
        ? []
        : value;
  if (sides.length !== 2 || sides.some((side) => !Number.isInteger(side) || side < 1 || side > MAX_SIDE)) {
    refuse(`WxH, sides from 1 to ${MAX_SIDE},`, name, value);
  }
  return [sides[0], sides[1]];
}

function parseNumbers(value: string | number | readonly number[], name: string): number[] {
  const numbers =
    typeof value === 'string'
      ? value.split(',').map(parseFraction)
      : typeof value === 'number'
        ? [value]
        : [...value];
  if (numbers.length === 0 || !numbers.every(Number.isFinite)) {
    refuse('numbers, fractions like 1/255 allowed,', name, value);
  }
  return numbers;
}

function parseFraction(text: string): number {
  const [above, below, ...rest] = text
    .split('/')
    .map((piece) => (piece.trim() === '' ? Number.NaN : Number(piece)));
  if (rest.length > 0) return Number.NaN;
  return below === undefined ? above : above / below;
}

/** Shape of a sample after resize and crop; [channels, height, width] in, DATA_MISMATCH where it cannot be. */
export function framedShape(
  shape: readonly number[],
  { resize, crop }: Preprocessing,
  name: string,
): number[] {
  if (!resize && !crop) return [...shape];
  if (shape.length !== 3) {
    throw mismatch(
      `Expected samples of shape [channels, height, width] in ${name} for resize or crop but received [${shape.join(', ')}].`,
    );
  }
  const [width, height] = resize ?? [shape[2], shape[1]];
  if (!crop) return [shape[0], height, width];
  if (crop[0] > width || crop[1] > height) {
    throw mismatch(
      `Expected samples of at least ${crop[0]}x${crop[1]} in ${name} for the crop but received ${width}x${height}.`,
    );
  }
  return [shape[0], crop[1], crop[0]];
}

/**
 * Resizes and crops planar x [channels][height][width]. Resizing is the separable triangle filter whose support
 * grows with the reduction (antialiased bilinear, as Pillow and torchvision have it), columns before rows;
 * integers are rounded once at the end. The crop is centred, an odd remainder goes to the right and below.
 */
export function frame(x: NumberArray, shape: readonly number[], preprocessing: Preprocessing): NumberArray {
  const { resize, crop } = preprocessing;
  const [channels] = shape;
  let [, height, width] = shape;
  if (resize && (resize[0] !== width || resize[1] !== height)) {
    x = resizePlanes(x, channels, height, width, resize[1], resize[0]);
    [width, height] = resize;
  }
  if (!crop || (crop[0] === width && crop[1] === height)) return x;
  const left = Math.floor((width - crop[0]) / 2);
  const top = Math.floor((height - crop[1]) / 2);
  const out = new (x.constructor as new (length: number) => Uint8Array)(channels * crop[0] * crop[1]);
  for (let row = 0, at = 0; row < channels * crop[1]; row++, at += crop[0]) {
    const from = (Math.floor(row / crop[1]) * height + top + (row % crop[1])) * width + left;
    out.set((x as Uint8Array).subarray(from, from + crop[0]), at);
  }
  return out;
}

interface Taps {
  /** Per output position: first input position, and weights that sum to 1. */
  first: Int32Array;
  weights: Float64Array[];
}

function triangleTaps(inSize: number, outSize: number): Taps {
  const ratio = inSize / outSize;
  const support = Math.max(ratio, 1);
  const first = new Int32Array(outSize);
  const weights: Float64Array[] = [];
  for (let i = 0; i < outSize; i++) {
    const centre = (i + 0.5) * ratio;
    const low = Math.max(0, Math.floor(centre - support + 0.5));
    const high = Math.min(inSize, Math.floor(centre + support + 0.5));
    const row = Float64Array.from({ length: high - low }, (_, k) =>
      Math.max(0, 1 - Math.abs((low + k + 0.5 - centre) / support)),
    );
    const sum = row.reduce((a, b) => a + b, 0);
    first[i] = low;
    weights.push(row.map((value) => value / sum));
  }
  return { first, weights };
}

function resizePlanes(
  x: NumberArray,
  channels: number,
  height: number,
  width: number,
  outHeight: number,
  outWidth: number,
): NumberArray {
  const source = x instanceof BigInt64Array ? Float64Array.from(x, Number) : x;
  const columns = triangleTaps(width, outWidth);
  const rows = triangleTaps(height, outHeight);
  const isFloat = x instanceof Float32Array || x instanceof Float64Array || x instanceof BigInt64Array;
  const type = (x instanceof BigInt64Array ? Float64Array : x.constructor) as new (
    length: number,
  ) => Uint8Array;
  const out = new type(channels * outHeight * outWidth);
  const narrow = new Float64Array(height * outWidth);
  for (let c = 0; c < channels; c++) {
    for (let y = 0; y < height; y++) {
      const base = (c * height + y) * width;
      for (let i = 0; i < outWidth; i++) {
        narrow[y * outWidth + i] = weigh(source, base + columns.first[i], 1, columns.weights[i]);
      }
    }
    for (let j = 0; j < outHeight; j++) {
      for (let i = 0; i < outWidth; i++) {
        const value = weigh(narrow, rows.first[j] * outWidth + i, outWidth, rows.weights[j]);
        out[(c * outHeight + j) * outWidth + i] = isFloat ? value : Math.round(value);
      }
    }
  }
  return out;
}

function weigh(
  x: Exclude<NumberArray, BigInt64Array>,
  at: number,
  stride: number,
  weights: Float64Array,
): number {
  let sum = 0;
  for (let k = 0; k < weights.length; k++, at += stride) sum += x[at] * weights[k];
  return sum;
}

/** Writes fround((x * scale - mean) / std) of one framed sample into out at an offset. */
export type Normalize = (x: NumberArray, out: Float32Array, offset: number, label: () => string) => void;

/** Compiled for samples of this shape; bytes go through a table per channel. NaN and infinities are DATA_MISMATCH. */
export function normalizer(preprocessing: Preprocessing, shape: readonly number[], name: string): Normalize {
  const channels = shape[0];
  const inner = shape.slice(1).reduce((product, size) => product * size, 1);
  const { scale = 1 } = preprocessing;
  const mean = perChannel(preprocessing.mean ?? 0, channels, 'mean', name);
  const std = perChannel(preprocessing.std ?? 1, channels, 'std', name);
  const tables: Float32Array[] = [];
  for (let c = 0; c < channels; c++) {
    // Indexed by x & 511: unsigned bytes fall in the lower half, negative ones in the upper, -1 at 511.
    tables.push(
      Float32Array.from({ length: 512 }, (_, i) => ((i < 256 ? i : i - 512) * scale - mean[c]) / std[c]),
    );
  }
  return (x, out, offset, label) => {
    for (let c = 0, at = 0; c < channels; c++) {
      if (x instanceof Uint8Array || x instanceof Int8Array) {
        const table = tables[c];
        for (let i = 0; i < inner; i++, at++) out[offset + at] = table[x[at] & 511];
        continue;
      }
      for (let i = 0; i < inner; i++, at++) {
        const value = Math.fround((Number(x[at]) * scale - mean[c]) / std[c]);
        if (!Number.isFinite(value)) {
          throw mismatch(`Expected finite numbers in ${label()} but received ${x[at]} at element ${at}.`);
        }
        out[offset + at] = value;
      }
    }
  };
}

function perChannel(
  value: number | readonly number[],
  channels: number,
  key: string,
  name: string,
): readonly number[] {
  if (typeof value === 'number') return new Array<number>(channels).fill(value);
  if (value.length === channels) return value;
  throw mismatch(
    `Expected ${key} to have 1 value or one for each of the ${channels} channels of ${name} but received ${value.length}.`,
  );
}
