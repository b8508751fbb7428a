import assert from 'node:assert/strict';
import type { SigmaQuantError } from '../lib/errors.ts';
import { checked, createKernels, type Kernels } from '../lib/kernels/index.ts';
import { nativeIsas } from '../lib/kernels/native.ts';
import { convShape, weightsOf } from './contract/shapes.ts';

type Verb = keyof Kernels;
type Typed = Uint8Array | Int8Array | Int32Array | Float32Array | Float64Array;
const BACKENDS = ['native', 'wasm', 'reference'] as const;

const SHAPE = convShape({ batch: 1, inChannels: 4, outChannels: 5 });
const WEIGHTS = weightsOf(SHAPE, 4);
const MATRIX = { outChannels: 3, taps: 1, channels: 8, groups: 1, bits: 5 };
const POOL = { ...SHAPE, outChannels: SHAPE.inChannels };
const INPUTS = SHAPE.inHeight * SHAPE.inWidth * SHAPE.inChannels;
const OUTPUTS = SHAPE.outHeight * SHAPE.outWidth * SHAPE.outChannels;
const POOLED = SHAPE.outHeight * SHAPE.outWidth * SHAPE.inChannels;
const DEPTH = WEIGHTS.taps * WEIGHTS.channels;

/** One call of every verb that is right in all its arguments. */
function rightCalls(k: Kernels): [Verb, unknown[]][] {
  const f32 = (n: number) => new Float32Array(n).fill(1);
  const f64 = (n: number) => new Float64Array(n).fill(1);
  const [u8, i8] = [(n: number) => new Uint8Array(n), (n: number) => new Int8Array(n)];
  const i32 = (n: number) => new Int32Array(n);
  return [
    ['quantize', [f32(9), 0.5, 3, 0, 255, u8(9)]],
    ['quantizeChannels', [f32(12), f32(3), i32(3), 2, -128, 127, i8(12)]],
    ['dequantize', [u8(9), 0.5, 3, f32(9)]],
    ['dequantizeChannels', [i8(12), f32(3), i32(3), 2, f32(12)]],
    ['pack', [i8(9), 8, u8(9)]],
    ['unpack', [u8(9), 8, i8(9)]],
    ['weightsSize', [WEIGHTS]],
    ['packWeights', [i8(5 * DEPTH), WEIGHTS, u8(k.weightsSize(WEIGHTS))]],
    ['gemm', [u8(16), u8(k.weightsSize(MATRIX)), MATRIX, 2, 7, i32(3), f32(3), 1, 0, 255, u8(6)]],
    [
      'conv',
      [i8(INPUTS), u8(k.weightsSize(WEIGHTS)), WEIGHTS, SHAPE, 7, i32(5), f32(5), 1, 0, 255, f32(OUTPUTS)],
    ],
    ['floatWeightsSize', [WEIGHTS]],
    ['packFloatWeights', [f32(5 * DEPTH), WEIGHTS, u8(k.floatWeightsSize(WEIGHTS))]],
    ['floatGemm', [f32(16), u8(k.floatWeightsSize(MATRIX)), MATRIX, 2, f32(3), -1, 1, f32(6)]],
    [
      'floatConv',
      [f32(INPUTS), u8(k.floatWeightsSize(WEIGHTS)), WEIGHTS, SHAPE, f32(5), -1, 1, f32(OUTPUTS)],
    ],
    ['floatConvGradient', [f32(INPUTS), f32(OUTPUTS), SHAPE, f32(5 * DEPTH)]],
    ['sumChannels', [f32(12), f32(12), 3, f64(6)]],
    ['affineChannels', [f32(12), f32(3), f32(3), -1, 1, f32(12)]],
    ['combineChannels', [f32(12), f32(12), f32(3), f32(3), f32(3), f32(12)]],
    ['clampGradient', [f32(9), f32(9), -1, 1, f32(9)]],
    ['quantizeGradient', [f32(9), f32(9), 0.1, 3, 0, 255, f32(9)]],
    ['add', [f32(9), f32(9), -1, 1, f32(9)]],
    ['clamp', [f32(9), -1, 1, f32(9)]],
    ['quantizedAdd', [u8(9), 0.1, 3, u8(9), 0.2, 4, 0.3, 5, 0, 255, u8(9)]],
    ['maxPool', [f32(INPUTS), POOL, f32(POOLED)]],
    ['quantizedMaxPool', [u8(INPUTS), POOL, u8(POOLED)]],
    ['averagePool', [f32(INPUTS), POOL, true, f32(POOLED)]],
    ['quantizedGlobalAverage', [u8(24), 2, 3, 7, 0.1, 3, 0, 255, u8(6)]],
    ['lookup', [u8(9), u8(256), u8(9)]],
    ['copyPlane', [f32(12), f32(12), 3, 4, 0, 4, 1, 0, 1, 3]],
    ['moments', [f32(9), f64(6)]],
    ['histogram', [f32(9), 0, 1, f64(5)]],
    ['divergence', [f64(5), f64(5), 0.5]],
    ['squaredError', [f32(9), f32(9)]],
    ['quantizeError', [f32(9), f32(9), 0.1, 3, 0, 255]],
    ['gram', [f32(INPUTS), SHAPE, 0, 1, f64(DEPTH * DEPTH)]],
    ['roundWithHessian', [f64(12), f32(3), f64(16), 0, 3, -8, 7, i8(12)]],
    ['peak', [4, 16]],
    ['read', [i32(9)]],
    ['copy', [f32(9), f32(9), false]],
  ];
}

