/** Multiply-adds between two pauses: about 20 ms of plain TypeScript, far below the 200 ms that an abort may take. */
const WORK_BETWEEN_PAUSES = 2 ** 25;

/** Lets timers and events run, then rejects with signal.reason where the signal was aborted. */
export async function pause(signal?: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    // Browsers have no setImmediate.
    if (typeof setImmediate === 'function') setImmediate(resolve);
    else setTimeout(resolve, 0);
  });
  signal?.throwIfAborted();
}

/** Counts work done, in multiply-adds, and pauses once enough has passed since the last pause. */
export type Pace = (work: number) => Promise<void>;

/** Long loops await it after every row or so, which keeps them abortable without a clock. */
export function createPace(signal?: AbortSignal): Pace {
  let since = 0;
  return async (work) => {
    since += work;
    if (since < WORK_BETWEEN_PAUSES) return;
    since = 0;
    await pause(signal);
  };
}
