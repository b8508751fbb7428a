/** The utility process: quantizes, and says how far it is. One job, then it ends. */
import { quantize } from 'sigmaquant';

const { parentPort } = process;
const abort = new AbortController();
/** Messages on progress, at most one in so many milliseconds. */
const PAUSE = 50;

parentPort.on('message', ({ data }) => {
  if (data.kind === 'cancel') abort.abort();
  else run(data.options);
});

async function run(options) {
  try {
    const { artefacts: _, ...summary } = await quantize({
      ...options,
      signal: abort.signal,
      onProgress: paced(),
    });
    parentPort.postMessage({ kind: 'done', summary });
  } catch (error) {
    const { code = 'INTERNAL', message } = error;
    parentPort.postMessage(abort.signal.aborted ? { kind: 'cancelled' } : { kind: 'failed', code, message });
  }
}

function paced() {
  let last = Number.NEGATIVE_INFINITY;
  return (stage, done, total) => {
    const now = performance.now();
    if (done < total && now - last < PAUSE) return;
    last = now;
    parentPort.postMessage({ kind: 'progress', stage, done, total });
  };
}
