import type { Graph, Node, Tensor } from '../graph/index.ts';
import type { Quantizer } from '../quant/quantizer.ts';

/** What quantizes a value in a QDQ graph. */
export interface ActivationPair {
  /** The float value. */
  value: string;
  quantizer: Quantizer;
  /** QuantizeLinear, Clip, DequantizeLinear. */
  nodes: readonly Node[];
  /** What the DequantizeLinear nodes make. */
  results: readonly string[];
}

/** Scale, zero point and range of a chain, in the levels of the file's own type. */
interface Levels {
  signed: boolean;
  scale: number;
  zeroPoint: number;
  low: number;
  high: number;
}

const BYTE_RANGES = { uint8: [0, 255], int8: [-128, 127] } as const;

/**
 * The quantizer of a value that nobody reads but through QuantizeLinear, any Clips of the integers, and
 * DequantizeLinear, all with one scale and zero point of 8 bits. Null where a quantizer of the engine would not say
 * the same: several scales, 16 bits, a scale per channel, somebody who reads the float.
 */
export function activationPair(graph: Graph, value: string): ActivationPair | null {
  const isOutput = (name: string) => graph.outputs.some((output) => output.name === name);
  if (isOutput(value)) return null;
  let levels: Levels | null = null;
  const nodes: Node[] = [];
  const results: string[] = [];
  for (const first of readers(graph, value)) {
    const own = quantizeLevels(graph, first);
    if (!own || !follow(graph, first, own)) return null;
    if (levels && !sameLevels(levels, own)) return null;
    levels = own;
  }
  if (!levels) return null;
  const named = results.filter(isOutput).length;
  const isInput = graph.inputs.some(({ name }) => name === value);
  if (named > 1 || (named === 1 && isInput)) return null;
  return { value, quantizer: asUnsigned(levels), nodes, results };

  /** Everything behind the integers of `node`; narrows the levels at a Clip. */
  function follow(graph: Graph, node: Node, own: Levels): boolean {
    nodes.push(node);
    const [integers] = node.outputs;
    if (isOutput(integers)) return false;
    const next = readers(graph, integers);
    if (next.length === 1 && next[0].op === 'Clip') {
      const [, low, high] = next[0].inputs.map((name) => scalar(graph, name));
      own.low = Math.max(own.low, low ?? own.low);
      own.high = Math.min(own.high, high ?? own.high);
      return follow(graph, next[0], own);
    }
    for (const last of next) {
      const parameters = last.op === 'DequantizeLinear' ? scaleOf(graph, last) : null;
      if (parameters?.scale !== own.scale || parameters.zeroPoint !== own.zeroPoint) return false;
      nodes.push(last);
      results.push(last.outputs[0]);
    }
    return next.length > 0;
  }
}

function readers(graph: Graph, value: string): Node[] {
  return graph.nodes.filter(({ inputs }) => inputs.includes(value));
}

function sameLevels(a: Levels, b: Levels): boolean {
  return a.scale === b.scale && a.zeroPoint === b.zeroPoint && a.low === b.low && a.high === b.high;
}

function quantizeLevels(graph: Graph, node: Node): Levels | null {
  if (node.op !== 'QuantizeLinear') return null;
  const parameters = scaleOf(graph, node);
  if (!parameters) return null;
  const { dtype, ...rest } = parameters;
  const range = BYTE_RANGES[dtype as 'uint8'];
  if (!range || !(rest.zeroPoint >= range[0] && rest.zeroPoint <= range[1])) return null;
  return { ...rest, signed: dtype === 'int8', low: range[0], high: range[1] };
}

/** One scale and one zero point, both constant. */
function scaleOf(graph: Graph, { inputs }: Node): { scale: number; zeroPoint: number; dtype: string } | null {
  const scale = scalar(graph, inputs[1]);
  const zeroPoint = inputs[2] ? scalar(graph, inputs[2]) : 0;
  if (scale === null || zeroPoint === null || !(scale > 0)) return null;
  return { scale, zeroPoint, dtype: inputs[2] ? graph.constants.get(inputs[2])!.dtype : 'uint8' };
}

function scalar(graph: Graph, name: string | undefined): number | null {
  const tensor: Tensor | undefined = name ? graph.constants.get(name) : undefined;
  return tensor?.data.length === 1 ? Number(tensor.data[0]) : null;
}

/** int8 levels are uint8 levels 128 higher; a width below 8 bits shows in the range. */
function asUnsigned({ signed, scale, zeroPoint, low, high }: Levels): Quantizer {
  const shift = signed ? 128 : 0;
  const levels = signed ? high - low + 1 : high + 1;
  return {
    bits: Math.max(2, Math.ceil(Math.log2(levels))),
    scale,
    zeroPoint: zeroPoint + shift,
    low: low + shift,
    high: high + shift,
  };
}
