import { parseArgs } from 'node:util';
import type { AllocatableLayer, Problem, Widths } from '../lib/allocate/allocate.ts';
import { falling, type Scores, scoresOf } from '../lib/allocate/scores.ts';
import { createSearch, type Search, widthsOf } from '../lib/allocate/search.ts';
import { bestPlan } from '../lib/allocate/solver.ts';
import { nodeHost } from '../lib/pipeline/node-host.ts';
import { problemLayers } from '../lib/pipeline/resources.ts';
import { type Study, withStudy } from '../lib/pipeline/study.ts';
import { loadPairs, type Pair } from './pairs.ts';
import { type Column, markdownTable, writeResults } from './results.ts';

/**
 * What tells best which layers can be narrow: the exact optimum of each signal alone at the same size, same recovery,
 * measured on validation samples. `npm --prefix benchmarks run signals -- --write`
 */

interface Row {
  pair: string;
  /** Mean width over all weights that was asked for. */
  bits: number;
  /** By signal: divergence of the outputs in nats and drop in points. */
  measured: Record<string, { divergence: number; drop: number } | null>;
}

type Loss = (layer: AllocatableLayer, bits: number) => number | null;

/** Squared rounding error of so many weights, were their step proportional to sigma. */
const roundingError = (sigma: number | null, { parameters }: AllocatableLayer, bits: number) =>
  sigma === null ? null : parameters * sigma ** 2 * 4 ** -bits;

const SIGNALS: Readonly<Record<string, Loss>> = {
  'sigma, folded': (layer, bits) => roundingError(layer.sigma, layer, bits),
  'sigma, raw': (layer, bits) => roundingError(layer.rawSigma, layer, bits),
  'weight divergence': ({ weightDivergence }, bits) => weightDivergence[bits],
  curvature: ({ curvatureLoss }, bits) => curvatureLoss?.[bits] ?? null,
  'output divergence': ({ outputDivergence }, bits) => outputDivergence?.[bits] ?? null,
};
const BOTH = 'divergence and curvature';
const UNIFORM_LIKE = 'no signal';

const { values: flags } = parseArgs({
  options: {
    pairs: { type: 'string' },
    only: { type: 'string' },
    bits: { type: 'string', default: '2.6,3,4' },
    cache: { type: 'string' },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});

function scoresBy(search: Search, loss: Loss): Scores | null {
  const scores = search.dials.map(({ of, layers: [first], bits }) =>
    of === 'activations' ? bits.map(() => 0) : bits.map((width) => loss(search.layers[first], width)),
  );
  return scores.every((own) => own.every((value) => value !== null))
    ? scores.map((own) => falling(own as number[]))
    : null;
}

async function measure(study: Study, widths: Widths) {
  const { divergence } = await study.candidate.score(widths, {});
  return { divergence, drop: (await study.validate(widths, null)).validation.drop! };
}

async function rowsOf(pair: Pair, study: Study): Promise<Row[]> {
  const problem: Problem = {
    layers: problemLayers(study.profiles, study.choices),
    ties: study.choices.ties,
    cost: study.costs.model,
    ceilings: [],
    maxDrop: null,
    goal: 'weightBytes',
    evaluate: null,
    budget: 0,
    buffer: { cost: 0.2, drop: 2 },
    seed: 0,
  };
  const search = createSearch(problem);
  const readings: [string, Scores | null][] = [
    [UNIFORM_LIKE, scoresBy(search, ({ parameters }, bits) => parameters * 4 ** -bits)],
    ...Object.entries(SIGNALS).map(([name, loss]): [string, Scores | null] => [name, scoresBy(search, loss)]),
    [BOTH, scoresOf(search.layers, search.dials, 'both')],
  ];
  const rows: Row[] = [];
  for (const bits of flags.bits.split(',').map(Number)) {
    const measured: Row['measured'] = {};
    for (const [name, scores] of readings) {
      const ceilings = [{ resource: 'averageBits', limit: bits, text: `bits=${bits}` }];
      const plan = scores && (await bestPlan(search, scores, ceilings));
      measured[name] = plan && (await measure(study, widthsOf(search.layers, search.settings, plan)));
    }
    if (Object.values(measured).some((point) => point !== null))
      rows.push({ pair: pair.name, bits, measured });
  }
  return rows;
}

const rows: Row[] = [];
for (const pair of withRawSigma(loadPairs(flags.pairs, flags.only))) {
  const { name, ...options } = pair;
  const cache = flags.cache === undefined ? {} : { cache: flags.cache };
  rows.push(...(await withStudy(nodeHost, { ...options, ...cache }, (study) => rowsOf(pair, study))));
  process.stderr.write(`${name}\n`);
}

/** The pairs, and ResNet-20 as it is before its batch-norms are folded, where the list has it. */
function withRawSigma(pairs: readonly Pair[]): Pair[] {
  return pairs.flatMap((pair) =>
    pair.name === 'resnet20'
      ? [pair, { ...pair, name: 'resnet20, batch-norms', model: pair.model.replace(/\.onnx$/, '-bn.onnx') }]
      : [pair],
  );
}

const names = [UNIFORM_LIKE, ...Object.keys(SIGNALS), BOTH];
const columns: Column<Row>[] = [
  { title: 'pair', text: ({ pair }) => pair },
  { title: 'average bits', right: true, text: ({ bits }) => String(bits) },
  ...names.map(
    (name): Column<Row> => ({
      title: name,
      right: true,
      text: ({ measured }) => {
        const point = measured[name];
        return point ? `${point.divergence.toFixed(4)} (${point.drop.toFixed(2)})` : '';
      },
    }),
  ),
];
/** Geometric mean of a signal's divergence over that of the default's, where both are. */
const relative = names.flatMap((name) => {
  const ratios = rows.flatMap(({ measured }) => {
    const [own, both] = [measured[name], measured[BOTH]];
    return own && both ? [Math.log(own.divergence / both.divergence)] : [];
  });
  const mean = Math.exp(ratios.reduce((sum, ratio) => sum + ratio, 0) / ratios.length);
  return ratios.length > 0 ? [`| ${name} | ${mean.toFixed(2)} | ${ratios.length} |`] : [];
});
const body = [
  'Divergence of the outputs in nats on validation samples, in brackets the drop in points.',
  markdownTable(rows, columns),
  ['| signal | divergence relative to both, geometric mean | cases |', '|---|--:|--:|', ...relative].join(
    '\n',
  ),
].join('\n\n');
if (flags.write) {
  const only = flags.only === undefined ? [] : [`--only '${flags.only}'`];
  const options = [...only, '--write'];
  writeResults(
    'Signals alone, at the same size',
    `npm --prefix benchmarks run signals -- ${options.join(' ')}`,
    body,
  );
}
console.log(flags.json ? JSON.stringify(rows, null, 2) : body);
