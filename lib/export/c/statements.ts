import type { StridedCopy } from '../../engine/strided-copy.ts';
import { SigmaQuantError } from '../../errors.ts';
import type { ConvShape, WeightsShape } from '../../kernels/kernels.ts';
import { matrixShape } from '../../kernels/reference-integer.ts';
import type { Quantizer } from '../../quant/quantizer.ts';
import { additionOf } from './addition.ts';
import type { Listing } from './listing.ts';
import { floatLiteral } from './names.ts';
import type { Operation, Place } from './program.ts';
import { isByTap, kindOf, type Packing, packedWeights, scratchBytes, tileOf } from './weights.ts';

/** Sums of more than this many pixels could pass int32: 2^31 / 255. */
const PIXEL_LIMIT = 8_421_504;

export interface StatementContext {
  listing: Listing;
  packing: Packing;
  /** A pointer to the place's first byte, in C. */
  at(place: Place): string;
  /** A pointer to the operation's scratch. */
  scratch: string;
  /** Where 4-bit weights go that other code may read; null keeps them private. */
  publish: ((weights: Uint8Array) => string) | null;
}

type Levels = Omit<Quantizer, 'bits'>;
type Of<V extends Operation['verb']> = Extract<Operation, { verb: V }>;

/** Geometry and weights of a product. */
function productOf(operation: Of<'conv'> | Of<'gemm'>): { weights: WeightsShape; shape: ConvShape } {
  if (operation.verb === 'conv') return { weights: operation.values[2], shape: operation.values[3] };
  const [, , weights, m] = operation.values;
  return { weights, shape: matrixShape(weights, m) };
}

/** Bytes that an operation needs for itself. */
export function scratchOf(operation: Operation): number {
  if (operation.verb !== 'conv' && operation.verb !== 'gemm') return 0;
  const { weights, shape } = productOf(operation);
  return scratchBytes(weights, kindOf(weights, shape));
}

/** The operation as statements of C. */
export function statementOf(operation: Operation, context: StatementContext): string {
  const { listing, at } = context;
  const call = (name: Parameters<Listing['use']>[0], ...values: (string | number)[]) =>
    `${listing.use(name)}(${values.join(', ')});`;
  const literal = (value: number) => floatLiteral(value, `node ${operation.node?.name}`);
  const levels = ({ scale, zeroPoint, low, high }: Levels) =>
    `&${listing.struct('quantizer', 'quantizer', `{${literal(scale)}, ${zeroPoint}, ${low}, ${high}}`)}`;
  switch (operation.verb) {
    case 'conv':
    case 'gemm':
      return product(operation, context);
    case 'quantize': {
      const [x, scale, zeroPoint, low, high, q] = operation.values;
      return call('quantize', at(x), x.length, levels({ scale, zeroPoint, low, high }), at(q as Place));
    }
    case 'dequantize': {
      const [q, scale, zero, x] = operation.values;
      return call('dequantize', at(q as Place), q.length, literal(scale), zero, at(x));
    }
    case 'quantizedAdd':
      return add(operation, context);
    case 'quantizedMaxPool': {
      const [x, shape, y] = operation.values;
      return call('max_pool', `&${listing.shape(shape)}`, at(x), at(y));
    }
    case 'quantizedGlobalAverage': {
      const [x, batch, channels, zero, multiplier, outZero, low, high, y] = operation.values;
      const pixels = x.length / (batch * channels);
      if (pixels > PIXEL_LIMIT)
        throw new SigmaQuantError(
          'UNSUPPORTED_MODEL',
          `Expected at most ${PIXEL_LIMIT} pixels for node ${operation.node?.name} but received ${pixels}.`,
        );
      const sizes = [batch, pixels, channels, zero];
      return call('global_average', at(x), ...sizes, literal(multiplier), outZero, low, high, at(y));
    }
    case 'lookup': {
      const [x, table, y] = operation.values;
      return call('lookup', at(x), listing.bytes('table', table), y.length, at(y));
    }
    case 'maxPool': {
      const [x, shape, y] = operation.values;
      return call('float_pool', `&${listing.shape(shape)}`, 0, 0, at(x), at(y));
    }
    case 'averagePool': {
      const [x, shape, whole, y] = operation.values;
      return call('float_pool', `&${listing.shape(shape)}`, 1, Number(whole), at(x), at(y));
    }
    case 'quantizedAveragePool': {
      const [from, to, { scale, zeroPoint, shape, countPadding, quantizer }] = operation.values;
      const window = `&${listing.shape(shape)}`;
      const whole = Number(countPadding);
      return call(
        'average_pool',
        window,
        whole,
        at(from),
        literal(scale),
        zeroPoint,
        levels(quantizer),
        at(to),
      );
    }
    case 'quantizeStrided': {
      const [from, to, { copy, quantizer }] = operation.values;
      return elements(copy, copy.shape.length, 1, (source, target) => {
        const value = `${listing.use('get_float')}(${at(from)}, ${source})`;
        return `${indexed(at(to))}[${target}] = ${listing.use('quantized')}(${value}, ${levels(quantizer)});`;
      });
    }
    case 'add': {
      const [a, b, low, high, y] = operation.values;
      return call('add_floats', at(a), at(b), bound(low), bound(high), y.length, at(y));
    }
    case 'clamp': {
      const [x, low, high, y] = operation.values;
      return call('clamp', at(x), bound(low), bound(high), y.length, at(y));
    }
    case 'fill':
      return fill(operation, context);
    case 'copyStrided': {
      const [from, to, copy] = operation.values;
      return copies(at(from), at(to), copy, to.BYTES_PER_ELEMENT);
    }
    default:
      throw new SigmaQuantError('INTERNAL', `Expected a kernel that C has but received ${operation.verb}.`);
  }
}

