import { toBinary } from '@bufbuild/protobuf';
import { type ModelProto, ModelProtoSchema, readModel, type TensorProto } from '../lib/onnx/index.ts';

/** Damage of one layer in a QDQ file that our exporter wrote: what bugs of converters and exporters look like. */

/** Tensors of a layer, as views that can be written to. */
interface Stored {
  /** [outChannels][...], int8. */
  weights: Int8Array;
  scales: Float32Array;
  bias: Int32Array;
  biasScales: Float32Array;
  /** Of the output's quantizer; null where the output is float. */
  outputScale: Float32Array | null;
  outputZeroPoint: Uint8Array | null;
}

/** Name -> what it does; false where the layer offers no such thing. */
export const DAMAGES: Readonly<Record<string, (layer: Stored) => boolean>> = {
  'weight scale x4': ({ scales }) => {
    for (let i = 0; i < scales.length; i++) scales[i] *= 4;
    return true;
  },
  'weights clipped to a quarter': ({ weights }) => {
    const most = Math.max(1, Math.round(weights.reduce((a, b) => Math.max(a, Math.abs(b)), 0) / 4));
    for (let i = 0; i < weights.length; i++) weights[i] = Math.max(-most, Math.min(most, weights[i]));
    return true;
  },
  'bias left out': ({ bias }) => {
    const before = bias.some((value) => value !== 0);
    bias.fill(0);
    return before;
  },
  'bias with half its scale': ({ biasScales, bias }) => {
    for (let i = 0; i < biasScales.length; i++) biasScales[i] *= 2;
    return bias.some((value) => value !== 0);
  },
  'one channel zeroed': ({ weights, scales, bias }) => {
    const k = weights.length / scales.length;
    const channel = strongest(weights, scales, bias);
    weights.fill(0, channel * k, (channel + 1) * k);
    bias[channel] = 0;
    return true;
  },
  'two channels swapped': ({ weights, scales, bias }) => {
    const k = weights.length / scales.length;
    if (scales.length < 2) return false;
    const a = strongest(weights, scales, bias);
    const b = (a + 1) % scales.length;
    const row = weights.slice(a * k, (a + 1) * k);
    weights.copyWithin(a * k, b * k, (b + 1) * k);
    weights.set(row, b * k);
    return true;
  },
  'zero point +64': ({ outputZeroPoint }) => {
    if (!outputZeroPoint || outputZeroPoint[0] > 191) return false;
    outputZeroPoint[0] += 64;
    return true;
  },
  'output scale / 4': ({ outputScale }) => {
    if (!outputScale) return false;
    outputScale[0] /= 4;
    return true;
  },
};

/** The channel with the largest weights, among those that a Relu is likely to let through. */
function strongest(weights: Int8Array, scales: Float32Array, bias: Int32Array): number {
  const k = weights.length / scales.length;
  const power = [...scales].map((scale, c) => {
    let sum = 0;
    for (let i = c * k; i < (c + 1) * k; i++) sum += (weights[i] * scale) ** 2;
    return bias[c] >= 0 ? sum : sum * 1e-6;
  });
  return power.indexOf(Math.max(...power));
}

/** The file with one layer damaged; null where that layer offers no such damage. */
export function damaged(bytes: Uint8Array, layer: string, damage: string): Uint8Array<ArrayBuffer> | null {
  const model = readModel(new Uint8Array(bytes));
  const stored = storedLayer(model, layer);
  if (!DAMAGES[damage](stored.values)) return null;
  stored.write();
  return toBinary(ModelProtoSchema, model) as Uint8Array<ArrayBuffer>;
}

/** Layers of the file whose weights are integers. */
export function quantizedLayers(bytes: Uint8Array): string[] {
  const { graph } = readModel(bytes);
  const dequantized = new Set(
    graph!.node.filter(({ opType }) => opType === 'DequantizeLinear').map(({ output }) => output[0]),
  );
  return graph!.node
    .filter(({ opType, input }) => /^(Conv|Gemm)$/.test(opType) && dequantized.has(input[1]))
    .map(({ name }) => name);
}

function storedLayer({ graph }: ModelProto, layer: string): { values: Stored; write(): void } {
  const tensors = new Map(graph!.initializer.map((tensor) => [tensor.name, tensor]));
  const producers = new Map(graph!.node.map((node) => [node.output[0], node]));
  const node = graph!.node.find(({ name }) => name === layer)!;
  const [weights, bias] = [1, 2].map((input) => producers.get(node.input[input])!);
  const quantizer = graph!.node.find(
    ({ opType, input }) => opType === 'QuantizeLinear' && input[0] === node.output[0],
  );
  const writes: (() => void)[] = [];
  const view = <T extends ArrayBufferView>(name: string, type: new (buffer: ArrayBuffer) => T): T => {
    const tensor: TensorProto = tensors.get(name)!;
    const copy = new Uint8Array(tensor.rawData);
    writes.push(() => (tensor.rawData = copy));
    return new type(copy.buffer);
  };
  return {
    values: {
      weights: view(weights.input[0], Int8Array),
      scales: view(weights.input[1], Float32Array),
      bias: view(bias.input[0], Int32Array),
      biasScales: view(bias.input[1], Float32Array),
      outputScale: quantizer ? view(quantizer.input[1], Float32Array) : null,
      outputZeroPoint: quantizer ? view(quantizer.input[2], Uint8Array) : null,
    },
    write: () => {
      for (const write of writes) write();
    },
  };
}
