import { clampOf } from '../../engine/geometry.ts';
import type { Node } from '../../graph/graph.ts';
import { exp } from '../../kernels/math.ts';
import type { Backward, GradientRule, TapeBuilder } from '../tape.ts';
import { maskClamp } from './clamp.ts';

/** An activation of one number: its value, and its slope from the input and the value. */
interface Activation {
  value(x: number): number;
  slope(x: number, y: number): number;
}

const attribute = (node: Node, name: string, otherwise: number) =>
  (node.attributes[name] as number | undefined) ?? otherwise;

const sigmoid: Activation = { value: (x) => 1 / (1 + exp(-x)), slope: (_, y) => y * (1 - y) };

function leakyRelu(node: Node): Activation {
  const alpha = Math.fround(attribute(node, 'alpha', 0.01));
  return { value: (x) => (x < 0 ? alpha * x : x), slope: (x) => (x < 0 ? alpha : 1) };
}

function hardSigmoid(node: Node): Activation {
  const [alpha, beta] = [
    Math.fround(attribute(node, 'alpha', 0.2)),
    Math.fround(attribute(node, 'beta', 0.5)),
  ];
  return {
    value: (x) => Math.min(1, Math.max(0, alpha * x + beta)),
    slope: (_, y) => (y > 0 && y < 1 ? alpha : 0),
  };
}

const hardSwish: Activation = {
  value: (x) => (x * Math.min(6, Math.max(0, x + 3))) / 6,
  slope: (x) => (x <= -3 ? 0 : x >= 3 ? 1 : (2 * x + 3) / 6),
};

function pointwise(of: (node: Node) => Activation): GradientRule {
  return (tape, node) => {
    const { value, slope } = of(node);
    const [x, y] = [tape.value(node.inputs[0]), tape.output(node)];
    tape.emitElements([x, y], () => {
      for (let i = 0; i < y.length; i++) y.data[i] = value(x.data[i]);
    });
    return () => {
      const g = tape.gradient(node.outputs[0]);
      if (!g) return;
      tape.emitElements([x, y, g], () => {
        for (let i = 0; i < g.length; i++) g.data[i] *= slope(x.data[i], y.data[i]);
      });
      tape.adopt(node.inputs[0], g);
    };
  };
}

function clamp(tape: TapeBuilder, node: Node): Backward {
  const [low, high] = node.op === 'Relu' ? [0, Number.POSITIVE_INFINITY] : clampOf(node);
  const [x, y] = [tape.value(node.inputs[0]), tape.output(node)];
  tape.emitElements([x, y], () => tape.kernels.clamp(x.data, low, high, y.data));
  return () => {
    const g = tape.gradient(node.outputs[0]);
    if (!g) return;
    maskClamp(tape, y, g, low, high);
    tape.adopt(node.inputs[0], g);
  };
}

export const ACTIVATION_RULES: Readonly<Record<string, GradientRule>> = {
  Relu: clamp,
  Clip: clamp,
  LeakyRelu: pointwise(leakyRelu),
  Sigmoid: pointwise(() => sigmoid),
  HardSigmoid: pointwise(hardSigmoid),
  HardSwish: pointwise(() => hardSwish),
};
