/**
 * A little memory of this instance alone. Threads are instances of one module over one memory: their globals are
 * their own, static memory is not.
 */
const OWN_BYTES: i32 = 1024;

export let own: usize = memory.data(1024, 16);

/** Bytes that `useOwn` wants. */
export function ownSize(): usize {
  return OWN_BYTES;
}

/** What every instance but the first calls before any verb. */
export function useOwn(at: usize): void {
  own = at;
}