/** Arguments whose length is free, or whose absence says something. */
const ANY_LENGTH = new Set(['moments 0', 'histogram 0', 'histogram 3', 'read 0']);
const AT_LEAST = new Set([
  'packWeights 2',
  'gemm 1',
  'conv 1',
  'packFloatWeights 2',
  'floatGemm 1',
  'floatConv 1',
  'copyPlane 0',
  'copyPlane 1',
]);
const OPTIONAL = new Set(['gemm 5', 'conv 5', 'floatGemm 4', 'floatConv 4', 'quantizeError 1']);

const like = (array: Typed, buffer: ArrayBufferLike, offset: number, length: number) =>
  new (array.constructor as new (b: ArrayBufferLike, o: number, n: number) => Typed)(buffer, offset, length);

function detached(array: Typed): Typed {
  const copy = array.slice();
  structuredClone(copy, { transfer: [copy.buffer as ArrayBuffer] });
  return copy;
}

/** A view of a buffer that then shrank under it. */
function shrunk(array: Typed): Typed {
  const Resizable = ArrayBuffer as unknown as new (
    n: number,
    options: object,
  ) => ArrayBuffer & { resize(n: number): void };
  const buffer = new Resizable(array.byteLength, { maxByteLength: array.byteLength });
  const view = like(array, buffer, 0, array.length);
  buffer.resize(0);
  return view;
}

const call = (k: Kernels, verb: Verb, values: unknown[]) =>
  (k[verb] as (...all: unknown[]) => unknown)(...values);
const replaced = (values: unknown[], at: number, value: unknown) =>
  values.map((old, i) => (i === at ? value : old));

function refused(k: Kernels, verb: Verb, values: unknown[], what: string): void {
  assert.throws(
    () => call(k, verb, values),
    (error) => isOurs(error) && error.code === 'INVALID_ARGUMENT',
    `${verb}: ${what} was not refused`,
  );
}

/** By its name, not its class: a lazily imported backend may bring a second copy of the class with it. */
const isOurs = (error: unknown): error is SigmaQuantError =>
  (error as Error).name === 'SigmaQuantError' && /^Expected/.test((error as Error).message);

/** Any answer but a crash or an error of another kind. */
function survived(k: Kernels, verb: Verb, values: unknown[], what: string): void {
  try {
    call(k, verb, values);
  } catch (error) {
    if (!isOurs(error)) assert.fail(`${verb}: ${what} gave ${error}`);
  }
}

