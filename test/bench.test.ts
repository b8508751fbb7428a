import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BenchResult, Computer } from '../lib/bench/bench.ts';
import { compareRows, readEarlier } from '../lib/bench/compare.ts';
import { driftOf, driftSentence } from '../lib/bench/drift.ts';
import { costOf, intensityOf, limitOf, shareOf } from '../lib/bench/limits.ts';
import { measure } from '../lib/bench/measure.ts';
import { BenchMemory } from '../lib/bench/memory.ts';
import { networkSubjects } from '../lib/bench/network.ts';
import { planTrials } from '../lib/bench/plan.ts';
import { rooflineSvg } from '../lib/bench/roofline.ts';
import type { MeasuredLimit } from '../lib/bench/rows.ts';
import { matrixSubject, parseMatrix } from '../lib/bench/shapes.ts';
import { median, quantile } from '../lib/bench/statistics.ts';
import { keyOf, type Machine, type Row, type Trial } from '../lib/bench/trial.ts';
import { importGraph } from '../lib/graph/index.ts';
import { nativeIsas } from '../lib/kernels/native.ts';
import { createReference } from '../lib/kernels/reference.ts';
import { interruptible, sigmaquant } from './support/command.ts';
import { tinyModel } from './support/network.ts';

const MACHINE: Machine = { backend: 'native', isa: 'avx2', threads: 1 };
const COMPUTER: Computer = {
  processor: 'P & Q',
  logicalProcessors: 2,
  platform: 'linux x64',
  node: 'v20.0.0',
};

const trial = (over: Partial<Trial>): Trial => ({
  op: 'gemm',
  shape: '2x3x5',
  subject: { kind: 'matrix', m: 2, n: 3, k: 5 },
  bits: 8,
  activations: 'u8',
  ...MACHINE,
  baseline: false,
  ...over,
});

const row = (over: Partial<Row>): Row => ({
  op: 'gemm',
  shape: '2x3x5',
  bits: 8,
  activations: 'u8',
  ...MACHINE,
  medianUs: 10,
  p10Us: 9,
  p90Us: 12,
  gops: 100,
  gbps: null,
  peakShare: 0.5,
  ofEightBit: 1,
  ofFloat: 2,
  ...over,
});

const document = (over: Partial<BenchResult>): BenchResult => ({
  format: 1,
  computer: COMPUTER,
  cold: false,
  rounds: 7,
  rows: [row({})],
  limits: [],
  drift: [],
  comparison: null,
  notes: [],
  ...over,
});

describe('bench: plan', () => {
  it('is a list of groups with what they are compared with', () => {
    const groups = planTrials({ machines: [MACHINE], subjects: [parseMatrix('2x3x5')], bits: [4] });
    assert.deepEqual(groups, [
      {
        op: 'gemm',
        shape: '2x3x5',
        trials: [
          trial({ bits: 4 }),
          trial({ bits: 4, activations: 's8' }),
          trial({ bits: 32, activations: 'f32' }),
          trial({ baseline: true }),
          trial({ activations: 's8', baseline: true }),
        ],
      },
    ]);
    assert.equal(keyOf(groups[0].trials[0]), 'gemm 2x3x5 4 u8 native avx2 1');
  });

  it('has every op, on every machine, and more with all', () => {
    const machines: Machine[] = [MACHINE, { ...MACHINE, threads: 2 }];
    const quick = planTrials({ machines, subjects: [] });
    const all = planTrials({ machines, subjects: [], all: true });
    const ops = ['gemm', 'gemv', 'conv', 'depthwise', 'quantize', 'dequantize', 'moments', 'histogram'];
    ops.push('squaredError', 'quantizeError', 'pack', 'unpack', 'call');
    assert.deepEqual([...new Set(quick.map(({ op }) => op))], ops);
    for (const { trials } of quick)
      assert.deepEqual(new Set(trials.map(({ threads }) => threads)), new Set([1, 2]));
    assert.ok(all.length > quick.length);
    const keys = all.flatMap(({ trials }) => trials.map(keyOf));
    assert.equal(new Set(keys).size, keys.length);
    for (const shape of [
      '1024x1024x1024',
      '1x4096x4096',
      '3x3_32x32x16_16',
      'dw3x3_112x112x32',
      '3x3s2_224x224x3_32',
    ])
      assert.ok(
        all.some((group) => group.shape === shape),
        shape,
      );
  });

  it('filters by the key among all shapes', () => {
    const filtered = planTrials({ machines: [MACHINE], subjects: [], filter: /^gemm 1024x\d+x1024 4 s8/ });
    assert.deepEqual(
      filtered.map(({ trials }) => trials.map((t) => [t.bits, t.activations, t.baseline])),
      [
        [
          [4, 's8', false],
          [8, 's8', true],
          [32, 'f32', true],
        ],
      ],
    );
    assert.throws(() => planTrials({ machines: [MACHINE], subjects: [], filter: /nothing/ }), {
      code: 'INVALID_ARGUMENT',
      message: /fits one of \d+ trials .* for filter but received "nothing"/,
    });
  });

  it('takes the layers of a network, each shape once', () => {
    const { graph } = importGraph(tinyModel(), {});
    const { subjects, skipped } = networkSubjects(graph);
    assert.deepEqual(skipped, []);
    assert.deepEqual(
      subjects.map(({ name }) => name),
      ['3x3_8x8x3_8', '3x3_8x8x8_8', 'dw3x3_8x8x8', '3x3s2_4x4x8_16', '1x4x16'],
    );
    const groups = planTrials({ machines: [MACHINE], subjects, bits: [8] });
    assert.deepEqual(
      groups.map(({ op }) => op),
      ['conv', 'conv', 'depthwise', 'conv', 'gemv'],
    );
  });
});

