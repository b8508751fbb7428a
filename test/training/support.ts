import assert from 'node:assert/strict';
import type { SigmaQuantError } from '../../lib/errors.ts';
import type { Attribute, Graph, Node, Tensor } from '../../lib/graph/graph.ts';
import { evaluateNode, sizeOf } from '../../lib/graph/index.ts';
import { createKernels, type Kernels } from '../../lib/kernels/index.ts';
import { type NormState, type Parameter, parameter, tapeOf } from '../../lib/training/index.ts';
import { random } from '../contract/support.ts';

/** Some nodes whose last one makes `y`, with what they read. Channels-last. */
export interface Subject {
  nodes: readonly Node[];
  /** Shapes of what is fed, batch first; the gradient by each is checked. */
  inputs: Readonly<Record<string, readonly number[]>>;
  /** Shapes of constants that are learned; the gradient by each is checked. */
  learned?: Readonly<Record<string, readonly number[]>>;
  /** Constants that keep their value. */
  frozen?: Readonly<Record<string, Tensor>>;
  /** Normalizations by the statistics of the batch. */
  norms?: readonly string[];
  /** What numbers a tensor consists of; uniform in (-1, 1) by default. */
  fill?: (next: () => number, name: string, shape: readonly number[]) => () => number;
}

const FORM = { opset: 17, layout: 'channels-last' } as const;
/** Half the distance of a central difference. In float64 its error is far below float32's. */
const STEP = 1e-5;
/** Outputs nearer than this to a limit of a clamp have no slope to speak of. */
const KINK = 1e-3;
/** Of float32 gradients against float64 ones, relative to the tensor's largest. */
const TOLERANCE = 1e-5;

/** On every backend that runs here. */
export function onEveryBackend(tests: (kernels: () => Kernels) => void): void {
  for (const backend of ['reference', 'native', 'wasm'] as const)
    describe(backend, () => {
      let kernels: Kernels;
      before(async function () {
        try {
          kernels = await createKernels({ backend });
        } catch (error) {
          if ((error as SigmaQuantError).code !== 'BACKEND_UNAVAILABLE') throw error;
          this.skip();
        }
      });
      after(() => kernels?.dispose());
      tests(() => kernels);
    });
}

export const noPause = async () => {};

export function node(
  op: string,
  inputs: readonly string[],
  attributes: Readonly<Record<string, Attribute>> = {},
  output = 'y',
): Node {
  return { name: `${op}.${output}`, op, inputs, outputs: [output], attributes };
}

export const int64 = (...values: number[]): Tensor => ({
  dtype: 'int64',
  shape: [values.length],
  data: BigInt64Array.from(values, BigInt),
});

export const floatTensor = (shape: readonly number[], data: Float32Array): Tensor => ({
  dtype: 'float32',
  shape,
  data,
});

/** The graph of these nodes; what is fed passes an Identity, whose output's gradient can be watched. */
export function graphOf(
  nodes: readonly Node[],
  inputs: Readonly<Record<string, readonly number[]>>,
  constants: ReadonlyMap<string, Tensor>,
): Graph {
  const ports = Object.entries(inputs).map(([name, shape]) => ({
    name: `${name}.fed`,
    dtype: 'float32' as const,
    shape: ['batch', ...shape.slice(1)],
  }));
  const fed = Object.keys(inputs).map((name) => node('Identity', [`${name}.fed`], {}, name));
  return {
    name: 'subject',
    ...FORM,
    inputs: ports,
    outputs: [{ name: 'y', dtype: 'float32', shape: ['batch'] }],
    nodes: [...fed, ...nodes],
    constants,
    types: new Map(),
    rawSigma: new Map(),
  };
}

/** Numbers of every tensor by name: float32 numbers, for both sides. */
function numbersOf({ inputs, learned = {}, fill }: Subject): Map<string, Float32Array> {
  let seed = 1;
  return new Map(
    Object.entries({ ...inputs, ...learned }).map(([name, shape]) => {
      const next = random(seed++);
      const number = fill?.(next, name, shape) ?? (() => 2 * next() - 1);
      return [name, Float32Array.from({ length: sizeOf(shape) }, number)];
    }),
  );
}

interface Evaluated {
  y: Float64Array;
  /** Elements of y that lie at a limit of the last node's clamp. */
  atLimit: Set<number>;
}

/**
 * The nodes in float64 by the graph's own evaluation of operators, which shares nothing with the training rules;
 * clamps are applied here.
 */
