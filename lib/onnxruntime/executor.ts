import { type CompileEvaluator, type Evaluator, floatNodesOf, quantizerOf } from '../engine/index.ts';
import { refuse, SigmaQuantError } from '../errors.ts';
import { ortModel } from '../export/ort.ts';
import type { Graph, Tensor } from '../graph/graph.ts';
import { type Origin, withOrigins } from '../graph/index.ts';
import { toFirst, transpose } from '../graph/ops/indexing.ts';
import { writeModel } from '../onnx/index.ts';
import type { Quantization, QuantizedLayer, Quantizer } from '../quant/quantizer.ts';
import { dequantized, quantized } from './integers.ts';
import { fedBias, fedWeights, partOf, portName } from './part.ts';
import type { Onnxruntime, Session } from './runtime.ts';

type Feeds = ReadonlyMap<string, Tensor>;
type Into = ReadonlyMap<string, Tensor> | undefined;

/** Bytes of models whose sessions are kept; onnxruntime takes two to three times as much. */
const SESSION_BYTES = 2 ** 29;
const OPSET = 21;

/** A network in the form that is analysed, and onnxruntime as who runs it. */
export interface OnnxruntimeNetwork {
  /** Channels-last: what feeds and fetches are named after. Operators that we lack may stand in it. */
  graph: Graph;
  /** Of that graph only. */
  compile: CompileEvaluator;
}

/** What runs for certain feeds and fetches. */
interface Prepared {
  session: Session;
  /** Names of layers inside. */
  layers: ReadonlySet<string>;
  bytes: number;
}

/** `onnx`: the graph in ONNX form. */
export function onnxruntimeNetwork(runtime: Onnxruntime, onnx: Graph): OnnxruntimeNetwork {
  const { graph, origins } = withOrigins(onnx);
  return {
    graph,
    compile: (given, { threads }, { quantization } = {}) => {
      if (given !== graph) refuse('the graph of this network', 'graph', given.name);
      return new OnnxruntimeExecutor(runtime, { onnx, graph, origins }, threads, quantization);
    },
  };
}

interface Forms {
  onnx: Graph;
  graph: Graph;
  origins: ReadonlyMap<string, Origin>;
}

/**
 * Runs parts of a network on onnxruntime, as the exporter writes them: float, with any layer's weights replaced, or
 * quantized. Each part has a session of its own, made when it is first asked for.
 */
class OnnxruntimeExecutor implements Evaluator {
  readonly graph: Graph;
  readonly floatNodes: readonly string[];
  readonly #runtime: Onnxruntime;
  readonly #forms: Forms;
  readonly #threads: number;
  readonly #quantization: Quantization | undefined;
  readonly #layers: Map<string, QuantizedLayer>;
  /** Float weights and biases that stand for a layer's own, in ONNX's layout. */
  readonly #replaced = new Map<string, [weights: Tensor, bias: Tensor]>();
  readonly #outputs: ReadonlySet<string>;
  /** Least recently used first. */
  readonly #prepared = new Map<string, Prepared>();
  #bytes = 0;

  constructor(runtime: Onnxruntime, forms: Forms, threads: number, quantization: Quantization | undefined) {
    this.graph = forms.graph;
    this.#runtime = runtime;
    this.#forms = forms;
    this.#threads = threads;
    this.#quantization = quantization;
    this.#layers = new Map(quantization?.layers);
    this.#outputs = new Set(forms.graph.outputs.map(({ name }) => name));
    this.floatNodes = quantization ? floatNodesOf(forms.graph, quantization) : [];
  }

  run(feeds: Feeds, fetches: readonly string[], into?: Into): Map<string, Tensor> {
    const computed = fetches.filter((name) => !feeds.has(name));
    const results = computed.length > 0 ? this.#compute(feeds, computed) : new Map<string, Tensor>();
    return new Map(
      fetches.map((name) => {
        const tensor = results.get(name) ?? feeds.get(name)!;
        return [name, filled(name, tensor, into?.get(name))];
      }),
    );
  }

