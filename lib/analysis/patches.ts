import { windowShape } from '../engine/geometry.ts';
import { SigmaQuantError } from '../errors.ts';
import type { Graph, Layer, Tensor } from '../graph/graph.ts';
import type { ConvShape, Kernels } from '../kernels/kernels.ts';
import type { InputStatistics } from './analysis.ts';

/** The convolution that a layer does on a channels-last input of this shape; a Linear is a 1x1 one over its rows. */
export function layerShape(graph: Graph, layer: Layer, input: Tensor, output: Tensor): ConvShape {
  const { node, groups } = layer;
  if (layer.op === 'Linear') {
    const rows = input.data.length / layer.channels;
    const flat = [rows, 1, 1, layer.channels];
    return windowShape({ ...node, attributes: {} }, flat, [rows, 1, 1, layer.outChannels], [1, 1], 1)!;
  }
  const kernel = graph.constants.get(node.inputs[1])?.shape.slice(1, -1) ?? [];
  const shape = windowShape(node, input.shape, output.shape, kernel, groups);
  if (shape === null)
    throw new SigmaQuantError(
      'UNSUPPORTED_MODEL',
      `Expected one or two spatial axes for input "${layer.input}" of ${node.op} "${node.name}" but received shape [${input.shape}].`,
    );
  return shape;
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));

/**
 * Sums over a layer's input patches, at every `step`-th output position of the whole stream of samples: where a
 * batch ends does not matter.
 */
export class PatchSums {
  readonly #layer: Layer;
  readonly #gram: Float64Array | null;
  /** [taps][channels of all groups] */
  readonly #sum: Float64Array;
  readonly #squares: Float64Array;
  #rows = 0;
  #step = 0;
  /** Positions to skip at the start of the next batch. */
  #next = 0;

  constructor(layer: Layer, gram: boolean) {
    const k = layer.taps * layer.channels;
    this.#layer = layer;
    this.#gram = gram ? new Float64Array(layer.groups * k * k) : null;
    this.#sum = new Float64Array(layer.groups * k);
    this.#squares = new Float64Array(layer.groups * k);
  }

  /** At most about `patches` patches per sample. Work done, in multiply-adds. */
  add(kernels: Kernels, x: Float32Array, shape: ConvShape, samples: number, patches: number): number {
    const positions = shape.batch * shape.outHeight * shape.outWidth;
    if (this.#step === 0) this.#step = stride(positions / samples, patches, shape);
    const [first, step] = [this.#next, this.#step];
    const taken = Math.max(0, Math.ceil((positions - first) / step));
    this.#next = first + taken * step - positions;
    this.#rows += taken;
    if (this.#gram !== null) kernels.gram(x, shape, first, step, this.#gram);
    for (let position = first; position < positions; position += step) this.#addPatch(x, shape, position);
    const { taps, channels, groups } = this.#layer;
    const k = taps * channels;
    return taken * groups * k * (this.#gram === null ? 2 : k + 2);
  }

  #addPatch(x: Float32Array, shape: ConvShape, position: number): void {
    const { inHeight, inWidth, inChannels, kernelHeight, kernelWidth } = shape;
    const column = position % shape.outWidth;
    const row = Math.floor(position / shape.outWidth) % shape.outHeight;
    const image = Math.floor(position / (shape.outWidth * shape.outHeight));
    for (let tapY = 0; tapY < kernelHeight; tapY++) {
      const y = row * shape.strideHeight - shape.padTop + tapY * shape.dilationHeight;
      if (y < 0 || y >= inHeight) continue;
      for (let tapX = 0; tapX < kernelWidth; tapX++) {
        const at = column * shape.strideWidth - shape.padLeft + tapX * shape.dilationWidth;
        if (at < 0 || at >= inWidth) continue;
        const from = ((image * inHeight + y) * inWidth + at) * inChannels;
        const to = (tapY * kernelWidth + tapX) * inChannels;
        for (let channel = 0; channel < inChannels; channel++) {
          const value = x[from + channel];
          this.#sum[to + channel] += value;
          this.#squares[to + channel] += value * value;
        }
      }
    }
  }

  statistics(): InputStatistics {
    const rows = Math.max(this.#rows, 1);
    return {
      rows: this.#rows,
      gram: this.#gram,
      mean: this.#grouped(this.#sum, rows),
      power: this.#grouped(this.#squares, rows),
    };
  }

  /** [taps][groups * channels] -> [groups][taps * channels], divided by rows. */
  #grouped(sums: Float64Array, rows: number): Float64Array {
    const { taps, channels, groups } = this.#layer;
    return Float64Array.from(sums, (_, i) => {
      const channel = i % channels;
      const tap = Math.floor(i / channels) % taps;
      const group = Math.floor(i / (channels * taps));
      return sums[(tap * groups + group) * channels + channel] / rows;
    });
  }
}

/**
 * Every how many positions a patch is taken, so that a sample gives at most `patches`: prime to the output's width
 * and height, or the same columns (the padded border, say) would be taken in every row.
 */
function stride(positions: number, patches: number, { outWidth, outHeight }: ConvShape): number {
  let step = Math.max(1, Math.ceil(positions / patches));
  while (gcd(step, outWidth) !== 1 || gcd(step, outHeight) !== 1) step++;
  return step;
}
