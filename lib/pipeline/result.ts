import type { Verdict } from '../allocate/allocate.ts';
import type { AllocationFile } from '../export/allocation.ts';
import type { BackendName, Isa } from '../kernels/kernels.ts';
import type { ExecutorName } from './options.ts';

/** A layer and the widths that it was given. */
export interface LayerResult {
  name: string;
  op: 'Conv' | 'Linear';
  parameters: number;
  /** Per sample. */
  macs: number;
  /** Population standard deviation of the folded weights. */
  sigma: number;
  /** Width of the weights. */
  weights: number;
  /** Width of the input. */
  activations: number;
}

/** Float and quantized network on the same samples. */
export interface AccuracyResult {
  metric: string;
  /** Percent; null for SQNR, where float is the reference itself. */
  float: number | null;
  /** Percent; decibels for SQNR. */
  quantized: number;
  /** float - quantized, percentage points. */
  drop: number | null;
  /** Paired 95 % interval of the drop. */
  interval: [number, number] | null;
  samples: number;
}

/** What learning did to the network at its final widths. */
export interface LearnedResult {
  /** Drops on validation, percentage points. */
  before: number;
  after: number;
  /** False where rounding alone was nearer to float on validation, and was taken. */
  kept: boolean;
  /** Output errors of reconstructed blocks relative to the output's power. */
  blocks: readonly { layers: readonly string[]; before: number; after: number }[];
  notes: readonly string[];
}

/** Who evaluated the networks. */
export interface ExecutorResult {
  name: ExecutorName;
  version: string;
}

/** Where the time went. */
export interface Seconds {
  total: number;
  calibrate: number;
  profile: number;
  allocate: number;
  /** Making integers, learning included; part of neither profile nor allocate here. */
  recover: number;
  /** Scoring validation and judged samples. */
  evaluate: number;
}

/** Paths of what was written. */
export interface OutputFiles {
  directory: string;
  model: string;
  /** The packed file; null where our engine lacks an operator of the network. */
  sqnt: string | null;
  allocation: string;
  /** Layers as comma-separated values. */
  table: string;
  report: string;
  /** The report as one HTML page. */
  page: string;
}

/** What an earlier run had done already, and this one took from the cache. */
export interface Reused {
  /** Samples of the profile. */
  profile: number;
  evaluations: number;
  /** Layers at a width. */
  integers: number;
}

/** The document of `quantize --json`. */
export interface QuantizeSummary {
  model: string;
  layers: LayerResult[];
  averageBits: number;
  floatBytes: number;
  weightBytes: number;
  /** Bytes of the exported file. */
  fileBytes: number;
  /** Bytes of the packed file; null without one. */
  sqntBytes: number | null;
  /** Judged once, on samples that the search never saw; null without such samples. */
  accuracy: AccuracyResult | null;
  validation: AccuracyResult;
  /** What learning did; null where nothing was learned. */
  learned: LearnedResult | null;
  verdict: Verdict;
  /** Whose costs are meant. */
  device: string;
  /** Ceilings in the unit of their resource, as allocation.json and `devices` name them. */
  targets: AllocationFile['targets'];
  /** Every resource that the device has figures for. */
  cost: AllocationFile['cost'];
  /** Sentences on what a careful reader should know: a floor that the judged samples miss, unreadable images, ... */
  warnings: string[];
  binding: AllocationFile['binding'];
  reachable: AllocationFile['reachable'];
  /** Where a target is missed: measured points, and flags of targets that they meet. */
  feasible: AllocationFile['feasible'];
  strategy: string;
  recovery: string;
  executor: ExecutorResult;
  backend: BackendName;
  isa: Isa;
  threads: number;
  seconds: Seconds;
  evaluations: number;
  /** Of the work above; nothing where no cache was named. */
  cached: Reused;
  /** Null where no `out` was given. */
  files: OutputFiles | null;
}

/** What the files hold, also where none is written. */
export interface Artefacts {
  /** ONNX, profile `ort`. */
  model: Uint8Array;
  /** The same network packed to its widths, as docs/sqnt.md describes; null where our engine lacks an operator. */
  sqnt: Uint8Array | null;
  allocation: AllocationFile;
  /** CSV, a line per layer. */
  table: string;
  /** Markdown. */
  report: string;
  /** HTML, one self-contained page. */
  page: string;
}

export interface QuantizeResult extends QuantizeSummary {
  /** Not part of the JSON document. */
  artefacts: Artefacts;
}
