import type { BackendName, ConvShape, Isa } from '../kernels/kernels.ts';

/** What is measured, as plain data: the plan is a list of groups, printed by nobody and compared literally by tests. */

export type Op =
  | 'gemm'
  | 'gemv'
  | 'conv'
  | 'depthwise'
  | 'quantize'
  | 'dequantize'
  | 'moments'
  | 'histogram'
  | 'squaredError'
  | 'quantizeError'
  | 'pack'
  | 'unpack'
  | 'call';

export type Activations = 'u8' | 's8' | 'f32';

/** What an op works on. */
export type Subject =
  | { kind: 'matrix'; m: number; n: number; k: number }
  | { kind: 'window'; shape: ConvShape }
  /** `rectified`: half of the elements are zero, as after a ReLU. */
  | { kind: 'elements'; count: number; rectified?: boolean };

/** A shape as the tables name it: `256x256x256`, `3x3_56x56x64_64`, `64MB`. */
export interface NamedSubject {
  name: string;
  subject: Subject;
}

/** Kernels that trials run on. */
export interface Machine {
  backend: BackendName;
  isa: Isa;
  threads: number;
}

export interface Trial extends Machine {
  op: Op;
  shape: string;
  subject: Subject;
  /** Width of weights or elements, 2..8; 32 for float. */
  bits: number;
  activations: Activations;
  /** Measured for the sake of others' ratios, not asked for and not reported. */
  baseline: boolean;
}

/** Trials that are measured in turns, so that what drifts hits all alike. */
export interface Group {
  op: Op;
  shape: string;
  trials: Trial[];
}

/** A row of the table and of `--json`. */
export interface Row extends Machine {
  op: Op;
  shape: string;
  bits: number;
  activations: Activations;
  /** Microseconds of one call. */
  medianUs: number;
  p10Us: number;
  p90Us: number;
  /** 10^9 operations per second, two for a multiply-add, padding counted; null where there are none. */
  gops: number | null;
  /** 10^9 bytes per second: of dense weights for gemv, of the float32 (or unpacked) side for element-wise ops. */
  gbps: number | null;
  /** Of the limit measured in turns with it (limits.ts says which), 0..1; null where there is none. */
  peakShare: number | null;
  /** Speed relative to 8 bits and to float: same op, shape, activations and machine; above 1 is faster. */
  ofEightBit: number | null;
  ofFloat: number | null;
}

/** `gemm 256x256x256 4 u8 native avx2 1`: what `--filter` looks at and what identifies a row. */
export function keyOf(row: Pick<Row, 'op' | 'shape' | 'bits' | 'activations'> & Machine): string {
  return `${row.op} ${row.shape} ${row.bits} ${row.activations} ${machineName(row)}`;
}

/** `native avx2 1` */
export function machineName({ backend, isa, threads }: Machine): string {
  return `${backend} ${isa} ${threads}`;
}
