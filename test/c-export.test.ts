import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cSource } from '../lib/export/c/index.ts';
import type { Graph } from '../lib/graph/graph.ts';
import { type Case, Comparison } from './c/comparison.ts';
import { floatIslands } from './c/islands.ts';
import { allPairs, caseOf, operators, quantizationFor, ties, widths } from './c/networks.ts';
import { type BuiltNetwork, missingTool, TARGETS, type Target, Workshop } from './c/targets.ts';
import { image } from './engine/network.ts';
import { availableKernels } from './engine/support.ts';
import { sampleNetwork } from './sqnt/models.ts';
import { refusal } from './support/refusal.ts';

const available = await availableKernels();
const kernels = available.find(({ backend }) => backend === 'native') ?? available[0];
const SAMPLES = 4;
const { graph, quantization } = sampleNetwork();

/** Weights of 2..8 bits, activations of several widths. */
function quantized(graph: Graph) {
  return quantizationFor(
    graph,
    kernels,
    (layer) => 2 + ((3 * layer) % 7),
    (value) => [8, 6, 4, 8, 3][value % 5],
  );
}

/** One test per target; skipped, with the tool's name, where something is not installed. */
function onEvery(targets: readonly Target[], check: (target: Target) => void): void {
  for (const target of targets) {
    const missing = missingTool(target);
    it(target.name + (missing ? ` (skipped: ${missing} is not installed)` : ''), function () {
      if (missing) this.skip();
      check(target);
    });
  }
}

/** All cases in one program per target. */
function compare(cases: () => readonly Case[], targets: readonly Target[]): void {
  let comparison: Comparison | undefined;
  before(() => {
    comparison = new Comparison(cases(), kernels, SAMPLES);
  });
  after(() => comparison?.dispose());
  onEvery(targets, (target) => comparison!.check(target));
}

const operatorCases = (only: RegExp) =>
  Object.entries(operators())
    .filter(([name]) => only.test(name))
    .map(([name, graph]) => caseOf(name, graph, quantized(graph), SAMPLES));

describe('C of a quantized network gives the bits of the engine', () => {
  describe('every operator, every width of weights with every width of activations', () => {
    const { gcc, sanitized, arm64, cortexM4 } = TARGETS;
    compare(
      () => [
        caseOf('sampler', graph, quantization, SAMPLES),
        caseOf('sampler levels', graph, quantization, SAMPLES, { input: 'uint8' }),
        ...[0, 1, 2, 3, 4, 5, 6].map((turn) => {
          const { graph, quantization } = widths(turn, kernels);
          const packing = turn % 2 ? 'cmsis-nn-int4' : 'dense';
          return caseOf(`widths ${turn}`, graph, quantization, SAMPLES, { packing });
        }),
        ...operatorCases(/./),
      ],
      [gcc, sanitized, arm64, cortexM4],
    );
  });

  describe('whatever the compiler makes of floats', () => {
    const { clang, contracted, x87, cortexM4Soft } = TARGETS;
    const tied = ties(kernels);
    compare(
      () => [
        caseOf('sampler', graph, quantization, SAMPLES),
        caseOf('ties', tied.graph, tied.quantization, SAMPLES),
        ...operatorCases(/pools|sums|float/),
      ],
      [clang, contracted, x87, cortexM4Soft],
    );
  });

  it('every pair of levels, added', function () {
    if (missingTool(TARGETS.gcc)) this.skip();
    const comparison = new Comparison([allPairs()], kernels, 1);
    assert.equal(comparison.check(TARGETS.gcc), 6 * 65_536 * 4);
    comparison.dispose();
  });

  it('and the comparison sees a single wrong bit of a weight', function () {
    if (missingTool(TARGETS.gcc)) this.skip();
    const one = caseOf('sampler', graph, quantization, SAMPLES);
    const layer = quantization.layers.get('logits')!;
    const q = layer.q.slice();
    q[5] ^= 1; // the first reads padding
    const changed = { ...quantization, layers: new Map(quantization.layers).set('logits', { ...layer, q }) };
    const comparison = new Comparison([one], kernels, SAMPLES, (name) => cSource(graph, changed, { name }));
    assert.throws(() => comparison.check(TARGETS.gcc), /sampler on gcc: byte \d+ of 64 differs/);
    comparison.dispose();
  });
});

