import { createRequire } from 'node:module';
import { join, sep } from 'node:path';
import { type Contender, type Rival, time } from './contender.ts';
import type { Problem } from './problem.ts';

/** TensorFlow.js on its WASM backend (XNNPACK inside, which keeps packed weights per weight tensor). Float only. */

interface Tensor {
  dataSync(): Float32Array;
  dispose(): void;
}
/** What we use of it; a peer that only this folder installs, so its types are not at hand. */
interface Tensorflow {
  version_core: string;
  setBackend(name: string): Promise<boolean>;
  tensor(values: Float32Array, shape: number[]): Tensor;
  matMul(a: Tensor, b: Tensor): Tensor;
  transpose(x: Tensor, permutation: number[]): Tensor;
  fused: { conv2d(options: object): Tensor; depthwiseConv2d(options: object): Tensor };
}

export async function loadTfjs(threads: number): Promise<Rival> {
  const require = createRequire(import.meta.url);
  const tf: Tensorflow = require('@tensorflow/tfjs-core');
  const wasm = require('@tensorflow/tfjs-backend-wasm');
  const folder = join(require.resolve('@tensorflow/tfjs-backend-wasm/package.json'), '..', 'wasm-out') + sep;
  wasm.setWasmPaths(folder);
  wasm.setThreadsCount(threads);
  if (!(await tf.setBackend('wasm'))) throw new Error('its WASM backend does not start');
  return {
    version: wasm.version_wasm,
    ways(problem) {
      const way = wayOf(tf, problem);
      return way === null ? [] : [async () => contender(way.name, way.prepare())];
    },
    close: async () => {},
  };
}

function contender(way: string, { call, inputs }: { call: () => Tensor; inputs: Tensor[] }): Contender {
  return {
    way,
    run: async (count) => time(count, () => call().dispose()),
    async output() {
      const result = call();
      const data = result.dataSync().slice();
      result.dispose();
      return data;
    },
    close: async () => inputs.forEach((input) => void input.dispose()),
  };
}

function wayOf(tf: Tensorflow, problem: Problem) {
  const { trial, gemm, conv, weights } = problem;
  const [a, w, b] = [problem.a, problem.w, problem.bias] as Float32Array[];
  if (trial.op === 'float-gemm') {
    const { m, n, k } = gemm!;
    return {
      name: 'matMul',
      prepare() {
        const rows = tf.tensor(w, [n, k]);
        const inputs = [tf.tensor(a, [m, k]), tf.transpose(rows, [1, 0])];
        rows.dispose();
        return { inputs, call: () => tf.matMul(inputs[0], inputs[1]) };
      },
    };
  }
  if (trial.op !== 'float-conv') return null;
  const { batch, inHeight, inWidth, inChannels, outChannels, kernelHeight, kernelWidth } = conv!;
  const { padTop, padLeft, strideHeight, strideWidth, groups } = conv!;
  const operator = groups > 1 ? 'depthwiseConv2d' : 'conv2d';
  return {
    name: `fused.${operator}`,
    prepare() {
      // OHWI -> HWIO, for depthwise HWC1.
      const ohwi = tf.tensor(w, [outChannels, kernelHeight, kernelWidth, weights!.channels]);
      const filter = tf.transpose(ohwi, groups > 1 ? [1, 2, 0, 3] : [1, 2, 3, 0]);
      ohwi.dispose();
      const inputs = [
        tf.tensor(a, [batch, inHeight, inWidth, inChannels]),
        filter,
        tf.tensor(b, [outChannels]),
      ];
      const options = {
        x: inputs[0],
        filter,
        bias: inputs[2],
        strides: [strideHeight, strideWidth],
        pad: [
          [0, 0],
          [padTop, padTop],
          [padLeft, padLeft],
          [0, 0],
        ],
        dimRoundingMode: 'floor',
      };
      return { inputs, call: () => tf.fused[operator](options) };
    },
  };
}
