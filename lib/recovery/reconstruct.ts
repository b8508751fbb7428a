import type { Pace } from '../analysis/pace.ts';
import { compile, quantizerOf } from '../engine/index.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import type { Kernels } from '../kernels/kernels.ts';
import type { Quantization, QuantizedLayer, Quantizer } from '../quant/quantizer.ts';
import {
  adam,
  hasGradient,
  type Loss,
  learnedNetwork,
  minimize,
  NO_AUGMENTATION,
  type TrainingSet,
  tapeOf,
} from '../training/index.ts';
import { type Block, blocksOf } from './blocks.ts';
import { outputImportance } from './importance.ts';

export interface ReconstructOptions {
  /** Steps of learning per block. */
  steps: number;
  batch: number;
  seed: number;
  pace: Pace;
  /** Blocks done. */
  onProgress?: (done: number, total: number) => void;
}

/** What learning did to one block: squared output error relative to the output's power, weighted by importance. */
export interface BlockReport {
  layers: readonly string[];
  before: number;
  after: number;
  /** An operator without a gradient, which kept the block as it was. */
  skipped: string | null;
}

/** Rates that are tried, in steps of weights per step of learning, until one leaves a smaller error. */
const RATES = [0.02, 0.004];
/** Weights begin as near to their float values as rounds to the integers that they have. */
const OFF_MIDDLE = 0.49;
/** Of the values at the ends of a block. */
const MOST_BYTES = 2 ** 30;
/** Samples per run of a block. */
const SLICE = 32;

/**
 * Block by block, rounding, steps and biases are learned so that the quantized block gives from the quantized network's
 * values what the float block gives from the float network's (BRECQ: Li et al. 2021), output channels weighted by
 * Fisher's information; no labels. A block that came out no better keeps what it had. `given` are the network's inputs:
 * as many as leave room for what comes into a block and out of it, in float and quantized.
 */
export async function reconstruct(
  graph: Graph,
  kernels: Kernels,
  start: Quantization,
  given: TrainingSet,
  options: ReconstructOptions,
): Promise<{ quantization: Quantization; blocks: BlockReport[] }> {
  const blocks = blocksOf(graph);
  const data = whatFits(given, blocks);
  const importance = await outputImportance(graph, kernels, blocks, data, options);
  const quantization = { activations: new Map(start.activations), layers: new Map(start.layers) };
  const reports: BlockReport[] = [];
  let float: TrainingSet = data;
  let quantized: TrainingSet = data;
  for (const [i, block] of blocks.entries()) {
    const target = await through(block, kernels, null, float, options.pace);
    const weights = importance.get(block.output) ?? new Float32Array(target.shape.at(-1) ?? 1).fill(1);
    reports.push(await learnBlock(block, kernels, quantization, quantized, target, weights, options));
    quantized = await through(block, kernels, quantization, quantized, options.pace);
    float = target;
    options.onProgress?.(i + 1, blocks.length);
  }
  return { quantization, blocks: reports };
}

/** The first samples, so that the values at the ends of the largest block stay below MOST_BYTES. */
function whatFits(given: TrainingSet, blocks: readonly Block[]): TrainingSet {
  const sizeAt = ({ graph }: Block) =>
    [graph.inputs[0], graph.outputs[0]].reduce(
      (sum, { shape }) => sum + sizeOf(shape.slice(1).map((side) => (typeof side === 'number' ? side : 1))),
      0,
    );
  const bytes = 2 * 4 * Math.max(...blocks.map(sizeAt));
  const count = Math.max(1, Math.min(given.count, Math.floor(MOST_BYTES / bytes)));
  return { ...given, x: given.x.subarray(0, (given.x.length / given.count) * count), count };
}

/** The part of a quantization that a block has. */
function partOf({ graph, layers }: Block, quantization: Quantization): Quantization {
  const values = new Set([
    ...graph.inputs.map(({ name }) => name),
    ...graph.nodes.flatMap(({ outputs }) => outputs),
  ]);
  const keep = <T>(map: ReadonlyMap<string, T>, has: (name: string) => boolean) =>
    new Map([...map].filter(([name]) => has(name)));
  return {
    activations: keep(quantization.activations, (name) => values.has(name)),
    layers: keep(quantization.layers, (name) => layers.includes(name)),
  };
}

/** What the block makes of all samples: in float, or in integers. */
async function through(
  block: Block,
  kernels: Kernels,
  quantization: Quantization | null,
  data: TrainingSet,
  pace: Pace,
): Promise<TrainingSet> {
  const executor = compile(
    block.graph,
    kernels,
    quantization ? { quantization: partOf(block, quantization) } : {},
  );
  const size = sizeOf(data.shape);
  let out: Float32Array | null = null;
  let shape: readonly number[] = [];
  try {
    for (let first = 0; first < data.count; first += SLICE) {
      const count = Math.min(SLICE, data.count - first);
      const feed: Tensor = {
        dtype: 'float32',
        shape: [count, ...data.shape],
        data: data.x.subarray(first * size, (first + count) * size),
      };
      const y = executor.run(new Map([[block.input, feed]]), [block.output]).get(block.output)!;
      const values = y.data as Float32Array;
      shape = y.shape.slice(1);
      out ??= new Float32Array((values.length / count) * data.count);
      out.set(values, (values.length / count) * first);
      await pace(values.length * SLICE);
    }
  } finally {
    executor.dispose();
  }
  return { x: out!, shape, count: data.count, labels: null };
}