describe('The guide to C', () => {
  const guide = readFileSync(new URL('../docs/c-export.md', import.meta.url), 'utf8');
  const [program] = [...guide.matchAll(/```c\n([\s\S]*?)```/g)].map(([, text]) => text);
  const commands = [...guide.matchAll(/```sh\n([\s\S]*?)```/g)].flatMap(([, text]) =>
    text.trim().split('\n'),
  );

  it('has a program that compiles and classifies', function () {
    if (missingTool(TARGETS.gcc)) this.skip();
    const files = cSource(graph, quantization, { name: 'kws' });
    const workshop = new Workshop([{ prefix: 'sq_kws', files }]);
    const { folder } = workshop;
    writeFileSync(join(folder, 'guide.c'), `${program}\nint main(void)\n{\n    return 40 + classify();\n}\n`);
    execFileSync('gcc', ['-std=c99', '-Wall', '-Wextra', '-Werror', 'guide.c', 'sq_kws.c', '-o', 'guide'], {
      cwd: folder,
    });
    const { status } = spawnSync(join(folder, 'guide'));
    assert.ok(status !== null && status >= 40 && status < 44, String(status));
    const compile = commands.filter((command) => / -c sq_kws\.c$|^\S+-size /.test(command));
    assert.equal(compile.length, 3);
    const hasArm = !missingTool({ ...TARGETS.cortexM4, emulator: [] });
    for (const command of compile) {
      const [tool, ...values] = command.split(' ');
      if (tool === 'gcc' || hasArm) execFileSync(tool, values, { cwd: folder });
    }
    workshop.dispose();
  });
});

