import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Widths } from '../../lib/allocate/allocate.ts';
import { inferTypes, sizeOf } from '../../lib/graph/index.ts';
import type { Device, LayerBreakdown } from '../../lib/hardware/index.ts';
import { loadDevice } from '../../lib/pipeline/devices.ts';
import { nodeHost } from '../../lib/pipeline/node-host.ts';
import type { AccuracyResult } from '../../lib/pipeline/result.ts';
import { type Study, withStudy } from '../../lib/pipeline/study.ts';
import type { Pair } from '../pairs.ts';
import { costByHand, type HandCost, type HandLayer } from './by-hand.ts';

/** One pair on every device, alone in its process. */
export interface Trial {
  pair: Pair;
  devices: readonly string[];
  /** Resources to be least, by the names of `minimize`. */
  objectives: readonly string[];
  maxDrop: number;
  seed: number;
  /** Folder that keeps what was measured; the devices of one pair share it in any case. */
  cache: string | null;
  evaluations?: number;
}

/** A network's costs on one device: uJ of all and of the elements alone, mm2, ms. */
export interface Figures extends HandCost {
  compute: number;
}

/** Ours, and whom it is held against. */
export interface Contest {
  own: Figures;
  /** INT8 of the same organisation: all layers at 8 x 8 bits, and with our narrow weights. */
  int8: Figures;
  int8Narrow: Figures;
  /** Zero-gated INT8, areas for as many MACs per cycle as ours: the same two. */
  gated: Figures;
  gatedNarrow: Figures;
}

export interface Row {
  pair: string;
  device: string;
  /** What was to be least. */
  objective: string;
  verdict: string;
  evaluations: number;
  seconds: number;
  averageBits: number;
  /** Mean width over MACs. */
  macBits: number;
  weightBytes: number;
  /** Percentage points lost on samples of the search, and on those it never saw; of all layers at 8 bits, there too. */
  validationDrop: number | null;
  drop: number | null;
  interval: [number, number] | null;
  int8Drop: number | null;
  full: Contest;
  /** Without the 1 MiB level between operand buffer and DRAM. */
  withoutGlobalBuffer: Contest;
  /** Largest relative difference of any figure of `full` and `withoutGlobalBuffer` from costByHand. */
  handError: number;
  widths: Record<string, number>;
}

const GATED = 'int8-mac-gated-45nm';
const GLOBAL_BUFFER = 'global buffer';

/** Asks the default strategy for the least of every objective on every device. */
export async function run(trial: Trial): Promise<Row[]> {
  const folder = trial.cache ?? mkdtempSync(join(tmpdir(), 'sigmaquant-accelerators-'));
  try {
    const judged = new Map<string, AccuracyResult | null>();
    const rows: Row[] = [];
    for (const name of trial.devices) rows.push(...(await onDevice(trial, name, folder, judged)));
    return rows;
  } finally {
    if (trial.cache === null) rmSync(folder, { recursive: true });
  }
}

/** A study has one device; what it measures does not depend on it, so the cache serves the next one. */
async function onDevice(
  { pair, objectives, maxDrop, seed, evaluations }: Trial,
  name: string,
  cache: string,
  judged: Map<string, AccuracyResult | null>,
): Promise<Row[]> {
  const device = await loadDevice(name);
  const rivals = { int8: await loadDevice(device.baseline!), gated: await loadDevice(GATED) };
  const options = {
    ...{ model: pair.model, calibration: pair.calibration, evaluate: pair.evaluate, seed, cache },
    preprocessing: pair.preprocessing,
    device: name,
    ...(pair.validation !== undefined && { validation: pair.validation }),
  };
  return withStudy(nodeHost, options, async (study) => {
    /** Drop on judged samples, each allocation once; the candidate has its integers afterwards. */
    const become = async (widths: Widths) => {
      const key = JSON.stringify([...widths]);
      await study.candidate.become(widths);
      if (!judged.has(key)) judged.set(key, await study.judge());
      return { accuracy: judged.get(key)!, network: { widths, layers: handLayers(study) } };
    };
    const int8 = await become(uniform(study, 8));
    const rows: Row[] = [];
    for (const objective of objectives) {
      const started = performance.now();
      const { allocation, validation } = await study.ask({
        ...{ maxDrop, minimize: objective },
        ...(evaluations !== undefined && { evaluations }),
      });
      const seconds = (performance.now() - started) / 1000;
      const { verdict, widths, cost } = allocation;
      const ours = await become(widths);
      rows.push({
        ...{ pair: pair.name, device: name, objective, verdict, seconds },
        evaluations: allocation.evaluations,
        averageBits: cost['averageBits'],
        macBits: macBits(study, widths),
        weightBytes: cost['weightBytes'],
        validationDrop: validation.drop,
        drop: ours.accuracy?.drop ?? null,
        interval: ours.accuracy?.interval ?? null,
        int8Drop: int8.accuracy?.drop ?? null,
        ...contests(study, device, rivals, ours.network, int8.network),
        widths: Object.fromEntries([...widths].map(([layer, { weights }]) => [layer, weights])),
      });
    }
    return rows;
  });
}

