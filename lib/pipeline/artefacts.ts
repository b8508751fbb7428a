import type { Allocation, Ceiling, Measurement } from '../allocate/allocate.ts';
import type { LayerProfile } from '../analysis/analysis.ts';
import { ALLOCATION_VERSION, type AllocationFile, serializeAllocation } from '../export/allocation.ts';
import { ortModel } from '../export/ort.ts';
import { checkReadBack, checkSame } from '../export/read-back.ts';
import { packedModel } from '../export/sqnt.ts';
import type { Layer } from '../graph/graph.ts';
import { toChannelsLast, unsupportedNodes } from '../graph/index.ts';
import { serializeDevice } from '../hardware/index.ts';
import { writeModel } from '../onnx/index.ts';
import type { Quantization } from '../quant/quantizer.ts';
import { htmlReport } from '../report/html.ts';
import { markdownReport } from '../report/markdown.ts';
import { unpackedModel } from '../runtime/unpack.ts';
import { readSqnt, writeSqnt } from '../sqnt/index.ts';
import type { UniformPoint } from './answers.ts';
import type { Choices } from './choices.ts';
import { commandOf } from './command.ts';
import type { Feasible } from './feasible.ts';
import type { Host } from './host.ts';
import { layerRows } from './layer-rows.ts';
import { type OpenedModel, sha256 } from './model.ts';
import { DEFAULTS, type QuantizeOptions } from './options.ts';
import { layerCsv, reportInput } from './report-files.ts';
import type { Costs } from './resources.ts';
import type { AccuracyResult, Artefacts, ExecutorResult, LearnedResult } from './result.ts';
import type { Roles, Samples } from './samples.ts';
import type { Floor } from './search.ts';
import { warningsOf } from './warnings.ts';

/** Names of the files that hold artefacts. */
export const NAMES = {
  model: 'model.onnx',
  sqnt: 'model.sqnt',
  allocation: 'allocation.json',
  table: 'allocation.csv',
  report: 'report.md',
  page: 'report.html',
} as const;
/** Stands for infinities and NaN in files: JSON has none. */
const LARGEST = Number.MAX_VALUE;

export interface Outcome {
  host: Pick<Host, 'version'>;
  options: QuantizeOptions;
  model: OpenedModel;
  executor: ExecutorResult;
  layers: readonly Layer[];
  /** Of all layers, those that stay in float too. */
  floatBytes: number;
  ceilings: readonly Ceiling[];
  choices: Choices;
  costs: Costs;
  profiles: readonly LayerProfile[];
  roles: Roles;
  /** Calibration samples that earlier runs could not read. */
  unreadable: readonly string[];
  calibrationSamples: number;
  quantization: Quantization;
  floatNodes: readonly string[];
  allocation: Allocation;
  /** Where a target is missed: what would be met. */
  feasible: readonly Feasible[];
  floor: Floor | null;
  /** Uniform widths, measured for comparison. */
  uniform: readonly UniformPoint[];
  validation: AccuracyResult;
  /** What learning did; null where nothing was learned. */
  learned: LearnedResult | null;
  accuracy: AccuracyResult | null;
  /** Null where outputs are not classes. */
  classes: number | null;
}

/** Everything that is written, in memory; both models have been read back and hold the same integers. */
export async function makeArtefacts(outcome: Outcome): Promise<Artefacts> {
  const { host, options, model, quantization } = outcome;
  const preprocessing = options.preprocessing ?? {};
  const opset = options.opset ?? DEFAULTS.opset;
  const metadata = modelMetadata(model, preprocessing, host.version);
  const bytes = writeModel(ortModel(model.graph, quantization, { opset, metadata }));
  checkReadBack(bytes, quantization);
  const allocation = await allocationOf(outcome, { profile: 'ort', opset, sha256: sha256(bytes) });
  const sqnt = packedFile(outcome);
  const reported = {
    ...outcome,
    allocation,
    command: options.command ?? commandOf(options),
    fileBytes: bytes.length,
    sqntBytes: sqnt?.length ?? null,
    widths: outcome.allocation.widths,
  };
  return {
    model: bytes,
    sqnt,
    allocation,
    table: layerCsv(reported),
    report: markdownReport(reported),
    page: htmlReport(reportInput(reported)),
  };
}

/** What an exported ONNX file says of where it comes from and of what its samples go through. */
export function modelMetadata(
  { name, sha256: digest }: Pick<OpenedModel, 'name' | 'sha256'>,
  preprocessing: object,
  version: string,
): ReadonlyMap<string, string> {
  return new Map([
    ['sigmaquant.version', version],
    ['sigmaquant.source', JSON.stringify({ name, sha256: digest })],
    ['sigmaquant.preprocessing', JSON.stringify(preprocessing)],
  ]);
}

