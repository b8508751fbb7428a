import type { Attribute, Node, Tensor } from '../graph/graph.ts';
import type { FileNode, FileTensor, FileValue } from '../onnx/index.ts';

/** Collects nodes and tensors in the order of calls, under names that are never taken twice. */
export class FileBuilder {
  readonly nodes: FileNode[] = [];
  readonly initializers: FileTensor[] = [];
  readonly values: FileValue[] = [];
  /** Tensor name -> role -> tensor name: lets viewers show real values. */
  readonly annotations = new Map<string, ReadonlyMap<string, string>>();
  readonly #taken: Set<string>;
  readonly #nodeNames: Set<string>;
  readonly #tensors = new Set<string>();

  /** Names of values and of nodes that stay as they are. */
  constructor(values: Iterable<string>, nodes: Iterable<string>) {
    this.#taken = new Set(values);
    this.#nodeNames = new Set(nodes);
  }

  /** The name itself, or with the first free number behind it; for a value or tensor. */
  unique(name: string): string {
    return firstFree(name, this.#taken);
  }

  tensor(name: string, tensor: Tensor, metadata?: ReadonlyMap<string, string>): string {
    const free = this.unique(name);
    this.initializers.push({ name: free, tensor, ...(metadata ? { metadata } : {}) });
    return free;
  }

  /** A constant of the source model under its own name, stored once. */
  constant(name: string, tensor: Tensor): string {
    if (!this.#tensors.has(name)) {
      this.#tensors.add(name);
      this.initializers.push({ name, tensor });
    }
    return name;
  }

  /** Says of a tensor of integers where its scale and zero point are. */
  annotate(integers: string, scale: string, zeroPoint: string): void {
    this.annotations.set(
      integers,
      new Map([
        ['SCALE_TENSOR', scale],
        ['ZERO_POINT_TENSOR', zeroPoint],
      ]),
    );
  }

  /** A node of the graph keeps its name; for any other a name is proposed. onnxruntime takes none twice. */
  node(
    op: string,
    from: string | Pick<Node, 'name' | 'floats'>,
    inputs: readonly string[],
    outputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
    domain = '',
  ): void {
    const { name, floats } =
      typeof from === 'string' ? { name: firstFree(from, this.#nodeNames), floats: undefined } : from;
    this.nodes.push({
      op,
      name,
      inputs,
      outputs,
      attributes,
      ...(floats ? { floats } : {}),
      ...(domain === '' ? {} : { domain }),
    });
  }
}

function firstFree(name: string, taken: Set<string>): string {
  let free = name;
  for (let i = 2; taken.has(free); i++) free = `${name}_${i}`;
  taken.add(free);
  return free;
}

export function float32(...values: number[]): Tensor {
  return { dtype: 'float32', shape: [values.length], data: Float32Array.from(values) };
}

export function int64(...values: number[]): Tensor {
  return { dtype: 'int64', shape: [values.length], data: BigInt64Array.from(values, BigInt) };
}

export function floatScalar(value: number): Tensor {
  return { dtype: 'float32', shape: [], data: Float32Array.of(value) };
}

export function byteScalar(value: number): Tensor {
  return { dtype: 'uint8', shape: [], data: Uint8Array.of(value) };
}