describe('bench: numbers', () => {
  it('quantiles', () => {
    assert.equal(median([3, 1, 2]), 2);
    assert.equal(median([4, 1, 2, 3]), 2.5);
    assert.equal(quantile([0, 10], 0.1), 1);
    assert.equal(quantile([7], 0.9), 7);
    assert.ok(Number.isNaN(median([])));
  });

  it('work of a call, and the limit that it is held against', () => {
    assert.deepEqual(costOf(trial({ bits: 4 })), {
      operations: 60,
      readBytes: 10 + 8,
      writtenBytes: 6,
      countedBytes: 8,
    });
    assert.equal(intensityOf(trial({ bits: 4 })), 60 / 24);
    assert.deepEqual(limitOf(trial({ bits: 4 })), { limit: 'peak', bits: 4 });
    const vector = trial({ op: 'gemv', ...matrixSubject(1, 64, 64), bits: 2 });
    assert.deepEqual(limitOf(vector), { limit: 'read', bytes: 1024 });
    const array = (op: Trial['op'], count: number) =>
      limitOf(trial({ op, subject: { kind: 'elements', count } }));
    assert.deepEqual(array('quantize', 65_536), { limit: 'copy', bytes: 262_144 });
    assert.deepEqual(array('quantize', 2 ** 24), { limit: 'stream', bytes: 2 ** 26 });
    assert.deepEqual(array('squaredError', 100), { limit: 'read', bytes: 800 });
    assert.deepEqual(array('unpack', 100), { limit: 'copy', bytes: 100 });
    assert.equal(array('call', 64), null);
    // Half of 120 operations per second.
    assert.equal(shareOf(trial({}), { limit: 'peak', bits: 8 }, 1, 120), 0.5);
    // Four bytes read and one written per element, where eight bytes per second can move.
    const large = trial({ op: 'quantize', subject: { kind: 'elements', count: 2 ** 24 } });
    assert.equal(shareOf(large, { limit: 'stream', bytes: 2 ** 26 }, 1, 2 ** 27), 5 / 8);
  });

  it('a clock that moved is told', () => {
    const limit = (times: number[]): MeasuredLimit => ({
      ...MACHINE,
      limit: { limit: 'peak', bits: 8 },
      work: 1,
      visits: times.map((time) => [time, time, 100]),
    });
    const memory: MeasuredLimit = { ...limit([1, 2, 3, 4]), limit: { limit: 'read', bytes: 64 } };
    const [steady] = driftOf([memory, limit([100, 101, 100, 99])]);
    assert.equal(steady.limit, 'peak 8');
    assert.equal(steady.moved, false);
    assert.equal(driftSentence(steady), null);
    const [moved] = driftOf([limit([100, 100, 90, 80])]);
    assert.equal(moved.moved, true);
    assert.match(
      driftSentence(moved)!,
      /^The clock moved by \d+ % during the run \(native avx2, 1 thread, .*\.$/,
    );
    assert.equal(driftOf([memory])[0].limit, 'read 64');
  });
});

describe('bench: measuring', () => {
  /** A clock that moves by what the running call costs. */
  function fakeTime() {
    const state = { now: 0, log: [] as string[], pauses: 0 };
    const call = (name: string, ms: number) => () => () => {
      state.log.push(name);
      state.now += ms;
    };
    const host = { now: () => state.now, pause: async () => void state.pauses++ };
    return { state, call, host };
  }
  const kernels = createReference();

  it('takes turns, forwards and backwards, in samples of enough calls', async () => {
    const { state, call, host } = fakeTime();
    const candidates = [
      { kernels, bind: call('a', 0.125) },
      { kernels, bind: call('b', 40) },
    ];
    const samples = await measure(candidates, { host, rounds: 2 });
    assert.deepEqual(samples, [Array(2 * 8).fill(125), Array(2 * 3).fill(40_000)]); // 3 ms, or three samples, a turn
    const turns = state.log.filter((name, i) => name !== state.log[i - 1]).join('');
    assert.equal(turns, 'ababa'); // warm-up, forwards, backwards
    assert.ok(state.pauses >= 6);
    assert.equal(state.log.filter((name) => name === 'b').length, 2 + 2 * 4);
  });

  it('empties the caches before every sample of what they can hold', async () => {
    const { state, call, host } = fakeTime();
    const candidates = [
      { kernels, bind: call('memory', 2) },
      { kernels, bind: call('registers', 2), registersOnly: true },
    ];
    await measure(candidates, { host, rounds: 1, flush: () => void state.log.push('flush') });
    const flushed = state.log.flatMap((name, i) => (state.log[i - 1] === 'flush' ? [name] : []));
    assert.deepEqual(flushed, ['memory', 'memory', 'memory']);
  });

  it('spends little on what is slow, and stops when told to', async () => {
    const { state, call, host } = fakeTime();
    await measure([{ kernels, bind: call('slow', 5000) }], { host, rounds: 50 });
    assert.ok(state.log.length < 20, `${state.log.length} calls`);
    const controller = new AbortController();
    controller.abort(new Error('enough'));
    const aborted = measure([{ kernels, bind: call('a', 1) }], {
      host,
      rounds: 1,
      signal: controller.signal,
    });
    await assert.rejects(aborted, /enough/);
  });

  it('takes views anew once the arena has moved', async () => {
    const { call, host } = fakeTime();
    let bound = 0;
    const arena = { ...kernels.arena, epoch: 0 };
    const bind = () => {
      const inner = call('x', 2)();
      if (bound++ > 0) return inner;
      return () => {
        arena.epoch = 1;
        inner();
      };
    };
    await measure([{ kernels: { ...kernels, arena }, bind }], { host, rounds: 1 });
    assert.equal(bound, 2);
  });

  it('fills memory with seeded values of the width, once per name', () => {
    const memory = new BenchMemory(kernels);
    const region = memory.bytes('w', 1000, 3);
    const values = region.int8(0, 1000);
    assert.deepEqual([Math.min(...values), Math.max(...values)], [-4, 3]);
    assert.equal(memory.bytes('w', 1000, 3), region);
    const floats = memory.floats('x', 300_000, true).float32(0, 300_000);
    const zeros = floats.reduce((count, x) => count + (x === 0 ? 1 : 0), 0);
    assert.ok(floats.every((x) => x >= 0 && x < 5));
    assert.ok(zeros > 100_000 && zeros < 200_000, `${zeros} zeros`);
    assert.notEqual(floats[299_999], undefined);
    memory.release();
  });
});

describe('bench: comparison', () => {
  it('divides the earlier times by these', () => {
    const rows = [row({ medianUs: 5 }), row({ bits: 4 })];
    const compared = compareRows(rows, COMPUTER, document({}));
    assert.equal(compared.sameComputer, true);
    assert.deepEqual(
      compared.rows.map(({ bits, ratio }) => [bits, ratio]),
      [[8, 2]],
    );
    assert.equal(compared.medianRatio, 2);
    assert.deepEqual(compared.notes, ['1 of 2 rows have no counterpart in the earlier run.']);
  });

  it('tells of another computer and another instruction set', () => {
    const earlier = document({
      computer: { ...COMPUTER, processor: 'Other' },
      rows: [row({ isa: 'avx512vnni', medianUs: 3 })],
    });
    const compared = compareRows([row({})], COMPUTER, earlier);
    assert.equal(compared.sameComputer, false);
    assert.equal(compared.rows[0].ratio, 0.3);
    assert.match(compared.notes[0], /another processor: Other, now P & Q\./);
    assert.match(compared.notes[1], /used avx512vnni where this one uses avx2/);
  });

  it('refuses what is no earlier run', () => {
    const text = (value: unknown) => JSON.stringify(value);
    assert.deepEqual(readEarlier(text(document({})), 'f').rows, [row({})]);
    for (const [content, reason] of [
      ['{', /not JSON/],
      ['null', /holds null/],
      ['{}', /its format is undefined, not 1/],
      [text({ format: 1 }), /names no computer/],
      [
        text({ format: 1, computer: COMPUTER, rows: [{ op: 'gemm' }] }),
        /row 0 has no op, shape and medianUs/,
      ],
    ] as const)
      assert.throws(() => readEarlier(content, 'f.json'), { code: 'INVALID_ARGUMENT', message: reason });
  });
});

describe('bench: roofline', () => {
  it('draws roofs, points and legend, and escapes what others named', () => {
    const limit = { ...MACHINE, medianUs: 1, p10Us: 1, p90Us: 1 };
    const limits = [
      ...[2, 3, 4, 8, 32].map((bits) => ({
        ...limit,
        limit: 'peak' as const,
        bits,
        bytes: null,
        gops: bits === 32 ? 60 : 200,
        gbps: null,
      })),
      { ...limit, limit: 'read' as const, bits: null, bytes: 64 * 2 ** 20, gops: null, gbps: 20 },
    ];
    const points = [
      { row: row({}), intensity: 100 },
      { row: row({ op: 'gemv', bits: 2, gops: 10 }), intensity: 3 },
    ];
    const svg = rooflineSvg({ limits, computer: COMPUTER }, points);
    for (const text of [
      'P &amp; Q',
      'native avx2, 1 thread',
      '2 to 4, 8 bits: 200',
      'float: 60',
      'read 64 MB: 20',
      'prefers-color-scheme: dark',
    ])
      assert.ok(svg.includes(text), text);
    assert.equal(svg.match(/class="point" fill="#[0-9a-f]+"><title>/g)?.length, points.length);
    assert.ok(!/NaN|undefined|Infinity/.test(svg));
    const opened = svg.match(/<[a-z]+[^>]*[^/]>/g)!.length;
    assert.equal(opened, svg.match(/<\/[a-z]+>/g)!.length);
  });
});

describe('bench: command', () => {
  let folder: string;
  const path = (name: string) => join(folder, name);
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'sigmaquant-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  async function refused(sentence: RegExp, code: string, ...argv: string[]): Promise<void> {
    const { code: exit, out, error } = await sigmaquant('bench', ...argv, '--json');
    assert.equal(JSON.parse(out).error?.code, code, out + error);
    assert.match(error, sentence);
    assert.match(error, /^sigmaquant: [^\n]+\.\n$/);
    assert.equal(exit, 2);
  }

  it('refuses what it cannot do in one sentence', async () => {
    const bad = (sentence: RegExp, ...argv: string[]) => refused(sentence, 'INVALID_ARGUMENT', ...argv);
    await bad(/MxNxK .* for shape but received "12x3"/, '--shape', '12x3');
    await bad(/for shape but received "1x0x3"/, '--shape', '1x0x3');
    await bad(/for shape but received "99999x99999x9"/, '--shape', '99999x99999x9');
    await bad(/widths from 2 to 8 for bits but received 9/, '--bits', '4,9');
    await bad(
      /a whole number from 1 to 256 for threads but received 0/,
      '--threads',
      '0',
      '--backend',
      'reference',
    );
    await bad(/native, wasm, reference for backend but received "gpu"/, '--backend', 'gpu');
    await bad(/an instruction set of wasm for isa but received "avx2"/, '--backend', 'wasm', '--isa', 'avx2');
    await bad(/regular expression for filter but received "\("/, '--filter', '(');
    await bad(/fits one of \d+ trials/, '--filter', 'zzz', '--backend', 'reference');
    await bad(/from 1 to 1000 for rounds but received 0/, '--rounds', '0');
    await bad(/Expected only flags but received an argument/, 'model.onnx');
    await bad(/readable file for model .* no such file/, '--model', path('none.onnx'));
    await bad(/readable file for compare .* no such file/, '--compare', path('none.json'));
    writeFileSync(path('bad.json'), 'x');
    await bad(/earlier bench for compare .*bad\.json": it is not JSON/, '--compare', path('bad.json'));
    await refused(/instruction set of this processor|native addon/, 'BACKEND_UNAVAILABLE', '--isa', 'avx9');
    writeFileSync(path('there.svg'), 'mine');
    await refused(/new file for svg .* \(--force replaces it\)/, 'OUTPUT_EXISTS', '--svg', path('there.svg'));
    assert.equal(readFileSync(path('there.svg'), 'utf8'), 'mine');
  });

  const ROW_KEYS = [
    'op',
    'shape',
    'bits',
    'activations',
    'backend',
    'isa',
    'threads',
    'medianUs',
    'p10Us',
    'p90Us',
  ];
  ROW_KEYS.push('gops', 'gbps', 'peakShare', 'ofEightBit', 'ofFloat');
  const run = ['bench', '--shape', '3x5x7', '--shape', '1x9x11', '--bits', '3,8', '--rounds', '1'];

  const machines = ['reference', 'wasm', ...nativeIsas().flatMap((isa) => [`${isa} 1`, `${isa} 2`])];
  for (const machine of machines)
    it(`runs on ${machine}`, async () => {
      const [name, threads] = machine.split(' ');
      const choice = threads ? ['--isa', name, '--threads', threads] : ['--backend', name];
      const { code, out, error } = await sigmaquant(...run, ...choice, '--json');
      assert.equal(code, 0, error);
      assert.equal(error, '');
      const result: BenchResult = JSON.parse(out);
      const portable = ['scalar', 'reference'].includes(name);
      assert.equal(result.rows.length, 2 * (2 * 2 + 1));
      for (const measured of result.rows) {
        assert.deepEqual(Object.keys(measured), ROW_KEYS);
        assert.ok(measured.medianUs > 0 && measured.p10Us <= measured.p90Us);
        assert.ok(measured.gops! > 0 && measured.ofFloat! > 0);
        assert.equal(measured.gbps === null, measured.op === 'gemm');
        assert.equal(measured.ofEightBit === null, measured.activations === 'f32');
        assert.equal(measured.peakShare === null, portable && measured.op === 'gemm', keyOf(measured));
        if (threads) assert.equal(measured.threads, Number(threads));
      }
      const kinds = new Set(result.limits.map(({ limit }) => limit));
      assert.deepEqual(kinds, new Set([...(portable ? [] : ['peak']), 'read', 'copy', 'stream']));
      assert.ok(result.limits.every(({ gops, gbps }) => (gops ?? gbps)! > 0));
      assert.equal(result.drift.length, 1);
    });

  it('prints a table that lines up, compares with an earlier run and draws', async () => {
    const every = ['--filter', ' 256KB |^call|dw3x3_14x14x512 [38] ', '--rounds', '1', '--backend', 'wasm'];
    const first = await sigmaquant('bench', ...every, '--json');
    assert.equal(first.code, 0, first.error);
    writeFileSync(path('first.json'), first.out);
    const chart = ['--compare', path('first.json'), '--svg', path('roof.svg')];
    const { code, out, error } = await sigmaquant('bench', ...every, ...chart);
    assert.equal(code, 0, error);
    const lines = out.split('\n');
    const title = lines.findIndex((line) => line.startsWith('op '));
    const rule = lines[title + 1];
    assert.match(lines[title], /median µs .*GOPS .*% of limit .*xearlier$/);
    const ends = [...rule.matchAll(/-(?= |$)/g)].map(({ index }) => index + 1);
    const rows = lines.slice(title + 2, lines.indexOf('', title));
    assert.ok(rows.length > 20);
    for (const line of rows) assert.equal(line.length, ends.at(-1), line);
    assert.match(out, /xearlier: [\d.]+ in the median of \d+ rows/);
    assert.match(readFileSync(path('roof.svg'), 'utf8'), /^<svg .*<\/svg>\n$/s);
    const charts = readdirSync(folder).filter((name) => name.startsWith('roof'));
    assert.deepEqual(charts, ['roof.svg']);
  });

  it('takes shapes from a network, and stops when interrupted', async () => {
    writeFileSync(path('tiny.onnx'), tinyModel());
    const argv = [
      'bench',
      '--model',
      path('tiny.onnx'),
      '--bits',
      '4',
      '--rounds',
      '1',
      '--backend',
      'wasm',
      '--json',
    ];
    const { out } = await sigmaquant(...argv);
    const shapes = new Set((JSON.parse(out) as BenchResult).rows.map(({ op, shape }) => `${op} ${shape}`));
    assert.deepEqual([...shapes].slice(0, 3), [
      'conv 3x3_8x8x3_8',
      'conv 3x3_8x8x8_8',
      'depthwise dw3x3_8x8x8',
    ]);
    const controller = new AbortController();
    controller.abort(new DOMException('The work was interrupted.', 'AbortError'));
    const stopped = await interruptible(controller.signal, ...argv);
    assert.equal(stopped.code, 130);
    assert.equal(JSON.parse(stopped.out).error.code, 'INTERRUPTED');
  });
});
