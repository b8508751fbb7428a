import type { FileModel } from '../onnx/index.ts';
import { OPSETS } from './file-model.ts';
import { type FileIndex, indexOf } from './preflight-graph.ts';
import { forecastLayers, type LayerForecast } from './preflight-layers.ts';

/** The release whose rules are foretold, and on which tests compare every layer. */
export const ONNXRUNTIME = '1.30';

/** Why a file as a whole would not load. */
export interface Refusal {
  /** Name of a node; null where it is the file itself. */
  node: string | null;
  reason: string;
  advice: string;
}

/** What onnxruntime's CPU provider will do with a file, told from what will be in it. */
export interface Forecast {
  /** False where anything below refuses. */
  loads: boolean;
  refusals: Refusal[];
  layers: LayerForecast[];
}

/** IR versions until this one are read. */
const NEWEST_IR = 13;
/** Domains whose operators are part of it. */
const DOMAINS = new Set(['', 'ai.onnx', 'ai.onnx.ml', 'com.microsoft', 'com.microsoft.nchwc']);
/** Element types that Quantize- and DequantizeLinear did not always have, at their first opset. */
const TYPES_SINCE: Readonly<Record<string, number>> = {
  int2: 25,
  uint2: 25,
  int4: 21,
  uint4: 21,
  int16: 21,
  uint16: 21,
};

/**
 * Operators without a kernel of their own: onnxruntime runs them as the function that ONNX defines them by, which it only
 * finds in the opset that brought them.
 */
const INLINED_IN: Readonly<Record<string, number>> = { Swish: 24 };

/** Before a file is written: whether it loads, and with what every layer runs. A pure function of the file. */
export function preflight(model: FileModel): Forecast {
  const index = indexOf(model);
  const layers = forecastLayers(index);
  const refusals = [
    ...versionRefusals(model),
    ...domainRefusals(model),
    ...typeRefusals(index),
    ...kernelRefusals(model),
  ];
  const loads = refusals.length === 0 && layers.every(({ execution }) => execution !== 'refused');
  return { loads, refusals, layers };
}

function versionRefusals({ opset, irVersion }: FileModel): Refusal[] {
  const refusal = (reason: string, advice: string): Refusal => ({ node: null, reason, advice });
  return [
    ...(opset > OPSETS.newest
      ? [refusal(`opset ${opset} is not read`, `write opset ${OPSETS.newest} or older`)]
      : []),
    ...(irVersion > NEWEST_IR
      ? [refusal(`IR version ${irVersion} is not read`, `write IR version ${NEWEST_IR} or older`)]
      : []),
  ];
}

/** Operators that nobody has told onnxruntime of. */
function domainRefusals({ nodes, functions = [] }: FileModel): Refusal[] {
  const own = new Set(functions.map(({ domain, name }) => `${domain}.${name}`));
  return nodes
    .filter(({ domain = '', op }) => !DOMAINS.has(domain) && !own.has(`${domain}.${op}`))
    .map(({ name, domain, op }) => ({
      node: name,
      reason: `${op} of ${domain} is neither an operator of onnxruntime nor a function of the file`,
      advice: 'register the library that has it with the session',
    }));
}

function typeRefusals(index: FileIndex): Refusal[] {
  const { nodes, opset } = index.model;
  return nodes
    .filter(({ op, domain }) => !domain && (op === 'QuantizeLinear' || op === 'DequantizeLinear'))
    .flatMap((node) => {
      const type = index.integerType(node);
      const since = TYPES_SINCE[type] ?? 0;
      return opset >= since
        ? []
        : [
            {
              node: node.name,
              reason: `${node.op} has no ${type} in opset ${opset}`,
              advice: `write opset ${since}`,
            },
          ];
    });
}

function kernelRefusals({ nodes, opset }: FileModel): Refusal[] {
  return nodes
    .filter(({ op, domain }) => !domain && opset > (INLINED_IN[op] ?? opset))
    .map(({ name, op }) => ({
      node: name,
      reason: `there is no kernel of ${op} in opset ${opset}`,
      advice: `write opset ${INLINED_IN[op]}`,
    }));
}
