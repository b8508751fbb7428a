import { z } from 'zod';
import { parseJson, SigmaQuantError } from '../errors.ts';
import { MEASURES, type Measure } from './units.ts';

/** Raised whenever a reader of older files would misread a newer one. */
export const DEVICE_VERSION = 1;

/** Features of a layer's integers that cycles and energy per MAC are linear in; see WeightDigits. */
export const DIGIT_FEATURES = [
  'one',
  'bits',
  'bitPairs',
  'nonZero',
  'digits',
  'setDigits',
  'setBits',
  'extendedBits',
  'toggles',
] as const;
/** Features of a step that its time is linear in, per sample: elements, and MACs as the kernels pad them. */
export const STEP_FEATURES = ['step', 'macs', 'inputs', 'patches', 'outputs', 'weights'] as const;
/** Kinds of layers for an array of multipliers. */
export const OPERATORS = ['conv', 'depthwise', 'linear'] as const;
/** Kinds of steps for a processor that runs a program: layers first, then what stands between them. */
export const STEP_KINDS = [
  'conv',
  'pointwise',
  'few-channels',
  'grouped',
  'depthwise',
  'linear',
  'add',
  'concat',
  'pool',
  'average',
  'move',
  'quantize',
  'other',
] as const;

const LAYER_KINDS: readonly string[] = STEP_KINDS.slice(0, STEP_KINDS.indexOf('linear') + 1);
export const isLayerKind = (kind: string) => LAYER_KINDS.includes(kind);

export type DigitFeature = (typeof DIGIT_FEATURES)[number];
export type StepFeature = (typeof STEP_FEATURES)[number];
export type Operator = (typeof OPERATORS)[number];
export type StepKind = (typeof STEP_KINDS)[number];

/** Elements along one side of an array: more than any that was built. */
const MOST_ELEMENTS = 65_536;
/** Seconds that one feature may add. */
const MOST_SECONDS = MEASURES.time.most;

const bits = z.int().min(2).max(8);
const name = z.string().regex(/^[a-z0-9][a-z0-9.-]*$/);
const source = z.string().describe('A key of `sources`.');
const extent = z.int().min(1).max(MOST_ELEMENTS);

function unitOf(measure: Measure) {
  return z.enum(Object.keys(MEASURES[measure].units) as [string, ...string[]]);
}

/** Whether a figure is no larger than anything real; an unknown unit is another complaint. */
function believed(measure: Measure) {
  const { units, most } = MEASURES[measure];
  return ({ value, unit }: { value: number; unit: string }) => {
    const factor = (units as Record<string, number>)[unit];
    return factor === undefined || value * factor <= most;
  };
}

/** A figure with its unit and source, positive and within what is believed. */
function quantity(measure: Measure) {
  const { most } = MEASURES[measure];
  return z
    .strictObject({ value: z.number().positive(), unit: unitOf(measure), source })
    .refine(believed(measure), {
      error: `at most ${most} ${MEASURES[measure].base} is believed`,
    });
}

/** A sum of features of a layer's integers, each times a cost that is not negative. */
function linear(measure: Measure) {
  const { most } = MEASURES[measure];
  const isBelieved = believed(measure);
  return z
    .strictObject({
      unit: unitOf(measure),
      source,
      terms: z.partialRecord(z.enum(DIGIT_FEATURES), z.number().min(0)),
    })
    .refine(({ terms }) => Object.values(terms).some((cost) => cost > 0), {
      error: 'at least one term above 0 is needed',
      path: ['terms'],
    })
    .refine(({ unit, terms }) => Object.values(terms).every((value) => isBelieved({ value, unit })), {
      error: `at most ${most} ${MEASURES[measure].base} is believed of a term`,
      path: ['terms'],
    });
}

const pair = z.strictObject({
  operators: z.array(z.enum(OPERATORS)).min(1),
  weights: z.array(bits).min(1),
  activations: z.array(bits).min(1),
  cycles: linear('cycles').optional().describe('Of one element for one MAC.'),
  energy: linear('energy per MAC').optional(),
  area: quantity('area').optional().describe('Of one element.'),
});

const array = z.strictObject({
  pixels: extent.describe('Output positions in parallel: a weight that is read serves so many.'),
  channels: extent.describe('Output channels in parallel: an input that is read serves so many.'),
  depth: extent.describe('Products of one output in parallel.'),
  sharedControl: z
    .enum(['pixels', 'depth'])
    .nullable()
    .describe('Elements along this side work together: where few have work, all are paid.'),
  clock: quantity('clock'),
  source,
});

const memory = z.strictObject({
  name: z.string(),
  place: z.enum(['on-chip', 'off-chip']),
  capacity: quantity('capacity').nullable().describe('Null where it holds everything.'),
  bandwidth: quantity('bandwidth').nullable().describe('Null where it never limits.'),
  energy: quantity('energy per byte').nullable(),
});

const rule = z.strictObject({
  kind: z.enum(STEP_KINDS),
  weights: bits.nullable().describe('Null for steps that have none, and for float.'),
  activations: bits.nullable(),
  terms: z.partialRecord(z.enum(STEP_FEATURES), z.number().min(0).max(MOST_SECONDS)),
});

const timing = z.strictObject({
  shape: z.string().describe('As `devices import` and layerShape write it: conv 3x3/1x1 16->32 28x28.'),
  weights: bits,
  activations: bits,
  time: z.number().positive().max(MOST_SECONDS),
});

