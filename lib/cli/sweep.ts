import { modelName } from '../pipeline/files.ts';
import { type SweepOptions, sweep } from '../pipeline/sweep.ts';
import type { SweepRow } from '../pipeline/sweep-row.ts';
import { accuracyCells } from '../report/layers.ts';
import { bytes, significant } from '../report/numbers.ts';
import { columns, textTable } from '../report/table.ts';
import { defined } from './options.ts';
import { type Action, EXIT_CODES, type Flags } from './program.ts';
import type { Terminal } from './terminal.ts';

/** `sigmaquant sweep` */
export const sweepAction: Action = (path, flags, terminal) => planSweep(path, flags, terminal);

async function planSweep(plan: string, flags: Flags, terminal: Terminal): Promise<number> {
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
