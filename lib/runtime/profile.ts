import type { StepProfile } from '../engine/index.ts';
import type { Graph } from '../graph/graph.ts';

/** What a layer takes of a run. */
export interface LayerProfile {
  /** Name and operator of the node. */
  name: string;
  op: string;
  /** Median of the runs, all steps of the layer together. */
  milliseconds: number;
  /** Of the whole network. */
  share: number;
  /** Of activations that it reads and writes. */
  bytes: number;
}

function median(values: number[]): number {
  const sorted = values.sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** One row per node, in execution order, from the steps of several runs. */
export function profileOf(graph: Graph, runs: readonly (readonly StepProfile[])[]): LayerProfile[] {
  const rows: LayerProfile[] = [];
  for (const node of graph.nodes) {
    const times = runs.map((steps) => total(steps, node.name, 'milliseconds'));
    if (!runs[0].some((step) => step.node === node.name)) continue;
    const bytes = total(runs[0], node.name, 'bytes');
    rows.push({ name: node.name, op: node.op, milliseconds: median(times), share: 0, bytes });
  }
  const all = rows.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  return rows.map((row) => ({ ...row, share: all > 0 ? row.milliseconds / all : 0 }));
}

function total(steps: readonly StepProfile[], node: string, what: 'milliseconds' | 'bytes'): number {
  return steps.reduce((sum, step) => sum + (step.node === node ? step[what] : 0), 0);
}
