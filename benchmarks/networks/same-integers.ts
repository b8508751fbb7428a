import { compile, type Executor } from '../../lib/engine/index.ts';
import { createKernels } from '../../lib/kernels/index.ts';
import type { Kernels, KernelsOptions } from '../../lib/kernels/kernels.ts';
import type { Quantization } from '../../lib/quant/quantizer.ts';
import type { Batches, Network } from './network.ts';

/** What one backend computed, compared with the first one's. */
export interface Sameness {
  network: string;
  allocation: string;
  backend: string;
  isa: string;
  /** Whom it is compared with. */
  against: string;
  samples: number;
  /** Quantized values, and all their integers over all samples; the network's float outputs apart. */
  values: number;
  integers: number;
  differing: number;
  outputs: number;
  differingOutputs: number;
}

/** One backend; the reference takes few samples. */
export interface Side {
  options: KernelsOptions;
  samples: number;
}

interface Running {
  side: Side;
  kernels: Kernels;
  executor: Executor;
  row: Sameness;
}

type Results = ReadonlyMap<string, ArrayLike<number>>;

/** Integers behind every output quantizer: a row per side but the first, which the others are compared with. */
export async function sameIntegers(
  network: Network,
  allocation: string,
  quantization: Quantization,
  sides: readonly Side[],
  batches: Batches,
): Promise<Sameness[]> {
  const { graph, pair } = network;
  const running: Running[] = [];
  const outputs = new Set(graph.outputs.map(({ name }) => name));
  const values = [...quantization.activations.keys()].filter((name) => !outputs.has(name));
  for (const side of sides) {
    const kernels = await createKernels(side.options);
    const executor = compile(graph, kernels, { quantization });
    const first = running[0]?.kernels ?? kernels;
    const row: Sameness = {
      network: pair.name,
      allocation,
      backend: kernels.backend,
      isa: kernels.isa,
      against: `${first.backend} ${first.isa}`,
      samples: 0,
      values: values.length,
      integers: 0,
      differing: 0,
      outputs: 0,
      differingOutputs: 0,
    };
    running.push({ side, kernels, executor, row });
  }
  for await (const { x, shape } of batches()) {
    let expected: Results | null = null;
    for (const { side, executor, row } of running) {
      const count = Math.min(shape[0], side.samples - row.samples);
      if (count <= 0) continue;
      const results = resultsOf(executor, x, [count, ...shape.slice(1)], values, outputs);
      expected ??= results;
      row.samples += count;
      for (const [name, result] of results) {
        const differing = differences(expected.get(name)!, result);
        row[outputs.has(name) ? 'outputs' : 'integers'] += result.length;
        row[outputs.has(name) ? 'differingOutputs' : 'differing'] += differing;
      }
    }
  }
  for (const { executor, kernels } of running) {
    executor.dispose();
    kernels.dispose();
  }
  return running.slice(1).map(({ row }) => row);
}

/** Every quantized value from one run, the outputs from another that fetches nothing else, as applications run it. */
function resultsOf(
  executor: Executor,
  x: Float32Array,
  shape: readonly number[],
  values: readonly string[],
  outputs: ReadonlySet<string>,
): Results {
  const data = x.subarray(
    0,
    shape.reduce((product, length) => product * length, 1),
  );
  const feeds = new Map([[executor.graph.inputs[0].name, { dtype: 'float32', shape, data } as const]]);
  const fetched = [...executor.run(feeds, values), ...executor.run(feeds, [...outputs])];
  return new Map(fetched.map(([name, tensor]) => [name, tensor.data as ArrayLike<number>]));
}

/** Elements that differ, of as many as `b` has. */
function differences(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let count = 0;
  for (let i = 0; i < b.length; i++) if (!Object.is(a[i], b[i])) count++;
  return count;
}
