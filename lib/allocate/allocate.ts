/** Widths of one layer: weight bits, and bits of its input activation. */
export interface LayerWidths {
  weights: number;
  activations: number;
}

/** layer name -> widths */
export type Widths = ReadonlyMap<string, LayerWidths>;

/** Resources by name: `weightBytes`, `averageBits`, `activationBytes`, `energy`, ... */
export type Cost = Readonly<Record<string, number>>;

/**
 * The cost function that allocation needs; `hardware` implements it. A resource is the largest of its parts and a part
 * is a sum over layers: bytes of weights are one part, the peak of activations has one for every step of the schedule.
 */
export interface CostModel {
  cost(widths: Widths): Cost;
  parts(resource: string): number;
  /** Share of one layer in a part of a resource, what belongs to no layer standing with the first. */
  layerCost(layer: string, widths: LayerWidths, resource: string, part?: number): number;
}

export interface Ceiling {
  resource: string;
  limit: number;
  /** As the user wrote it: `size=10.5%`. */
  text: string;
}

/** What one evaluation on validation data says. */
export interface Measurement {
  /** Percentage points lost against float (accuracy, or agreement without labels). */
  drop: number;
  /** Quantized metric in percent. */
  accuracy: number;
  /** Mean KL of outputs against float's; breaks ties among equal drops. */
  divergence: number;
}

export interface AllocatableLayer {
  name: string;
  parameters: number;
  macs: number;
  sigma: number;
  rawSigma: number | null;
  /** Widths offered to its weights, ascending; one entry pins them. */
  bits: readonly number[];
  /** Widths offered to its input, ascending. */
  activations: readonly number[];
  /** Divergences by width, in nats: of the weights, */
  weightDivergence: Readonly<Record<number, number>>;
  /** of the outputs where only this layer's weights are quantized (null without data), */
  outputDivergence: Readonly<Record<number, number>> | null;
  /** of the outputs where only this layer's input is quantized (null where it was not measured). */
  inputDivergence: Readonly<Record<number, number>> | null;
  /** Expected divergence by the trace of the loss's curvature and the squared error of the weights; null if not measured. */
  curvatureLoss: Readonly<Record<number, number>> | null;
}

/** Layers that must agree in the width of their weights, or of their inputs, which are one value. */
export interface Tie {
  of: 'weights' | 'activations';
  layers: readonly string[];
}

export interface Problem {
  layers: readonly AllocatableLayer[];
  /** A layer stands in at most one tie of each kind. */
  ties: readonly Tie[];
  cost: CostModel;
  ceilings: readonly Ceiling[];
  /** drop <= maxDrop, percentage points; null without a floor. */
  maxDrop: number | null;
  /** The resource to be least above a floor where no ceilings are given. */
  goal: string;
  /** Runs the quantized network on validation data; null for `plan` (no data). Cached by the caller. */
  evaluate: ((widths: Widths) => Promise<Measurement>) | null;
  /** Evaluations allowed. */
  budget: number;
  /** How far a target may be missed while phase 1 is left: cost relative, drop in points. */
  buffer: { cost: number; drop: number };
  /** Of random choices. */
  seed: number;
  signal?: AbortSignal;
  onProgress?: (stage: string, done: number, total: number) => void;
}

export interface Move {
  layer: string;
  from: number;
  to: number;
  of?: 'activations';
}

export interface TraceStep {
  phase: string;
  /** Layers that moved, with the width of their weights before and after, or of their input where it says so. */
  moves: readonly Move[];
  reason: string;
  cost: Cost;
  measurement: Measurement | null;
  kept: boolean;
}

/** Whether all targets hold, only the ceilings, only the floor, or neither. */
export type Verdict = 'met' | 'accuracy-only' | 'resource-only' | 'impossible';

export interface Allocation {
  widths: Widths;
  cost: Cost;
  measurement: Measurement | null;
  verdict: Verdict;
  /** Where the verdict is not `met`: reachable minimum of each missed ceiling and layers that bind, worst first. */
  binding: readonly { layer: string; reason: string }[];
  reachable: { cost: Cost; measurement: Measurement | null } | null;
  /** Where the verdict is not `met`: measured points that would meet targets near those asked for: within the ceilings, above the floor, between. */
  feasible: readonly { cost: Cost; measurement: Measurement | null }[];
  evaluations: number;
  trace: readonly TraceStep[];
}

export type Strategy = (problem: Problem) => Promise<Allocation>;
