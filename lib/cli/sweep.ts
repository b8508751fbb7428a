import { refuse } from '../errors.ts';
import { modelName } from '../pipeline/files.ts';
import { type FrontOptions, type FrontResult, front } from '../pipeline/front.ts';
import { type SweepOptions, sweep } from '../pipeline/sweep.ts';
import type { SweepRow } from '../pipeline/sweep-row.ts';
import { accuracyCells } from '../report/layers.ts';
import { bytes, signed, significant } from '../report/numbers.ts';
import { columns, textTable } from '../report/table.ts';
import { defined, required, searchOptions } from './options.ts';
import { type Action, EXIT_CODES, type Flags } from './program.ts';
import { quantizeFlags } from './quantize.ts';
import type { Terminal } from './terminal.ts';

/** `sigmaquant sweep` */
export const sweepAction: Action = (path, flags, terminal) =>
  /\.json$/i.test(path) ? planSweep(path, flags, terminal) : modelSweep(path, flags, terminal);

/** Flags that a plan says itself. */
const OF_PLANS = ['out', 'threads', 'queue', 'json', 'config'];
/** Flags that ask for one network, where the front is all of them. */
const OF_ONE_NETWORK = ['maxDrop', 'minAccuracy', 'strategy', 'minimize', 'queue'];

async function modelSweep(model: string, flags: Flags, terminal: Terminal): Promise<number> {
  for (const key of OF_ONE_NETWORK)
    if (flags[key] !== undefined)
      refuse('no such flag with a model (--pick chooses a point)', 'sweep', flag(key));
  const name = modelName(model);
  const cache = (flags['cache'] as string | false | undefined) ?? `./${name}.sigmaquant.cache`;
  const { strategy: _, minimize: __, ...search } = searchOptions(model, flags, terminal);
  const options: FrontOptions = {
    ...search,
    calibration: required(flags, 'calibration'),
    ...quantizeFlags(flags),
    out: (flags['out'] as string | undefined) ?? `./${name}.front`,
    ...(cache === false ? {} : { cache }),
    onWarning: terminal.note,
    ...defined({
      resource: flags['resource'] as string | undefined,
      points: flags['points'] as number | undefined,
      pick: flags['pick'] as string | undefined,
    }),
  };
  const result = await front(options);
  terminal.clear();
  terminal.out(flags['json'] ? `${JSON.stringify(result)}\n` : frontText(result));
  return result.picked ? EXIT_CODES[result.picked.verdict] : EXIT_CODES.met;
}

function frontText({
  front: { points, resource, unit, metric, picked: at },
  picked,
  files,
}: FrontResult): string {
  const table = textTable({
    columns: columns('', `>${resource}`, '>bits', `>${metric}`, '>drop', '>divergence'),
    rows: points.map(({ onFront, cost, drop, accuracy, divergence }, index) => [
      index === at ? 'picked' : onFront ? 'front' : 'tried',
      unit === 'B' ? bytes(cost[resource]) : `${significant(cost[resource], 4)} ${unit}`.trim(),
      significant(cost['averageBits']),
      accuracy.toFixed(2),
      signed(drop),
      significant(divergence),
    ]),
  });
  const judged = picked?.accuracy && [
    `judged   drop ${signed(picked.accuracy.drop ?? 0)} on ${picked.accuracy.samples} unseen samples`,
  ];
  const written = [files?.json, files?.csv, picked?.files?.model, picked?.files?.allocation];
  return [table, '', ...(judged ?? []), `files    ${written.filter(Boolean).join('\n         ')}`, ''].join(
    '\n',
  );
}

function flag(key: string): string {
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

async function planSweep(plan: string, flags: Flags, terminal: Terminal): Promise<number> {
  const foreign = Object.keys(flags).find((key) => !OF_PLANS.includes(key));
  if (foreign !== undefined)
    refuse('flags of the run alone (the plan says the rest)', 'sweep', flag(foreign));
  const options: SweepOptions = {
    plan,
    out: (flags['out'] as string | undefined) ?? `./${modelName(plan).replace(/\.json$/i, '')}.sweep`,
    signal: terminal.signal,
    onProgress: terminal.progress,
    onWarning: terminal.note,
    ...defined({
      threads: flags['threads'] as number | undefined,
      queue: flags['queue'] as string | undefined,
    }),
  };
  try {
    const { rows, files } = await sweep(options);
    terminal.clear();
    if (flags['json']) terminal.out(`${JSON.stringify({ rows, files })}\n`);
    else terminal.out(`${sweepTable(rows)}\n\nfiles    ${files.json}\n         ${files.csv}\n`);
    return rows.some(({ error }) => error !== null) ? EXIT_CODES.failure : EXIT_CODES.met;
  } catch (error) {
    if (!terminal.signal.aborted || error !== terminal.signal.reason) throw error;
    terminal.clear();
    const message = `Interrupted; finished cells are kept in ${options.out}, the same command goes on from them.`;
    terminal.note(`sigmaquant: ${message}`);
    if (flags['json']) terminal.out(`${JSON.stringify({ error: { code: 'INTERRUPTED', message } })}\n`);
    return EXIT_CODES.interrupted;
  }
}

function sweepTable(rows: readonly SweepRow[]): string {
  return textTable({
    columns: columns(
      ...['model', 'device', 'budget', 'strategy', 'verdict', '>bits', '>weights', 'metric'],
      ...['>float', '>quantized', '>drop', '>95 % of the drop', '>count'],
    ),
    rows: rows.map(({ model, device, budget, strategy, outcome, error }) => {
      const cell = [model, device, budget, strategy];
      if (!outcome) return [...cell, `failed: ${error!.code}`, ...new Array<string>(8).fill('')];
      const judged = outcome.accuracy ?? outcome.validation!;
      const size = [significant(outcome.averageBits), bytes(outcome.cost['weightBytes'])];
      return [...cell, outcome.verdict, ...size, judged.metric, ...accuracyCells(judged)];
    }),
  });
}
