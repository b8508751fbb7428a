import { setTimeout } from 'node:timers/promises';
import type { Contender } from './contender.ts';
import type { Trial } from './trials.ts';

export interface Row extends Trial {
  threads: number;
  rival: string;
  version: string;
  /** The rival's operator or implementation. */
  way: string;
  /** Our backend's instruction set. */
  isa: string;
  /** Medians, microseconds per call from JavaScript (of C++ rivals: from C++). */
  oursUs: number;
  rivalUs: number;
  /** rivalUs / oursUs: above 1 we are faster. */
  ratio: number;
  /** The same of the fastest rounds, which other work on the machine disturbs least. */
  fastestRatio: number;
  /** Whether its output equals ours, which is exact, to the bit; null for floats, where there is no one answer. */
  exact: boolean | null;
  /** Share of outputs that differ from ours, and the largest difference relative to our largest output. */
  differing: number;
  difference: number;
}

/** A turn lasts about this long, in microseconds, so that the clock and a single interruption weigh little. */
const TURN = 5_000;
/** Before the first turn, in microseconds: JavaScript and small WASM modules reach their last compiler. */
const WARM_UP = 60_000;
const MAX_CALLS = 10_000;
/** Slow rivals get fewer rounds: no more begin after this many microseconds of all sides and their rests. */
const BUDGET = 3_000_000;
const MIN_ROUNDS = 5;
/**
 * Before each turn with several threads the other side's must have stopped spinning, or they take our processors:
 * onnxruntime's do for some 36 ms after a run, longer on a busy machine. So many milliseconds are slept at a time, ...
 */
const NAP = 10;
/** ... until in one of them the process computed for less than this share, ... */
const IDLE = 0.1;
/** ... but never more often than this. */
const MOST_NAPS = 50;

/** Sleeps until no thread of this process computes. */
export async function rest(): Promise<void> {
  for (let naps = 0; naps < MOST_NAPS; naps++) {
    const before = process.cpuUsage();
    const start = performance.now();
    await setTimeout(NAP);
    const { user, system } = process.cpuUsage(before);
    if (user + system < IDLE * 1000 * (performance.now() - start)) return;
  }
}

/** Calls of one turn, after warming up for so many microseconds and for what compilers still do beside. */
async function warm(contender: Contender, warmUp: number): Promise<number> {
  let [calls, spent] = [1, 0];
  for (;;) {
    const perCall = Math.max(await contender.run(calls), 1e-3);
    spent += perCall * (calls + 1);
    calls = Math.min(MAX_CALLS, Math.max(1, Math.round(TURN / perCall)));
    if (spent > warmUp) break;
  }
  await rest();
  return calls;
}

/** Microseconds per call of every side, round by round, turn by turn. */
export async function compare(
  contenders: readonly Contender[],
  rounds: number,
  threads: number,
  warmUp = WARM_UP,
): Promise<number[][]> {
  const sides = contenders.map((side) => ({ side, calls: 0, times: [] as number[] }));
  for (const one of sides) one.calls = await warm(one.side, warmUp);
  for (let round = 0, spent = 0; round < rounds && (spent < BUDGET || round < MIN_ROUNDS); round++) {
    for (const { side, calls, times } of sides) {
      const start = performance.now();
      if (threads > 1) await rest();
      times.push(await side.run(calls));
      spent += (performance.now() - start) * 1000;
    }
  }
  return sides.map(({ times }) => times);
}

/** Share of outputs that differ, and the largest difference relative to the largest of `ours`. */
export function differences(
  ours: ArrayLike<number>,
  theirs: ArrayLike<number>,
): { differing: number; difference: number } {
  if (ours.length !== theirs.length)
    throw new Error(`Expected ${ours.length} outputs but received ${theirs.length}.`);
  let [count, most, largest] = [0, 0, 0];
  for (let i = 0; i < ours.length; i++) {
    const difference = Math.abs(ours[i] - theirs[i]);
    if (difference !== 0) count++;
    most = Math.max(most, difference);
    largest = Math.max(largest, Math.abs(ours[i]));
  }
  return { differing: count / ours.length, difference: largest > 0 ? most / largest : most };
}
