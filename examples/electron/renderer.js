/** The window: everything it does outside itself goes through `window.sigmaquant` of preload.cjs. */

const { choose, quantize, cancel, show, onProgress } = window.sigmaquant;
const byId = (id) => document.getElementById(id);
/** Role -> path. */
const chosen = { model: null, calibration: null, evaluate: null };
let folder = null;

for (const button of document.querySelectorAll('[data-kind]'))
  button.addEventListener('click', async () => {
    const { kind, role } = button.dataset;
    chosen[role] = (await choose(kind)) ?? chosen[role];
    byId(role).textContent = chosen[role] ?? 'none chosen';
  });

byId('form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const { model, calibration, evaluate } = chosen;
  byId('result').hidden = true;
  if (!model || !calibration) return say('Choose a network and calibration samples first.');
  say('');
  busy(true);
  const drop = byId('maxDrop').value;
  const targets = byId('targets')
    .value.split(/[\s,]+/)
    .filter((target) => target !== '');
  const result = await quantize({
    model,
    calibration,
    evaluate,
    targets,
    maxDrop: drop === '' ? null : Number(drop),
  });
  busy(false);
  if (result === null) say('Cancelled.');
  else if (result.code) say(result.message);
  else report(result);
});
byId('cancel').addEventListener('click', () => cancel());
byId('show').addEventListener('click', () => show(folder));

onProgress(({ stage, done, total }) => {
  byId('stage').textContent = total > 0 ? `${stage} ${Math.floor((100 * done) / total)} %` : stage;
  if (total > 0) byId('progress').value = done / total;
});

function busy(running) {
  byId('fields').disabled = running;
  byId('start').hidden = running;
  byId('cancel').hidden = !running;
  byId('running').hidden = !running;
}

function say(sentence) {
  byId('message').textContent = sentence;
}

function report({ verdict, averageBits, weightBytes, floatBytes, layers, files, backend, isa }) {
  const share = ((100 * weightBytes) / floatBytes).toFixed(1);
  byId('verdict').textContent =
    `${verdict}: ${averageBits.toFixed(2)} bits on average, ${share} % of the float size (${backend}, ${isa})`;
  byId('layers').replaceChildren(
    ...layers.map(({ name, weights, activations }) => {
      const row = document.createElement('tr');
      for (const text of [name, weights, activations])
        row.append(Object.assign(document.createElement('td'), { textContent: text }));
      return row;
    }),
  );
  folder = files.model;
  byId('result').hidden = false;
}
