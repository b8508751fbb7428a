import type { Ceiling } from '../allocate/allocate.ts';
import { refuse } from '../errors.ts';
import { type CostedLayer, floatBytes } from './memory.ts';

/** Powers of 1,000. */
const PREFIXES: Readonly<Record<string, number>> = { '': 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12 };

interface Target {
  /** Name of the resource in `Cost`. */
  resource: string;
  unit: string;
  prefixes: readonly string[];
  /** What 100 % stands for; null where a share makes no sense. */
  whole: ((layers: readonly CostedLayer[]) => number) | null;
  example: string;
}

/** What `--target` understands: name before the equals sign -> resource. */
const TARGETS: Readonly<Record<string, Target>> = {
  size: {
    resource: 'weightBytes',
    unit: 'B',
    prefixes: ['', 'k', 'M', 'G'],
    whole: floatBytes,
    example: 'size=25%, size=120kB or size=1.2MB',
  },
  bits: { resource: 'averageBits', unit: '', prefixes: [''], whole: null, example: 'bits=2.6' },
  bops: { resource: 'bops', unit: '', prefixes: ['', 'k', 'M', 'G', 'T'], whole: null, example: 'bops=1.2G' },
};

/**
 * Ceilings from texts such as `size=25%` (of the float network), `size=120kB`, `bits=2.6`, `bops=1.2G`. A target below
 * what the smallest widths take is accepted: whether it can be reached is a verdict. Throws INVALID_ARGUMENT for unknown
 * resources, for anything but a positive amount in a known unit, and for a resource named twice.
 */
export function parseTargets(texts: readonly string[], layers: readonly CostedLayer[]): Ceiling[] {
  const ceilings: Ceiling[] = [];
  for (const text of texts) {
    const ceiling = parseTarget(text, layers);
    const earlier = ceilings.find(({ resource }) => resource === ceiling.resource);
    if (earlier) refuse('one target per resource', 'target', `${earlier.text} and ${text}`);
    ceilings.push(ceiling);
  }
  return ceilings;
}

function parseTarget(text: string, layers: readonly CostedLayer[]): Ceiling {
  const equals = text.indexOf('=');
  const name = (equals < 0 ? text : text.slice(0, equals)).trim();
  if (!Object.hasOwn(TARGETS, name)) refuse(`a target on ${Object.keys(TARGETS).join(', ')}`, 'target', text);
  const target = TARGETS[name];
  const amount = /^(\d+(?:\.\d*)?|\.\d+)\s*(%|[A-Za-z]*)$/.exec(text.slice(equals + 1).trim());
  const factor = amount && equals >= 0 ? factorOf(target, amount[2], layers) : null;
  const limit = amount && factor !== null ? Number(amount[1]) * factor : Number.NaN;
  if (!(limit > 0 && Number.isFinite(limit))) refuse(target.example, 'target', text);
  return { resource: target.resource, limit, text };
}

/** Null for a unit that the target does not have. Case counts: m is not M; a unit's letter may be left out. */
function factorOf(
  { unit, prefixes, whole }: Target,
  text: string,
  layers: readonly CostedLayer[],
): number | null {
  if (text === '%') return whole && whole(layers) / 100;
  const prefix = unit !== '' && text.endsWith(unit) ? text.slice(0, -unit.length) : text;
  const known = prefix === 'K' ? 'k' : prefix;
  return prefixes.includes(known) ? PREFIXES[known] : null;
}
