import { modelName } from '../pipeline/files.ts';
import type { QuantizeOptions } from '../pipeline/options.ts';
import { quantize } from '../pipeline/quantize.ts';
import type { AccuracyResult, LearnedResult, QuantizeResult, Reused } from '../pipeline/result.ts';
import { amount, amounts } from '../report/amounts.ts';
import { accuracyCells, layerTable } from '../report/layers.ts';
import { bytes, duration, percent, plural, signed, significant } from '../report/numbers.ts';
import { columns, textTable } from '../report/table.ts';
import { defined, preprocessingOption, ranOn, required, searchOptions } from './options.ts';
import { type Action, EXIT_CODES, type Flags } from './program.ts';

/** Sums of costs may pass a limit by their last bits. */
const TOLERANCE = 1e-9;

/** `sigmaquant quantize` */
export const quantizeAction: Action = async (model, flags, terminal) => {
  const options: QuantizeOptions = {
    ...searchOptions(model, flags, terminal),
    calibration: required(flags, 'calibration'),
    ...quantizeFlags(flags),
    ...outputFlags(model, flags),
    onWarning: terminal.note,
  };
  const { artefacts: _, ...summary } = await quantize(options);
  terminal.clear();
  terminal.out(flags['json'] ? `${JSON.stringify(summary)}\n` : text(summary));
  return EXIT_CODES[summary.verdict];
};

/** Where artefacts go, and beside them what a rerun of the same command goes on from. */
function outputFlags(model: string, flags: Flags): Pick<QuantizeOptions, 'out' | 'cache'> {
  const out = (flags['out'] as string | undefined) ?? `./${modelName(model)}.sigmaquant`;
  const cache = (flags['cache'] as string | false | undefined) ?? `${out.replace(/[\\/]+$/, '')}.cache`;
  return { out, ...(cache === false ? {} : { cache }) };
}

export function quantizeFlags(flags: Flags): Partial<QuantizeOptions> {
  const keys = [
    'validation',
    'evaluate',
    'maxDrop',
    'minAccuracy',
    'minSqnr',
    'metric',
    'recovery',
    'training',
    'trainingSamples',
    'epochs',
    'epochsPerStep',
    'learningRate',
    'labelShare',
    'augment',
    'ranges',
    'samples',
    'evaluations',
    'opset',
    'executor',
    'force',
  ];
  const given = Object.fromEntries(keys.map((key) => [key, flags[key]]));
  return defined({ ...given, preprocessing: preprocessingOption(flags) }) as Partial<QuantizeOptions>;
}

/** What came of each ceiling: `target   energy=-30%:int8: 2.91 of at most 3.05`. */
function targetLines({
  targets,
  cost,
  device,
}: Pick<QuantizeResult, 'targets' | 'cost' | 'device'>): string[] {
  const lines = targets.map(
    ({ text: asked, resource, limit }) =>
      `target   ${asked}: ${amount(resource, cost[resource])} of at most ${amount(resource, limit)}${cost[resource] > limit * (1 + TOLERANCE) ? ', missed' : ''}`,
  );
  return targets.length > 0 ? [`device   ${device}`, ...lines] : [];
}

function learnedLine(recovery: string, { before, after, kept }: LearnedResult): string {
  const drops = `drop on validation ${signed(before)} by rounding alone, ${signed(after)} learned`;
  return `learned  ${recovery}: ${drops}${kept ? '' : '; rounding alone was taken'}`;
}

/** The least that the missed ceilings could be, or the best accuracy within them. */
function reachableText({ reachable }: Pick<QuantizeResult, 'reachable'>): string {
  const { cost, measurement } = reachable!;
  return [amounts(cost), ...(measurement ? [`a drop of ${signed(measurement.drop)} points`] : [])].join(', ');
}

function text(result: Omit<QuantizeResult, 'artefacts'>): string {
  const rows: string[][] = [];
  const row = (title: string, accuracy: AccuracyResult | null) => {
    if (accuracy) rows.push([title, accuracy.metric, ...accuracyCells(accuracy)]);
  };
  row('validation', result.validation);
  row('judged, unseen', result.accuracy);
  const { files, seconds } = result;
  return [
    layerTable(result.layers),
    textTable({
      columns: columns('samples', 'metric', '>float', '>quantized', '>drop', '>95 % of the drop', '>count'),
      rows,
    }),
    [
      `weights  ${bytes(result.weightBytes)} of ${bytes(result.floatBytes)} (${percent((100 * result.weightBytes) / result.floatBytes, 1)}), ${significant(result.averageBits)} bits on average`,
      ...targetLines(result),
      ...(result.learned ? [learnedLine(result.recovery, result.learned)] : []),
      `verdict  ${result.verdict}`,
      ...result.warnings.map((warning) => `note     ${warning}`),
      ...result.binding.slice(0, 5).map(({ layer, reason }) => `binding  ${layer}: ${reason}`),
      ...(result.reachable ? [`reaches  ${reachableText(result)}`] : []),
      ...result.feasible.filter(({ ask }) => ask.length > 0).map(({ ask }) => `feasible ${ask.join(' ')}`),
      `search   ${result.strategy}, ${result.evaluations} evaluations${reused(result.cached)}, ${duration(seconds.total)} on ${ranOn(result)}`,
      ...(files
        ? [files.model, files.sqnt, files.allocation, files.table, files.report, files.page]
            .filter((file) => file !== null)
            .map((file, i) => `${i === 0 ? 'files' : ''.padEnd(5)}    ${file}`)
        : []),
    ].join('\n'),
    '',
  ]
    .join('\n\n')
    .replace(/\n\n$/, '\n');
}

/** ` (12 of them, 30 layers and 128 samples of the profile from the cache)`; empty where nothing was. */
function reused({ evaluations, integers, profile }: Reused): string {
  if (evaluations + integers + profile === 0) return '';
  const from = `${plural(integers, 'layer')} and ${plural(profile, 'sample')} of the profile from the cache`;
  return ` (${evaluations} of them, ${from})`;
}