const latency = z.strictObject({
  unit: unitOf('time'),
  source,
  threads: z.int().min(1).max(4096),
  rules: z.array(rule).min(1).describe('Time of a step: a sum of features times these, in `unit`.'),
  timings: z.array(timing).describe('Measured layers of just that shape; they come before the rules.'),
});

/** One device; every figure names its source. */
export const deviceSchema = z
  .strictObject({
    version: z.literal(DEVICE_VERSION),
    name,
    title: z.string(),
    baseline: name
      .nullable()
      .describe('The INT8 device of the same organisation; null for a baseline itself.'),
    sources: z.record(z.string(), z.string().min(1)).describe('Key -> where figures come from.'),
    notes: z.array(z.string()).describe('What the figures leave out.'),
    packing: z
      .strictObject({ rowBits: z.int().min(1).max(4096), source })
      .describe('Weights of one output channel are padded to a multiple of so many bits; 1 is dense.'),
    array: array.nullable(),
    pairs: z
      .array(pair)
      .describe('Widths that the device computes with; none: all, as far as memory is concerned.'),
    memories: z.array(memory).describe('Nearest to the elements first.'),
    latency: latency.nullable().describe('Of a processor that runs a program, layer by layer.'),
  })
  .superRefine((device, context) => {
    const complain = (path: (string | number)[], message: string) =>
      context.addIssue({ code: 'custom', path, message });
    for (const { path, key } of sourcesIn(device))
      if (!Object.hasOwn(device.sources, key)) complain(path, `no source of the key ${JSON.stringify(key)}`);
    checkPairs(device.pairs, complain);
    if (device.array && device.pairs.length === 0) complain(['pairs'], 'an array needs pairs');
    if (device.latency) checkRules(device.latency.rules, complain);
  })
  .meta({ title: 'SigmaQuant device' });

export type Device = z.infer<typeof deviceSchema>;
export type Pair = Device['pairs'][number];
export type DeviceArray = NonNullable<Device['array']>;
export type DeviceLatency = NonNullable<Device['latency']>;
export type DeviceMemory = Device['memories'][number];

type Complain = (path: (string | number)[], message: string) => void;

/** Every operator once per pair of widths, and 8 x 8 for all: any pair rounds up to one that is there. */
function checkPairs(pairs: readonly z.infer<typeof pair>[], complain: Complain): void {
  const seen = new Set<string>();
  pairs.forEach((row, index) => {
    for (const operator of row.operators)
      for (const weights of row.weights)
        for (const activations of row.activations) {
          const key = `${operator} ${weights}x${activations}`;
          if (seen.has(key)) complain(['pairs', index], `${key} is there already`);
          seen.add(key);
        }
  });
  if (pairs.length === 0) return;
  for (const operator of OPERATORS)
    if (!seen.has(`${operator} 8x8`)) complain(['pairs'], `the pair 8x8 of ${operator} is missing`);
}

function checkRules(rules: readonly z.infer<typeof rule>[], complain: Complain): void {
  const seen = new Set<string>();
  rules.forEach(({ kind, weights, activations }, index) => {
    const key = `${kind} ${weights}x${activations}`;
    if (seen.has(key)) complain(['latency', 'rules', index], `${key} is there already`);
    seen.add(key);
  });
  const layers = [...new Set(rules.map(({ kind }) => kind))].filter(isLayerKind);
  if (layers.length === 0) complain(['latency', 'rules'], 'a rule for a kind of layer is missing');
  for (const kind of layers)
    if (!seen.has(`${kind} 8x8`)) complain(['latency', 'rules'], `the pair 8x8 of ${kind} is missing`);
}

/** Every `source` in a file, with its path. */
function sourcesIn(
  value: unknown,
  path: (string | number)[] = [],
): { path: (string | number)[]; key: string }[] {
  if (Array.isArray(value)) return value.flatMap((item, index) => sourcesIn(item, [...path, index]));
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) =>
    key === 'source' && typeof item === 'string'
      ? [{ path: [...path, key], key: item }]
      : sourcesIn(item, [...path, key]),
  );
}

/** The published JSON Schema (draft 2020-12) of device files. */
export function deviceJsonSchema(): object {
  return z.toJSONSchema(deviceSchema, { io: 'input' });
}

/** The text of a device file; checked first, so that nothing unreadable is ever written. */
export function serializeDevice(device: Device): string {
  return `${JSON.stringify(deviceSchema.parse(device), null, 2)}\n`;
}

/** Reads a device file; `file` is its name in errors. Throws INVALID_ARGUMENT naming the first field that is wrong. */
export function parseDevice(text: string, file: string): Device {
  const value = parseJson(text, `device ${JSON.stringify(file)}`);
  checkVersion(value, file);
  const result = deviceSchema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new SigmaQuantError(
    'INVALID_ARGUMENT',
    `Expected a device of version ${DEVICE_VERSION} in ${JSON.stringify(file)} but received a wrong field ${issue.path.join('.') || '(root)'}: ${issue.message}.`,
  );
}

/** Newer files are refused before their unknown fields are: the version is what the reader must hear of. */
function checkVersion(value: unknown, file: string): void {
  const version = (value as { version?: unknown } | null)?.version;
  if (typeof version === 'number' && version > DEVICE_VERSION)
    throw new SigmaQuantError(
      'INVALID_ARGUMENT',
      `Expected a device of version ${DEVICE_VERSION} in ${JSON.stringify(file)} but received version ${version}: a newer sigmaquant reads it.`,
    );
}
