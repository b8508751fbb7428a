import { z } from 'zod';
import type { Cell } from './sweep-plan.ts';
import { toolVersion } from './version.ts';

/** Raised whenever a reader of older files would misread a newer one. */
const RESULTS_VERSION = 1;

const number = z.number();

const accuracy = z
  .strictObject({
    metric: z.string(),
    float: number.nullable(),
    quantized: number,
    drop: number.nullable(),
    interval: z.tuple([number, number]).nullable(),
    samples: z.int(),
  })
  .nullable();

const outcome = z.strictObject({
  verdict: z.enum(['met', 'accuracy-only', 'resource-only', 'impossible']),
  averageBits: number,
  floatBytes: number,
  cost: z.record(z.string(), number).describe('Resources by name.'),
  validation: accuracy,
  accuracy: accuracy.describe('Judged once, on samples that the search never saw.'),
  evaluations: z.int(),
  widths: z
    .record(z.string(), z.strictObject({ weights: z.int(), activations: z.int() }))
    .describe('Layer name -> widths.'),
});

/** What came of a cell. */
export type CellOutcome = z.infer<typeof outcome>;

const row = z.strictObject({
  model: z.string(),
  device: z.string(),
  budget: z.string(),
  strategy: z.string(),
  outcome: outcome.nullable().describe('Null for a cell that failed.'),
  error: z.strictObject({ code: z.string(), message: z.string() }).nullable(),
});

/** One line of the table. No times, paths or thread counts. */
export type SweepRow = z.infer<typeof row>;

/** `results.json` of a sweep, rows in the order of the plan. */
export const resultsSchema = z
  .strictObject({
    version: z.literal(RESULTS_VERSION),
    tool: z.strictObject({ name: z.literal('sigmaquant'), version: z.string() }),
    rows: z.array(row),
  })
  .meta({ title: 'SigmaQuant sweep results' });

/** The published JSON Schema (draft 2020-12) of `results.json`. */
export function resultsJsonSchema(): object {
  return z.toJSONSchema(resultsSchema, { io: 'input' });
}

/** The row of a cell that is done, or failed. */
export function rowOf(
  { model, device, budget, strategy }: Cell,
  outcome: CellOutcome | null,
  error: SweepRow['error'] = null,
): SweepRow {
  return { model, device, budget, strategy, outcome, error };
}

/** A finished cell's file, or null where it is not one. */
export function parseOutcome(text: string): CellOutcome | null {
  try {
    return outcome.parse(JSON.parse(text));
  } catch {
    return null;
  }
}

export function resultsText(rows: readonly SweepRow[]): string {
  const tool = { name: 'sigmaquant' as const, version: toolVersion() };
  return `${JSON.stringify(resultsSchema.parse({ version: RESULTS_VERSION, tool, rows }), null, 2)}\n`;
}

/** A line per row; the resources are those that any row has. */
export function resultsCsv(rows: readonly SweepRow[]): string {
  const resources = [...new Set(rows.flatMap(({ outcome }) => Object.keys(outcome?.cost ?? {})))];
  const titles = ['model', 'device', 'budget', 'strategy', 'verdict', ...resources, 'floatBytes', 'metric'];
  titles.push(
    'float',
    'quantized',
    'drop',
    'low',
    'high',
    'samples',
    'validationDrop',
    'evaluations',
    'error',
  );
  const lines = rows.map(({ model, device, budget, strategy, outcome, error }) => {
    const judged = outcome?.accuracy ?? outcome?.validation;
    return [
      ...[model, device, budget, strategy, outcome?.verdict],
      ...resources.map((resource) => outcome?.cost[resource]),
      ...[outcome?.floatBytes, judged?.metric, judged?.float, judged?.quantized, judged?.drop],
      ...[judged?.interval?.[0], judged?.interval?.[1], judged?.samples, outcome?.validation?.drop],
      ...[outcome?.evaluations, error?.message],
    ];
  });
  return csv([titles, ...lines]);
}

/** RFC 4180. A text that a spreadsheet would take for a formula is given an apostrophe. */
export function csv(lines: readonly (readonly (string | number | null | undefined)[])[]): string {
  const cell = (value: string | number | null | undefined) => {
    const text = typeof value === 'string' ? value.replace(/^(?=[=+\-@\t\r])/, "'") : `${value ?? ''}`;
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return lines.map((line) => `${line.map(cell).join(',')}\n`).join('');
}
