import { malformed } from '../errors.ts';
import type { Attribute, Node } from '../graph/graph.ts';

/** Lists longer than this describe no tensor that could be run. */
const LONGEST_LIST = 64;

interface Rule {
  says: string;
  holds(value: Attribute): boolean;
}

const isWhole = (value: unknown) => Number.isInteger(value);
const isNumber = (value: unknown) => typeof value === 'number' && !Number.isNaN(value);

const list = (value: Attribute, holds: (item: unknown) => boolean) =>
  Array.isArray(value) && value.length <= LONGEST_LIST && value.every(holds);

const WHOLE: Rule = { says: 'a whole number', holds: isWhole };
const NUMBER: Rule = { says: 'a number', holds: isNumber };
const TEXT: Rule = { says: 'a text', holds: (value) => typeof value === 'string' };
const COUNT: Rule = { says: 'a whole number above 0', holds: (value) => isWhole(value) && Number(value) > 0 };
const INTEGERS: Rule = { says: 'a short list of whole numbers', holds: (value) => list(value, isWhole) };
const NUMBERS: Rule = { says: 'a short list of numbers', holds: (value) => list(value, isNumber) };
const RANGE: Rule = {
  says: 'a lower and an upper limit',
  holds: (value) =>
    list(value, isNumber) &&
    (value as readonly number[]).length === 2 &&
    (value as readonly number[])[0] <= (value as readonly number[])[1],
};

/** ONNX gives an attribute's name one kind in all its operators, so that a table of names is enough. */
const RULES: ReadonlyMap<string, Rule> = new Map(
  (
    [
      [
        INTEGERS,
        'axes dilations ends kernel_shape output_padding output_shape pads perm repeats shape split',
      ],
      [INTEGERS, 'starts steps strides'],
      [NUMBERS, 'scales'],
      [RANGE, 'clamp'],
      [COUNT, 'blocksize group num_groups num_outputs size'],
      [WHOLE, 'allowzero axis batch_dims ceil_mode count_include_pad end exclude_outside exclusive fmod k'],
      [
        WHOLE,
        'keepdims largest noop_with_empty_axes reverse select_last_index sorted start storage_order to',
      ],
      [WHOLE, 'antialias detect_negative detect_positive p training_mode transA transB upper'],
      [NUMBER, 'alpha beta bias cubic_coeff_a epsilon extrapolation_value gamma lambd momentum ratio'],
      [TEXT, 'approximate auto_pad coordinate_transformation_mode direction equation'],
      [TEXT, 'keep_aspect_ratio_policy mode nearest_mode reduction'],
    ] as const
  ).flatMap(([rule, names]) => names.split(' ').map((name) => [name, rule] as const)),
);

/** Throws MALFORMED_MODEL naming node and attribute where a known attribute has another kind of value. */
export function checkAttributes({ name, op, attributes }: Node): void {
  for (const [key, value] of Object.entries(attributes)) {
    const rule = RULES.get(key);
    if (rule && !rule.holds(value))
      malformed(
        `Expected ${rule.says} for attribute ${key} of node ${name} (${op}) but received ${describe(value)}.`,
      );
  }
}

function describe(value: Attribute): string {
  if (typeof value !== 'object') return JSON.stringify(value) ?? String(value);
  if (Array.isArray(value)) return `a list of ${value.length}`;
  return 'a tensor';
}
