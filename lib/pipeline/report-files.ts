import type { LayerWidths, Widths } from '../allocate/allocate.ts';
import type { AllocationFile } from '../export/allocation.ts';
import type { Layer } from '../graph/graph.ts';
import type { Quantization } from '../quant/quantizer.ts';
import { dequantizeWeights } from '../quant/weights.ts';
import { csv } from '../report/csv.ts';
import { explanation } from '../report/explain.ts';
import type { DeviceCost, Front, FrontPoint, HtmlReportInput, LayerHistogram } from '../report/html.ts';
import type { Costs } from './resources.ts';

/** Bins of the weights' histograms. */
const BINS = 64;
/** What INT8 means everywhere. */
const INT8: LayerWidths = { weights: 8, activations: 8 };

/** What the report knows beyond allocation.json. */
export interface Reported {
  allocation: AllocationFile;
  command: string;
  fileBytes: number;
  sqntBytes: number | null;
  layers: readonly Layer[];
  quantization: Quantization;
  costs: Costs;
  widths: Widths;
}

/** Everything that report.html shows. */
export function reportInput(reported: Reported): HtmlReportInput {
  const { allocation, command, fileBytes, sqntBytes, layers, quantization } = reported;
  const { trace } = allocation;
  const measured = allocation.validation !== null;
  return {
    allocation,
    command,
    fileBytes,
    sqntBytes,
    sensitivities: allocation.layers.map(({ name, offered }) => {
      const weights = offered.filter(({ of, divergence }) => of === 'weights' && divergence !== null);
      return {
        layer: name,
        source: measured ? 'output' : 'weights',
        widths: weights.map(({ bits }) => bits),
        losses: weights.map(({ divergence }) => divergence!),
      };
    }),
    front: trace.some(({ measurement }) => measurement) ? frontOf(allocation) : null,
    histograms: layers.map((layer) => histogramOf(layer, quantization)),
    device: deviceOf(reported),
    explanations: allocation.layers.map(({ name }) => ({
      layer: name,
      text: explanation(allocation, name)!.sentences.join(' '),
    })),
  };
}

/** allocation.csv: the layers, one line each, with what each takes of every resource. */
export function layerCsv({ allocation, costs, widths }: Reported): string {
  const resources = costs.model.resources.map(({ name }) => name);
  const shares = sharesOf(costs, widths);
  const titles = [
    'layer',
    'op',
    'parameters',
    'macs',
    'sigma',
    'rawSigma',
    'weights',
    'activations',
    'divergence',
  ];
  return csv(
    [...titles, ...resources],
    allocation.layers.map((row) => [
      row.name,
      row.op,
      row.parameters,
      row.macs,
      row.sigma,
      row.rawSigma,
      row.weights,
      row.activations,
      row.offered.find(({ of, bits }) => of === 'weights' && bits === row.weights)?.divergence ?? null,
      ...shares.get(row.name)!,
    ]),
  );
}

/** Everything that was measured, by weight bytes or the first resource that a target limits. */
function frontOf({ trace, targets, uniform, cost, validation, floatBytes }: AllocationFile): Front {
  const resource = targets[0]?.resource ?? 'weightBytes';
  const points = new Map<string, FrontPoint>();
  const add = (point: FrontPoint) => {
    const key = `${point.cost} ${point.drop}`;
    if (!points.has(key) || point.chosen) points.set(key, point);
  };
  const drop =
    validation?.drop ?? trace.find(({ cost: own }) => own[resource] === cost[resource])?.measurement?.drop;
  if (drop !== undefined)
    add({ cost: cost[resource], drop, kind: 'front', label: 'this result', chosen: true });
  for (const { bits, cost: own, measurement } of uniform)
    if (measurement)
      add({
        cost: own[resource],
        drop: measurement.drop,
        kind: 'uniform',
        label: `${bits} bits`,
        chosen: false,
      });
  for (const { phase, reason, cost: own, measurement } of trace)
    if (measurement)
      add({
        cost: own[resource],
        drop: measurement.drop,
        kind: 'tried',
        label: `${phase}: ${reason}`,
        chosen: false,
      });
  const unit = resource.endsWith('Bytes') ? 'B' : '';
  return {
    resource,
    unit,
    float: resource === 'weightBytes' ? floatBytes : null,
    points: [...points.values()],
  };
}

function histogramOf({ name, weights }: Layer, { layers }: Quantization): LayerHistogram {
  const { q, scales, bits } = layers.get(name)!;
  const after = dequantizeWeights(q, scales);
  let [low, high] = [0, 0];
  for (const weight of weights) [low, high] = [Math.min(low, weight), Math.max(high, weight)];
  const count = (values: Float32Array) => {
    const bins = new Array<number>(BINS).fill(0);
    const scale = high > low ? BINS / (high - low) : 0;
    for (const value of values) bins[Math.min(BINS - 1, Math.max(0, Math.floor((value - low) * scale)))]++;
    return bins;
  };
  return { layer: name, bits, low, high, float: count(weights), quantized: count(after) };
}

function deviceOf({ costs, widths }: Reported): DeviceCost {
  const { device, model } = costs;
  const total = model.cost(widths);
  const reference = model.cost(new Map([...widths.keys()].map((name) => [name, INT8])));
  const shares = sharesOf(costs, widths);
  return {
    name: device.name,
    description: device.title,
    resources: model.resources.map(({ name, unit, title }) => ({
      name,
      title,
      unit,
      total: total[name],
      reference: reference[name],
    })),
    layers: [...shares].map(([layer, own]) => ({ layer, shares: own })),
    notes: device.notes,
  };
}

/** What each layer takes of every resource: of a maximum, in its largest part. */
function sharesOf({ model }: Costs, widths: Widths): Map<string, number[]> {
  const largest = model.resources.map(({ name }) => {
    const sums = Array.from({ length: model.parts(name) }, (_, part) =>
      [...widths].reduce((sum, [layer, own]) => sum + model.layerCost(layer, own, name, part), 0),
    );
    return sums.indexOf(Math.max(...sums));
  });
  return new Map(
    [...widths].map(([layer, own]) => [
      layer,
      model.resources.map(({ name }, index) => model.layerCost(layer, own, name, largest[index])),
    ]),
  );
}
