import { inheritsQuantizer, outputRange, quantizerOf } from '../engine/index.ts';
import type { Graph, Node, Tensor } from '../graph/graph.ts';
import { channelsLastCopy } from '../graph/index.ts';
import type { FileValue } from '../onnx/index.ts';
import type { Quantization, Quantizer } from '../quant/quantizer.ts';
import { byteScalar, type FileBuilder, floatScalar } from './file-model.ts';

/** Width of a tensor, in its metadata. */
export const BITS_KEY = 'sigmaquant.bits';
const BYTE = { low: 0, high: 255 } as const;

/** What the emitters of single nodes see. */
export interface Emission {
  readonly graph: Graph;
  readonly quantization: Quantization;
  readonly opset: number;
  readonly file: FileBuilder;
  readonly form: QuantizerForm;
  /** The value whose quantizer a value carries in the file, its own name or another's; null where it is float. */
  owner(value: string): string | null;
  /** The quantizer that a value carries in the file, its own or inherited; null where it is float. */
  quantizer(value: string): Quantizer | null;
  /** The name under which a node reads a value (or constant) in float. */
  read(value: string): string;
  /** Names of a quantizer's scale and zero point, stored once for each owner. */
  parameters(value: string): { scale: string; zeroPoint: string };
  /** What makes a quantized value of `float`, by the form. A network output is the result under its own name. */
  quantize(value: string, float: string, low: number, high: number): void;
}

/** How a format says that a value is quantized. */
export interface QuantizerForm {
  /**
   * True where values stay floats on a grid: moves need no quantizer of their own, and a clamp stays an operator. False
   * where they are integers between QuantizeLinear and DequantizeLinear: every operator then stands between them, and
   * clamps are part of the range.
   */
  onGrid: boolean;
  /** Emits what turns `float` into the quantized `value`, limited to `range`, and calls the result `output`. */
  emit(emission: Emission, value: string, float: string, range: Range, output: string): void;
}

interface Range {
  low: number;
  high: number;
}

export function createEmission(
  graph: Graph,
  quantization: Quantization,
  opset: number,
  file: FileBuilder,
  form: QuantizerForm = pairs,
): Emission {
  const outputs = new Set(graph.outputs.map(({ name }) => name));
  const readable = new Map<string, string>();
  const stored = new Map<string, { scale: string; zeroPoint: string }>();

  function owner(value: string): string | null {
    if (value === '' || graph.constants.has(value)) return null;
    const name = quantizerOf(graph, value);
    // In the form that runs, a value that is a network output too is quantized under its copy's name.
    return [name, channelsLastCopy(name)].find((key) => quantization.activations.has(key)) ?? null;
  }

  function parameters(value: string): { scale: string; zeroPoint: string } {
    const name = owner(value)!;
    let names = stored.get(name);
    if (!names) {
      const { scale, zeroPoint } = quantization.activations.get(name)!;
      names = {
        scale: file.tensor(`${name}_scale`, floatScalar(scale)),
        zeroPoint: file.tensor(`${name}_zero_point`, byteScalar(zeroPoint)),
      };
      stored.set(name, names);
    }
    return names;
  }

  const emission: Emission = {
    graph,
    quantization,
    opset,
    file,
    form,
    owner,
    quantizer: (value) => {
      const name = owner(value);
      return name === null ? null : quantization.activations.get(name)!;
    },
    read: (value) => {
      const constant = graph.constants.get(value);
      return constant ? file.constant(value, constant) : (readable.get(value) ?? value);
    },
    parameters,
    quantize: (value, float, low, high) => {
      const free = outputs.has(value) && float !== value;
      const output = free ? value : file.unique(`${value}_dequantized`);
      form.emit(emission, value, float, { low, high }, output);
      readable.set(value, output);
    },
  };
  return emission;
}

