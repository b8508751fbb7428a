import { parseArgs } from 'node:util';
import type { Layer } from '../lib/graph/graph.ts';
import { createKernels } from '../lib/kernels/index.ts';
import type { Isa, Kernels } from '../lib/kernels/kernels.ts';
import { int8Model } from './int8-model.ts';
import type { Samples } from './networks/contenders.ts';
import { firstSamples, type Network, openNetwork } from './networks/network.ts';
import { peakOf } from './networks/peak.ts';
import { ourSteps, type StepTime, theirSteps } from './networks/profiles.ts';
import { loadPairs } from './pairs.ts';
import { type Column, markdownTable } from './results.ts';

/**
 * Where the time of one network goes: every step of our engine with its work and its share of what the processor can
 * do, beside the same node of onnxruntime's int8 model by its own profiler.
 * `npm --prefix benchmarks run steps -- resnet20 --json`
 */
/** First layers: fewer channels than one step of the products multiplies. */
const FEW_CHANNELS = 4;

interface Row {
  node: string;
  op: string;
  /** The operator; of convolutions their kind too. */
  kind: string;
  /** Kernel, stride, channels, image; empty for what is no layer. */
  work: string;
  bits: number | null;
  microseconds: number;
  /** Of all steps. */
  share: number;
  /** Of the batch. */
  macs: number;
  gops: number | null;
  /** Of the products that the threads can do on registers with weights of that width. */
  peakShare: number | null;
  bytes: number | null;
  /** onnxruntime's node of the same name, null where it has none; and its time over ours. */
  theirMicroseconds: number | null;
  ratio: number | null;
}

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    pairs: { type: 'string' },
    backend: { type: 'string', default: 'native' },
    isa: { type: 'string' },
    threads: { type: 'string', default: '1' },
    batch: { type: 'string', default: '1' },
    allocation: { type: 'string', default: '8' },
    rounds: { type: 'string', default: '101' },
    json: { type: 'boolean', default: false },
  },
});
const [threads, batch, rounds] = [flags.threads, flags.batch, flags.rounds].map(Number);

function workOf({ node, outChannels, channels, groups }: Layer, network: Network): string {
  const image = network.graph.types.get(node.outputs[0])?.shape.slice(1, -1).join('x') ?? '';
  if (node.op !== 'Conv') return `${channels} to ${outChannels}`;
  const kernel = network.onnx.constants.get(node.inputs[1])?.shape.slice(2).join('x') ?? '';
  const strides = (node.attributes['strides'] as readonly number[] | undefined) ?? [];
  const stride = strides.some((size) => size > 1) ? `/${strides.join('x')}` : '';
  const from = groups > 1 ? `${groups} groups` : `${channels}`;
  return `${kernel}${stride}, ${from} to ${outChannels}, ${image}`;
}

function kindOf(op: string, layer: Layer | undefined): string {
  if (!layer || op !== 'Conv') return op;
  if (layer.groups > 1) return layer.channels === 1 ? 'Conv, depthwise' : 'Conv, grouped';
  if (layer.channels < FEW_CHANNELS) return 'Conv of few channels';
  return layer.taps === 1 ? 'Conv 1x1' : 'Conv, larger kernels';
}

/** All rows of a kind as one, most time first. */
function byKind(rows: readonly Row[], total: number): Row[] {
  const kinds = new Map<string, Row[]>();
  for (const row of rows) kinds.set(row.kind, [...(kinds.get(row.kind) ?? []), row]);
  const merged = [...kinds].map(([kind, own]): Row => {
    const sum = (value: (row: Row) => number | null) => own.reduce((all, row) => all + (value(row) ?? 0), 0);
    const [microseconds, macs, theirs] = [
      sum((row) => row.microseconds),
      sum((row) => row.macs),
      sum((row) => row.theirMicroseconds),
    ];
    const atPeak = sum((row) => (row.peakShare === null ? 0 : row.peakShare * row.microseconds));
    return {
      ...own[0],
      node: `${own.length} steps`,
      op: kind,
      microseconds,
      share: microseconds / total,
      macs,
      gops: macs > 0 ? (2 * macs) / microseconds / 1000 : null,
      peakShare: macs > 0 ? atPeak / microseconds : null,
      bytes: sum((row) => row.bytes),
      theirMicroseconds: theirs || null,
      ratio: theirs && microseconds ? theirs / microseconds : null,
    };
  });
  return merged.sort((a, b) => b.microseconds - a.microseconds);
}

interface Profile {
  rows: Row[];
  /** Microseconds of whole runs without a look at the clock between steps. */
  whole: number;
  theirWhole: number | null;
}

