import { SigmaQuantError } from '../errors.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import { channelsLastCopy, tensorFromProto } from '../graph/index.ts';
import { toFirst, transpose } from '../graph/ops/indexing.ts';
import {
  encodeModel,
  type ModelProto,
  type NodeProto,
  type TensorProto,
  TensorProto_DataType,
} from '../onnx/index.ts';
import type { TrainableNetwork } from '../training/index.ts';

/** Where a constant of the channels-last form stands in the file. */
interface Place {
  proto: TensorProto;
  /** Turns the constant into the file's layout. */
  perm: readonly number[];
}

/**
 * An ONNX file whose learned tensors can be replaced: nodes, names and everything else stay what they were, so that a
 * comparison of two files shows weights alone.
 */
export class TrainedFile {
  readonly #model: ModelProto;
  readonly #places = new Map<string, Place>();

  /**
   * `graph`: the channels-last form of the model, whose tensors `encode` writes. Throws UNSUPPORTED_MODEL, naming the tensor, for one that the file holds in another form.
   */
  constructor(model: ModelProto, network: TrainableNetwork) {
    const { graph } = network;
    this.#model = model;
    const stored = storedTensors(model);
    const taken = new Set<TensorProto>();
    for (const name of learnedNames(network)) {
      const proto = stored.get(name);
      const perm = proto && permutation(model, name, proto, graph.constants.get(name)!);
      if (!proto || !perm || taken.has(proto)) refuseForm(name, graph);
      taken.add(proto);
      this.#places.set(name, { proto, perm });
    }
  }

  /** The file with the constants of `graph`, which has the form of the constructor's. */
  encode({ constants }: Pick<Graph, 'constants'>): Uint8Array<ArrayBuffer> {
    for (const [name, { proto, perm }] of this.#places) {
      const { data } = transpose(constants.get(name)!, perm);
      proto.rawData = new Uint8Array((data as Float32Array).slice().buffer);
      proto.floatData = [];
    }
    return encodeModel(this.#model);
  }
}

/** Constants that training changes. */
function learnedNames({ graph, parameters, norms }: TrainableNetwork): Set<string> {
  const normalizations = graph.nodes.filter(({ name }) => norms.has(name));
  return new Set([...parameters.keys(), ...normalizations.flatMap(({ inputs }) => inputs.slice(3, 5))]);
}

/** Initializers and values of Constant nodes by name, and by the name of their channels-last copy. */
function storedTensors({ graph }: ModelProto): Map<string, TensorProto> {
  const named = new Map(graph!.initializer.map((tensor) => [tensor.name, tensor]));
  for (const { opType, output, attribute } of graph!.node) {
    const value = opType === 'Constant' ? attribute.find(({ name }) => name === 'value')?.t : undefined;
    if (value) named.set(output[0], value);
  }
  const copies = [...named].map(([name, tensor]) => [channelsLastCopy(name), tensor] as const);
  return new Map([...copies, ...named]);
}

/** From the constant to the tensor of the file; null where they do not hold the same numbers. */
function permutation(
  { graph }: ModelProto,
  name: string,
  proto: TensorProto,
  constant: Tensor,
): readonly number[] | null {
  if (proto.dataType !== TensorProto_DataType.FLOAT) return null;
  const stored = tensorFromProto(proto, `tensor ${JSON.stringify(name)}`);
  const rank = constant.shape.length;
  const reader = graph!.node.find(({ input }) =>
    input.some((value) => value === proto.name || value === name),
  );
  const perm =
    rank === 2 && isTurned(reader)
      ? [1, 0]
      : rank > 2
        ? toFirst(rank)
        : constant.shape.map((_, axis) => axis);
  const turned = transpose(constant, perm);
  const same =
    turned.shape.length === stored.shape.length &&
    turned.shape.every((size, axis) => size === stored.shape[axis]) &&
    (turned.data as Float32Array).every((value, i) => value === stored.data[i]);
  return same ? perm : null;
}

/** A layer's weights are [outputs][inputs]; a MatMul's, and those of a Gemm unless it says so, the other way round. */
function isTurned(reader: NodeProto | undefined): boolean {
  const transB = reader?.attribute.find(({ name }) => name === 'transB')?.i ?? 0n;
  return reader?.opType === 'MatMul' || (reader?.opType === 'Gemm' && transB === 0n);
}

function refuseForm(name: string, graph: Graph): never {
  const reader = graph.nodes.find(({ inputs }) => inputs.includes(name));
  throw new SigmaQuantError(
    'UNSUPPORTED_MODEL',
    `Expected float32 weights that stand in the file as node ${reader?.name} (${reader?.op}) uses them but received tensor ${JSON.stringify(name)} that is computed from others or of another type; export the network with plain Conv, Gemm and BatchNormalization nodes.`,
  );
}
