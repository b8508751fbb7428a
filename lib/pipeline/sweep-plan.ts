import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { defaultStrategy } from '../allocate/index.ts';
import { parsePreprocessing } from '../data/index.ts';
import { parseJson, refuse, SigmaQuantError } from '../errors.ts';
import { because } from './files.ts';
import { nearest } from './nearest.ts';
import { checkOptions, DEFAULTS, EXECUTORS, type QuantizeOptions } from './options.ts';
import { strategyOf } from './resources.ts';

/** Cells of one plan: more is a mistake in it. */
const CELLS_LIMIT = 100_000;
/** A device that is a file, not a name. */
const PATH = /[/\\]|\.json$/i;

const name = z.string().min(1);
const width = z.int().min(2).max(8);
const numbers = z.union([z.string(), z.number(), z.array(z.number())]);

const preprocessing = z
  .strictObject({
    resize: z.union([z.string(), z.array(z.int())]).optional(),
    crop: z.union([z.string(), z.array(z.int())]).optional(),
    scale: z.union([z.string(), z.number()]).optional(),
    mean: numbers.optional(),
    std: numbers.optional(),
  })
  .describe('Resize and crop as "WxH", then (x * scale - mean) / std; fractions such as "1/255" are texts.');

const model = z.strictObject({
  name: name.describe('What the table calls it; each once.'),
  model: name.describe('ONNX file. All paths count from the folder of the plan.'),
  calibration: name.describe('.npz, folder of images or CIFAR binary.'),
  validation: name.optional().describe('Labelled samples that the search may look at.'),
  evaluate: name
    .optional()
    .describe('Labelled samples to judge on; without validation half of them validate.'),
  preprocessing: preprocessing.optional(),
  inputShapes: z.record(z.string(), z.array(z.int().min(1))).optional(),
  metric: name.optional().describe('Module that exports a function scoring samples, instead of top-1.'),
});

const budget = z.strictObject({
  name: name.optional().describe('What the table calls it; made of its limits otherwise.'),
  targets: z.array(z.string()).optional().describe('Ceilings: "size=25%", "bits=2.6", ...'),
  maxDrop: z.number().min(0).max(100).optional().describe('Floor: percentage points that may be lost.'),
  minAccuracy: z.number().min(0).max(100).optional(),
  minSqnr: z.number().optional(),
  minimize: z.string().optional().describe('With a floor and no targets, the resource to be least.'),
});

const options = z.strictObject({
  bits: z.array(width).optional(),
  activationBits: z.union([width, z.array(width)]).optional(),
  freeEnds: z.boolean().optional(),
  recovery: z.string().optional(),
  ranges: z.enum(['minmax', 'percentile', 'mse', 'entropy']).optional(),
  samples: z.int().min(1).optional(),
  evaluations: z.int().min(1).optional(),
  seed: z.int().min(0).max(0xffffffff).optional(),
  executor: z.enum(EXECUTORS).optional(),
  backend: z.enum(['native', 'wasm', 'reference']).optional(),
});

/** A sweep: every model on every device with every budget and every strategy. */
export const sweepSchema = z
  .strictObject({
    $schema: z.string().optional(),
    models: z.array(model).min(1),
    devices: z
      .array(name)
      .min(1)
      .optional()
      .describe(
        'What costs are those of: names of devices, or paths of their files. Default: bytes and BOPs.',
      ),
    budgets: z.array(budget).min(1),
    strategies: z.array(z.string()).min(1).optional().describe('Default: the default strategy alone.'),
    options: options.optional().describe('For every cell, as the flags of quantize.'),
  })
  .meta({ title: 'SigmaQuant sweep' });

type SweepFile = z.infer<typeof sweepSchema>;

/** Names that an object of the plan may have, by the name of the list or object that it stands in. */
const KNOWN: Readonly<Record<string, readonly string[]>> = Object.fromEntries(
  Object.entries({ '': sweepSchema, models: model, budgets: budget, options, preprocessing }).map(
    ([place, schema]) => [place, Object.keys(schema.shape)],
  ),
);

/** One run of the sweep, as plain data: it travels to workers. Paths are absolute. */
export interface Cell {
  /** Position in the plan: models outside, then devices, budgets, strategies. */
  index: number;
  model: string;
  device: string;
  budget: string;
  strategy: string;
  /** What is measured once for all cells that agree in it. */
  study: CellOptions;
  /** What is asked of it. */
  ask: Pick<
    QuantizeOptions,
    'targets' | 'maxDrop' | 'minAccuracy' | 'minSqnr' | 'minimize' | 'strategy' | 'evaluations'
  >;
}