/** A network at widths, with the integers that it has there. */
interface Allocated {
  widths: Widths;
  layers: readonly HandLayer[];
}

function contests(
  study: Study,
  device: Device,
  { int8, gated }: { int8: Device; gated: Device },
  ours: Allocated,
  wide: Allocated,
): Pick<Row, 'full' | 'withoutGlobalBuffer' | 'handError'> {
  const places = [
    { device, ...ours },
    { device: int8, ...wide },
    { device: int8, ...ours },
    { device: gated, ...wide },
    { device: gated, ...ours },
  ].map((place) => ({ ...place, study, lanes: elements(device) / elements(place.device) }));
  const full = places.map(figuresOf);
  const without = places.map((place) => figuresOf({ ...place, device: withoutLevel(place.device) }));
  return {
    full: contestOf(full),
    withoutGlobalBuffer: contestOf(without),
    handError: Math.max(...[...full, ...without].map(({ error }) => error)),
  };
}

interface Place extends Allocated {
  study: Study;
  device: Device;
  /** Areas are given for so many times the elements. */
  lanes: number;
}

function figuresOf({ study, device, widths, layers, lanes }: Place): Figures & { error: number } {
  const model = study.costs.on(device);
  const { energy, area, peakArea, latency } = model.cost(widths);
  const lines = model.breakdown(widths);
  const areaByTime = area * timeOverMacs(lines);
  const hand = costByHand(device, layers);
  const error = Math.max(
    ...Object.entries({ energy, area, areaByTime, peakArea, latency }).map(([name, value]) =>
      Math.abs(hand[name as keyof HandCost] / value - 1),
    ),
  );
  const compute = lines.reduce((sum, layer) => sum + layer.energy!.compute, 0);
  const areas = { area: lanes * area, areaByTime: lanes * areaByTime, peakArea: lanes * peakArea };
  return { energy, compute, ...areas, latency, error };
}

/** Mean cycles per MAC with layers weighted by the passes that they take, over the mean by MACs. */
function timeOverMacs(lines: readonly LayerBreakdown[]): number {
  const mean = (weight: (line: LayerBreakdown) => number) =>
    lines.reduce((sum, line) => sum + weight(line) * line.cyclesPerMac!, 0) /
    lines.reduce((sum, line) => sum + weight(line), 0);
  return mean(({ macs, utilisation }) => macs / utilisation!) / mean(({ macs }) => macs);
}

function contestOf(figures: readonly (Figures & { error: number })[]): Contest {
  const [own, int8, int8Narrow, gated, gatedNarrow] = figures.map(({ error, ...rest }) => rest);
  return { own, int8, int8Narrow, gated, gatedNarrow };
}

function elements({ array }: Device): number {
  return array!.pixels * array!.channels * array!.depth;
}

function withoutLevel(device: Device): Device {
  return { ...device, memories: device.memories.filter(({ name }) => name !== GLOBAL_BUFFER) };
}

function uniform({ choices }: Study, bits: number): Widths {
  return new Map(
    choices.layers.map(({ name, activations }) => [
      name,
      { weights: bits, activations: activations.at(-1)! },
    ]),
  );
}

function macBits({ layers }: Study, widths: Widths): number {
  const macs = layers.reduce((sum, layer) => sum + layer.macs, 0);
  return layers.reduce((sum, { name, macs: own }) => sum + (own / macs) * widths.get(name)!.weights, 0);
}

/** The integers that the candidate has now, and the shapes around them. */
function handLayers({ graph, layers, floatLayers, candidate }: Study): HandLayer[] {
  if (floatLayers.length > 0) throw new Error('Expected no layers in float but received some.');
  const types = inferTypes(graph, 1);
  return layers.map(({ name, op, input, outChannels, groups, channels, macs, weights }) => {
    const { q, bits } = candidate.quantization.layers.get(name)!;
    return {
      q,
      bits,
      operator: op === 'Linear' ? 'linear' : groups > 1 && channels === 1 ? 'depthwise' : 'conv',
      outChannels,
      groups,
      pixels: macs / weights.length,
      inputs: sizeOf(types.get(input)!.shape),
    };
  });
}

// Started by the harness: the trial is the first argument, the rows go to the file named by the second.
const [, , text, into] = process.argv;
writeFileSync(into, JSON.stringify(await run(JSON.parse(text))));
