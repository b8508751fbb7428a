import type { Graph, Node, Tensor } from '../../lib/graph/graph.ts';
import type { Quantization, Quantizer } from '../../lib/quant/quantizer.ts';

const { fround } = Math;

/** Numbers with a shape; in float or in levels of a quantizer. */
export interface Values {
  shape: readonly number[];
  data: number[];
  quantizer?: Quantizer;
}

/** Half to even, by the definition. */
export function rne(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

const limit = (x: number, low: number, high: number) => Math.min(Math.max(x, low), high);

export function quantize(x: number, q: Quantizer): number {
  return limit(rne(fround(x / fround(q.scale))) + q.zeroPoint, q.low, q.high);
}

function real(values: Values): Values {
  const { quantizer: q } = values;
  if (!q) return values;
  return { shape: values.shape, data: values.data.map((v) => fround((v - q.zeroPoint) * fround(q.scale))) };
}

type At = (...index: number[]) => number;
const reader =
  ({ shape, data }: Values): At =>
  (...index) =>
    data[index.reduce((at, i, axis) => at * shape[axis] + i, 0)];

function make(shape: readonly number[], value: (...index: number[]) => number): Values {
  const data: number[] = [];
  const visit = (index: number[]): void => {
    if (index.length === shape.length) data.push(value(...index));
    else for (let i = 0; i < shape[index.length]; i++) visit([...index, i]);
  };
  visit([]);
  return { shape, data };
}

/**
 * Runs a graph with plain loops: in float64 without a quantization, in the integers of a quantization with one.
 * Returns all values.
 */
export function interpret(graph: Graph, input: Tensor, quantization?: Quantization): Map<string, Values> {
  const batch = input.shape[0];
  const values = new Map<string, Values>();
  for (const [name, { shape, data }] of graph.constants)
    values.set(name, { shape, data: Array.from(data as Float32Array, Number) });
  const keep = (name: string, result: Values) => {
    const quantizer = quantization?.activations.get(name);
    if (quantizer && !result.quantizer)
      result = { ...result, data: result.data.map((x) => quantize(x, quantizer)), quantizer };
    values.set(name, result);
  };
  keep(graph.inputs[0].name, { shape: input.shape, data: Array.from(input.data as Float32Array) });
  for (const node of graph.nodes) {
    const shape = graph.types.get(node.outputs[0])!.shape.map((d) => (typeof d === 'string' ? batch : d));
    const inputs = node.inputs.map((name) => values.get(name)!);
    keep(node.outputs[0], evaluate(node, inputs, shape, quantization));
  }
  return values;
}

function evaluate(
  node: Node,
  inputs: Values[],
  shape: readonly number[],
  quantization: Quantization | undefined,
): Values {
  const [x] = inputs;
  const a = node.attributes as Record<string, readonly number[]>;
  const [low, high] = a['clamp'] ?? [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  const at = reader(x);
  const out = quantization?.activations.get(node.outputs[0]);
  switch (node.op) {
    case 'Conv':
    case 'Linear':
      return x.quantizer && quantization?.layers.has(node.name)
        ? integerLayer(node, inputs, shape, quantization)
        : floatLayer(node, inputs.map(real), shape);
    case 'Add': {
      const [l, r] = inputs;
      if (!l.quantizer || !r.quantizer || !out) {
        const [lf, rf] = [real(l), real(r)];
        return { shape, data: lf.data.map((v, i) => limit(v + rf.data[i], low, high)) };
      }
      const ra = fround(fround(l.quantizer.scale) / fround(out.scale));
      const rb = fround(fround(r.quantizer.scale) / fround(out.scale));
      const fixed = fround(
        out.zeroPoint - fround(fround(ra * l.quantizer.zeroPoint) + fround(rb * r.quantizer.zeroPoint)),
      );
      const range = [quantize(low, out), quantize(high, out)];
      const data = l.data.map((v, i) =>
        limit(rne(fround(fround(fround(v * ra) + fixed) + fround(r.data[i] * rb))), range[0], range[1]),
      );
      return { shape, data, quantizer: out };
    }
    case 'Concat': {
      const parts = inputs.map((part) => reader(real(part)));
      const widths = inputs.map((part) => part.shape[3]);
      return make(shape, (n, h, w, c) =>
        c < widths[0] ? parts[0](n, h, w, c) : parts[1](n, h, w, c - widths[0]),
      );
    }
    case 'Transpose':
      return { ...make(shape, (n, h, w, c) => at(n, c, h, w)), quantizer: x.quantizer };
    case 'Flatten':
      return { ...x, shape };
    case 'Pad': {
      const before = a['pads'][3];
      const zero = x.quantizer?.zeroPoint ?? 0;
      const inside = (c: number) => c >= before && c - before < x.shape[3];
      return {
        ...make(shape, (n, h, w, c) => (inside(c) ? at(n, h, w, c - before) : zero)),
        quantizer: x.quantizer,
      };
    }
    case 'MaxPool':
      return {
        ...make(shape, (n, h, w, c) =>
          Math.max(...taps(node, x.shape, h, w).map(([y, z]) => at(n, y, z, c))),
        ),
        quantizer: x.quantizer,
      };
    case 'AveragePool': {
      const xr = reader(real(x));
      return make(shape, (n, h, w, c) => {
        const inside = taps(node, x.shape, h, w).map(([y, z]) => xr(n, y, z, c));
        return fround(inside.reduce((sum, v) => fround(sum + v), 0) / inside.length);
      });
    }
    case 'GlobalAveragePool': {
      const pixels = x.shape[1] * x.shape[2];
      const sum = (n: number, c: number, zero: number) => {
        let total = 0;
        for (let h = 0; h < x.shape[1]; h++)
          for (let w = 0; w < x.shape[2]; w++) total = total + at(n, h, w, c) - zero;
        return total;
      };
      if (!x.quantizer || !out) return make(shape, (n, _h, _w, c) => sum(n, c, 0) / pixels);
      const from = x.quantizer;
      const multiplier = fround(fround(from.scale) / fround(fround(out.scale) * pixels));
      return {
        ...make(shape, (n, _h, _w, c) =>
          limit(
            rne(fround(fround(sum(n, c, from.zeroPoint)) * multiplier)) + out.zeroPoint,
            out.low,
            out.high,
          ),
        ),
        quantizer: out,
      };
    }
    case 'Relu': {
      const xr = real(x);
      return { shape, data: xr.data.map((v) => Math.max(v, 0)) };
    }
    case 'Sigmoid': {
      const xr = real(x);
      return { shape, data: xr.data.map((v) => fround(1 / (1 + Math.exp(-v)))) };
    }
    case 'Mul': {
      const [l, r] = inputs.map(real);
      return { shape, data: l.data.map((v, i) => fround(v * r.data[i])) };
    }
    default:
      throw new Error(`the oracle does not know ${node.op}`);
  }
}

/** Input positions of a window that lie inside. */
function taps(node: Node, shape: readonly number[], h: number, w: number): [number, number][] {
  const a = node.attributes as Record<string, readonly number[]>;
  const found: [number, number][] = [];
  for (let i = 0; i < a['kernel_shape'][0]; i++)
    for (let j = 0; j < a['kernel_shape'][1]; j++) {
      const y = h * a['strides'][0] - a['pads'][0] + i * a['dilations'][0];
      const x = w * a['strides'][1] - a['pads'][1] + j * a['dilations'][1];
      if (y >= 0 && y < shape[1] && x >= 0 && x < shape[2]) found.push([y, x]);
    }
  return found;
}

/** Σ over the products of one output: visit(x index, weight index). */
function products(
  node: Node,
  x: Values,
  kernel: readonly number[],
  index: readonly number[],
  visit: (x: number, w: number) => void,
): void {
  const at = reader(x);
  const n = index[index.length - 1];
  const depth = kernel.slice(1).reduce((a, b) => a * b, 1);
  if (node.op === 'Linear') {
    for (let k = 0; k < depth; k++) visit(at(index[0], k), n * depth + k);
    return;
  }
  const a = node.attributes as Record<string, readonly number[]>;
  const group = Math.floor(n / (kernel[0] / Number(a['group'])));
  for (let i = 0; i < kernel[1]; i++)
    for (let j = 0; j < kernel[2]; j++) {
      const y = index[1] * a['strides'][0] - a['pads'][0] + i * a['dilations'][0];
      const z = index[2] * a['strides'][1] - a['pads'][1] + j * a['dilations'][1];
      if (y < 0 || y >= x.shape[1] || z < 0 || z >= x.shape[2]) continue;
      for (let c = 0; c < kernel[3]; c++)
        visit(at(index[0], y, z, group * kernel[3] + c), n * depth + (i * kernel[2] + j) * kernel[3] + c);
    }
}

function floatLayer(node: Node, [x, w, b]: Values[], shape: readonly number[]): Values {
  const [low, high] = (node.attributes['clamp'] as number[] | undefined) ?? [-Infinity, Infinity];
  return make(shape, (...index) => {
    let sum = b?.data[index[index.length - 1]] ?? 0;
    products(node, x, w.shape, index, (v, k) => {
      sum += v * w.data[k];
    });
    return limit(sum, low, high);
  });
}

function integerLayer(
  node: Node,
  [x, w]: Values[],
  shape: readonly number[],
  quantization: Quantization,
): Values {
  const layer = quantization.layers.get(node.name)!;
  const out = quantization.activations.get(node.outputs[0]);
  const from = x.quantizer!;
  const [low, high] = (node.attributes['clamp'] as number[] | undefined) ?? [-Infinity, Infinity];
  const result = make(shape, (...index) => {
    const n = index[index.length - 1];
    const unit = fround(fround(from.scale) * layer.scales[n]);
    let sum = rne(layer.bias[n] / unit);
    products(node, x, w.shape, index, (v, k) => {
      sum += (v - from.zeroPoint) * layer.q[k];
    });
    if (!out) return limit(fround(fround(sum) * unit), low, high);
    const m = fround(unit / fround(out.scale));
    const level = limit(rne(fround(fround(sum) * m)) + out.zeroPoint, out.low, out.high);
    return limit(level, quantize(low, out), quantize(high, out));
  });
  return out ? { ...result, quantizer: out } : result;
}