describe('C source', () => {
  const texts = (options: Parameters<typeof cSource>[2], of: Graph = graph) => [
    ...cSource(of, quantization, options).values(),
  ];

  it('is the same each time, states its sizes and holds the weights at their own widths', () => {
    const files = cSource(graph, quantization, { name: 'Key Word-Spotting 2' });
    assert.deepEqual([...files.keys()], ['sq_key_word_spotting_2.h', 'sq_key_word_spotting_2.c']);
    assert.deepEqual(cSource(graph, quantization, { name: 'Key Word-Spotting 2' }), files);
    const [header, source] = files.values();
    for (const [macro, value] of Object.entries({ INPUT_BYTES: 504, OUTPUT_BYTES: 16, INPUT_0_LENGTH: 126 }))
      assert.match(header, new RegExp(`#define SQ_KEY_WORD_SPOTTING_2_${macro} ${value}\n`));
    assert.match(header, /int sq_key_word_spotting_2_run\(const void \*in, void \*out, void \*arena\);/);
    const lengths = [...source.matchAll(/uint8_t weights_\d+\[(\d+)\]/g)].map(([, length]) => Number(length));
    const packed = [...quantization.layers.values()].map(({ q, bits }) => Math.ceil((q.length * bits) / 8));
    assert.deepEqual(lengths, packed);
    assert.doesNotMatch(source, /malloc|printf|static (?!const|u?int\w+ |void|float|int8_t)/);
  });

  it('publishes 4-bit weights as CMSIS-NN reads them: depthwise filters tap by tap', () => {
    const layers = new Map(quantization.layers);
    const name = 'depthwise';
    const q = Int8Array.from({ length: 72 }, (_, i) => (i % 16) - 8);
    layers.set(name, { ...layers.get(name)!, bits: 4, q });
    const files = cSource(graph, { ...quantization, layers }, { name: 'n', packing: 'cmsis-nn-int4' });
    const index = [...files.get('sq_n.h')!.matchAll(/\/\* (\w+) \*\/\nextern const uint8_t (\w+)/g)].find(
      ([, layer]) => layer === name,
    )![2];
    const text = new RegExp(`${index}\\[36\\] = \\{([^}]*)\\}`).exec(files.get('sq_n.c')!)![1];
    const stored = text.split(',').slice(0, -1).map(Number);
    // arm_depthwise_conv_s4.c: weight (tap, channel) is nibble tap * channels + channel, the low one first.
    const nibble = (i: number) => (((stored[i >> 1] >> (4 * (i & 1))) & 15) ^ 8) - 8;
    for (let channel = 0; channel < 8; channel++)
      for (let tap = 0; tap < 9; tap++) assert.equal(nibble(tap * 8 + channel), q[channel * 9 + tap]);
  });

  it('survives hostile names', function () {
    const hostile = '*/ #error "?" \\\n??/\n// "%s" \u202e\u0000 größe /* ';
    const rename = (name: string) => (name === '' ? '' : `${hostile}${name}`);
    const named: Graph = {
      ...graph,
      name: hostile,
      inputs: graph.inputs.map((port) => ({ ...port, name: rename(port.name) })),
      outputs: graph.outputs.map((port) => ({ ...port, name: rename(port.name) })),
      nodes: graph.nodes.map((node) => ({
        ...node,
        name: rename(node.name),
        inputs: node.inputs.map(rename),
        outputs: node.outputs.map(rename),
      })),
      constants: new Map([...graph.constants].map(([name, tensor]) => [rename(name), tensor])),
      types: new Map([...graph.types].map(([name, type]) => [rename(name), type])),
    };
    const renamed = {
      activations: new Map([...quantization.activations].map(([name, q]) => [rename(name), q])),
      layers: new Map([...quantization.layers].map(([name, layer]) => [rename(name), layer])),
    };
    const names = [
      'int',
      '',
      '../../etc/passwd',
      hostile,
      '9lives',
      'sq',
      '_',
      'x'.repeat(500),
      'größe',
      'SQ_run',
    ];
    const networks = names.map((name): BuiltNetwork => {
      const files = cSource(named, renamed, { name, packing: 'cmsis-nn-int4' });
      const [header] = files.keys();
      assert.match(header, /^sq(_[a-z0-9]+)*\.h$/);
      for (const text of files.values()) assert.match(text, /^[\n -~]*$/);
      return { prefix: header.slice(0, -2), files };
    });
    if (missingTool(TARGETS.gcc)) this.skip();
    const distinct = [...new Map(networks.map((network) => [network.prefix, network])).values()];
    const workshop = new Workshop(distinct);
    const data = image(1).data as Float32Array;
    const feed = new Uint8Array(data.buffer);
    const outputs = workshop.run(
      { ...TARGETS.gcc, flags: ['-O0'] },
      Buffer.concat(distinct.map(() => feed)),
      1,
    );
    workshop.dispose();
    const first = outputs.subarray(0, 16);
    for (let i = 0; i < distinct.length; i++) assert.deepEqual(outputs.subarray(16 * i, 16 * i + 16), first);
    assert.ok(distinct.length >= 6);
  });

  it('refuses what has no exact form in C, naming the node', () => {
    for (const [what, { graph, quantization }, expected] of floatIslands(kernels)) {
      const error = refusal(() => cSource(graph, quantization, { name: 'x' }));
      assert.equal(error.code, 'UNSUPPORTED_MODEL', what);
      assert.equal(error.message, expected);
    }
  });

  it('refuses options that are none', () => {
    const options: [object, RegExp][] = [
      [{ name: 7 }, /Expected a text for name but received 7/],
      [{ name: 'x', packing: 'loose' }, /Expected dense or cmsis-nn-int4 for packing but received "loose"/],
      [{ name: 'x', input: 'int8' }, /Expected float32 or uint8 for input but received "int8"/],
    ];
    for (const [given, message] of options)
      assert.match(refusal(() => texts(given as { name: string })).message, message);
    assert.match(
      refusal(() => texts({ name: 'x' }, { ...graph, layout: 'onnx' })).message,
      /channels-last form for graph but received "onnx"/,
    );
  });
});