const sizeOf = (shape: readonly number[]) => shape.reduce((product, side) => product * side, 1);

/** Half the weighted squared error of a batch, relative to the weighted power of the whole target. */
function weightedError(
  target: TrainingSet,
  indices: Uint32Array,
  weights: Float32Array,
  power: number,
): Loss {
  const size = sizeOf(target.shape);
  return (y, _, gradient) => {
    const rows = indices.length;
    const share = rows * power;
    let loss = 0;
    for (let row = 0; row < rows; row++) {
      const from = indices[row] * size - row * size;
      for (let at = row * size; at < (row + 1) * size; )
        for (let c = 0; c < weights.length; c++, at++) {
          const difference = y[at] - target.x[from + at];
          const weighted = weights[c] * difference;
          loss += weighted * difference;
          gradient[at] = weighted / share;
        }
    }
    return loss / (2 * share);
  };
}

function weightedPower({ x, count }: TrainingSet, weights: Float32Array): number {
  let sum = 0;
  for (let at = 0; at < x.length; )
    for (let c = 0; c < weights.length; c++, at++) sum += weights[c] * x[at] * x[at];
  return Math.max(sum / count, Number.MIN_VALUE);
}

/** Relative weighted error of what a block gives now. */
function errorOf(y: TrainingSet, target: TrainingSet, weights: Float32Array): number {
  let sum = 0;
  for (let at = 0; at < y.x.length; )
    for (let c = 0; c < weights.length; c++, at++) sum += weights[c] * (y.x[at] - target.x[at]) ** 2;
  return sum / (target.count * weightedPower(target, weights));
}

/** Learns one block and puts it into `quantization`. */
async function learnBlock(
  block: Block,
  kernels: Kernels,
  quantization: { activations: Map<string, Quantizer>; layers: Map<string, QuantizedLayer> },
  input: TrainingSet,
  target: TrainingSet,
  weights: Float32Array,
  options: ReconstructOptions,
): Promise<BlockReport> {
  const { layers } = block;
  const error = async (candidate: Quantization) =>
    errorOf(await through(block, kernels, candidate, input, options.pace), target, weights);
  const before = await error(quantization);
  const odd = block.graph.nodes.find((node) => !hasGradient(node));
  if (odd || layers.every((name) => !quantization.layers.has(name)))
    return {
      layers,
      before,
      after: before,
      skipped: odd ? `${odd.op} (node ${odd.name})` : 'no quantized layer',
    };
  const part = partOf(block, quantization);
  const candidates: { made: Quantization; after: number }[] = [];
  for (const rate of RATES) {
    const made = await learned(block, kernels, part, input, target, weights, rate, options);
    const after = await error({
      activations: new Map([...quantization.activations, ...made.activations]),
      layers: new Map([...quantization.layers, ...made.layers]),
    });
    candidates.push({ made, after });
    if (after < before) break;
  }
  const { made, after } = candidates.at(-1)!;
  if (!(after < before)) return { layers, before, after: before, skipped: null };
  for (const [name, quantizer] of made.activations) quantization.activations.set(name, quantizer);
  for (const [name, layer] of made.layers) quantization.layers.set(name, layer);
  return { layers, before, after, skipped: null };
}

/** One round of learning at one rate. */
async function learned(
  block: Block,
  kernels: Kernels,
  part: Quantization,
  input: TrainingSet,
  target: TrainingSet,
  weights: Float32Array,
  rate: number,
  { steps, batch: wanted, seed, pace }: ReconstructOptions,
): Promise<Quantization> {
  // What comes in is quantized already.
  const network = learnedNetwork(block.graph, part, {
    fixed: quantizerOf(block.graph, block.input),
    offMiddle: OFF_MIDDLE,
  });
  const batch = Math.min(wanted, input.count);
  const tape = tapeOf(block.graph, kernels, batch, { ...network.options, outputs: [block.output] });
  const power = weightedPower(target, weights);
  try {
    await minimize(
      {
        tape,
        trained: network.trained,
        optimizer: adam(network.trained),
        carried: [],
        input: block.input,
        output: block.output,
        lossOf: (_, indices) => weightedError(target, indices, weights, power),
        hold: network.hold,
      },
      input,
      {
        epochs: steps / Math.floor(input.count / batch),
        batch,
        rate,
        warmup: 0,
        clip: Number.POSITIVE_INFINITY,
        average: 0,
        seed,
        augmentation: NO_AUGMENTATION,
        every: steps,
        pace,
      },
    );
  } finally {
    tape.dispose();
  }
  return network.quantization();
}
