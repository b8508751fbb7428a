import assert from 'node:assert/strict';
import { compile } from '../../lib/engine/index.ts';
import { type CSourceOptions, cSource } from '../../lib/export/c/index.ts';
import type { Graph, Tensor } from '../../lib/graph/graph.ts';
import type { Kernels } from '../../lib/kernels/index.ts';
import type { Quantization } from '../../lib/quant/quantizer.ts';
import { type Target, Workshop } from './targets.ts';

/** A quantized network and the samples that it is compared on. */
export interface Case {
  name: string;
  graph: Graph;
  quantization: Quantization;
  /** Per input of the network, all samples one behind the other; float32, or uint8 levels. */
  inputs: readonly (Float32Array | Uint8Array)[];
  options?: Partial<CSourceOptions>;
}

/** Bits, so that NaN is like NaN and 0 unlike -0. */
const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView) =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** Sample by sample what the engine makes, in the order of the network's outputs. */
function expected(one: Case, kernels: Kernels, samples: number): Uint8Array {
  const { graph, quantization, inputs } = one;
  const executor = compile(graph, kernels, { quantization });
  const fetches = graph.outputs.map(({ name }) => name);
  const results: Uint8Array[] = [];
  for (let sample = 0; sample < samples; sample++) {
    const feeds = graph.inputs.map(({ name, shape }, i): [string, Tensor] => {
      const data = sampleOf(inputs[i], sample, samples);
      const bound = shape.map((size) => (typeof size === 'string' ? 1 : size));
      return [name, { dtype: data instanceof Uint8Array ? 'uint8' : 'float32', shape: bound, data }];
    });
    const outputs = executor.run(new Map(feeds), fetches);
    for (const name of fetches) results.push(bytesOf(outputs.get(name)!.data as Float32Array).slice());
  }
  executor.dispose();
  return Buffer.concat(results);
}

function sampleOf<T extends Float32Array | Uint8Array>(data: T, sample: number, samples: number): T {
  const length = data.length / samples;
  return data.subarray(sample * length, (sample + 1) * length) as T;
}

/** Networks as C beside what the engine makes of the same samples. */
export class Comparison {
  readonly workshop: Workshop;
  readonly networks: readonly { prefix: string; header: string }[];
  readonly #inputs: Uint8Array;
  readonly #expected: readonly { name: string; outputs: Uint8Array }[];
  readonly #samples: number;

  /** `write` makes the C of a case; by default from what the engine is given. */
  constructor(
    cases: readonly Case[],
    kernels: Kernels,
    samples: number,
    write = (name: string, { graph, quantization, options }: Case) =>
      cSource(graph, quantization, { name, ...options }),
  ) {
    this.#samples = samples;
    const networks = cases.map((one) => {
      const files = write(one.name, one);
      return { prefix: [...files.keys()][0].replace(/\.h$/, ''), files };
    });
    this.networks = networks.map(({ prefix, files }) => ({ prefix, header: files.get(`${prefix}.h`)! }));
    this.workshop = new Workshop(networks);
    const inputs: Uint8Array[] = [];
    for (const one of cases)
      for (let sample = 0; sample < samples; sample++)
        for (const data of one.inputs) inputs.push(bytesOf(sampleOf(data, sample, samples)));
    this.#inputs = Buffer.concat(inputs);
    this.#expected = cases.map((one) => ({ name: one.name, outputs: expected(one, kernels, samples) }));
    for (const { name, outputs } of this.#expected)
      assert.ok(
        new Set(new Uint32Array(Uint8Array.from(outputs).buffer)).size > 1,
        `${name}: outputs that say nothing`,
      );
  }

  /** Asserts that a target gives every bit of every network's outputs. Returns the number of bytes compared. */
  check(target: Target): number {
    const outputs = this.workshop.run(target, this.#inputs, this.#samples);
    let at = 0;
    for (const { name, outputs: wanted } of this.#expected) {
      const got = outputs.subarray(at, at + wanted.length);
      at += wanted.length;
      const wrong = wanted.findIndex((byte, i) => byte !== got[i]);
      assert.equal(wrong, -1, `${name} on ${target.name}: byte ${wrong} of ${wanted.length} differs`);
    }
    assert.equal(outputs.length, at);
    return at;
  }

  /** Instructions of one run on the first sample; see Workshop. */
  instructions(target: Target): number {
    return this.workshop.instructions(target, this.#inputs);
  }

  dispose(): void {
    this.workshop.dispose();
  }
}
