import { type Column, markdownTable, numberColumn } from '../results.ts';
import { geometricMean } from '../rivals/table.ts';

export interface Row {
  network: string;
  backend: 'native' | 'wasm';
  threads: number;
  /** Our instruction set. */
  isa: string;
  batch: number;
  allocation: string;
  /** Medians of the rounds, milliseconds per batch. */
  oursMs: number;
  rival: string;
  rivalMs: number;
  /** rivalMs / oursMs: above 1 we are faster. */
  ratio: number;
  /** The same of the fastest rounds, which other work on the machine disturbs least. */
  fastestRatio: number;
  rounds: number;
  /** Of the threads over one of them, on products in registers alone, just before: less means a busy machine. */
  speedup: number;
  version: string;
  /** Samples of the batch whose top-1 is the float model's. */
  oursAgree: number;
  rivalAgrees: number;
  /** Nodes that run in float in our engine, and in onnxruntime's int8 graph. */
  ourFloatNodes: number;
  int8FloatNodes: number;
}

/** What is wanted: every network against the better of the rivals, and the geometric mean against int8. */
const WANTED = { native: { each: 1.1, mean: 1.5 }, wasm: { each: 1.2, mean: 1.6 } } as const;

/** One network in one setting: our time beside the rivals'. */
interface Line {
  rows: Row[];
  row: Row;
  int8: Row | undefined;
  float: Row | undefined;
  /** Ratio to the better of the rivals. */
  better: number;
}

const groupKey = ({ backend, threads, batch, allocation }: Row) =>
  `${backend}, ${threads} ${threads === 1 ? 'thread' : 'threads'}, batch ${batch}, ${allocation === 'mixed' ? 'mixed' : `${allocation} bits`}`;

function grouped<T>(items: readonly T[], key: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) groups.set(key(item), [...(groups.get(key(item)) ?? []), item]);
  return groups;
}

function linesOf(rows: readonly Row[]): Line[] {
  return [...grouped(rows, ({ network }) => network).values()].map((own) => ({
    rows: own,
    row: own[0],
    int8: own.find(({ rival }) => rival === 'int8'),
    float: own.find(({ rival }) => rival === 'float'),
    better: Math.min(...own.map(({ ratio }) => ratio)),
  }));
}

const columns: Column<Line>[] = [
  { title: 'network', text: ({ row }) => row.network },
  numberColumn('ours, ms', 3, ({ row }) => row.oursMs),
  numberColumn('int8, ms', 3, ({ int8 }) => int8?.rivalMs ?? Number.NaN),
  numberColumn('float, ms', 3, ({ float }) => float?.rivalMs ?? Number.NaN),
  numberColumn('against int8', 2, ({ int8 }) => int8?.ratio ?? Number.NaN),
  numberColumn('against float', 2, ({ float }) => float?.ratio ?? Number.NaN),
  numberColumn('against the better', 2, ({ better }) => better),
  numberColumn('threads at work', 2, ({ row }) => row.speedup),
  numberColumn('of the fastest rounds', 2, ({ rows }) =>
    Math.min(...rows.map(({ fastestRatio }) => fastestRatio)),
  ),
];

/** Tables by setting and allocation, then what was wanted of each. */
export function report(rows: readonly Row[]): string {
  const versions = new Set(
    rows.map(({ backend, version }) => `onnxruntime-${backend === 'wasm' ? 'web' : 'node'} ${version}`),
  );
  const isas = new Set(rows.map(({ backend, isa }) => `${backend} ${isa}`));
  const tables = [...grouped(rows, groupKey)].map(
    ([key, own]) => `### ${key}\n\n${markdownTable(linesOf(own), columns)}`,
  );
  return [
    `Ours: ${[...isas].join(', ')}. Rivals: ${[...versions].join(', ')}, its ordinary int8 model (QDQ, s8 weights per channel, u8 activations, every operator fused: ${floatNodes(rows)} float nodes in the graphs that it runs) and the float model. Milliseconds per batch from JavaScript, medians of interleaved rounds after warming up; both sides write into prepared arrays where their interface lets them (onnxruntime-web's does not). As many threads on either side; onnxruntime's spin as it does by default, for some 36 ms after a run, and before every turn of several threads all is idle again. ratio = the rival's time over ours. Threads at work: how many times the products of one thread they did at once just before; where that is less than there are, the machine was busy.`,
    ...tables,
    verdict(rows),
  ].join('\n\n');
}

function floatNodes(rows: readonly Row[]): number {
  const perNetwork = new Map(rows.map(({ network, int8FloatNodes }) => [network, int8FloatNodes]));
  return [...perNetwork.values()].reduce((sum, count) => sum + count, 0);
}

/** Per setting and allocation: the lowest ratio to the better rival, and the geometric mean against int8. */
export function verdict(rows: readonly Row[]): string {
  const lines = [...grouped(rows, groupKey)].map(([key, own]) => {
    const { each, mean } = WANTED[own[0].backend];
    const networks = linesOf(own);
    const lowest = networks.reduce((a, b) => (b.better < a.better ? b : a));
    const int8 = geometricMean(networks.flatMap((line) => line.int8?.ratio ?? []));
    const missed = networks.filter(({ better }) => better < each).map(({ row }) => row.network);
    const below = missed.length === 0 ? 'none' : missed.join(', ');
    return `${key}: lowest ${lowest.better.toFixed(2)} (${lowest.row.network}; wanted ${each}), below it ${below}; geometric mean against int8 ${int8.toFixed(2)} (wanted ${mean})`;
  });
  return lines.map((line) => `- ${line}`).join('\n');
}