async function profileOf(network: Network, kernels: Kernels): Promise<Profile> {
  const quantization = await network.quantization(flags.allocation);
  const { inputs, outputs } = network.onnx;
  const output = outputs[0].shape.map((size) => (typeof size === 'string' ? batch : size));
  const samples: Samples = { ...(await firstSamples(network.pair, batch)), output };
  const { steps, whole } = ourSteps(network, quantization, kernels, samples, rounds);
  const dimension = String(inputs[0].shape[0]);
  const { steps: theirs, whole: theirWhole } =
    flags.backend === 'native'
      ? await theirSteps(await int8Model(network), threads, dimension, samples, rounds)
      : { steps: [], whole: null };
  const peaks = new Map<number, number>();
  const total = steps.reduce((sum, { microseconds }) => sum + microseconds, 0);
  const taken = new Set<StepTime>();
  const rows = steps.map((step): Row => {
    const layer = network.layers.find(({ name }) => name === step.node);
    const bits = quantization.layers.get(step.node)?.bits ?? null;
    if (bits !== null && !peaks.has(bits)) peaks.set(bits, peakOf(kernels, bits));
    const macs = (layer?.macs ?? 0) * batch;
    const gops = macs > 0 ? (2 * macs) / step.microseconds / 1000 : null;
    const same = theirs.find((other) => other.node === step.node && !taken.has(other));
    if (same) taken.add(same);
    return {
      node: step.node,
      op: step.op,
      kind: kindOf(step.op, layer),
      work: layer ? workOf(layer, network) : '',
      bits,
      microseconds: step.microseconds,
      share: step.microseconds / total,
      macs,
      gops,
      peakShare: gops === null || bits === null ? null : (gops * 1000) / peaks.get(bits)!,
      bytes: step.bytes,
      theirMicroseconds: same?.microseconds ?? null,
      ratio: same ? same.microseconds / step.microseconds : null,
    };
  });
  const alone = theirs
    .filter((other) => !taken.has(other))
    .map(
      ({ node, op, microseconds }): Row => ({
        node,
        op: `${op} (onnxruntime only)`,
        kind: `${op} (onnxruntime only)`,
        work: '',
        bits: null,
        microseconds: 0,
        share: 0,
        macs: 0,
        gops: null,
        peakShare: null,
        bytes: null,
        theirMicroseconds: microseconds,
        ratio: null,
      }),
    );
  return { rows: [...rows, ...alone], whole, theirWhole };
}

const optional = (title: string, digits: number, value: (row: Row) => number | null): Column<Row> => ({
  title,
  right: true,
  text: (row) => value(row)?.toFixed(digits) ?? '',
});
const columns: Column<Row>[] = [
  { title: 'node', text: ({ node }) => node || '(inputs, outputs)' },
  { title: 'op', text: ({ op }) => op },
  { title: 'work', text: ({ work }) => work },
  optional('bits', 0, ({ bits }) => bits),
  optional('us', 1, ({ microseconds }) => microseconds),
  optional('%', 1, ({ share }) => 100 * share),
  optional('kMAC', 0, ({ macs }) => macs / 1000),
  optional('GOPS', 0, ({ gops }) => gops),
  optional('% of peak', 0, ({ peakShare }) => (peakShare === null ? null : 100 * peakShare)),
  optional('kB', 1, ({ bytes }) => (bytes === null ? null : bytes / 1000)),
  optional('onnxruntime, us', 1, ({ theirMicroseconds }) => theirMicroseconds),
  optional('ratio', 2, ({ ratio }) => ratio),
];

for (const pair of loadPairs(flags.pairs, positionals[0])) {
  const network = await openNetwork(pair);
  const kernels = await createKernels({
    backend: flags.backend as 'native' | 'wasm',
    threads,
    ...(flags.isa !== undefined && { isa: flags.isa as Isa }),
  });
  const { rows, whole, theirWhole } = await profileOf(network, kernels);
  const sum = (value: (row: Row) => number) => rows.reduce((all, row) => all + value(row), 0).toFixed(0);
  if (flags.json) console.log(JSON.stringify({ network: pair.name, whole, theirWhole, rows }, null, 2));
  else {
    const gops = ((2 * Number(sum((row) => row.macs))) / whole / 1000).toFixed(0);
    console.log(`## ${pair.name}: ${kernels.backend} ${kernels.isa}, ${threads} threads, batch ${batch}\n`);
    console.log(markdownTable(rows, columns));
    const kinds = byKind(rows, Number(sum((row) => row.microseconds)));
    console.log(
      `\n${markdownTable(
        kinds,
        columns.filter(({ title }) => !['work', 'bits'].includes(title)),
      )}`,
    );
    console.log(
      `\nMedians of ${rounds} runs. Our steps together ${sum((row) => row.microseconds)} us, a whole run ${whole.toFixed(0)} us (${gops} GOPS).`,
    );
    if (theirWhole !== null)
      console.log(
        `onnxruntime's nodes together ${sum((row) => row.theirMicroseconds ?? 0)} us by its profiler, which adds to each; a whole run without it ${theirWhole.toFixed(0)} us: ratio ${(theirWhole / whole).toFixed(2)}.\n`,
      );
  }
  kernels.dispose();
  network.dispose();
}
