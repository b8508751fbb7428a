// Writes the figures of lib/hardware/devices/*-45nm.json from the table of measured designs, and prints how well the
// fits reproduce it: node --import tsx scripts/fit-devices.mjs PPA.json && npm run format
import { readFileSync, writeFileSync } from 'node:fs';
import { serializeDevice } from '../lib/hardware/device.ts';
import { clipOfLeastError, digitsOfCounts, gaussianCounts, laplacianCounts } from '../lib/hardware/digits.ts';
import { featuresOf, linear } from '../lib/hardware/features.ts';
import { fitTerms } from '../lib/hardware/least-squares.ts';

/** Largest weight of the measured stimuli: in standard deviations, and in scales of the Laplacian. */
const GAUSSIAN_PEAK = 4.31;
const LAPLACIAN_PEAK = 11.8;
/** Suffix of the table's columns -> probabilities of the integers that the design was fed with. */
const STIMULI = {
  '': (bits) => gaussianCounts(bits, GAUSSIAN_PEAK),
  _gmse: (bits) => gaussianCounts(bits, clipOfLeastError(bits)),
  _lmax: (bits) => laplacianCounts(bits, LAPLACIAN_PEAK),
};
const OPERATORS = ['conv', 'depthwise', 'linear'];
const WIDTHS = [2, 3, 4, 5, 6, 7, 8];

/**
 * `energy`: features with 8-bit activations. Array multipliers burn what their non-zero rows do, and a little for
 * bits of the weight register that change; zero gating stops both, so that only non-zero weights count; serial designs
 * pay their clock in every cycle and the adder tree where a plane has bits.
 */
const DESIGNS = [
  {
    design: 'pe_mul',
    name: 'int8-mac-45nm',
    title: 'INT8 multiplier and accumulator, narrow weights sign-extended',
    organisation: 'element',
    baseline: null,
    cycles: { one: 1 },
    energy: ['one', 'extendedBits', 'toggles'],
  },
  {
    design: 'simd_mul',
    name: 'int8-simd-45nm',
    title: '16 INT8 multipliers that share one weight',
    organisation: 'simd',
    baseline: null,
    cycles: { one: 1 },
    energy: ['one', 'extendedBits', 'toggles'],
  },
  {
    design: 'dot_mul',
    name: 'int8-dot-45nm',
    title: '16 INT8 multipliers, one adder tree and one accumulator',
    organisation: 'dot',
    baseline: null,
    cycles: { one: 1 },
    energy: ['one', 'extendedBits', 'toggles'],
  },
  {
    design: 'pe_mulzg',
    name: 'int8-mac-gated-45nm',
    title: 'INT8 multiplier and accumulator, clock-gated where weight or activation is zero',
    organisation: 'element',
    baseline: 'int8-mac-45nm',
    cycles: { one: 1 },
    energy: ['one', 'nonZero'],
  },
  {
    design: 'dot_bs',
    name: 'shift-add-serial-45nm',
    title: '16 weights as bit planes, one plane per cycle, one adder tree and one accumulator',
    organisation: 'dot',
    baseline: 'int8-dot-45nm',
    cycles: { bits: 1 },
    energy: ['bits', 'nonZero', 'digits'],
  },
  {
    design: 'dot_r4',
    name: 'shift-add-radix4-45nm',
    title: '16 weights as bit planes, two planes per cycle, one adder tree and one accumulator',
    organisation: 'dot',
    baseline: 'int8-dot-45nm',
    cycles: { bitPairs: 1 },
    energy: ['bitPairs', 'nonZero', 'setBits'],
  },
  {
    design: 'simd_zs',
    name: 'shift-add-skip-45nm',
    title: '16 elements that share one weight and add a shifted activation for each of its set bits',
    organisation: 'simd',
    baseline: 'int8-simd-45nm',
    cycles: { digits: 1 },
    energy: ['digits', 'setDigits', 'toggles'],
  },
];

const ARRAYS = {
  element: { pixels: 16, channels: 16, depth: 1, sharedControl: null },
  simd: { pixels: 16, channels: 16, depth: 1, sharedControl: 'pixels' },
  dot: { pixels: 16, channels: 16, depth: 16, sharedControl: 'depth' },
};

const SOURCES = {
  array:
    'Chosen: a weight that is read serves 16 output positions, an input 16 output channels, in every organisation alike.',
  horowitz:
    "M. Horowitz, Computing's energy problem (and what we can do about it), ISSCC 2014: 20 pJ for a 64-bit access to 32 KB of SRAM, 100 pJ to 1 MB (45 nm, 0.9 V).",
  lpddr4: 'LPDDR4 at 8 pJ per bit: table type2energy of Accelergy hwcomponents-cacti.',
  jedec: 'JEDEC JESD209-4 (LPDDR4): 3,200 million transfers per second on one channel of 16 bits.',
  dense: 'Weights stand without gaps in the order in which they are used.',
};

const NOTES = [
  'After synthesis only: no placement, routing, clock-tree or IR drop; wires are one constant. Energy within 1..5 %, area within 5 %.',
  'Area is that of processing elements: memories, wires, control and requantisation are left out.',
  'Open-source synthesis is weaker at multipliers than a commercial compiler: read wins over INT8 with 5..15 % off.',
  'SRAM energies are at 0.9 V, elements at 1.1 V.',
];

