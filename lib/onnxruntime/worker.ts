import { createRequire } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';
import type { Dtype, Tensor, TensorData } from '../graph/graph.ts';
import type { Answer, Greeting, Request, WorkerSetup } from './protocol.ts';

/** What is used of onnxruntime-node; its types are at hand only where it is installed. */
interface OrtTensor {
  type: Dtype;
  dims: readonly number[];
  data: TensorData;
}
interface OrtSession {
  run(feeds: Record<string, OrtTensor>, fetches: readonly string[]): Promise<Record<string, OrtTensor>>;
  release?(): Promise<void>;
}
interface Ort {
  InferenceSession: { create(model: Uint8Array, options: object): Promise<OrtSession> };
  Tensor: new (type: Dtype, data: TensorData, dims: readonly number[]) => OrtTensor;
}

/** Fatal ones only: what goes wrong is told by an exception as well. */
const LOG_SEVERITY = 4;

const { path, flag, port } = workerData as WorkerSetup;
const sessions = new Map<number, OrtSession>();

function answer(message: Answer): void {
  port.postMessage(message);
  Atomics.store(flag, 0, 1);
  Atomics.notify(flag, 0);
}

async function perform(ort: Ort, request: Request): Promise<ReadonlyMap<string, Tensor>> {
  switch (request.kind) {
    case 'create':
      sessions.set(request.id, await ort.InferenceSession.create(request.model, options(request.threads)));
      return new Map();
    case 'run':
      return run(ort, sessions.get(request.id)!, request.feeds, request.fetches);
    case 'release': {
      const session = sessions.get(request.id);
      sessions.delete(request.id);
      await session?.release?.();
      return new Map();
    }
  }
}

function options(threads: number): object {
  return {
    executionProviders: ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    logSeverityLevel: LOG_SEVERITY,
    // Without VNNI, sums of two products of 8-bit weights saturate at 16 bits unless told not to. Between runs the
    // processor belongs to others.
    extra: { session: { x64quantprecision: '1', intra_op: { allow_spinning: '0' } } },
  };
}

async function run(
  { Tensor }: Ort,
  session: OrtSession,
  feeds: ReadonlyMap<string, Tensor>,
  fetches: readonly string[],
): Promise<Map<string, Tensor>> {
  const given = [...feeds].map(([name, { dtype, data, shape }]) => [name, new Tensor(dtype, data, shape)]);
  const results = await session.run(Object.fromEntries(given), fetches);
  return new Map(
    fetches.map((name) => {
      const { type, dims, data } = results[name];
      return [name, { dtype: type, shape: [...dims], data }];
    }),
  );
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function serve(ort: Ort): void {
  process.on('exit', (code) => answer({ kind: 'ended', code }));
  parentPort!.on('message', async (request: Request) => {
    try {
      answer({ kind: 'done', tensors: await perform(ort, request) });
    } catch (error) {
      answer({ kind: 'failed', message: reasonOf(error) });
    }
  });
}

function greet(greeting: Greeting): void {
  parentPort!.postMessage(greeting);
}

try {
  serve(createRequire(path)(path) as Ort);
  greet({ kind: 'ready' });
} catch (error) {
  greet({ kind: 'failed', message: reasonOf(error) });
}
