import type { Ceiling, Cost } from '../allocate/allocate.ts';
import { refuse } from '../errors.ts';
import type { DeviceCost } from './device-cost.ts';
import { type CostedLayer, FLOAT_BITS, floatBytes } from './memory.ts';
import type { CostedNetwork } from './network.ts';

/** What targets are read against. */
export interface TargetContext {
  /** Resources that there are. */
  resources: readonly string[];
  /** The float network's, by resource: what 100 % stands for. */
  float: Cost;
  /** What `:NAME` stands for: costs with every layer at 8 x 8 bits, under `int8` and under names of devices. */
  references: ReadonlyMap<string, Cost>;
}

interface Target {
  /** Name of the resource in `Cost`. */
  resource: string;
  /** Unit -> how many of the resource's own unit it is. Case counts: m is not M. */
  units: Readonly<Record<string, number>>;
  /** Largest value that is believed. */
  most: number;
  example: string;
}

/** Bytes; powers of 1,000, the letter B may be left out. */
const BYTES = prefixed('B', { '': 1, k: 1e3, K: 1e3, M: 1e6, G: 1e9 });
const COUNTS = prefixed('', { '': 1, k: 1e3, K: 1e3, M: 1e6, G: 1e9, T: 1e12 });
const MICROJOULES = { pJ: 1e-6, nJ: 1e-3, uJ: 1, µJ: 1, mJ: 1e3, J: 1e6 };
const MILLISECONDS = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1e3 };
const SQUARE_MILLIMETRES = { um2: 1e-6, mm2: 1 };

/** What `--target` understands: name before the equals sign -> resource. */
const TARGETS: Readonly<Record<string, Target>> = {
  size: target('weightBytes', BYTES, 'size=25%, size=120kB or size=1.2MB'),
  bits: target('averageBits', { '': 1 }, 'bits=2.6', FLOAT_BITS),
  bops: target('bops', COUNTS, 'bops=1.2G or bops=5%'),
  activation: target('activationBytes', BYTES, 'activation=64kB or activation=25%'),
  memory: target('totalBytes', BYTES, 'memory=256kB or memory=25%'),
  energy: target('energy', MICROJOULES, 'energy=40uJ or energy=-20%:int8'),
  latency: target('latency', MILLISECONDS, 'latency=12ms or latency=-20%:int8'),
  area: target('area', SQUARE_MILLIMETRES, 'area=0.8mm2 or area=-20%:int8'),
  'peak-area': target('peakArea', SQUARE_MILLIMETRES, 'peak-area=0.8mm2 or peak-area=-20%:int8'),
};

/** Significant digits of a target that is suggested. */
const TEXT_DIGITS = 6;
/** More than this many times what it is compared with is a slip. Percent. */
const MOST_PERCENT = 10_000;

function target(
  resource: string,
  units: Readonly<Record<string, number>>,
  example: string,
  most = Number.MAX_VALUE,
): Target {
  return { resource, units, most, example };
}

function prefixed(unit: string, prefixes: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(prefixes).flatMap(([prefix, factor]) => [
      [prefix, factor],
      [`${prefix}${unit}`, factor],
    ]),
  );
}

/** A target in its parts: `energy=-20%:int8`. */
interface ParsedTarget extends Target {
  name: string;
  amount: number;
  /** True for `-20%` and `+5%`: a change, not a share. */
  relative: boolean;
  unit: string;
  /** What it is compared with; '' for the float network or none. */
  reference: string;
  text: string;
}

/**
 * Ceilings from texts: absolute (`size=120kB`, `bits=2.6`, `bops=1.2G`, `activation=64kB`, `memory=256kB`,
 * `energy=40uJ`, `latency=12ms`, `area=0.8mm2`), a share of the float network (`size=25%`, `size=-75%`), or relative
 * to all layers at 8 x 8 bits: `energy=-20%:int8` on the device's baseline, `energy=80%:NAME` on the device NAME. A
 * target below what the smallest widths take is accepted: whether it can be reached is a verdict. Throws
 * INVALID_ARGUMENT for unknown resources and those that the device has no figures for, for anything but a positive
 * amount in a known unit, for a reference that the context lacks, and for a resource named twice.
 */
export function parseTargets(texts: readonly string[], context: TargetContext): Ceiling[] {
  const ceilings: Ceiling[] = [];
  for (const text of texts) {
    const ceiling = ceilingOf(parseTarget(text), context);
    const earlier = ceilings.find(({ resource }) => resource === ceiling.resource);
    if (earlier) refuse('one target per resource', 'target', `${earlier.text} and ${text}`);
    ceilings.push(ceiling);
  }
  return ceilings;
}