export type CellOptions = Omit<
  QuantizeOptions,
  'signal' | 'onProgress' | 'onWarning' | 'model' | 'device'
> & {
  model: string;
  device?: string;
};

/** The published JSON Schema (draft 2020-12) of a plan file. */
export function sweepJsonSchema(): object {
  return z.toJSONSchema(sweepSchema, { io: 'input' });
}

/** Reads a plan and lists its cells. Throws INVALID_ARGUMENT naming the first field that is wrong. */
export async function readSweep(path: string): Promise<Cell[]> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new SigmaQuantError(
      'INVALID_ARGUMENT',
      `Expected a readable file for the plan but received ${JSON.stringify(path)}: ${because(error)}.`,
      { cause: error },
    );
  }
  return cellsOf(parse(text), dirname(resolve(path)));
}

function parse(text: string): SweepFile {
  const value = parseJson(text, 'the plan');
  const result = sweepSchema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  if (issue.code === 'unrecognized_keys') refuseKey(issue.keys[0], issue.path);
  throw new SigmaQuantError(
    'INVALID_ARGUMENT',
    `Expected a plan of models and budgets but received a wrong field ${issue.path.join('.') || '(root)'}: ${issue.message}.`,
  );
}

function refuseKey(key: string, path: readonly PropertyKey[]): never {
  const place = path.filter((part) => typeof part === 'string').at(-1) ?? '';
  const known = KNOWN[place as string] ?? [];
  const hint = nearest(key, known);
  throw new SigmaQuantError(
    'INVALID_ARGUMENT',
    `Expected one of ${known.join(', ')} in ${path.join('.') || 'the plan'} but received ${JSON.stringify(key)}${hint ? ` (did you mean ${hint}?)` : ''}.`,
  );
}

function cellsOf(plan: SweepFile, folder: string): Cell[] {
  const strategies = plan.strategies ?? [defaultStrategy];
  for (const strategy of strategies) strategyOf(strategy);
  const budgets = plan.budgets.map((budget) => ({ ...budget, name: budget.name ?? budgetName(budget) }));
  once('models', plan.models);
  once('budgets', budgets);
  const devices = (plan.devices ?? [undefined]).map((device) => ({
    name: device ?? DEFAULTS.device,
    device: device !== undefined && PATH.test(device) ? resolve(folder, device) : device,
  }));
  once('devices', devices);
  const count = plan.models.length * devices.length * budgets.length * strategies.length;
  if (count > CELLS_LIMIT) refuse(`at most ${CELLS_LIMIT} cells`, 'the plan', count);
  const cells = plan.models.flatMap(({ name: modelName, ...model }) => {
    const files = Object.fromEntries(
      (['model', 'calibration', 'validation', 'evaluate', 'metric'] as const).flatMap((key) =>
        model[key] === undefined ? [] : [[key, resolve(folder, model[key])]],
      ),
    ) as Pick<CellOptions, 'model' | 'calibration' | 'validation' | 'evaluate' | 'metric'>;
    const { evaluations, ...measured } = plan.options ?? {};
    const rest = devices.flatMap((device) => budgets.map((limits) => ({ device, limits })));
    return rest.flatMap(({ device: { name: deviceName, device }, limits: { name: budgetName, ...limits } }) =>
      strategies.map((strategy): Omit<Cell, 'index'> => {
        const study: CellOptions = {
          ...files,
          ...measured,
          ...(model.preprocessing ? { preprocessing: parsePreprocessing(model.preprocessing) } : {}),
          ...(model.inputShapes ? { inputShapes: model.inputShapes } : {}),
          // Decides what is measured.
          ...(limits.minSqnr === undefined ? {} : { minSqnr: limits.minSqnr }),
          ...(device === undefined ? {} : { device }),
        };
        const ask = { ...limits, strategy, ...(evaluations === undefined ? {} : { evaluations }) };
        checkOptions({ ...study, ...ask });
        return { model: modelName, device: deviceName, budget: budgetName, strategy, study, ask };
      }),
    );
  });
  return cells.map((cell, index) => ({ index, ...cell }));
}

function budgetName({
  targets = [],
  maxDrop,
  minAccuracy,
  minSqnr,
  minimize,
}: z.infer<typeof budget>): string {
  const floors = Object.entries({ drop: maxDrop, accuracy: minAccuracy, sqnr: minSqnr, least: minimize })
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${value}`);
  return [...targets, ...floors].join(' ') || 'knee';
}

function once(list: string, entries: readonly { name: string }[]): void {
  const names = entries.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) refuse('each name once', list, twice);
}
