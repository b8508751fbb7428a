import { createRequire } from 'node:module';
import type { Tensor, TensorData } from '../lib/graph/graph.ts';

/** Float32Array unless the output has another type. */
interface Value {
  type: string;
  data: Float32Array;
  dims: readonly number[];
}

/** What we use of onnxruntime; its packages are peers that only this folder installs, so their types are not at hand. */
export interface Session {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: object, fetches?: object): Promise<Record<string, Value>>;
  release(): Promise<void>;
  endProfiling(): void;
}

interface Runtime {
  InferenceSession: { create(model: string | Uint8Array, options: object): Promise<Session> };
  Tensor: new (type: string, data: TensorData, dims: readonly number[]) => unknown;
  env: { versions: { node?: string; web?: string }; wasm: { numThreads: number } };
}

/** `node` is native code, `web` the WASM build. */
export type Flavour = 'node' | 'web';

const require = createRequire(import.meta.url);
const runtimeOf = (flavour: Flavour): Runtime => require(`onnxruntime-${flavour}`);

export function versionOf(flavour: Flavour): string {
  return runtimeOf(flavour).env.versions[flavour] ?? 'of unknown version';
}

export interface SessionChoices {
  flavour?: Flavour;
  /** Where it writes the graph that it really runs. */
  optimized?: string;
  /** Sizes of dimensions that the model leaves open. */
  dimensions?: Readonly<Record<string, number>>;
  /** Beginning of the name of the file that gets the times of every node. */
  profile?: string;
}

/** Errors only: it warns about optimized graphs each time. */
export async function openSession(
  model: string | Uint8Array,
  threads: number,
  { flavour = 'node', optimized, dimensions, profile }: SessionChoices = {},
): Promise<Session> {
  const runtime = runtimeOf(flavour);
  if (flavour === 'web') runtime.env.wasm.numThreads = threads;
  return runtime.InferenceSession.create(model, {
    executionProviders: [flavour === 'web' ? 'wasm' : 'cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    logSeverityLevel: 3,
    ...(optimized !== undefined && { optimizedModelFilePath: optimized }),
    ...(dimensions !== undefined && { freeDimensionOverrides: dimensions }),
    ...(profile !== undefined && { enableProfiling: true, profileFilePrefix: profile }),
  });
}

/** First output for x [count][...shape]. */
export async function runSession(
  session: Session,
  x: Float32Array,
  dims: readonly number[],
): Promise<Float32Array> {
  const { Tensor } = runtimeOf('node');
  const outputs = await session.run({ [session.inputNames[0]]: new Tensor('float32', x, dims) });
  return outputs[session.outputNames[0]].data;
}

/** All outputs for x [count][...shape], whatever their types. */
export function runTapped(
  session: Session,
  x: Float32Array,
  dims: readonly number[],
): Promise<Map<string, Tensor>> {
  return runTensors(session, new Map([[session.inputNames[0], { dtype: 'float32', shape: dims, data: x }]]));
}

/** All outputs for inputs of any type. */
export async function runTensors(
  session: Session,
  feeds: ReadonlyMap<string, Tensor>,
): Promise<Map<string, Tensor>> {
  const { Tensor: Made } = runtimeOf('node');
  const given = [...feeds].map(([name, { dtype, data, shape }]) => [name, new Made(dtype, data, shape)]);
  const outputs = await session.run(Object.fromEntries(given));
  return new Map(
    Object.entries(outputs).map(([name, { type, data, dims: shape }]) => [
      name,
      { dtype: type, shape, data } as Tensor,
    ]),
  );
}

/**
 * Runs for x [count][...shape], again and again, into one array for the first output, of `size` elements. The WASM build
 * has no way to write into the caller's arrays and makes its results anew.
 */
export function preparedRun(
  session: Session,
  flavour: Flavour,
  { x, shape }: { x: Float32Array; shape: readonly number[] },
  output: readonly number[],
): () => Promise<Float32Array> {
  const { Tensor } = runtimeOf(flavour);
  const feeds = { [session.inputNames[0]]: new Tensor('float32', x, shape) };
  const [name] = session.outputNames;
  const room = new Float32Array(output.reduce((product, length) => product * length, 1));
  const fetches = flavour === 'web' ? undefined : { [name]: new Tensor('float32', room, output) };
  return async () => (await (fetches ? session.run(feeds, fetches) : session.run(feeds)))[name].data;
}
