/** The page: takes files, hands the job to a worker, shows how far it is and what came of it. */
import { Estimate } from './estimate.js';
import { describe, fromDrop, fromInput } from './files.js';
import { optionsOf } from './options.js';
import { support } from './support.js';
import { duration, forget, showResult } from './view.js';

/** A screen reader hears of progress so often, in milliseconds. */
const SPOKEN = 10_000;
/** Milliseconds after which a worker that was asked to end is ended. */
const PATIENCE = 1000;
/** What to do about an error, beyond what it says itself. */
const ADVICE = {
  OUT_OF_MEMORY: 'Nothing is lost but this run: the page goes on working.',
  UNSUPPORTED_OPERATOR: 'In Node the same model can be evaluated with onnxruntime: see --executor.',
  DATA_UNREADABLE: 'Take an .npz with x [samples, channels, height, width], or images.',
  INTERNAL: 'The page goes on working; smaller samples or fewer of them may help.',
};

const byId = (id) => document.getElementById(id);
const form = byId('form');
const able = support();
/** Role -> files. */
const given = { model: [], calibration: [], evaluate: [] };
const about = Object.fromEntries(Object.keys(given).map((role) => [role, byId(`${role}-about`).textContent]));
let worker = null;
let inspecting = null;

if (able.problem) {
  fail({ code: 'BACKEND_UNAVAILABLE', message: able.problem });
  byId('fields').disabled = true;
  byId('start').disabled = true;
} else byId('support').textContent = able.about;

for (const role of Object.keys(given)) {
  byId(role).addEventListener('change', ({ target }) => take(role, fromInput(target)));
  const area = byId(role).closest('.drop');
  area.addEventListener('dragover', () => area.classList.add('over'));
  for (const end of ['dragleave', 'drop']) area.addEventListener(end, () => area.classList.remove('over'));
}
// Files may be dropped anywhere: they go where they belong.
addEventListener('dragover', (event) => event.preventDefault());
addEventListener('drop', async (event) => {
  event.preventDefault();
  if (worker || able.problem) return;
  const area = event.target.closest?.('.drop');
  const files = await fromDrop(event.dataTransfer);
  const models = files.filter(({ path }) => /\.onnx$/i.test(path));
  const samples = files.filter(({ path }) => !/\.onnx$/i.test(path));
  if (models.length > 0) take('model', models.slice(0, 1));
  const role = area && area.dataset.role !== 'model' ? area.dataset.role : freeRole();
  if (samples.length > 0) take(role, samples);
});

form.addEventListener('submit', (event) => {
  event.preventDefault();
  if (!worker) start();
});
byId('cancel').addEventListener('click', cancel);

function freeRole() {
  return given.calibration.length === 0 ? 'calibration' : 'evaluate';
}

function take(role, files) {
  given[role] = files;
  const has = files.length > 0;
  byId(role).closest('.drop').classList.toggle('has', has);
  // Dropped files are not the input's own.
  byId(role).required = role !== 'evaluate' && !has;
  byId(`${role}-about`).textContent = has ? describe(files) : about[role];
  if (role === 'model') look(files);
}

/** What the network is, as soon as it is there; one that cannot be read is refused now and not later. */
function look(model) {
  inspecting?.terminate();
  inspecting = null;
  hideMessage();
  if (model.length === 0) return;
  const own = spawn({
    done({ inputs, layers, macs, unsupported }) {
      const shapes = inputs.map(({ name, shape }) => `${name} [${shape.join(', ')}]`).join(', ');
      const lacks = unsupported.length > 0 ? `, ${unsupported.length} nodes that cannot run here` : '';
      byId('model-about').textContent =
        `${describe(model)}: ${shapes}, ${layers.length} layers, ${(macs / 1e6).toFixed(1)} M multiply-adds${lacks}`;
    },
    failed(error) {
      byId('model').value = '';
      take('model', []);
      fail(error);
    },
    ended: () => (inspecting = null),
  });
  inspecting = own;
  own.postMessage({ job: 'inspect', model });
}

function start() {
  hideMessage();
  let options;
  try {
    options = { ...optionsOf(form), threads: able.threads };
  } catch (error) {
    fail(error);
    return;
  }
  forget();
  const estimate = new Estimate(options.evaluations);
  busy(true);
  show({ title: 'Opening', share: null, left: null });
  worker = spawn({
    progress: ({ stage, done, total }) => show(estimate.update(stage, done, total, performance.now())),
    done: showResult,
    failed: fail,
    ended() {
      worker = null;
      busy(false);
    },
  });
  worker.postMessage({ job: 'quantize', ...given, options });
}

/** For the page a run is over at once; all that it has is its worker's, and goes with that. */
function cancel() {
  if (!worker) return;
  worker.cancel();
  worker = null;
  busy(false);
  byId('spoken').textContent = 'Cancelled.';
  byId('start').focus();
}

/**
 * A worker that does one job. It starts from a blob, which makes the page's Content-Security-Policy its own wherever the
 * files are served from.
 */
function spawn({ progress, done, failed, ended }) {
  const source = `import ${JSON.stringify(new URL('worker.js', import.meta.url).href)};`;
  const url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
  const own = new Worker(url, { type: 'module' });
  const stop = () => {
    URL.revokeObjectURL(url);
    own.terminate();
  };
  const end = () => {
    stop();
    ended();
  };
  // Asked first: browsers wait seconds before they end a worker by force, and threads of its own keep it busy.
  own.cancel = () => {
    own.onmessage = ({ data }) => data.kind !== 'progress' && stop();
    own.onerror = stop;
    own.postMessage({ job: 'cancel' });
    setTimeout(stop, PATIENCE);
  };
  own.onmessage = ({ data }) => {
    if (data.kind === 'progress') return progress?.(data);
    end();
    if (data.kind === 'done') done(data.value);
    else failed(data);
  };
  own.onerror = (event) => {
    event.preventDefault();
    end();
    const why = event.message ? ` (${event.message})` : '';
    failed({ code: 'INTERNAL', message: `Expected the worker to answer but it ended${why}.` });
  };
  return own;
}

function busy(running) {
  byId('fields').disabled = running;
  byId('start').hidden = running;
  byId('cancel').hidden = !running;
  byId('running').hidden = !running;
  if (!running) return;
  byId('cancel').focus();
  byId('running').scrollIntoView({ block: 'nearest' });
}

let spokenTitle = '';
let spokenAt = 0;

function show({ title, share, left }) {
  const bar = byId('progress');
  if (share === null) bar.removeAttribute('value');
  else bar.value = share;
  const percent = share === null ? '' : `, ${Math.floor(100 * share)} %`;
  byId('stage').textContent = `${title}${percent}`;
  byId('left').textContent = left === null ? '' : `about ${duration(left)} left, at most`;
  const now = performance.now();
  const stage = title.split(',')[0];
  if (stage === spokenTitle && now - spokenAt < SPOKEN) return;
  [spokenTitle, spokenAt] = [stage, now];
  byId('spoken').textContent = `${title}${percent}`;
}

function fail({ code, message }) {
  const advice = ADVICE[code] ? ` ${ADVICE[code]}` : '';
  const box = byId('message');
  box.hidden = false;
  box.textContent = `${message}${advice}`;
  if (!able.problem) box.focus();
}

function hideMessage() {
  byId('message').hidden = true;
}
