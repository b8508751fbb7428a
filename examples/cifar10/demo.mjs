// Quantizes the ResNet-8 beside this file at two targets and prints what came of it: npm run demo.
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { quantize } from '../../dist/index.js';

const TARGETS = [
  {
    name: 'size',
    title: 'An eighth of the float size, at most one point lost',
    targets: ['size=12.5%'],
    maxDrop: 1,
  },
  { name: 'bits', title: 'The best accuracy at an average of 2.6 bits', targets: ['bits=2.6'] },
];

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

const network = {
  model: here('resnet8-cifar10.onnx'),
  calibration: here('cifar10-demo-calibration.npz'),
  evaluate: here('cifar10-demo-test.npz'),
  preprocessing: { scale: 1 / 255, mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] },
};

const summary = [];
for (const { name, title, ...target } of TARGETS) {
  const result = await quantize({
    ...network,
    ...target,
    out: here(`../../out/cifar10/${name}`),
    force: true,
    onProgress: progress(title),
  });
  heading(`${title}: ${targetText(target)}`);
  printLayers(result.layers);
  printAccuracy(result);
  printOutcome(result);
  summary.push([targetText(target), result.verdict, ...figures(result)]);
}
heading('Both');
print(['target', 'verdict', 'bits', 'bytes', 'of float', 'float %', 'quantized %', 'drop'], summary, 2);

function targetText({ targets, maxDrop }) {
  return [...targets, ...(maxDrop === undefined ? [] : [`max-drop=${maxDrop}`])].join(' ');
}

function printLayers(layers) {
  const rows = layers.map(({ name, op, parameters, macs, sigma, weights, activations }) => [
    name,
    op,
    count(parameters),
    count(macs),
    sigma.toFixed(4),
    `${weights} ${'#'.repeat(weights)}`,
    activations,
  ]);
  print(['layer', 'op', 'parameters', 'macs', 'sigma', 'weight bits', 'input bits'], rows, 2, [5]);
}

function printAccuracy({ validation, accuracy }) {
  const row = (title, { float, quantized, drop, interval, samples }) => [
    title,
    float.toFixed(2),
    quantized.toFixed(2),
    drop.toFixed(2),
    `${interval[0].toFixed(2)} .. ${interval[1].toFixed(2)}`,
    count(samples),
  ];
  print(
    ['top-1 %', 'float', 'quantized', 'drop', '95 % of the drop', 'samples'],
    [row('validation (searched on)', validation), row('judged (never seen)', accuracy)],
  );
}

function printOutcome(result) {
  const { weightBytes, floatBytes, averageBits, fileBytes, verdict, warnings, binding, files } = result;
  const share = ((100 * weightBytes) / floatBytes).toFixed(1);
  const path = (file) => relative(process.cwd(), file) || '.';
  const rows = [
    ['verdict', verdict],
    [
      'weights',
      `${count(weightBytes)} of ${count(floatBytes)} bytes (${share} %), ${averageBits.toFixed(2)} bits on average`,
    ],
    ...warnings.map((warning) => ['note', warning]),
    ...binding.map(({ layer, reason }) => ['binding', `${layer} ${reason}`]),
    [
      'search',
      `${result.strategy}, ${result.evaluations} evaluations, ${result.seconds.total.toFixed(1)} s on ${result.backend} (${result.isa}, ${result.threads} threads)`,
    ],
    ['network', `${path(files.model)} (${count(fileBytes)} bytes, runs in onnxruntime)`],
    ['decisions', path(files.allocation)],
    ['report', path(files.report)],
  ];
  for (const [name, text] of rows) console.log(`${name.padEnd(9)}  ${text}`);
}

function figures({ averageBits, weightBytes, floatBytes, accuracy }) {
  return [
    averageBits.toFixed(2),
    count(weightBytes),
    `${((100 * weightBytes) / floatBytes).toFixed(1)} %`,
    accuracy.float.toFixed(2),
    accuracy.quantized.toFixed(2),
    accuracy.drop.toFixed(2),
  ];
}

/** A table; the first `left` columns and those in `also` start at the left edge, numbers end at the right one. */
function print(header, rows, left = 1, also = []) {
  const cells = [header, ...rows].map((row) => row.map(String));
  const widths = header.map((_, column) => Math.max(...cells.map((row) => row[column].length)));
  cells.forEach((row, index) => {
    const line = row.map((cell, column) =>
      column < left || also.includes(column) ? cell.padEnd(widths[column]) : cell.padStart(widths[column]),
    );
    console.log(line.join('  ').trimEnd());
    if (index === 0) console.log(widths.map((width) => '-'.repeat(width)).join('  '));
  });
  console.log();
}

function heading(text) {
  console.log(`\n${text}\n${'='.repeat(text.length)}\n`);
}

function count(value) {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** Stage and share on one line, where a person watches. */
function progress(title) {
  if (!process.stderr.isTTY) return undefined;
  return (stage, done, total) => {
    const share = total > 0 ? ` ${Math.floor((100 * done) / total)} %` : '';
    process.stderr.write(`\r\u001b[2K${title}: ${stage}${share}${done >= total ? '\r\u001b[2K' : ''}`);
  };
}
