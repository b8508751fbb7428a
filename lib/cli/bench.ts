import { cpus } from 'node:os';
import { type BenchResult, bench, DEFAULT_ROUNDS, type MachineRequest } from '../bench/bench.ts';
import { readEarlier } from '../bench/compare.ts';
import { networkSubjects } from '../bench/network.ts';
import { rooflineSvg } from '../bench/roofline.ts';
import { parseMatrix } from '../bench/shapes.ts';
import type { NamedSubject } from '../bench/trial.ts';
import { refuse, SigmaQuantError } from '../errors.ts';
import type { BackendName, Isa } from '../kernels/kernels.ts';
import { nativeIsas } from '../kernels/native.ts';
import { readBytes, refuseExistingFile, writeNewFile } from '../pipeline/files.ts';
import { openModel } from '../pipeline/model.ts';
import { nodeHost } from '../pipeline/node-host.ts';
import { benchText } from './bench-text.ts';
import { defined } from './options.ts';
import { type Action, EXIT_CODES, type Flags } from './program.ts';
import type { Terminal } from './terminal.ts';

const BACKENDS: readonly BackendName[] = ['native', 'wasm', 'reference'];
/** Backends with one instruction set each; every other one is native. */
const OWN_ISA: Partial<Record<Isa, BackendName>> = { simd128: 'wasm', typescript: 'reference' };
const ROUNDS_LIMIT = 1000;

/** `sigmaquant bench` */
export const benchAction: Action = async (_, flags, terminal) => {
  const svg = flags['svg'] as string | undefined;
  const force = flags['force'] === true;
  if (svg !== undefined) await refuseExistingFile(svg, 'svg', force);
  const { document, points } = await bench({
    machines: machinesOf(flags),
    subjects: await subjectsOf(flags, terminal),
    computer: computer(),
    host: { now: () => performance.now(), pause: () => new Promise((resolve) => setImmediate(resolve)) },
    signal: terminal.signal,
    onProgress: terminal.progress,
    ...defined({
      bits: widthsOf(flags),
      all: flags['all'] as boolean | undefined,
      cold: flags['cold'] as boolean | undefined,
      filter: filterOf(flags),
      rounds: roundsOf(flags),
      earlier: await earlierOf(flags),
    }),
  });
  terminal.clear();
  if (svg !== undefined) {
    if (points.length === 0) refuse('products to draw (gemm, gemv, conv, depthwise)', 'svg', svg);
    await writeNewFile(svg, 'svg', rooflineSvg(document, points), force);
  }
  terminal.out(
    flags['json'] ? `${JSON.stringify(document)}\n` : benchText(document, flags['markdown'] === true),
  );
  return EXIT_CODES.met;
};

/** What runs: the best backend with one thread, or whatever the flags name, each combined with each. */
function machinesOf(flags: Flags): MachineRequest[] {
  const backends = flags['backend'] as BackendName[] | undefined;
  const isas = flags['isa'] as Isa[] | undefined;
  const all = flags['all'] === true;
  for (const name of backends ?? [])
    if (!BACKENDS.includes(name)) refuse(`names among ${BACKENDS.join(', ')}`, 'backend', name);
  const kinds: MachineRequest[] = isas
    ? isas.map((isa) => ofIsa(isa, backends))
    : (backends ?? (all ? (['native', 'wasm'] as const) : [])).flatMap((backend) =>
        all && backend === 'native' ? nativeIsas().map((isa) => ({ backend, isa })) : [{ backend }],
      );
  const threads = (flags['threads'] as number[] | undefined) ?? (all ? [1, undefined] : [1]);
  return (kinds.length > 0 ? kinds : [{}]).flatMap((kind) =>
    threads.map((count) => ({ ...kind, ...defined({ threads: count }) })),
  );
}

function ofIsa(isa: Isa, backends: readonly BackendName[] | undefined): MachineRequest {
  const backend = OWN_ISA[isa] ?? 'native';
  if (backends && !backends.includes(backend))
    refuse(`an instruction set of ${backends.join(', ')}`, 'isa', isa);
  return { backend, isa };
}

async function subjectsOf(flags: Flags, terminal: Terminal): Promise<NamedSubject[]> {
  const matrices = ((flags['shape'] as string[] | undefined) ?? []).map(parseMatrix);
  const model = flags['model'] as string | undefined;
  if (model === undefined) return matrices;
  const inputShapes = Object.fromEntries((flags['inputShape'] as [string, number[]][] | undefined) ?? []);
  const { graph, name } = await openModel({ model, inputShapes }, nodeHost);
  const { subjects, skipped } = networkSubjects(graph);
  if (subjects.length === 0)
    throw new SigmaQuantError(
      'UNSUPPORTED_MODEL',
      `Expected at least one Conv, Gemm or MatMul with constant weights and known shapes for model ${name} but received none.`,
    );
  if (skipped.length > 0)
    terminal.note(`sigmaquant: left out layers of unknown shape: ${skipped.join(', ')}.`);
  return [...matrices, ...subjects];
}

function widthsOf(flags: Flags): number[] | undefined {
  const bits = flags['bits'] as number[] | undefined;
  const wrong = bits?.find((width) => width < 2 || width > 8);
  if (wrong !== undefined) refuse('widths from 2 to 8', 'bits', wrong);
  return bits && [...new Set(bits)];
}

function roundsOf(flags: Flags): number {
  const rounds = (flags['rounds'] as number | undefined) ?? DEFAULT_ROUNDS;
  if (rounds < 1 || rounds > ROUNDS_LIMIT)
    refuse(`a whole number from 1 to ${ROUNDS_LIMIT}`, 'rounds', rounds);
  return rounds;
}

function filterOf(flags: Flags): RegExp | undefined {
  const source = flags['filter'] as string | undefined;
  if (source === undefined) return undefined;
  try {
    return new RegExp(source);
  } catch (cause) {
    throw new SigmaQuantError(
      'INVALID_ARGUMENT',
      `Expected a regular expression for filter but received ${JSON.stringify(source)}: ${(cause as Error).message}.`,
      { cause },
    );
  }
}

async function earlierOf(flags: Flags): Promise<BenchResult | undefined> {
  const path = flags['compare'] as string | undefined;
  if (path === undefined) return undefined;
  return readEarlier(new TextDecoder().decode(await readBytes(path, 'compare')), path);
}

export function computer(): BenchResult['computer'] {
  const processors = cpus();
  return {
    processor: processors[0]?.model.trim() || 'unknown',
    logicalProcessors: processors.length,
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
  };
}
