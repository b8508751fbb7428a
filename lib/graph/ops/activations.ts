import type { Node } from '../graph.ts';
import { map, roundEven, type Unary } from './elementwise.ts';
import { need, number, type Operator, sameAsFirst, text } from './operator.ts';

function unary(f: (node: Node) => Unary): Operator {
  return {
    layout: 'elementwise',
    infer: sameAsFirst,
    evaluate: (node, inputs) => [map(need(node, inputs, 0), f(node))],
  };
}

function simple(f: Unary): Operator {
  return unary(() => f);
}

const sigmoid: Unary = (x) => 1 / (1 + Math.exp(-x));
/** ln(1 + eˣ) without overflow. */
const softplus: Unary = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

/** Abramowitz and Stegun 7.1.26 is too coarse for float32: the series and the continued fraction are exact to it. */
function erf(x: number): number {
  const a = Math.abs(x);
  if (a > 6) return Math.sign(x);
  if (a < 2.5) {
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / (Math.sqrt(Math.PI) * (a + fraction)));
}

const gelu = (node: Node): Unary =>
  text(node, 'approximate', 'none') === 'tanh'
    ? (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))
    : (x) => 0.5 * x * (1 + erf(x / Math.SQRT2));

/** Constants of SELU (Klambauer and others, 2017), as ONNX rounds them. */
const SELU_ALPHA = 1.6732631921768188;
const SELU_GAMMA = 1.0507010221481323;

function hardSigmoid(node: Node, alpha: number): Unary {
  const [slope, shift] = [number(node, 'alpha', alpha), number(node, 'beta', 0.5)];
  return (x) => Math.min(1, Math.max(0, slope * x + shift));
}

/** Operators that treat every element by itself. */
export const ACTIVATIONS: Readonly<Record<string, Operator>> = {
  Abs: simple(Math.abs),
  Acos: simple(Math.acos),
  Acosh: simple(Math.acosh),
  Asin: simple(Math.asin),
  Asinh: simple(Math.asinh),
  Atan: simple(Math.atan),
  Atanh: simple(Math.atanh),
  Ceil: simple(Math.ceil),
  Cos: simple(Math.cos),
  Cosh: simple(Math.cosh),
  Erf: simple(erf),
  Exp: simple(Math.exp),
  Floor: simple(Math.floor),
  Log: simple(Math.log),
  Mish: simple((x) => x * Math.tanh(softplus(x))),
  Neg: simple((x) => -x),
  Not: simple((x) => (x ? 0 : 1)),
  Reciprocal: simple((x) => 1 / x),
  Relu: simple((x) => Math.max(x, 0)),
  Round: simple(roundEven),
  Sigmoid: simple(sigmoid),
  Sign: simple(Math.sign),
  Sin: simple(Math.sin),
  Sinh: simple(Math.sinh),
  Softplus: simple(softplus),
  Softsign: simple((x) => x / (1 + Math.abs(x))),
  Sqrt: simple(Math.sqrt),
  Tan: simple(Math.tan),
  Tanh: simple(Math.tanh),
  Celu: unary((node) => {
    const alpha = number(node, 'alpha', 1);
    return (x) => Math.max(0, x) + Math.min(0, alpha * Math.expm1(x / alpha));
  }),
  Elu: unary((node) => {
    const alpha = number(node, 'alpha', 1);
    return (x) => (x < 0 ? alpha * Math.expm1(x) : x);
  }),
  Gelu: unary(gelu),
  HardSigmoid: unary((node) => hardSigmoid(node, 0.2)),
  HardSwish: unary(() => (x) => x * Math.min(1, Math.max(0, x / 6 + 0.5))),
  LeakyRelu: unary((node) => {
    const alpha = number(node, 'alpha', 0.01);
    return (x) => (x < 0 ? alpha * x : x);
  }),
  Selu: unary((node) => {
    const [alpha, gamma] = [number(node, 'alpha', SELU_ALPHA), number(node, 'gamma', SELU_GAMMA)];
    return (x) => gamma * (x > 0 ? x : alpha * Math.expm1(x));
  }),
  Shrink: unary((node) => {
    const [lambd, bias] = [number(node, 'lambd', 0.5), number(node, 'bias', 0)];
    return (x) => (x < -lambd ? x + bias : x > lambd ? x - bias : 0);
  }),
  Swish: unary((node) => {
    const alpha = number(node, 'alpha', 1);
    return (x) => x * sigmoid(alpha * x);
  }),
  ThresholdedRelu: unary((node) => {
    const alpha = number(node, 'alpha', 1);
    return (x) => (x > alpha ? x : 0);
  }),
};
