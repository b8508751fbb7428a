import { refuse } from '../errors.ts';
import type { Graph, Node, Tensor } from '../graph/graph.ts';
import { evaluateNode } from '../graph/ops.ts';
import type { Kernels } from '../kernels/kernels.ts';
import type { Quantization, QuantizedLayer, Quantizer } from '../quant/quantizer.ts';
import { dequantizeWeights } from '../quant/weights.ts';
import { type Execution, executionOf, floatNodes } from './executions.ts';
import { weightsShape } from './geometry.ts';
import { quantizerOf } from './quantized-values.ts';
import { type FloatWeights, type IntegerWeights, packFloat, packIntegers } from './weights.ts';

/** What does not depend on the batch or on what is fetched: the graph, its quantizers and its packed weights. */
export class Model {
  readonly graph: Graph;
  readonly kernels: Kernels;
  readonly #activations: ReadonlyMap<string, Quantizer>;
  readonly #quantizers = new Map<string, Quantizer | undefined>();
  readonly #executions = new Map<Node, Execution>();
  readonly #float = new Map<string, FloatWeights>();
  readonly #integer = new Map<string, IntegerWeights>();
  readonly #nodes: ReadonlyMap<string, Node>;
  #epoch: number;

  constructor(graph: Graph, kernels: Kernels, quantization: Quantization | undefined) {
    this.graph = graph;
    this.kernels = kernels;
    this.#activations = quantization?.activations ?? new Map();
    this.#epoch = kernels.arena.epoch;
    this.#nodes = new Map(graph.nodes.map((node) => [node.name, node]));
    const layers = quantization?.layers ?? new Map<string, QuantizedLayer>();
    for (const name of layers.keys())
      if (!this.#nodes.has(name)) refuse('a layer of the graph', 'a layer of the quantization', name);
    for (const node of graph.nodes) {
      const layer = layers.get(node.name);
      const execution = executionOf(graph, node, layer !== undefined, (value) => this.quantizer(value));
      this.#executions.set(node, execution);
      if (node.op === 'Conv' || node.op === 'Linear') this.#pack(node, layer);
    }
  }

  #pack(node: Node, layer: QuantizedLayer | undefined): void {
    const weights = this.graph.constants.get(node.inputs[1]);
    const bias = node.inputs[2] ? this.graph.constants.get(node.inputs[2]) : null;
    if (!weights || bias === undefined || weights.dtype !== 'float32') return;
    if (this.#executions.get(node) === 'integer') {
      const output = this.quantizer(node.outputs[0]);
      const packed = packIntegers(
        this.kernels,
        node.name,
        weightsShape(node, weights.shape, layer!.bits),
        this.quantizer(node.inputs[0])!.scale,
        output?.scale ?? null,
        layer!,
      );
      this.#integer.set(node.name, packed);
    } else {
      const shape = weightsShape(node, weights.shape, 8);
      const packed = layer
        ? packFloat(this.kernels, shape, dequantizeWeights(layer.q, layer.scales), layer.bias)
        : packFloat(
            this.kernels,
            shape,
            weights.data as Float32Array,
            (bias?.data as Float32Array | undefined) ?? null,
          );
      this.#float.set(node.name, packed);
    }
  }

  /** How the value is quantized, whoever owns the quantizer. */
  quantizer(value: string): Quantizer | undefined {
    if (this.#activations.size === 0) return undefined;
    if (!this.#quantizers.has(value))
      this.#quantizers.set(value, this.#activations.get(quantizerOf(this.graph, value)));
    return this.#quantizers.get(value);
  }

  /** Nodes that compute in float; moves of float values are not worth naming. */
  floatNodes(): string[] {
    return floatNodes(
      this.graph,
      (node) => this.execution(node),
      (value) => this.quantizer(value),
    );
  }

  /** One node by its table row, outside the kernels. */
  evaluate(node: Node, inputs: readonly (Tensor | null)[]): Tensor[] {
    return evaluateNode(this.graph, node, inputs);
  }

  execution(node: Node): Execution {
    return this.#executions.get(node)!;
  }

  /** Null where the layer runs in integers or its weights are not constant. */
  floatWeights(node: Node): FloatWeights | null {
    return this.#float.get(node.name) ?? null;
  }

  integerWeights(node: Node): IntegerWeights | null {
    return this.#integer.get(node.name) ?? null;
  }

  replaceFloat(layer: string, weights: Float32Array | null, bias: Float32Array | null | undefined): void {
    const packed = this.#float.get(layer);
    if (!packed) refuse('the name of a layer that runs in float', 'layer', layer);
    const { inputs } = this.#nodes.get(layer)!;
    const constant = (name: string | undefined) =>
      ((name && this.graph.constants.get(name)?.data) || null) as Float32Array | null;
    this.refresh();
    const kept = weights === null || bias === undefined;
    packed.pack(weights ?? constant(inputs[1])!, kept ? constant(inputs[2]) : bias);
  }

  replaceIntegers(layer: string, quantization: QuantizedLayer): void {
    const packed = this.#integer.get(layer);
    if (!packed) refuse('the name of a layer that runs in integers', 'layer', layer);
    this.refresh();
    packed.pack(quantization);
  }

  /** Takes the views of weights again if the arena moved. */
  refresh(): void {
    const { epoch } = this.kernels.arena;
    if (epoch === this.#epoch) return;
    this.#epoch = epoch;
    for (const weights of this.#float.values()) weights.refresh();
    for (const weights of this.#integer.values()) weights.refresh();
  }

  dispose(): void {
    for (const weights of this.#float.values()) weights.release();
    for (const weights of this.#integer.values()) weights.release();
    this.#float.clear();
    this.#integer.clear();
  }
}