/** A target that a cost meets, in the resource's own unit and rounded up: `size=93100B`; null for one that has no name. */
export function targetText(resource: string, cost: number): string | null {
  const entry = Object.entries(TARGETS).find(([, target]) => target.resource === resource);
  if (entry === undefined) return null;
  const [name, { units }] = entry;
  const unit = Object.keys(units).findLast((own) => units[own] === 1 && !own.includes('µ'))!;
  const step = 10 ** (Math.floor(Math.log10(Math.max(cost, Number.MIN_VALUE))) - TEXT_DIGITS + 1);
  const rounded = Math.ceil(cost / step - 1e-9) * step;
  return `${name}=${Number(rounded.toPrecision(TEXT_DIGITS))}${unit}`;
}

/** What the targets are compared with: `int8` and names of devices, each once. Throws as parseTargets. */
export function referencesOf(texts: readonly string[]): string[] {
  return [...new Set(texts.map((text) => parseTarget(text).reference).filter((name) => name !== ''))];
}

/** Without a device: bytes of weights, average width and bit operations of the layers. */
export function memoryTargets(layers: readonly CostedLayer[]): TargetContext {
  return {
    resources: ['weightBytes', 'averageBits', 'bops'],
    float: { weightBytes: floatBytes(layers), bops: floatBops(layers) },
    references: new Map(),
  };
}

/** On a device; `references` as referencesOf names them. */
export function deviceTargets(
  cost: DeviceCost,
  { layers, rest, floatActivationBytes }: CostedNetwork,
  references: ReadonlyMap<string, Cost> = new Map(),
): TargetContext {
  const all = [...layers, ...rest];
  const weightBytes = floatBytes(all);
  return {
    resources: cost.resources.map(({ name }) => name),
    float: {
      weightBytes,
      bops: floatBops(all),
      activationBytes: floatActivationBytes,
      totalBytes: weightBytes + floatActivationBytes,
    },
    references,
  };
}

function floatBops(layers: readonly CostedLayer[]): number {
  return layers.reduce((sum, { macs }) => sum + macs * FLOAT_BITS * FLOAT_BITS, 0);
}

function parseTarget(text: string): ParsedTarget {
  const equals = text.indexOf('=');
  const name = (equals < 0 ? text : text.slice(0, equals)).trim();
  if (!Object.hasOwn(TARGETS, name)) refuse(`a target on ${Object.keys(TARGETS).join(', ')}`, 'target', text);
  const target = TARGETS[name];
  const value = equals < 0 ? '' : text.slice(equals + 1).trim();
  const parts = /^([+-]?)(\d+(?:\.\d*)?|\.\d+)\s*(%|[A-Za-zµ]*2?)(?::([A-Za-z0-9.-]+))?$/.exec(value);
  if (!parts) refuse(target.example, 'target', text);
  const [, sign, digits, unit, reference = ''] = parts;
  const known = unit === '%' || (sign === '' && reference === '' && Object.hasOwn(target.units, unit));
  if (!known) refuse(target.example, 'target', text);
  const amount = Number(`${sign}${digits}`);
  return { ...target, name, amount, relative: sign !== '', unit, reference, text };
}

function ceilingOf(target: ParsedTarget, context: TargetContext): Ceiling {
  const { resource, name, text, example, most } = target;
  if (!context.resources.includes(resource)) {
    const offered = Object.entries(TARGETS)
      .filter(([, row]) => context.resources.includes(row.resource))
      .map(([offer]) => offer);
    refuse(`a target on ${offered.join(', ')} (the device has no figures of ${name})`, 'target', text);
  }
  const limit = target.unit === '%' ? shareOf(target, context) : target.amount * target.units[target.unit];
  if (!(limit > 0 && Number.isFinite(limit) && limit <= most)) refuse(example, 'target', text);
  return { resource, limit, text };
}

function shareOf(
  { resource, amount, relative, reference, text, example }: ParsedTarget,
  { float, references }: TargetContext,
): number {
  const percent = relative ? 100 + amount : amount;
  if (!(percent > 0 && percent <= MOST_PERCENT)) refuse(example, 'target', text);
  if (reference !== '' && !references.has(reference))
    refuse(`a comparison with ${[...new Set(['int8', ...references.keys()])].join(' or ')}`, 'target', text);
  const whole = (reference === '' ? float : references.get(reference)!)[resource];
  if (whole === undefined) refuse(example, 'target', text);
  return (percent / 100) * whole;
}