/** An end of a range, which may be infinite. */
function bound(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return 'HUGE_VALF';
  if (value === Number.NEGATIVE_INFINITY) return '-HUGE_VALF';
  return floatLiteral(value, 'a clamp');
}

function product(operation: Of<'conv'> | Of<'gemm'>, context: StatementContext): string {
  const { listing, packing, at, scratch, publish } = context;
  const { weights, shape } = productOf(operation);
  const [x, packed, , , zero, bias, multipliers, outZero, low, high, y] = operation.values;
  const kind = kindOf(weights, shape);
  const byTap = isByTap(packing, kind, weights.bits);
  const bytes = packedWeights(Int8Array.from(packed), weights, byTap);
  const name = weights.bits === 4 && publish ? publish(bytes) : listing.bytes('weights', bytes);
  const isFloat = y instanceof Float32Array;
  const fields = [
    name,
    listing.ints('bias', bias!),
    listing.floats('multipliers', multipliers!, `a multiplier of node ${operation.node?.name}`),
    listing.shapeFields(shape),
    weights.bits,
    tileOf(weights, kind),
    Number(byTap),
    Number(isFloat),
    zero,
    ...(isFloat ? [0, 0, 0] : [outZero, low, high]),
  ];
  const layer = listing.struct('layer', 'layer', `{${fields.join(', ')}}`);
  return `${listing.use(kind)}(&${layer}, ${at(x as Place)}, ${at(y as Place)}, ${scratch});`;
}

function add({ values, node }: Of<'quantizedAdd'>, { listing, at }: StatementContext): string {
  const [a, scaleA, zeroA, b, scaleB, zeroB, scaleOut, outZero, low, high, y] = values;
  const how = additionOf(scaleA, zeroA, scaleB, zeroB, scaleOut, outZero);
  const floats = [how.ra, how.rb, how.fixed].map((value) => floatLiteral(value, `node ${node?.name}`));
  const fields = [...floats, how.a, how.b, how.offset, how.margin, how.shift];
  const name = listing.struct('addition', 'addition', `{${fields.join(', ')}}`);
  return `${listing.use('add_quantized')}(&${name}, ${at(a)}, ${at(b)}, ${low}, ${high}, ${y.length}, ${at(y)});`;
}

function fill({ values: [value, to] }: Of<'fill'>, { at }: StatementContext): string {
  if (to instanceof Uint8Array) return `memset(${at(to)}, ${value[0]}, ${to.length});`;
  return loops([to.length], ([i]) => `memcpy(${at(to)} + 4 * ${i}, ${at(value)}, 4);`);
}

const INDICES = ['i', 'j', 'k', 'l', 'm', 'n'];

/** Nested loops; a row that is contiguous on both sides is one memcpy. */
function copies(from: string, to: string, copy: StridedCopy, size: number): string {
  const inner = copy.shape.length - 1;
  const rows = inner >= 0 && copy.fromStrides[inner] === 1 && copy.toStrides[inner] === 1;
  const length = (rows ? copy.shape[inner] : 1) * size;
  return elements(copy, rows ? inner : inner + 1, size, (source, target) =>
    length === 1
      ? `${indexed(to)}[${target}] = ${indexed(from)}[${source}];`
      : `memcpy(${to} + (${target}), ${from} + (${source}), ${length});`,
  );
}

/** Loops over the outer axes of a copy; `body` makes a statement of the two indices, which count `size` each. */
function elements(
  { shape, fromOffset, fromStrides, toOffset, toStrides }: StridedCopy,
  outer: number,
  size: number,
  body: (source: string, target: string) => string,
): string {
  if (outer > INDICES.length)
    throw new SigmaQuantError(
      'UNSUPPORTED_MODEL',
      `Expected copies of at most ${INDICES.length} dimensions but received ${outer}.`,
    );
  const index = (offset: number, strides: readonly number[], indices: readonly string[]) => {
    const terms = indices.map((name, axis) => {
      const stride = strides[axis] * size;
      return stride === 1 ? name : `${stride} * ${name}`;
    });
    return [...(offset === 0 && terms.length > 0 ? [] : [offset * size]), ...terms].join(' + ');
  };
  return loops(shape.slice(0, outer), (indices) =>
    body(index(fromOffset, fromStrides, indices), index(toOffset, toStrides, indices)),
  );
}

/** A pointer before its brackets. */
function indexed(pointer: string): string {
  return /^\w+$/.test(pointer) ? pointer : `(${pointer})`;
}

function loops(lengths: readonly number[], body: (indices: readonly string[]) => string): string {
  const indices = INDICES.slice(0, lengths.length);
  if (lengths.length === 0) return body(indices);
  const heads = indices.map((index, i) => `for (${index} = 0; ${index} < ${lengths[i]}; ${index}++)`);
  const nested = heads.map((head, depth) => `${'    '.repeat(depth + 2)}${head}`);
  const statement = `${'    '.repeat(heads.length + 2)}${body(indices)}`;
  return ['{', `        int32_t ${indices.join(', ')};`, '', ...nested, statement, '    }'].join('\n');
}
