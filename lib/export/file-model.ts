import type { Attribute, Graph, Node, Tensor } from '../graph/graph.ts';
import type { FileFunction, FileModel, FileNode, FileTensor, FileValue, TensorValue } from '../onnx/index.ts';

/** Operator sets that are written; newer ones onnxruntime does not load. */
export const OPSETS = { oldest: 13, newest: 26 } as const;
/** The IR version that came with an operator set, and with all until the next (onnx/onnx, docs/Versioning.md). */
const IR_VERSIONS: readonly (readonly [opset: number, ir: number])[] = [
  [13, 7],
  [15, 8],
  [19, 9],
  [21, 10],
  [23, 11],
  [24, 12],
  [25, 13],
];
/** The first with functions of the model's own. */
const FUNCTIONS_IR = 8;
/** The first whose tensors have metadata. */
const TENSOR_METADATA_IR = 10;

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

  tensor(name: string, tensor: TensorValue, metadata?: ReadonlyMap<string, string>): string {
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

  /** Says of a tensor of integers where its scale and, unless that is 0, its zero point are. */
  annotate(integers: string, scale: string, zeroPoint?: string): void {
    const roles = new Map([['SCALE_TENSOR', scale]]);
    if (zeroPoint !== undefined) roles.set('ZERO_POINT_TENSOR', zeroPoint);
    this.annotations.set(integers, roles);
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

/** A builder that takes none of the names in a graph. */
export function builderFor({ constants, inputs, nodes }: Graph): FileBuilder {
  const values = [
    ...constants.keys(),
    ...inputs.map(({ name }) => name),
    ...nodes.flatMap(({ outputs }) => outputs),
  ];
  return new FileBuilder(
    values,
    nodes.map(({ name }) => name),
  );
}

export interface FileOptions {
  opset: number;
  /** Model metadata. */
  metadata: ReadonlyMap<string, string>;
  functions?: readonly FileFunction[];
}

/** The file of what was built: inputs, outputs and name of `graph`, and the IR version that goes with the opset. */
export function fileModel(
  graph: Graph,
  file: FileBuilder,
  { opset, metadata, functions = [] }: FileOptions,
): FileModel {
  for (const { name } of graph.outputs) {
    const constant = graph.constants.get(name);
    if (constant) file.constant(name, constant);
  }
  const ir = IR_VERSIONS.findLast(([since]) => since <= opset)![1];
  const irVersion = functions.length > 0 ? Math.max(ir, FUNCTIONS_IR) : ir;
  const perTensor = irVersion >= TENSOR_METADATA_IR;
  const port = ({ name, dtype, shape }: FileValue) => ({ name, dtype, shape });
  const domains = new Set(file.nodes.flatMap(({ domain }) => domain ?? []));
  return {
    irVersion,
    opset,
    domains: new Map([...domains].map((domain) => [domain, 1])),
    name: graph.name,
    inputs: graph.inputs.map(port),
    outputs: graph.outputs.map(port),
    values: perTensor ? file.values : file.values.map(port),
    initializers: perTensor ? file.initializers : file.initializers.map(({ metadata: _, ...rest }) => rest),
    nodes: file.nodes,
    functions,
    quantization: file.annotations,
    metadata,
  };
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