/** Opened again as the runtime opens it, and compared. Null where our engine could not run it. */
function packedFile({ host, options, model, quantization }: Outcome): Uint8Array | null {
  const { name, sha256: digest } = model;
  if (unsupportedNodes(model.graph).length > 0) return null;
  const packed = packedModel(toChannelsLast(model.graph), quantization, {
    preprocessing: options.preprocessing ?? {},
    provenance: { tool: 'sigmaquant', version: host.version, source: { name, sha256: digest } },
  });
  const bytes = writeSqnt(packed);
  checkSame(unpackedModel(readSqnt(bytes)).quantization, quantization);
  return bytes;
}

async function allocationOf(
  outcome: Outcome,
  exported: { profile: string; opset: number; sha256: string },
): Promise<AllocationFile> {
  const { host, options, model, allocation, ceilings, floor, validation, accuracy } = outcome;
  const data = await dataOf(outcome);
  return {
    version: ALLOCATION_VERSION,
    tool: { name: 'sigmaquant', version: host.version },
    model: { name: model.name, sha256: model.sha256 },
    exported: { file: NAMES.model, ...exported },
    executor: outcome.executor,
    seed: options.seed ?? DEFAULTS.seed,
    strategy: options.strategy!,
    recovery: options.recovery ?? DEFAULTS.recovery,
    learning: learningOf(outcome.learned),
    ranges: options.ranges ?? DEFAULTS.ranges,
    preprocessing: { ...options.preprocessing } as AllocationFile['preprocessing'],
    targets: ceilings.map(({ resource, limit, text }) => ({
      resource,
      limit,
      text,
    })),
    floor: floor && { text: floor.text, maxDrop: finite(floor.maxDrop) },
    verdict: allocation.verdict,
    binding: allocation.binding.map(({ layer, reason }) => ({ layer, reason })),
    reachable: allocation.reachable && {
      cost: finiteCost(allocation.reachable.cost),
      measurement: finiteMeasurement(allocation.reachable.measurement),
    },
    feasible: outcome.feasible.map(({ cost, measurement, ask }) => ({
      cost: finiteCost(cost),
      measurement: finiteMeasurement(measurement),
      ask: [...ask],
    })),
    warnings: warningsOf({ ...outcome, data }),
    cost: finiteCost(allocation.cost),
    device: { name: outcome.costs.device.name, sha256: sha256(serializeDevice(outcome.costs.device)) },
    floatBytes: outcome.floatBytes,
    validation,
    accuracy,
    data,
    layers: layerRows({ ...outcome, widths: allocation.widths }),
    quantizers: [...outcome.quantization.activations].map(([value, quantizer]) => ({ value, ...quantizer })),
    floatNodes: outcome.floatNodes.map((name) => ({
      name,
      op: model.graph.nodes.find((node) => node.name === name)?.op ?? '',
    })),
    evaluations: allocation.evaluations,
    uniform: outcome.uniform.map(({ bits, cost, measurement }) => ({
      bits,
      cost: finiteCost(cost),
      measurement: finiteMeasurement(measurement),
    })),
    trace: allocation.trace.map((step) => ({
      phase: step.phase,
      moves: step.moves.map((move) => ({ ...move })),
      reason: step.reason,
      cost: finiteCost(step.cost),
      measurement: finiteMeasurement(step.measurement),
      kept: step.kept,
    })),
  };
}

function learningOf(learned: LearnedResult | null): AllocationFile['learning'] {
  if (!learned) return null;
  const { before, after, kept, blocks } = learned;
  return {
    before: finite(before),
    after: finite(after),
    kept,
    blocks: blocks.map((block) => ({ ...block, layers: [...block.layers] })),
  };
}

async function dataOf({
  roles,
  calibrationSamples,
  validation,
  accuracy,
}: Outcome): Promise<AllocationFile['data']> {
  const source = async (samples: Samples | null, count: number) =>
    samples && { name: samples.dataset.name, samples: count, sha256: await samples.dataset.fingerprint() };
  return {
    calibration: await source(roles.calibration, calibrationSamples),
    validation: await source(roles.validation, validation.samples),
    judged: await source(roles.judged, accuracy?.samples ?? 0),
  };
}

function finite(value: number): number {
  return Number.isFinite(value) ? value : Math.sign(value || 1) * LARGEST;
}

/** Costs that JSON can say. */
export function finiteCost(cost: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(cost).map(([name, value]) => [name, finite(value)]));
}

function finiteMeasurement(measurement: Measurement | null): Measurement | null {
  return (
    measurement && {
      drop: finite(measurement.drop),
      accuracy: finite(measurement.accuracy),
      divergence: finite(measurement.divergence),
    }
  );
}

/** Name -> content. */
export function artefactFiles({
  model,
  sqnt,
  allocation,
  table,
  report,
  page,
}: Artefacts): Record<string, string | Uint8Array> {
  return {
    [NAMES.model]: model,
    ...(sqnt ? { [NAMES.sqnt]: sqnt } : {}),
    [NAMES.allocation]: serializeAllocation(allocation),
    [NAMES.table]: table,
    [NAMES.report]: report,
    [NAMES.page]: page,
  };
}
