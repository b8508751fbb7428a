import { hash } from '../data/split.ts';

/** Samples in memory, channels first, as the network takes them. */
export interface TrainingSet {
  /** [count][...shape] */
  x: Float32Array;
  shape: readonly number[];
  count: number;
  /** Class of each sample; null without labels. */
  labels: Int32Array | null;
}

/** What is done to images before each use. */
export interface Augmentation {
  /** Mirror half of them. */
  flip: boolean;
  /** Move them by up to so many pixels; what comes in from outside is their mirror image. */
  shift: number;
}

export const NO_AUGMENTATION: Augmentation = { flip: false, shift: 0 };

/** The order of an epoch: a permutation by seed and epoch. */
export function shuffled(count: number, seed: number, epoch: number): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  const salt = hash(seed, epoch);
  for (let i = count - 1; i > 0; i--) {
    const j = hash(salt, i) % (i + 1);
    const kept = order[i];
    order[i] = order[j];
    order[j] = kept;
  }
  return order;
}

/** The place in [0, size) that a mirror at both ends shows at `at`. */
function mirrored(at: number, size: number): number {
  if (at < 0) at = -at;
  return at >= size ? 2 * (size - 1) - at : at;
}

/** Writes one sample; `salt` decides what happens to it. Augments images [channels, height, width] only. */
export function writeSample(
  { x, shape }: TrainingSet,
  index: number,
  augmentation: Augmentation,
  salt: number,
  out: Float32Array,
  at: number,
): void {
  const size = shape.reduce((product, side) => product * side, 1);
  const from = index * size;
  const { flip, shift } = augmentation;
  const limit = Math.min(shift, (shape[1] ?? 1) - 1, (shape[2] ?? 1) - 1);
  const turned = flip && (hash(salt, 0) & 1) === 1;
  const [down, right] = [1, 2].map((axis) => (hash(salt, axis) % (2 * limit + 1)) - limit);
  if (shape.length !== 3 || (!turned && down === 0 && right === 0)) {
    out.set(x.subarray(from, from + size), at);
    return;
  }
  const [channels, height, width] = shape;
  for (let c = 0; c < channels; c++)
    for (let row = 0; row < height; row++) {
      const line = from + (c * height + mirrored(row + down, height)) * width;
      for (let column = 0; column < width; column++) {
        const source = mirrored(column + right, width);
        out[at++] = x[line + (turned ? width - 1 - source : source)];
      }
    }
}
