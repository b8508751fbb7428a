/**
 * A quantized network as a packed file holds it: plain data, in the channels-last form that the engine runs. The
 * types repeat those of the graph and of the quantization in structure, so that neither needs converting and this
 * folder needs neither.
 */

export type PackedDtype =
  | 'float32'
  | 'float64'
  | 'float16'
  | 'bfloat16'
  | 'int8'
  | 'uint8'
  | 'int16'
  | 'uint16'
  | 'int32'
  | 'uint32'
  | 'int64'
  | 'uint64'
  | 'bool'
  | 'string';

export type PackedData =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array
  | string[];

/** Row-major. float16 and bfloat16 as their bits in a Uint16Array, bool as a Uint8Array of 0 and 1. */
export interface PackedTensor {
  dtype: PackedDtype;
  shape: readonly number[];
  data: PackedData;
}

/** An input or output; a dimension with a name (`batch`) is open. */
export interface PackedPort {
  name: string;
  dtype: PackedDtype;
  shape: readonly (number | string)[];
}

export type PackedAttribute = number | string | readonly number[] | readonly string[] | PackedTensor;

export interface PackedNode {
  /** Unique. */
  name: string;
  op: string;
  /** Value names; '' for an absent one. */
  inputs: readonly string[];
  outputs: readonly string[];
  attributes: Readonly<Record<string, PackedAttribute>>;
}

/** Weights in integers, symmetric and per output channel: w = q * scale. */
export interface PackedLayer {
  /** 2..8. */
  bits: number;
  /** [outChannels][taps][channels], within [-2^(bits-1), 2^(bits-1)-1]. Perhaps made anew each time it is read. */
  readonly q: Int8Array;
  /** [outChannels], finite and positive. */
  scales: Float32Array;
  /** [outChannels], finite. */
  bias: Float32Array;
}

export interface ShapedLayer extends PackedLayer {
  /** Shape of the constant that is the node's second input: [outChannels][...kernel][channels] or [outChannels][k]. */
  weightsShape: readonly number[];
}

/** q = clamp(rne(x / scale) + zeroPoint, low, high), stored as uint8. */
export interface PackedQuantizer {
  /** 2..8. */
  bits: number;
  scale: number;
  zeroPoint: number;
  low: number;
  high: number;
}

/** Resize, crop, then (x * scale - mean) / std; frames are [width, height]. */
export interface PackedPreprocessing {
  readonly resize?: readonly [number, number];
  readonly crop?: readonly [number, number];
  readonly scale?: number;
  readonly mean?: number | readonly number[];
  readonly std?: number | readonly number[];
}

/** Who made the file of what; nothing that differs from run to run. */
export interface PackedProvenance {
  tool: string;
  version: string;
  /** sha256 in 64 hexadecimal digits. */
  source: { name: string; sha256: string };
}

export interface PackedModel {
  name: string;
  opset: number;
  inputs: readonly PackedPort[];
  outputs: readonly PackedPort[];
  /** In execution order. */
  nodes: readonly PackedNode[];
  /** All constants but weights and biases of quantized layers. */
  constants: ReadonlyMap<string, PackedTensor>;
  /** By node name. */
  layers: ReadonlyMap<string, ShapedLayer>;
  /** By value name. */
  activations: ReadonlyMap<string, PackedQuantizer>;
  preprocessing: PackedPreprocessing;
  provenance: PackedProvenance;
}