function evaluate(subject: Subject, values: ReadonlyMap<string, Float64Array>): Evaluated {
  const { nodes, inputs, learned = {}, frozen = {}, norms = [] } = subject;
  const known = new Map<string, Tensor>(Object.entries(frozen));
  for (const [name, shape] of Object.entries({ ...inputs, ...learned }))
    known.set(name, { dtype: 'float64', shape, data: values.get(name)! });
  let atLimit = new Set<number>();
  for (const { attributes, ...rest } of nodes) {
    const { clamp, ...plain } = attributes;
    const mode: Node['attributes'] = norms.includes(rest.name) ? { training_mode: 1 } : {};
    const limits = (clamp as readonly number[]) ?? [rest.op === 'Relu' ? 0 : -Infinity, Infinity];
    const read = rest.inputs.map((name) => (name ? widened(known.get(name)!) : null));
    const [made] = ['Relu', 'Clip'].includes(rest.op)
      ? [read[0]!]
      : evaluateNode(FORM, { ...rest, attributes: { ...plain, ...mode } }, read);
    const raw = Float64Array.from(made.data as Float64Array);
    atLimit = new Set();
    raw.forEach((value, i) => {
      if (limits.some((limit) => Math.abs(value - limit) < KINK)) atLimit.add(i);
      raw[i] = Math.min(Math.max(value, limits[0]), limits[1]);
    });
    if (rest.outputs[0] !== 'y') assert.equal(atLimit.size, 0, `${rest.name} lies at a limit: other numbers`);
    known.set(rest.outputs[0], { ...made, data: raw });
  }
  return { y: known.get('y')!.data as Float64Array, atLimit };
}

const widened = (tensor: Tensor): Tensor =>
  tensor.dtype === 'float32'
    ? { dtype: 'float64', shape: tensor.shape, data: Float64Array.from(tensor.data as Float32Array) }
    : tensor;

const dot = (a: ArrayLike<number>, b: ArrayLike<number>) => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
};

/**
 * Backpropagates random numbers from y and compares every gradient with central differences of their product with
 * the output. Also compares the output itself.
 */
export async function checkGradients(kernels: Kernels, subject: Subject): Promise<void> {
  const { nodes, inputs, learned = {}, frozen = {}, norms = [] } = subject;
  const numbers = numbersOf(subject);
  const wide = new Map([...numbers].map(([name, data]) => [name, Float64Array.from(data)]));
  const constants = new Map(Object.entries(frozen));
  const parameters = new Map<string, Parameter>();
  for (const [name, shape] of Object.entries(learned)) {
    constants.set(name, floatTensor(shape, numbers.get(name)!));
    parameters.set(name, parameter(numbers.get(name)!.slice()));
  }
  const batch = Object.values(inputs)[0][0];
  const states = new Map<string, NormState>(norms.map((name) => [name, stateOf(nodes, name, constants)]));
  const tape = tapeOf(graphOf(nodes, inputs, constants), kernels, batch, {
    parameters,
    norms: states,
    outputs: ['y'],
    watch: Object.keys(inputs),
  });
  try {
    for (const name of Object.keys(inputs)) tape.input(`${name}.fed`).set(numbers.get(name)!);
    await tape.run('forward', noPause);
    const { y, atLimit } = evaluate(subject, wide);
    assert.ok(atLimit.size < y.length / 2, 'most of the output lies at a limit');
    closeTo(tape.output('y'), y, 'output');
    const next = random(99);
    const seed = Float32Array.from(y, (_, i) => (atLimit.has(i) ? 0 : 2 * next() - 1));
    tape.seed('y').set(seed);
    await tape.run('backward', noPause);
    for (const [name, data] of wide) {
      const actual = parameters.get(name)?.gradient ?? tape.watched(name);
      const expected = Float64Array.from(data, (value, i) => {
        const [more, less] = [value + STEP, value - STEP].map((moved) => {
          data[i] = moved;
          return dot(evaluate(subject, wide).y, seed);
        });
        data[i] = value;
        return (more - less) / (2 * STEP);
      });
      assert.ok(
        expected.some((value) => value !== 0),
        `${name} has no gradient: nothing is tested`,
      );
      closeTo(actual, expected, `gradient by ${name}`);
    }
  } finally {
    tape.dispose();
  }
}

function stateOf(nodes: readonly Node[], name: string, constants: ReadonlyMap<string, Tensor>): NormState {
  const { inputs } = nodes.find((one) => one.name === name)!;
  const [mean, variance] = inputs
    .slice(3)
    .map((constant) => Float32Array.from(constants.get(constant)!.data as Float32Array));
  return { mean, variance };
}

export function closeTo(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  what: string,
  tolerance = TOLERANCE,
): void {
  assert.equal(actual.length, expected.length, what);
  const largest = Array.from(expected).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  for (let i = 0; i < expected.length; i++)
    assert.ok(
      Math.abs(actual[i] - expected[i]) <= tolerance * largest,
      `${what} [${i}]: ${actual[i]} against ${expected[i]}, the largest is ${largest}`,
    );
}
