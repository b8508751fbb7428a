import type { ConvShape } from '../../kernels/kernels.ts';
import { floatLiteral, intLiteral } from './names.ts';
import { type PieceName, runtimeText } from './runtime/index.ts';

/** What a line of numbers may fill. */
const LINE = 116;

const SHAPE_FIELDS = [
  'batch',
  'inHeight',
  'inWidth',
  'inChannels',
  'outHeight',
  'outWidth',
  'outChannels',
  'kernelHeight',
  'kernelWidth',
  'strideHeight',
  'strideWidth',
  'dilationHeight',
  'dilationWidth',
  'padTop',
  'padLeft',
  'groups',
] as const;

const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** Collects the constants and the functions that statements need, each once. */
export class Listing {
  readonly #definitions: string[] = [];
  readonly #names = new Map<string, string>();
  readonly #counts = new Map<string, number>();
  readonly #pieces = new Set<PieceName>();
  #widest = 0;
  /** Bytes of weights, biases, multipliers and tables. */
  constantBytes = 0;

  /** The name of a function of the runtime, which will be written. */
  use(piece: PieceName): string {
    this.#pieces.add(piece);
    return piece;
  }

  bytes(stem: string, values: Uint8Array): string {
    return this.#array('uint8_t', stem, values, String);
  }

  ints(stem: string, values: Int32Array): string {
    return this.#array('int32_t', stem, values, intLiteral);
  }

  floats(stem: string, values: Float32Array, what: string): string {
    return this.#array('float', stem, values, (value) => floatLiteral(value, what));
  }

  /** An array that other files may read, under its own name. */
  publicBytes(name: string, values: Uint8Array): void {
    this.constantBytes += values.byteLength;
    this.#definitions.push(`const uint8_t ${name}[${values.length}] = ${list([...values].map(String))};`);
  }

  shape(shape: ConvShape): string {
    return this.struct('shape', 'shape', this.shapeFields(shape));
  }

  /** The fields of a shape between braces. */
  shapeFields(shape: ConvShape): string {
    const values = SHAPE_FIELDS.map((field) => shape[field]);
    this.#widest = Math.max(this.#widest, ...values.map(Math.abs));
    return `{${values.join(', ')}}`;
  }

  struct(type: string, stem: string, fields: string): string {
    return this.#define(stem, (name) => `static const ${type} ${name} = ${fields};`);
  }

  /** Types, constants and functions. */
  text(): string {
    const dim = this.#widest <= 32767 ? 'int16_t' : 'int32_t';
    const types = [
      `typedef ${dim} dim;`,
      `typedef struct {\n    dim ${SHAPE_FIELDS.map(snake).join(', ')};\n} shape;`,
      `typedef struct {
    const uint8_t *weights;
    const int32_t *bias;
    const float *multipliers;
    shape shape;
    uint8_t bits, tile, by_tap, is_float, zero, out_zero, low, high;
} layer;`,
      `typedef struct {
    float ra, rb, fixed;
    int32_t a, b, offset;
    uint32_t margin, shift;
} addition;`,
      `typedef struct {\n    float scale;\n    uint8_t zero, low, high;\n} quantizer;`,
    ];
    return [...types, ...this.#definitions, runtimeText(this.#pieces)].filter(Boolean).join('\n\n');
  }

  #array<T extends Uint8Array | Int32Array | Float32Array>(
    type: string,
    stem: string,
    values: T,
    literal: (value: number) => string,
  ): string {
    const before = this.#names.size;
    const text = list(Array.from(values, literal));
    const name = this.#define(
      stem,
      (name) => `static const ${type} ${name}[${values.length}] = ${text};`,
      `${type} ${text}`,
    );
    if (this.#names.size > before) this.constantBytes += values.byteLength;
    return name;
  }

  #define(stem: string, definition: (name: string) => string, key = `${stem} ${definition('')}`): string {
    let name = this.#names.get(key);
    if (!name) {
      const count = this.#counts.get(stem) ?? 0;
      this.#counts.set(stem, count + 1);
      name = `${stem}_${count}`;
      this.#names.set(key, name);
      this.#definitions.push(definition(name));
    }
    return name;
  }
}

/** Numbers between braces, in lines. */
function list(numbers: readonly string[]): string {
  const lines: string[] = [];
  let line = '   ';
  for (const number of numbers) {
    if (line.length + number.length + 2 > LINE) {
      lines.push(line);
      line = '   ';
    }
    line += ` ${number},`;
  }
  return `{\n${[...lines, line].join('\n')}\n}`;
}
