import type { Attribute, Tensor } from '../graph/graph.ts';
import type { FileNode, FileTensor, FileValue } from '../onnx/index.ts';

/** Collects nodes and tensors in the order of calls, under names that are never taken twice. */
export class FileBuilder {
  readonly nodes: FileNode[] = [];
  readonly initializers: FileTensor[] = [];
  readonly values: FileValue[] = [];
  /** Tensor name -> role -> tensor name: lets viewers show real values. */
  readonly annotations = new Map<string, ReadonlyMap<string, string>>();
  readonly #taken: Set<string>;
  readonly #tensors = new Set<string>();

  /** `taken`: names of values and nodes that stay as they are. */
  constructor(taken: Iterable<string>) {
    this.#taken = new Set(taken);
  }

  /** The name itself, or with the first free number behind it. */
  unique(name: string): string {
    let free = name;
    for (let i = 2; this.#taken.has(free); i++) free = `${name}_${i}`;
    this.#taken.add(free);
    return free;
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

  node(
    op: string,
    name: string,
    inputs: readonly string[],
    outputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
    domain = '',
  ): void {
    this.nodes.push({ op, name, inputs, outputs, attributes, ...(domain === '' ? {} : { domain }) });
  }
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
