/** What a result looks like. */

const VERDICTS = {
  met: ['Done', ': what you asked for is met'],
  'resource-only': ['Smaller', ': the targets hold, the accuracy does not'],
  'accuracy-only': ['Accurate', ': the accuracy holds, the targets do not'],
  impossible: ['Not met', ': neither the targets nor the accuracy can be held'],
};

let urls = [];

const byId = (id) => document.getElementById(id);

function element(name, properties = {}, children = []) {
  const node = Object.assign(document.createElement(name), properties);
  node.append(...children);
  return node;
}

export function showResult({ summary, onnx, sqnt, allocation, page, check }) {
  forget();
  const [word, rest] = VERDICTS[summary.verdict];
  byId('outcome').className = summary.verdict === 'met' ? '' : 'missed';
  byId('outcome').replaceChildren(element('strong', { textContent: word }), rest);
  byId('figures').replaceChildren(...figures(summary));
  byId('notes').replaceChildren(
    ...notes(summary).map((textContent) => element('p', { className: 'note', textContent })),
  );
  byId('downloads').replaceChildren(
    download('model.onnx', onnx, 'application/octet-stream'),
    ...(sqnt ? [download('model.sqnt', sqnt, 'application/octet-stream')] : []),
    download('allocation.json', allocation, 'application/json'),
    download('report.html', page, 'text/html'),
  );
  byId('check').textContent = checkText(check);
  byId('layers').replaceChildren(...summary.layers.map(row));
  byId('report').src = urlOf(page, 'text/html');
  byId('result').hidden = false;
  byId('outcome').focus();
}

/** Lets go of the last result: its files stand in memory as long as their addresses do. */
export function forget() {
  byId('result').hidden = true;
  byId('report').removeAttribute('src');
  for (const url of urls) URL.revokeObjectURL(url);
  urls = [];
}

function figures({ weightBytes, floatBytes, averageBits, accuracy, validation, seconds, backend, threads }) {
  const judged = accuracy ?? validation;
  const share = `${((100 * weightBytes) / floatBytes).toFixed(1)} % of ${bytes(floatBytes)}`;
  const on = `on ${count(judged.samples)} samples${accuracy ? ' that the search never saw' : ''}`;
  const quality =
    judged.metric === 'sqnr'
      ? ['Signal to noise', `${judged.quantized.toFixed(1)} dB`, on]
      : judged.metric === 'agreement'
        ? ['Agreement with float', percent(judged.quantized), on]
        : ['Accuracy', percent(judged.quantized), `float ${percent(judged.float)}, ${on}`];
  return [
    ['Weights', bytes(weightBytes), share],
    ['Average width', `${averageBits.toFixed(2)} bits`, 'of weights'],
    quality,
    [
      'Time',
      duration(seconds.total * 1000),
      `${backend}, ${threads === 1 ? 'one thread' : `${threads} threads`}`,
    ],
  ].map(([title, value, beside]) =>
    element('div', {}, [
      element('dt', { textContent: title }),
      element('dd', { className: 'value', textContent: value }),
      element('dd', { className: 'beside', textContent: beside }),
    ]),
  );
}

function notes({ warnings, feasible, verdict }) {
  if (verdict === 'met' || feasible.length === 0) return warnings;
  const asks = feasible.map(({ ask }) => ask.join(' '));
  return [...warnings, `What would be met: ${asks.join('; ')}`];
}

function download(name, content, type) {
  const size = typeof content === 'string' ? new Blob([content]).size : content.length;
  const link = element('a', { href: urlOf(content, type), download: name }, [
    name,
    element('span', { className: 'quiet', textContent: bytes(size) }),
  ]);
  return element('li', {}, [link]);
}

function urlOf(content, type) {
  const url = URL.createObjectURL(new Blob([content], { type }));
  urls.push(url);
  return url;
}

function checkText(check) {
  if (!check) return 'There is no packed file: the runtime lacks an operator of this network.';
  const digest = check.sha256 ? `: SHA-256 of the outputs ${check.sha256}` : '';
  return `model.sqnt was opened again and run here on the first ${count(check.samples)} samples${digest}.`;
}

function row({ name, op, parameters, macs, sigma, weights, activations }) {
  const bar = element('span', { ariaHidden: 'true' });
  bar.style.setProperty('--bits', String(weights));
  const number = (textContent) => element('td', { className: 'number', textContent });
  return element('tr', {}, [
    element('th', { scope: 'row', textContent: name, title: op }),
    element('td', {}, [element('div', { className: 'bits' }, [String(weights), bar])]),
    number(activations),
    number(count(parameters)),
    number(count(macs)),
    number(sigma.toFixed(4)),
  ]);
}

function bytes(value) {
  if (value < 1e3) return `${value} B`;
  return value < 1e6 ? `${(value / 1e3).toFixed(1)} kB` : `${(value / 1e6).toFixed(2)} MB`;
}

function count(value) {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ',');
}

function percent(value) {
  return `${value.toFixed(2)} %`;
}

/** `12 s`, `3 min 20 s` */
export function duration(milliseconds) {
  const seconds = Math.max(1, Math.round(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}
