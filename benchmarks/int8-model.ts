import { quantizerOf } from '../lib/engine/index.ts';
import { ortModel } from '../lib/export/ort.ts';
import { type FileModel, type FileNode, writeModel } from '../lib/onnx/index.ts';
import { chooseQuantizer } from '../lib/quant/ranges.ts';
import type { Network } from './networks/network.ts';

/**
 * The ordinary int8 model of a network, as a user of onnxruntime quantizes it for speed: QDQ with weights s8 per
 * channel, activations u8 with ranges from minimum to maximum, every tensor quantized and the logits too, Relu and
 * Clip absorbed by the quantizer after them, the bias int32 with a scale of exactly input scale times weight scale.
 * Any of these left out, and operators stay in float (optimized.ts counts them).
 */
const BITS = 8;
/** Of ONNX; the first with quantization per channel, which every optimization of onnxruntime knows. */
const OPSET = 13;

export async function int8Model(network: Network): Promise<Uint8Array> {
  const { onnx, graph, statistics } = network;
  const activations = new Map(
    [...statistics].map(([value, range]) => [
      quantizerOf(graph, value),
      chooseQuantizer(range, BITS, 'minmax'),
    ]),
  );
  const { layers } = await network.quantization(String(BITS));
  const model = ortModel(onnx, { activations, layers }, { opset: OPSET, metadata: new Map() });
  return writeModel(integerPads(model));
}

/** Pads of integers with the zero point: between DequantizeLinear and QuantizeLinear onnxruntime leaves them in float. */
function integerPads(model: FileModel): FileModel {
  const producers = new Map(model.nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)));
  const quantizers = new Map(
    model.nodes.filter(({ op }) => op === 'QuantizeLinear').map((node) => [node.inputs[0], node]),
  );
  const replaced = new Map<FileNode, FileNode | null>();
  for (const node of model.nodes) {
    const before = producers.get(node.inputs[0]);
    const after = quantizers.get(node.outputs[0]);
    if (node.op !== 'Pad' || before?.op !== 'DequantizeLinear' || !after) continue;
    const [integers, , zeroPoint] = before.inputs;
    replaced.set(node, { ...node, inputs: [integers, node.inputs[1], zeroPoint], outputs: after.outputs });
    replaced.set(after, null);
    if (model.nodes.every(({ inputs }) => inputs === node.inputs || !inputs.includes(before.outputs[0])))
      replaced.set(before, null);
  }
  const nodes = model.nodes.flatMap((node) => replaced.get(node) ?? (replaced.has(node) ? [] : [node]));
  return { ...model, nodes };
}
