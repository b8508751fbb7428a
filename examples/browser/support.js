/** What this browser can do, known before anything is loaded. */

/** The smallest module with a vector in it: a function that makes one and drops it. */
const SIMD_PROBE = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 10, 9, 1, 7, 0, 65, 0, 253, 15, 26, 11,
]);
/** More threads than this help no network of a size that belongs in a page. */
const MOST_THREADS = 8;

/** `problem`: a sentence where nothing can run here; else how many threads, and why only one. */
export function support() {
  if (typeof WebAssembly === 'undefined')
    return { problem: 'This browser has no WebAssembly, or it is switched off: take a current one.' };
  if (!WebAssembly.validate(SIMD_PROBE))
    return {
      problem: 'This browser has no SIMD in WebAssembly, which the kernels need: take a current one.',
    };
  if (!globalThis.crossOriginIsolated || typeof SharedArrayBuffer === 'undefined')
    return {
      threads: 1,
      about:
        'One thread: this page is not cross-origin isolated, so that the browser has no shared memory for more.',
    };
  // What it counts are mostly two to a core.
  const logical = navigator.hardwareConcurrency || 1;
  const threads = Math.min(MOST_THREADS, logical < 4 ? logical : Math.ceil(logical / 2));
  return { threads, about: threads === 1 ? 'One thread.' : `${threads} threads.` };
}
