import { createRequire } from 'node:module';
import type { Dtype, Tensor, TensorData } from '../lib/graph/graph.ts';

interface Result {
  type: string;
  data: Float32Array;
  dims: number[];
}

/** What we use of onnxruntime-node; it is a peer that only this folder installs, so its types are not at hand. */
export interface Session {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: Record<string, unknown>): Promise<Record<string, Result>>;
  release(): Promise<void>;
}

interface Runtime {
  InferenceSession: { create(model: string | Uint8Array, options: object): Promise<Session> };
  Tensor: new (type: string, data: TensorData, dims: readonly number[]) => unknown;
}

const runtime: Runtime = createRequire(import.meta.url)('onnxruntime-node');

/** `optimized` is where it writes the graph that it really runs. Errors only: it warns about that file each time. */
export function openSession(
  model: string | Uint8Array,
  threads: number,
  optimized?: string,
): Promise<Session> {
  return runtime.InferenceSession.create(model, {
    executionProviders: ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    logSeverityLevel: 3,
    ...(optimized !== undefined && { optimizedModelFilePath: optimized }),
  });
}

/** First output for x [count][...shape]. */
export async function runSession(
  session: Session,
  x: Float32Array,
  dims: readonly number[],
): Promise<Float32Array> {
  const outputs = await session.run({ [session.inputNames[0]]: new runtime.Tensor('float32', x, dims) });
  return outputs[session.outputNames[0]].data;
}

/** All outputs, in the session's order, for tensors of any type. */
export async function runTensors(session: Session, feeds: ReadonlyMap<string, Tensor>): Promise<Tensor[]> {
  const given = [...feeds].map(([name, { dtype, data, shape }]) => [
    name,
    new runtime.Tensor(dtype, data, shape),
  ]);
  const outputs = await session.run(Object.fromEntries(given));
  return session.outputNames.map((name) => {
    const { type, data, dims } = outputs[name];
    return { dtype: type as Dtype, shape: dims, data };
  });
}
