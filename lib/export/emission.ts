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
  /** The quantizer that a value carries in the file, its own or inherited; null where it is float. */
  quantizer(value: string): Quantizer | null;
  /** The name under which a node reads a value (or constant) in float. */
  read(value: string): string;
  /** Names of a quantizer's scale and zero point, stored once for each owner. */
  parameters(value: string): { scale: string; zeroPoint: string };
  /**
   * The integers of a quantized value, and how they came: QuantizeLinear of `float`, clipped, then dequantized. A
   * network output is the dequantized value under its own name.
   */
  quantize(value: string, float: string, low: number, high: number): void;
}

export function createEmission(
  graph: Graph,
  quantization: Quantization,
  opset: number,
  file: FileBuilder,
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

  return {
    graph,
    quantization,
    opset,
    file,
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
      const { scale, zeroPoint } = parameters(value);
      let integers = file.unique(`${value}_quantized`);
      file.node('QuantizeLinear', integers, [float, scale, zeroPoint], [integers]);
      file.annotate(integers, scale, zeroPoint);
      file.values.push(fileValue(graph, quantization.activations.get(owner(value)!)!, value, integers));
      if (low > BYTE.low || high < BYTE.high) {
        const clipped = file.unique(`${value}_clipped`);
        const limits = [low, high].map((limit, side) =>
          file.tensor(`${clipped}_${side === 0 ? 'low' : 'high'}`, byteScalar(limit)),
        );
        file.node('Clip', clipped, [integers, ...limits], [clipped]);
        integers = clipped;
      }
      const free = outputs.has(value) && float !== value;
      const dequantized = free ? value : file.unique(`${value}_dequantized`);
      file.node('DequantizeLinear', dequantized, [integers, scale, zeroPoint], [dequantized]);
      readable.set(value, dequantized);
    },
  };
}

function fileValue(graph: Graph, quantizer: Quantizer, value: string, name: string): FileValue {
  const shape =
    graph.types.get(value)?.shape ?? graph.inputs.find((input) => input.name === value)?.shape ?? [];
  return { name, dtype: 'uint8', shape, metadata: new Map([[BITS_KEY, String(quantizer.bits)]]) };
}

/** What a value is called before it is quantized: a network output's own name is that of what comes after. */
export function unquantizedName({ graph, file, quantizer }: Emission, value: string): string {
  const isOutput = graph.outputs.some(({ name }) => name === value);
  return isOutput && quantizer(value) ? file.unique(`${value}_unquantized`) : value;
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
  if (!quantizer) {
    emitClamp(emission, node, clamp, emit);
    return;
  }
  const float = unquantizedName(emission, output);
  emit(float);
  const [least, most] = clamp ?? [-Infinity, Infinity];
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
export function emitClamp(
  { file }: Emission,
  node: Node,
  clamp: readonly number[] | undefined,
  emit: (output: string) => void,
): void {
  const [output] = node.outputs;
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
