import type { Problem } from './problem.ts';

/** One side of a comparison, opened: weights packed, buffers made. */
export interface Contender {
  /** How it does it: a rival's operator or implementation; printed. */
  way: string;
  /** Microseconds per call over `calls` calls after an untimed one. */
  run(calls: number): Promise<number>;
  /** What the last call computed: [m][n], NHWC or the elements. Taken once, outside the time. */
  output(): Promise<ArrayLike<number>>;
  close(): Promise<void>;
}

/** A rival, loaded, with its threads. */
export interface Rival {
  /** With the instruction set where it says so. */
  version: string;
  /** The ways of doing a problem that it offers, none where it cannot; each opens one. */
  ways(problem: Problem): (() => Promise<Contender>)[];
  close(): Promise<void>;
}

/** Mean of `calls` calls, in microseconds. */
export function time(calls: number, call: () => void): number {
  call();
  const start = performance.now();
  for (let i = 0; i < calls; i++) call();
  return ((performance.now() - start) * 1000) / calls;
}

/** As `time`, where every call is awaited. */
export async function timeAwaited(calls: number, call: () => Promise<unknown>): Promise<number> {
  await call();
  const start = performance.now();
  for (let i = 0; i < calls; i++) await call();
  return ((performance.now() - start) * 1000) / calls;
}