describe('bad input to kernels', () => {
  for (const backend of BACKENDS)
    describe(backend, () => {
      let k: Kernels;
      let calls: [Verb, unknown[]][];
      before(async function () {
        if (backend === 'native' && nativeIsas().length === 0) return this.skip();
        k = checked(await createKernels({ backend }));
        calls = rightCalls(k);
      });
      after(() => k?.dispose());

      it('right calls of every verb are served', () => {
        const verbs = Object.keys(k).filter((name) => typeof k[name as Verb] === 'function');
        const known = calls.map(([verb]) => verb as string);
        assert.deepEqual(
          verbs.filter((name) => !known.includes(name) && name !== 'dispose'),
          [],
        );
        for (const [verb, values] of calls) assert.doesNotThrow(() => call(k, verb, values), verb);
      });

      it('arrays of another type, length or buffer are refused', () => {
        for (const [verb, values] of calls)
          for (const [at, value] of values.entries()) {
            if (!ArrayBuffer.isView(value)) continue;
            const [array, where] = [value as Typed, `${verb} ${at}`];
            const refuse = (bad: unknown, what: string) =>
              refused(k, verb, replaced(values, at, bad), `${what} as argument ${at}`);
            refuse(new Uint16Array(array.length), 'a Uint16Array');
            refuse(new DataView(new ArrayBuffer(array.length)), 'a DataView');
            refuse(Array.from(array), 'a plain array');
            refuse(undefined, 'undefined');
            refuse(array.length, 'a number');
            if (!OPTIONAL.has(where)) refuse(null, 'null');
            if (ANY_LENGTH.has(where)) continue;
            refuse(detached(array), 'a detached array');
            refuse(shrunk(array), 'an array whose buffer shrank');
            refuse(array.subarray(1), 'too short an array');
            if (!AT_LEAST.has(where))
              refuse(
                like(array, new ArrayBuffer(array.byteLength * 2), 0, array.length + 1),
                'too long an array',
              );
          }
      });

      it('shapes with fields that are no sizes are refused', () => {
        for (const [verb, values] of calls)
          for (const [at, value] of values.entries()) {
            if (ArrayBuffer.isView(value) || typeof value !== 'object' || value === null) continue;
            for (const field of Object.keys(value))
              for (const bad of [
                -1,
                1.5,
                Number.NaN,
                Number.POSITIVE_INFINITY,
                2 ** 31,
                2 ** 32 + 1,
                2 ** 53,
                '3',
                null,
              ]) {
                const shape = { ...value, [field]: bad };
                refused(k, verb, replaced(values, at, shape), `${field} ${bad}`);
              }
          }
      });

      it('shapes whose extents or products overflow are refused, or served where nothing does', () => {
        const large = 2 ** 31 - 1;
        for (const [verb, values] of calls)
          for (const [at, value] of values.entries()) {
            if (ArrayBuffer.isView(value) || typeof value !== 'object' || value === null) continue;
            const fields = Object.keys(value);
            for (const field of fields)
              for (const size of [0, large, 2 ** 30, 4096])
                survived(k, verb, replaced(values, at, { ...value, [field]: size }), `${field} ${size}`);
          }
        const far = { strideHeight: large, strideWidth: large, dilationHeight: large, dilationWidth: large };
        const padded = { ...far, padTop: large, padLeft: large };
        for (const extents of [
          far,
          padded,
          { dilationHeight: large },
          { strideWidth: large },
          { padTop: large },
        ])
          for (const [verb, values] of calls)
            for (const [at, value] of values.entries())
              if (value === SHAPE || value === POOL)
                survived(k, verb, replaced(values, at, { ...value, ...extents }), JSON.stringify(extents));
      });

      it('numbers that are none are refused, or served where any will do', () => {
        for (const [verb, values] of calls)
          for (const [at, value] of values.entries()) {
            if (typeof value !== 'number') continue;
            for (const bad of [
              Number.NaN,
              Number.POSITIVE_INFINITY,
              Number.NEGATIVE_INFINITY,
              2 ** 31,
              -(2 ** 31),
              2 ** 53,
              1e-320,
              -1,
            ])
              survived(k, verb, replaced(values, at, bad), `${bad} as argument ${at}`);
          }
        for (const bits of [0, 1, 9, 2.5, Number.NaN, -8, 32]) {
          refused(k, 'pack', [new Int8Array(8), bits, new Uint8Array(8)], `${bits} bits`);
          refused(k, 'unpack', [new Uint8Array(8), bits, new Int8Array(8)], `${bits} bits`);
          refused(k, 'weightsSize', [{ ...WEIGHTS, bits }], `${bits} bits`);
        }
      });

      it('zero points per channel are as those of a tensor', () => {
        for (const zero of [-129, 256, 2 ** 31 - 1, -(2 ** 31)]) {
          const zeros = new Int32Array([0, zero, 0]);
          refused(
            k,
            'quantizeChannels',
            [new Float32Array(6), new Float32Array(3).fill(1), zeros, 2, 0, 255, new Uint8Array(6)],
            `zero point ${zero}`,
          );
          refused(
            k,
            'dequantizeChannels',
            [new Uint8Array(6), new Float32Array(3).fill(1), zeros, 2, new Float32Array(6)],
            `zero point ${zero}`,
          );
        }
      });

      it('planes of two types and planes that leave their array are refused', () => {
        const plane = (a: Typed, out: Typed, ...where: number[]) => [a, out, 3, 4, ...where];
        const [u8, i8] = [new Uint8Array(12), new Int8Array(12)];
        refused(k, 'copyPlane', plane(u8, i8, 0, 4, 1, 0, 4, 1), 'bytes to signed bytes');
        refused(k, 'copyPlane', plane(i8, u8, 0, 4, 1, 0, 4, 1), 'signed bytes to bytes');
        refused(k, 'copyPlane', plane(i8, i8.slice(), 0, -4, 1, 0, 4, 1), 'rows before the first element');
        refused(k, 'copyPlane', plane(u8, u8.slice(), 0, 4, 1, 1, 4, 1), 'columns after the last element');
      });

      // Elsewhere addresses have 64 bits, and how much memory there is depends on the machine.
      if (backend === 'wasm')
        it('windows that need more scratch than there are addresses are refused, and what follows is served', () => {
          const far = { dilationHeight: 6000, dilationWidth: 6000, outHeight: 1, outWidth: 1 };
          const shape = { ...SHAPE, ...far, outChannels: 4, groups: 4 };
          const weights = weightsOf(shape, 8);
          const [packed, floats] = [k.weightsSize(weights), k.floatWeightsSize(weights)].map(
            (size) => new Uint8Array(size),
          );
          const out = new Float32Array(4);
          const integers = [
            new Uint8Array(INPUTS),
            packed,
            weights,
            shape,
            0,
            null,
            out.slice(),
            0,
            0,
            0,
            out,
          ];
          const reals = [new Float32Array(INPUTS), floats, weights, shape, null, -1, 1, out];
          for (const [verb, values] of [
            ['conv', integers],
            ['floatConv', reals],
          ] as const)
            for (let again = 0; again < 2; again++)
              assert.throws(() => call(k, verb, values), { code: 'OUT_OF_MEMORY' }, verb);
          for (const [verb, values] of calls) assert.doesNotThrow(() => call(k, verb, values), verb);
        });

      it('nothing is served as nothing', () => {
        const [f32, u8, f64] = [new Float32Array(0), new Uint8Array(0), new Float64Array(6)];
        k.quantize(f32, 1, 0, 0, 255, u8);
        k.dequantize(u8, 1, 0, f32);
        k.pack(u8, 3, u8);
        k.unpack(u8, 3, u8);
        k.add(f32, f32, 0, 1, f32);
        k.clamp(f32, 0, 1, f32);
        k.lookup(u8, new Uint8Array(256), u8);
        k.moments(f32, f64);
        assert.deepEqual([...f64], [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, 0, 0, 0]);
        assert.equal(k.squaredError(f32, f32), 0);
        assert.equal(k.quantizeError(f32, null, 1, 0, 0, 255), 0);
        const counts = new Float64Array(3);
        k.histogram(f32, 0, 1, counts);
        assert.deepEqual([...counts], [0, 0, 0]);
        k.gemm(
          u8,
          new Uint8Array(k.weightsSize(MATRIX)),
          MATRIX,
          0,
          0,
          null,
          null,
          0,
          0,
          0,
          new Int32Array(0),
        );
        const none = { ...MATRIX, outChannels: 0 };
        assert.equal(k.weightsSize(none), 0);
        k.gemm(new Uint8Array(16), u8, none, 2, 0, null, null, 0, 0, 0, new Int32Array(0));
        k.floatGemm(new Float32Array(16), u8, none, 2, null, 0, 1, f32);
        k.conv(
          u8,
          new Uint8Array(k.weightsSize(WEIGHTS)),
          WEIGHTS,
          { ...SHAPE, batch: 0 },
          0,
          null,
          null,
          0,
          0,
          0,
          new Int32Array(0),
        );
        k.gram(f32, { ...SHAPE, batch: 0 }, 0, 1, new Float64Array(DEPTH * DEPTH));
      });

      it('shared, resizable and odd places give what others give', () => {
        const expected = rightCalls(k).map(([verb, values]) => outcome(verb, values));
        const Resizable = ArrayBuffer as unknown as new (n: number, options: object) => ArrayBuffer;
        const places: [string, (array: Typed) => Typed][] = [
          ['shared', (a) => like(a, new SharedArrayBuffer(a.byteLength), 0, a.length)],
          [
            'resizable',
            (a) => like(a, new Resizable(a.byteLength, { maxByteLength: 4 * a.byteLength + 4 }), 0, a.length),
          ],
          [
            'odd',
            (a) =>
              like(a, new ArrayBuffer(a.byteLength + a.BYTES_PER_ELEMENT), a.BYTES_PER_ELEMENT, a.length),
          ],
        ];
        for (const [name, place] of places)
          for (const [i, [verb, values]] of rightCalls(k).entries()) {
            const moved = values.map((value) => {
              if (!ArrayBuffer.isView(value)) return value;
              const copy = place(value as Typed);
              copy.set(value as Float64Array);
              return copy;
            });
            assert.deepEqual(outcome(verb, moved), expected[i], `${verb} from ${name} buffers`);
          }
        function outcome(verb: Verb, values: unknown[]) {
          const result = call(k, verb, values);
          return [
            result,
            ...values
              .filter((value) => ArrayBuffer.isView(value))
              .map((value) => Array.from(value as Float64Array)),
          ];
        }
      });
    });

  it('instruction sets that the processor lacks and names that nobody knows are refused', async () => {
    for (const isa of ['neon', 'i8mm', 'avx512vnni', 'avxvnni', 'avx9', '', 'scalar\0'] as const) {
      if ((nativeIsas() as string[]).includes(isa)) continue;
      await assert.rejects(
        createKernels({ backend: 'native', isa: isa as never }),
        (error) => isOurs(error) && ['BACKEND_UNAVAILABLE', 'INVALID_ARGUMENT'].includes(error.code),
        `"${isa}"`,
      );
    }
  });

  it('more threads than cores are served, more than 256 refused', async function () {
    if (nativeIsas().length === 0) return this.skip();
    const x = new Float32Array(4096).fill(0.5);
    for (const threads of [64, 256]) {
      const k = checked(await createKernels({ backend: 'native', threads }));
      const weights = { outChannels: 512, taps: 1, channels: 64, groups: 1, bits: 8 };
      const packed = new Uint8Array(k.floatWeightsSize(weights));
      k.packFloatWeights(new Float32Array(512 * 64).fill(0.25), weights, packed);
      const out = new Float32Array(64 * 512);
      k.floatGemm(x, packed, weights, 64, null, -100, 100, out);
      assert.ok(out.every((value) => value === 8));
      k.dispose();
    }
    for (const threads of [257, -1, 1.5, Number.NaN])
      await assert.rejects(createKernels({ threads }), { code: 'INVALID_ARGUMENT' });
  });
});