/** QuantizeLinear to uint8, Clip on the integer side where the range is narrower, DequantizeLinear. */
const pairs: QuantizerForm = {
  onGrid: false,
  emit({ graph, file, quantizer, parameters }, value, float, { low, high }, output) {
    const { scale, zeroPoint } = parameters(value);
    let integers = file.unique(`${value}_quantized`);
    file.node('QuantizeLinear', integers, [float, scale, zeroPoint], [integers]);
    file.annotate(integers, scale, zeroPoint);
    file.values.push(fileValue(graph, quantizer(value)!, value, integers));
    if (low > BYTE.low || high < BYTE.high) {
      const clipped = file.unique(`${value}_clipped`);
      const limits = [low, high].map((limit, side) =>
        file.tensor(`${clipped}_${side === 0 ? 'low' : 'high'}`, byteScalar(limit)),
      );
      file.node('Clip', clipped, [integers, ...limits], [clipped]);
      integers = clipped;
    }
    file.node('DequantizeLinear', output, [integers, scale, zeroPoint], [output]);
  },
};

function fileValue(graph: Graph, quantizer: Quantizer, value: string, name: string): FileValue {
  const shape =
    graph.types.get(value)?.shape ?? graph.inputs.find((input) => input.name === value)?.shape ?? [];
  return { name, dtype: 'uint8', shape, metadata: new Map([[BITS_KEY, String(quantizer.bits)]]) };
}

/** Whether a node's results are quantized where they have a quantizer: on a grid, what moves values leaves them there. */
export function requantizes({ form }: Emission, node: Node): boolean {
  return !form.onGrid || !inheritsQuantizer(node);
}

/** What a value is called before it is quantized: a network output's own name is that of what comes after. */
export function unquantizedName(emission: Emission, node: Node, value: string): string {
  const { graph, file, quantizer } = emission;
  const isOutput = graph.outputs.some(({ name }) => name === value);
  return isOutput && quantizer(value) && requantizes(emission, node)
    ? file.unique(`${value}_unquantized`)
    : value;
}

/**
 * What follows the operator: a quantized output takes its clamp into the quantizer's range (or an integer Clip), a
 * float output keeps it as Relu or Clip. What inherits its quantizer is in range already.
 */
export function emitResult(
  emission: Emission,
  node: Node,
  clamp: readonly number[] | undefined,
  emit: (output: string) => void,
): void {
  const [output] = node.outputs;
  const quantizer = emission.quantizer(output);
  if (!quantizer || !requantizes(emission, node)) {
    emitClamp(emission, node, clamp, output, emit);
    return;
  }
  const float = unquantizedName(emission, node, output);
  const [least, most] = clamp ?? [-Infinity, Infinity];
  if (emission.form.onGrid) {
    emitClamp(emission, node, clamp, float, emit);
    emission.quantize(output, float, quantizer.low, quantizer.high);
    return;
  }
  emit(float);
  const { low, high } = inheritsQuantizer(node) ? BYTE : outputRange(quantizer, [least, most]);
  emission.quantize(output, float, low, high);
}

/** Names of Clip's min and max; infinite ones are left out. */
export function clipLimits(
  name: string,
  [low, high]: readonly number[],
  store: (name: string, tensor: Tensor) => string,
): string[] {
  const limits = [
    Number.isFinite(low) ? store(`${name}_low`, floatScalar(low)) : '',
    Number.isFinite(high) ? store(`${name}_high`, floatScalar(high)) : '',
  ];
  while (limits.at(-1) === '') limits.pop();
  return limits;
}

/** The operator and, in float, the clamp that was fused into it. */
function emitClamp(
  { file }: Emission,
  node: Node,
  clamp: readonly number[] | undefined,
  output: string,
  emit: (output: string) => void,
): void {
  const [low, high] = clamp ?? [-Infinity, Infinity];
  if (low === -Infinity && high === Infinity) {
    emit(output);
    return;
  }
  const unclamped = file.unique(`${output}_unclamped`);
  emit(unclamped);
  const name = `${node.name}_clamp`;
  if (low === 0 && high === Infinity) file.node('Relu', name, [unclamped], [output]);
  else {
    const limits = clipLimits(name, [low, high], (text, tensor) => file.tensor(text, tensor));
    file.node('Clip', name, [unclamped, ...limits], [output]);
  }
}
