import type { LegacyHighs } from 'highs';
import { SigmaQuantError } from '../errors.ts';
import type { Dial, Plan, Setting } from './dials.ts';
import { COST_TOLERANCE } from './knapsack.ts';
import { type Row, sumOf } from './rows.ts';
import type { Scores } from './scores.ts';

/** Branch and bound ends here, with the best found: a count and no time, so that the answer does not depend on the machine. */
const NODES = 5000;
/** The objective is scaled to this at most: the solver's tolerances are absolute. */
const OBJECTIVE = 1e4;
/** Losses below this share of the largest are noise, and badly scaled rows cost the solver its accuracy. */
const LEAST = 1e-12;
/** Limits are drawn in by so much where the solver's tolerance let a plan pass one. */
const MARGINS = [0, 1e-6, 1e-4];

let loading: Promise<LegacyHighs> | undefined;

/** The solver, loaded when first needed: 3.5 MB of WebAssembly. */
function solver(): Promise<LegacyHighs> {
  // Its types take the ES module for CommonJS, whose default would be the module.
  loading ??= import('highs').then((module) => (module.default as unknown as () => Promise<LegacyHighs>)());
  return loading;
}

/**
 * The plan of least total score in which every row keeps its limit; null where none does. By HiGHS (Huangfu and Hall
 * 2018), on one binary variable per dial and width, and one per pair of widths where a row depends on both dials of a
 * layer.
 */
export async function integerProgram(
  dials: readonly Dial[],
  settings: readonly Setting[],
  scores: Scores,
  rows: readonly Row[],
): Promise<Plan | null> {
  const highs = await solver();
  for (const margin of MARGINS) {
    const text = programText(dials, settings, scores, rows, margin);
    const { Status: status, Columns: columns } = highs.solve(text, {
      mip_rel_gap: 0,
      mip_max_nodes: NODES,
      threads: 1,
      parallel: 'off',
      random_seed: 0,
      output_flag: false,
    });
    if (status === 'Infeasible') return null;
    const primal = (name: string) => {
      const column = columns[name];
      return column && 'Primal' in column ? (column.Primal as number) : 0;
    };
    const plan = dials.map(({ bits }, dial) => bits.find((width) => primal(variable(dial, width)) > 0.5));
    if (plan.includes(undefined)) continue;
    const found = plan as Plan;
    if (rows.every((row) => sumOf(row, settings, found) <= row.limit * (1 + COST_TOLERANCE))) return found;
  }
  throw new SigmaQuantError(
    'INTERNAL',
    'Expected a plan within the ceilings but the solver found none that keeps them.',
  );
}

const variable = (dial: number, bits: number) => `x${dial}_${bits}`;
const product = (layer: number, weights: number, activations: number) =>
  `y${layer}_${weights}_${activations}`;

/** CPLEX LP format. */
function programText(
  dials: readonly Dial[],
  settings: readonly Setting[],
  scores: Scores,
  rows: readonly Row[],
  margin: number,
): string {
  const largest = Math.max(Number.MIN_VALUE, ...scores.flat());
  const objective = dials.flatMap(({ bits }, dial) =>
    bits.map((width, index) =>
      term(
        scores[dial][index] / largest < LEAST ? 0 : (OBJECTIVE * scores[dial][index]) / largest,
        variable(dial, width),
      ),
    ),
  );
  const paired = new Set<number>();
  const limits = rows.map((row) => {
    const limit = row.limit * (1 - margin);
    const scale = limit > 0 ? 1 / limit : 1;
    const terms = settings.flatMap((setting, layer) => shares(row, dials, setting, layer, scale, paired));
    return `${terms.join(' ') || `0 ${variable(0, dials[0].bits[0])}`} <= ${number(limit * scale)}`;
  });
  const one = dials.map(
    ({ bits }, dial) => `${bits.map((width) => `+ ${variable(dial, width)}`).join(' ')} = 1`,
  );
  const links = [...paired].flatMap((layer) => linked(dials, settings[layer], layer));
  const constraints = [...one, ...links, ...limits].map((line, index) => ` c${index}: ${line}`);
  const binaries = dials.flatMap(({ bits }, dial) => bits.map((width) => variable(dial, width)));
  return [
    'Minimize',
    ` obj: ${objective.filter((text) => text !== '').join(' ') || `0 ${binaries[0]}`}`,
    'Subject To',
    ...constraints,
    'Binary',
    ` ${binaries.join(' ')}`,
    'End',
    '',
  ].join('\n');
}

/** What a layer adds to a row: a sum over its widths, or over pairs of them where it is no sum of both dials. */
function shares(
  row: Row,
  dials: readonly Dial[],
  { weights, activations }: Setting,
  layer: number,
  scale: number,
  paired: Set<number>,
): string[] {
  const share = (w: number, a: number) => row.share(layer, { weights: w, activations: a }) * scale;
  const [ws, as] = [dials[weights].bits, dials[activations].bits];
  const rest = (w: number, a: number) =>
    share(w, a) - share(w, as[0]) - share(ws[0], a) + share(ws[0], as[0]);
  const tolerance = COST_TOLERANCE;
  if (ws.every((w) => as.every((a) => Math.abs(rest(w, a)) <= tolerance)))
    return [
      ...ws.map((w) => term(share(w, as[0]), variable(weights, w))),
      ...as.map((a) => term(share(ws[0], a) - share(ws[0], as[0]), variable(activations, a))),
    ].filter((text) => text !== '');
  paired.add(layer);
  return ws
    .flatMap((w) => as.map((a) => term(share(w, a), product(layer, w, a))))
    .filter((text) => text !== '');
}

/** Pairs of a layer stand for its widths: their sums over one width are the variable of the other. */
function linked(dials: readonly Dial[], { weights, activations }: Setting, layer: number): string[] {
  const [ws, as] = [dials[weights].bits, dials[activations].bits];
  const sum = (names: string[], name: string) => `${names.map((own) => `+ ${own}`).join(' ')} - ${name} = 0`;
  return [
    ...ws.map((w) =>
      sum(
        as.map((a) => product(layer, w, a)),
        variable(weights, w),
      ),
    ),
    ...as.map((a) =>
      sum(
        ws.map((w) => product(layer, w, a)),
        variable(activations, a),
      ),
    ),
  ];
}

function term(factor: number, name: string): string {
  if (factor === 0) return '';
  return `${factor < 0 ? '-' : '+'} ${number(Math.abs(factor))} ${name}`;
}

/** Without an exponent that the format could misread. */
function number(value: number): string {
  return value.toPrecision(17).replace('e', 'E');
}
