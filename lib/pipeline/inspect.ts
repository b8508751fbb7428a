import { type InspectOptions, type InspectResult, inspectOn } from './inspection.ts';
import { nodeHost } from './node-host.ts';

export type { InspectedLayer, InspectOptions, InspectResult } from './inspection.ts';

/** Reads a model without running it; unknown operators are listed, not refused. */
export function inspect(options: InspectOptions): Promise<InspectResult> {
  return inspectOn(nodeHost, options);
}
