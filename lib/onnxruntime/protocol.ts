import type { Tensor } from '../graph/graph.ts';

/** What the worker is started with. */
export interface WorkerSetup {
  /** Main module of onnxruntime-node. */
  path: string;
  /** int32[1]: 0 while an answer is awaited. */
  flag: Int32Array;
  /** Where answers go: it can be read while the event loop stands still. */
  port: import('node:worker_threads').MessagePort;
}

/** Told once, by the event loop: whether onnxruntime could be loaded. */
export type Greeting = { kind: 'ready' } | { kind: 'failed'; message: string };

export type Request =
  | { kind: 'create'; id: number; model: Uint8Array; threads: number }
  | { kind: 'run'; id: number; feeds: ReadonlyMap<string, Tensor>; fetches: readonly string[] }
  | { kind: 'release'; id: number };

export type Answer =
  | { kind: 'done'; tensors: ReadonlyMap<string, Tensor> }
  | { kind: 'failed'; message: string }
  | { kind: 'ended'; code: number };