const memories = [
  {
    name: 'operand buffer',
    place: 'on-chip',
    capacity: { value: 32, unit: 'KiB', source: 'horowitz' },
    bandwidth: null,
    energy: { value: 2.5, unit: 'pJ/byte', source: 'horowitz' },
  },
  {
    name: 'global buffer',
    place: 'on-chip',
    capacity: { value: 1, unit: 'MiB', source: 'horowitz' },
    bandwidth: null,
    energy: { value: 12.5, unit: 'pJ/byte', source: 'horowitz' },
  },
  {
    name: 'LPDDR4',
    place: 'off-chip',
    capacity: null,
    bandwidth: { value: 6.4, unit: 'GB/s', source: 'jedec' },
    energy: { value: 8, unit: 'pJ/bit', source: 'lpddr4' },
  },
];

/** Measured points of one design: energy and the features of what it was fed with. */
function pointsOf(rows, { design }, activations) {
  return rows
    .filter((row) => row.pe_kind === design && row.tech === 'nangate45' && row.configurable)
    .filter((row) => row.hw_abits === 8 && row.abits === activations)
    .flatMap((row) =>
      Object.entries(STIMULI).flatMap(([suffix, counts]) => {
        const energy = row[`energy_fj_per_mac${suffix}`];
        if (energy === undefined) return [];
        const features = featuresOf(digitsOfCounts(counts(row.wbits), row.wbits));
        // A lane drew few weights: its own count of digits tells what they were.
        if (design === 'simd_zs') {
          features.digits = row[`cycles_per_mac${suffix}`];
          features.setDigits = features.digits - (1 - features.nonZero);
        }
        return [{ bits: row.wbits, stimulus: suffix.slice(1) || 'gmax', value: energy, features }];
      }),
    );
}

/**
 * Narrow activations quieten the data paths and leave the clock as it is: a constant, and one share of all that 8-bit
 * activations cost. These points come from one stimulus only, too few to fit every feature anew.
 */
function scaled(points, wide) {
  const widened = points.map((point) => {
    const [{ predicted }] = errorsOf([point], wide);
    return { ...point, features: { one: 1, wide: predicted } };
  });
  const { one = 0, wide: share } = fitTerms(widened, ['one', 'wide']);
  const terms = Object.fromEntries(Object.entries(wide).map(([name, cost]) => [name, share * cost]));
  terms.one = (terms.one ?? 0) + one;
  return rounded(terms);
}

const rounded = (terms) =>
  Object.fromEntries(
    Object.entries(terms).flatMap(([name, cost]) => (cost > 0 ? [[name, Number(cost.toPrecision(4))]] : [])),
  );

function errorsOf(points, terms) {
  return points.map(({ bits, stimulus, value, features }) => {
    const predicted = linear(terms, features);
    return { bits, stimulus, value, predicted, error: predicted / value - 1 };
  });
}

const percent = (value) => `${(100 * value).toFixed(1)} %`;

function deviceOf(rows, chosen) {
  const { design, name, title, organisation, baseline, cycles } = chosen;
  const area = rows.find(
    (row) => row.pe_kind === design && row.tech === 'nangate45' && row.configurable && row.hw_abits === 8,
  ).area_um2;
  const sources = {
    rtl: `Our own design ${design}, synthesised with yosys 0.23 to the Nangate 45 nm open cell library (1.1 V, 400 MHz), simulated at gate level with glitches.`,
    ...SOURCES,
  };
  const wide = fitTerms(pointsOf(rows, chosen, 8), chosen.energy);
  const pairs = [8, 4].map((activations) => {
    const points = pointsOf(rows, chosen, activations);
    const terms = activations === 8 ? wide : scaled(points, wide);
    const errors = errorsOf(points, terms);
    const sizes = errors.map(({ error }) => Math.abs(error));
    const mean = percent(sizes.reduce((sum, x) => sum + x, 0) / sizes.length);
    const most = percent(Math.max(...sizes));
    sources[`fit${activations}`] =
      `Fitted to ${points.length} measured energies of ${design} with ${activations}-bit activations: off by ${mean} on average, by at most ${most}.`;
    const formula = Object.entries(terms).map(([key, cost]) => `${cost} ${key}`);
    console.log(
      `| ${name} | ${activations} | ${points.length} | ${formula.join(' + ')} | ${mean} | ${most} |`,
    );
    if (process.argv.includes('--residuals'))
      for (const { bits, stimulus, value, predicted, error } of errors)
        console.log(`    ${bits} ${stimulus} ${value} ${predicted.toFixed(1)} ${percent(error)}`);
    return {
      operators: OPERATORS,
      weights: WIDTHS,
      activations: [activations],
      cycles: { unit: 'cycle/MAC', source: 'rtl', terms: cycles },
      energy: { unit: 'fJ/MAC', source: `fit${activations}`, terms },
      area: { value: area, unit: 'um2', source: 'rtl' },
    };
  });
  return {
    version: 1,
    name,
    title,
    baseline,
    sources,
    notes: NOTES,
    packing: { rowBits: 1, source: 'dense' },
    array: {
      ...ARRAYS[organisation],
      clock: { value: 400, unit: 'MHz', source: 'rtl' },
      source: 'array',
    },
    pairs,
    memories,
    latency: null,
  };
}

const path = process.argv[2];
if (path === undefined) throw new Error('Expected the path of the table of measured designs (ppa.json).');
const { rows } = JSON.parse(readFileSync(path, 'utf8'));
console.log('| device | activations | points | fJ per MAC | mean error | largest error |');
console.log('| --- | ---: | ---: | --- | ---: | ---: |');
for (const chosen of DESIGNS) {
  const file = new URL(`../lib/hardware/devices/${chosen.name}.json`, import.meta.url);
  writeFileSync(file, serializeDevice(deviceOf(rows, chosen)));
}
