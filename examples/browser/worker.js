/** The whole job, apart from the page: quantizes, runs the packed file once more, and posts what came of it. */
import { inspect, openDataset, quantize, serializeAllocation } from 'sigmaquant/browser';
import { Session } from 'sigmaquant/runtime';
import { asData } from './files.js';

/** Samples that the packed file is run on again. */
const CHECKED = 64;
/** Messages on progress, at most one in so many milliseconds. */
const PAUSE = 50;

const jobs = { inspect: inspectModel, quantize: quantizeModel, cancel: () => abort.abort() };
const abort = new AbortController();

addEventListener('message', async ({ data }) => {
  try {
    const value = await jobs[data.job](data);
    if (data.job !== 'cancel') postMessage({ kind: 'done', value });
  } catch (error) {
    const { code = 'INTERNAL', message } = error;
    postMessage({ kind: 'failed', code, message });
  }
});

function inspectModel({ model }) {
  return inspect({ model: asData(model) });
}

async function quantizeModel({ model, calibration, evaluate, options }) {
  const data = {
    calibration: asData(calibration),
    ...(evaluate.length > 0 && { evaluate: asData(evaluate) }),
  };
  const { artefacts, ...summary } = await quantize({
    ...options,
    ...data,
    model: asData(model),
    signal: abort.signal,
    onProgress: paced(),
  });
  const { model: onnx, sqnt, allocation, page } = artefacts;
  const check = sqnt && (await checked(sqnt, data.evaluate ?? data.calibration, options.preprocessing));
  return { summary, onnx, sqnt, allocation: serializeAllocation(allocation), page, check };
}

function paced() {
  let last = Number.NEGATIVE_INFINITY;
  return (stage, done, total) => {
    const now = performance.now();
    if (done < total && now - last < PAUSE) return;
    last = now;
    postMessage({ kind: 'progress', stage, done, total });
  };
}

/** What the packed file gives for the first samples: a digest that anybody can compare with their own. */
async function checked(sqnt, data, preprocessing) {
  postMessage({ kind: 'progress', stage: 'check', done: 0, total: 0 });
  const session = await Session.load(sqnt);
  try {
    const [input] = session.inputs;
    const dataset = await openDataset(data, { preprocessing, channels: input.shape[1] });
    const parts = [];
    let samples = 0;
    for await (const { x, count } of dataset.batches({ size: 1 })) {
      const outputs = session.runSync({ [input.name]: x });
      for (const { name } of session.outputs) parts.push(outputs[name].data);
      samples += count;
      if (samples >= CHECKED) break;
    }
    return { samples, sha256: await sha256(new Blob(parts)) };
  } finally {
    session.dispose();
  }
}

/** Null where the page is not in a secure context: browsers have it in no other. */
async function sha256(blob) {
  if (!globalThis.crypto?.subtle) return null;
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', await blob.arrayBuffer()));
  return [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
