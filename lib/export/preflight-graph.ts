import type { FileModel, FileNode } from '../onnx/index.ts';

/** A file that will be written, looked up by value name. */
export interface FileIndex {
  model: FileModel;
  /** The node that makes a value. */
  maker(value: string | undefined): FileNode | undefined;
  readers(value: string): readonly FileNode[];
  isOutput(value: string): boolean;
  /** Elements of a stored tensor; undefined where the value is computed. */
  stored(value: string | undefined): StoredTensor | undefined;
  /** Element type of the integers that a QuantizeLinear makes or a DequantizeLinear reads. */
  integerType(node: FileNode): string;
}

export type StoredTensor = FileModel['initializers'][number]['tensor'];

/** Without a zero point QuantizeLinear makes these. */
const DEFAULT_TYPE = 'uint8';

export function indexOf(model: FileModel): FileIndex {
  const makers = new Map(
    model.nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)),
  );
  const readers = new Map<string, FileNode[]>();
  for (const node of model.nodes)
    for (const input of new Set(node.inputs)) readers.set(input, [...(readers.get(input) ?? []), node]);
  const tensors = new Map(model.initializers.map(({ name, tensor }) => [name, tensor]));
  const outputs = new Set(model.outputs.map(({ name }) => name));
  const index: FileIndex = {
    model,
    maker: (value) => makers.get(value ?? ''),
    readers: (value) => readers.get(value) ?? [],
    isOutput: (value) => outputs.has(value),
    stored: (value) => tensors.get(value ?? ''),
    integerType: ({ op, inputs: [x, , zeroPoint] }) => {
      const stored = tensors.get(zeroPoint ?? '') ?? (op === 'DequantizeLinear' ? tensors.get(x) : undefined);
      if (stored) return stored.dtype;
      const source = op === 'DequantizeLinear' ? makers.get(x) : undefined;
      return source ? index.integerType(source) : DEFAULT_TYPE;
    },
  };
  return index;
}

/** What onnxruntime's rules look at behind an operator: its one QuantizeLinear, perhaps through a Relu or Clip. */
export interface Ending {
  /** Relu or Clip that is the only reader, and has one itself. */
  clamp: FileNode | null;
  quantizers: readonly FileNode[];
  /** Everything that reads the result (of the clamp, where there is one). */
  readers: readonly FileNode[];
}

export function endingOf(index: FileIndex, node: FileNode): Ending {
  const [output] = node.outputs;
  const [next, ...others] = index.readers(output);
  const alone = others.length === 0 && !index.isOutput(output);
  const isClamp = alone && (next?.op === 'Relu' || next?.op === 'Clip');
  const behind = isClamp ? next.outputs[0] : '';
  const clamp = isClamp && index.readers(behind).length === 1 && !index.isOutput(behind) ? next : null;
  const readers = index.readers(clamp ? behind : output);
  return { clamp, readers, quantizers: readers.filter(({ op }) => op === 'QuantizeLinear') };
}

const RANGES: Readonly<Record<string, readonly [number, number]>> = {
  int8: [-128, 127],
  uint8: [0, 255],
  int16: [-32768, 32767],
  uint16: [0, 65535],
};

/** Whether a QuantizeLinear saturates at least as tightly as the Relu or Clip before it. */
export function isRedundant(index: FileIndex, clamp: FileNode, quantizer: FileNode): boolean {
  const range = RANGES[index.integerType(quantizer)];
  const scale = scalar(index, quantizer.inputs[1]);
  const zeroPoint = quantizer.inputs[2] ? scalar(index, quantizer.inputs[2]) : 0;
  if (!range || scale === null || zeroPoint === null) return false;
  const [low, high] = range.map((level) => Math.fround((level - zeroPoint) * scale));
  const least = clamp.op === 'Relu' ? 0 : (scalar(index, clamp.inputs[1]) ?? -Infinity);
  const most = clamp.op === 'Relu' ? Infinity : (scalar(index, clamp.inputs[2]) ?? Infinity);
  return least <= low && most >= high;
}

function scalar(index: FileIndex, value: string | undefined): number | null {
  const data = index.stored(value)?.data as ArrayLike<number> | undefined;
  return data?.length === 1 ? Number(data[0]) : null;
}

/** Whether a bias is dequantized by exactly input scale times weight scale, per channel, in float32. */
export function hasExactBias(index: FileIndex, [input, weights, bias]: readonly FileNode[]): boolean {
  const [x, w, b] = [input, weights, bias].map(
    ({ inputs }) => index.stored(inputs[1])?.data as Float32Array | undefined,
  );
  if (x?.length !== 1 || !w || !b || b.length !== w.length) return false;
  return b.every((scale, channel) => scale === Math.fround(x[0] * w[channel]));
}