  #compute(feeds: Feeds, fetches: readonly string[]): Map<string, Tensor> {
    const fed = new Map<string, Tensor>();
    const values = new Map<string, string>();
    for (const [name, tensor] of feeds) {
      const origin = this.#origin(name);
      if (values.has(origin.value)) continue; // the same in the other layout
      values.set(origin.value, name);
      const quantizer = this.#quantizer(name);
      fed.set(
        portName(origin),
        quantizer && tensor.dtype === 'uint8' ? dequantized(tensor, quantizer) : tensor,
      );
    }
    const { session, layers } = this.#prepare([...values.values()], fetches);
    for (const [layer, [weights, bias]] of this.#replaced)
      if (layers.has(layer)) fed.set(fedWeights(layer), weights).set(fedBias(layer), bias);
    const results = session.run(
      fed,
      fetches.map((name) => portName(this.#origin(name))),
    );
    return new Map(
      fetches.map((name) => [name, this.#result(name, results.get(portName(this.#origin(name)))!)]),
    );
  }

  /** Quantized values are integers, but for the network's outputs. */
  #result(name: string, tensor: Tensor): Tensor {
    const quantizer = this.#outputs.has(name) ? undefined : this.#quantizer(name);
    return quantizer ? quantized(tensor, quantizer) : tensor;
  }

  #origin(name: string): Origin {
    return (
      this.#forms.origins.get(name) ?? refuse('the name of a value of the graph', 'a feed or fetch', name)
    );
  }

  #quantizer(name: string): Quantizer | undefined {
    return this.#quantization?.activations.get(quantizerOf(this.graph, name));
  }

  #prepare(feeds: readonly string[], fetches: readonly string[]): Prepared {
    const key = [...feeds, '', ...fetches, '', ...[...this.#replaced.keys()].sort()].join('\n');
    let prepared = this.#prepared.get(key);
    if (prepared) this.#prepared.delete(key);
    else prepared = this.#make(feeds, fetches);
    this.#prepared.set(key, prepared); // most recently used last
    for (const [oldest, { bytes }] of this.#prepared) {
      if (this.#bytes <= SESSION_BYTES || oldest === key) break;
      this.#drop(oldest, bytes);
    }
    return prepared;
  }

  #make(feeds: readonly string[], fetches: readonly string[]): Prepared {
    const { onnx } = this.#forms;
    const fed = feeds.map((name) => this.#origin(name));
    const fetched = unique(fetches.map((name) => this.#origin(name)));
    const part = partOf(onnx, fed, fetched, new Set(this.#replaced.keys()));
    const bytes = writeModel(
      ortModel(part, this.#quantizationOf(part, feeds), { opset: OPSET, metadata: new Map() }),
    );
    const session = this.#runtime.session(bytes, this.#threads);
    this.#bytes += bytes.length;
    return { session, layers: new Set(part.nodes.map(({ name }) => name)), bytes: bytes.length };
  }

  /** What of the quantization belongs to a part; what is fed owns its quantizer there. */
  #quantizationOf({ nodes }: Graph, feeds: readonly string[]): Quantization {
    const layers = new Map([...this.#layers].filter(([name]) => nodes.some((node) => node.name === name)));
    const made = new Set(nodes.flatMap(({ outputs }) => outputs));
    const activations = new Map<string, Quantizer>();
    for (const [name, quantizer] of this.#quantization?.activations ?? [])
      if (made.has(this.#origin(name).value)) activations.set(name, quantizer);
    for (const name of feeds) {
      const quantizer = this.#quantizer(name);
      if (quantizer) activations.set(portName(this.#origin(name)), quantizer);
    }
    return { activations, layers };
  }

  #drop(key: string, bytes: number): void {
    this.#prepared.get(key)!.session.release();
    this.#prepared.delete(key);
    this.#bytes -= bytes;
  }

  replaceWeights(layer: string, weights: Float32Array | null, bias?: Float32Array | null): void {
    if (this.#quantization) refuse('a float executor', 'replaceWeights', 'a quantized one');
    const { onnx } = this.#forms;
    const node = onnx.nodes.find(({ name }) => name === layer);
    const own = onnx.constants.get(node?.inputs[1] ?? '');
    if (!node || !own) refuse('the name of a layer', 'layer', layer);
    if (weights === null) {
      this.#replaced.delete(layer);
      return;
    }
    const [outChannels, channels, ...kernel] = own.shape;
    const last = { dtype: 'float32', shape: [outChannels, ...kernel, channels], data: weights } as const;
    const kept = onnx.constants.get(node.inputs[2] ?? '')?.data as Float32Array | undefined;
    const sums = (bias === undefined ? kept : bias) ?? new Float32Array(outChannels);
    this.#replaced.set(layer, [
      transpose(last, toFirst(own.shape.length)),
      { dtype: 'float32', shape: [outChannels], data: sums },
    ]);
  }

  replaceLayer(layer: string, quantization: Quantization): void {
    if (!this.#quantization) refuse('a quantized executor', 'replaceLayer', 'a float one');
    const replacement = quantization.layers.get(layer);
    if (!replacement) refuse(`a quantization of ${layer}`, 'quantization', undefined);
    this.#layers.set(layer, replacement);
    for (const [key, { layers, bytes }] of [...this.#prepared]) if (layers.has(layer)) this.#drop(key, bytes);
  }

  dispose(): void {
    for (const [key, { bytes }] of [...this.#prepared]) this.#drop(key, bytes);
  }
}

function unique(origins: readonly Origin[]): Origin[] {
  return [...new Map(origins.map((origin) => [portName(origin), origin])).values()];
}

/** A tensor that the caller owns, in the caller's array where one is given. */
function filled(name: string, tensor: Tensor, target: Tensor | undefined): Tensor {
  if (!target) return tensor;
  if (target.dtype !== tensor.dtype || target.data.length !== tensor.data.length)
    throw new SigmaQuantError(
      'DATA_MISMATCH',
      `Expected room for ${tensor.data.length} elements of ${tensor.dtype} for ${name} but received ${target.data.length} of ${target.dtype}.`,
    );
  (target.data as Float32Array).set(tensor.data as Float32Array);
  return { ...tensor, data: target.data };
}
