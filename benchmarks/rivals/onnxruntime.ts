import { createRequire } from 'node:module';
import { type Contender, type Rival, timeAwaited } from './contender.ts';
import { type Data, type Model, modelBytes, models, transposed } from './onnx-models.ts';

/** onnxruntime, native and WASM: one-operator models, the weights as initializers (which it packs once). */

interface Tensor {
  data: Data;
  dims: readonly number[];
}
interface Session {
  run(feeds: object, fetches?: object): Promise<Record<string, Tensor>>;
  release(): Promise<void>;
}
interface Runtime {
  InferenceSession: { create(model: Uint8Array, options: object): Promise<Session> };
  Tensor: new (type: string, data: Data, dims: readonly number[]) => Tensor;
  env: { versions: { node?: string; web?: string }; wasm: { numThreads: number } };
}

export async function loadOnnxruntime(
  name: 'onnxruntime-node' | 'onnxruntime-web',
  threads: number,
): Promise<Rival> {
  const require = createRequire(import.meta.url);
  const runtime: Runtime = require(name);
  const web = name === 'onnxruntime-web';
  if (web) runtime.env.wasm.numThreads = threads;
  return {
    version: (web ? runtime.env.versions.web : runtime.env.versions.node) ?? 'of unknown version',
    ways: (problem) => models(problem).map((model) => () => open(runtime, web, threads, model())),
    close: async () => {},
  };
}

async function open(runtime: Runtime, web: boolean, threads: number, model: Model): Promise<Contender> {
  const { input, output, channelsFirst } = model;
  const session = await runtime.InferenceSession.create(modelBytes(model), {
    executionProviders: [web ? 'wasm' : 'cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    logSeverityLevel: 3,
  });
  const x = channelsFirst ? toChannelsFirst(input.data, input.shape) : input.data;
  const feeds = { x: new runtime.Tensor(input.dtype, x, input.shape) };
  // Written into the caller's buffer, as ours; the WASM build has no such way for its results.
  const size = output.shape.reduce((product, n) => product * n, 1);
  const types = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array, int8: Int8Array };
  const buffer = new types[output.dtype as keyof typeof types](size);
  const fetches = web ? undefined : { y: new runtime.Tensor(output.dtype, buffer, output.shape) };
  const call = () => (fetches ? session.run(feeds, fetches) : session.run(feeds));
  return {
    way: model.way,
    run: (calls) => timeAwaited(calls, call),
    async output() {
      const { data } = (await call())['y'];
      return channelsFirst ? toChannelsLast(data, output.shape) : data;
    },
    close: () => session.release(),
  };
}

function toChannelsFirst(x: Data, [batch, channels, ...image]: readonly number[]): Data {
  if (batch !== 1) throw new Error(`Expected a batch of 1 but received ${batch}.`);
  return transposed(x, image[0] * image[1], channels);
}

function toChannelsLast(x: Data, [batch, channels, ...image]: readonly number[]): Data {
  if (batch !== 1) throw new Error(`Expected a batch of 1 but received ${batch}.`);
  return transposed(x, channels, image[0] * image[1]);
}
