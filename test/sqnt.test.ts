import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { compile } from '../lib/engine/index.ts';
import { SigmaQuantError } from '../lib/errors.ts';
import { packedModel } from '../lib/export/sqnt.ts';
import { importGraph, layers as layersOf, toChannelsLast } from '../lib/graph/index.ts';
import { pack as referencePack } from '../lib/kernels/reference-integer.ts';
import { weightBytes } from '../lib/quant/packing.ts';
import { dequantizeWeights } from '../lib/quant/weights.ts';
import { unpackedModel } from '../lib/runtime/unpack.ts';
import { crc32 as plainCrc32 } from '../lib/sqnt/crc32.ts';
import { type PackedModel, readSqnt, writeSqnt } from '../lib/sqnt/index.ts';
import { pack, packedLength, unpack } from '../lib/sqnt/packing.ts';
import { random } from './contract/support.ts';
import { image } from './engine/network.ts';
import { availableKernels, one } from './engine/support.ts';
import { everything, ORIGIN, plainQuantization, randomImage, sampleNetwork } from './sqnt/models.ts';
import { mutations, readOrRefuse } from './sqnt/mutations.ts';
import { repaired } from './sqnt/repair.ts';
import { refusal } from './support/refusal.ts';

const models = new URL('../../shared/testbed/models/', import.meta.url);
const NETWORKS = [
  'resnet8-cifar10',
  'resnet20-cifar10',
  'dscnn-kws',
  'mobilenetv1-025-vww',
  'squeezenet11-imagenet',
  'mobilenetv2-imagenet',
];
/** What a file may take beside its weights, scales and biases. */
const allowed = (bytes: number) => bytes + Math.max(0.03 * bytes, 4000);

const available = await availableKernels();
/** The fastest: native where it was built. */
const kernels = available.find(({ backend }) => backend === 'native') ?? available[0];

describe('packed integers', () => {
  it('lie as the kernels pack them, at every width and length', () => {
    const next = random(3);
    for (let bits = 2; bits <= 8; bits++)
      for (let length = 0; length < 70; length++) {
        const q = Int8Array.from({ length }, () => Math.floor(next() * 2 ** bits) - 2 ** (bits - 1));
        const [packed, expected] = [0, 1].map(() => new Uint8Array(packedLength(length, bits)));
        pack(q, bits, packed);
        referencePack(q, bits, expected);
        assert.deepEqual(packed, expected, `${length} of ${bits} bits`);
        const back = new Int8Array(length);
        unpack(packed, bits, back);
        assert.deepEqual(back, q, `${length} of ${bits} bits`);
      }
  });
});

describe('packed file', () => {
  const { graph, quantization, model } = sampleNetwork();
  const bytes = writeSqnt(model);

  it('holds everything exactly', () => {
    assert.deepEqual(readSqnt(bytes), model);
    const all = everything();
    const back = readSqnt(writeSqnt(all));
    assert.deepEqual(back, all);
    assert.ok(Object.is(back.nodes.at(-1)!.attributes['zero'], -0));
    assert.deepEqual(Object.keys(back.nodes.at(-1)!.attributes).includes('__proto__'), true);
  });

  it('is the same whatever the order of maps, and reads from anywhere in a buffer', () => {
    const turned = <T>(map: ReadonlyMap<string, T>) => new Map([...map].reverse());
    const other: PackedModel = {
      ...model,
      constants: turned(model.constants),
      layers: turned(model.layers),
      activations: turned(model.activations),
    };
    assert.deepEqual(writeSqnt(other), bytes);
    assert.deepEqual(writeSqnt(readSqnt(bytes)), bytes);
    const odd = Buffer.concat([Buffer.alloc(3), bytes, Buffer.alloc(5)]).subarray(3, 3 + bytes.length);
    assert.deepEqual(readSqnt(odd), model);
  });

  it('unpacks integers when they are asked for, and by the ways that it is given', () => {
    const read = readSqnt(bytes);
    const { q } = read.layers.get('stem')!;
    assert.deepEqual(q, model.layers.get('stem')!.q);
    assert.notEqual(read.layers.get('stem')!.q, q, 'nothing keeps them');
    const used = { crc32: 0, unpack: 0 };
    const other = readSqnt(bytes, {
      crc32: (data) => {
        used.crc32++;
        return crc32(data);
      },
      unpack: (packed, bits, into) => {
        used.unpack++;
        return unpack(packed, bits, into);
      },
    });
    assert.deepEqual(used, { crc32: 1, unpack: 0 });
    assert.deepEqual(other.layers.get('stem')!.q, q);
    assert.equal(used.unpack, 1);
  });

  it('has the checksum of zip', () => {
    for (const length of [0, 1, 15, 16, 17, 1000]) {
      const data = Uint8Array.from({ length }, (_, i) => i * 7);
      assert.equal(plainCrc32(data), crc32(data), `${length} bytes`);
    }
  });

  it('holds no weights twice: constants of quantized layers are in no other place', () => {
    assert.equal(model.constants.size, 0);
    assert.equal(model.layers.size, 5);
    const some = new Map(quantization.layers);
    some.delete('project');
    const mixed = packedModel(graph, { ...quantization, layers: some }, ORIGIN);
    assert.deepEqual([...mixed.constants.keys()], ['project.w', 'project.b']);
    const unread = {
      ...graph,
      constants: new Map(graph.constants).set('unread', graph.constants.get('stem.w')!),
    };
    assert.equal(packedModel(unread, quantization, ORIGIN).constants.size, 0);
  });

  it('refuses to be written with what could not be read', () => {
    const wrong = (change: Partial<PackedModel>, message: RegExp) => {
      const error = refusal(() => writeSqnt({ ...model, ...change }));
      assert.equal(error.code, 'INVALID_ARGUMENT', error.message);
      assert.match(error.message, message);
    };
    const stem = model.layers.get('stem')!;
    const layer = (change: object) => ({ layers: new Map(model.layers).set('stem', { ...stem, ...change }) });
    wrong(layer({ bits: 9 }), /2 to 8 bits for layer stem/);
    wrong(layer({ bits: 2, q: new Int8Array(stem.q.length).fill(2) }), /integers of 2 bits for layer stem/);
    wrong(layer({ q: new Int8Array(5) }), /216 integers for layer stem but received Int8Array of length 5/);
    wrong(layer({ scales: new Float32Array(8) }), /above 0 for the scales of node stem/);
    wrong(layer({ bias: new Float32Array(8).fill(Number.NaN) }), /the biases of node stem/);
    wrong({ layers: new Map([['nobody', stem]]) }, /the name of a node for a layer but received "nobody"/);
    wrong({ outputs: [{ name: 'nothing', dtype: 'float32', shape: [] }] }, /a value, once, for an output/);
    wrong({ nodes: [...model.nodes].reverse() }, /a value made before node/);
    wrong({ nodes: [...model.nodes, model.nodes[0]] }, /a name that no other node has/);
    wrong({ preprocessing: { std: 0 } }, /positive numbers for std/);
    wrong(
      { provenance: { ...ORIGIN.provenance, source: { name: '', sha256: 'no' } } },
      /64 hexadecimal digits/,
    );
    wrong({ name: '\ud800' }, /well-formed Unicode/);
    const q = { bits: 4, scale: 1, zeroPoint: 16, low: 0, high: 15 };
    wrong({ activations: new Map([['stem', q]]) }, /zero point of the quantizer of stem from 0 to 15/);
    wrong({ activations: new Map([['nobody', q]]) }, /a value of the graph for a quantizer/);
  });

  it('checks magic, version, lengths and checksum in this order', () => {
    const changed = (at: number, value: number) => {
      const copy = bytes.slice();
      copy[at] = value;
      return refusal(() => readSqnt(copy));
    };
    assert.match(
      changed(0, 80).message,
      /^Expected 83 \(a file that begins with SQNT\) at byte 0 but received 80\.$/,
    );
    assert.equal(changed(4, 2).code, 'UNSUPPORTED_MODEL');
    assert.match(changed(4, 2).message, /at byte 4 but received version 2/);
    assert.equal(changed(6, 1).code, 'UNSUPPORTED_MODEL');
    assert.match(changed(4, 0).message, /^Expected version 1 at byte 4 but received 0\.$/);
    assert.match(changed(8, 0).message, /at byte 8 but received \d+ \+ \d+ \+ \d+\.$/);
    const sum = new RegExp(`^Expected the checksum \\d+ at byte ${bytes.length - 4} but received \\d+\\.$`);
    assert.match(changed(40, bytes[40] ^ 1).message, sum);
    assert.match(
      refusal(() => readSqnt(new Uint8Array(0))).message,
      /at byte 0 but received the end of the file/,
    );
    assert.equal(refusal(() => readSqnt([] as never)).code, 'INVALID_ARGUMENT');
  });

  it('is refused cut off at every length, its checksum right or not', () => {
    for (let length = 0; length < bytes.length; length++) {
      assert.equal(readOrRefuse(bytes.slice(0, length)), null);
      assert.equal(readOrRefuse(repaired(bytes.slice(0, length))), null);
    }
  });

  it('is refused with any other byte at any place', () => {
    for (let at = 0; at < bytes.length; at++)
      for (const change of [1, 0x80, 0xff]) {
        const copy = bytes.slice();
        copy[at] ^= change;
        assert.equal(readOrRefuse(copy), null, `byte ${at}`);
      }
  });

  it('with another byte and its checksum made right is refused, naming a byte, or another model', () => {
    const counts = { refused: 0, valid: 0, unpackRefused: 0 };
    for (const original of [bytes, writeSqnt(everything())])
      for (let at = 4; at < original.length - 4; at++)
        for (const change of [1, 2, 0x40, 0x80, 0xff]) {
          const copy = original.slice();
          copy[at] ^= change;
          const read = readOrRefuse(repaired(copy));
          if (!read) counts.refused++;
          else if (original !== bytes) counts.valid++;
          else {
            // What reads is another file: the same bytes again, unless numbers can be written in a shorter way.
            assert.notDeepEqual(writeSqnt(read), bytes);
            try {
              unpackedModel(read);
              counts.valid++;
            } catch (error) {
              assert.ok(error instanceof SigmaQuantError, String((error as Error).stack));
              counts.unpackRefused++;
            }
          }
        }
    assert.ok(
      counts.refused > 1000 && counts.valid > 1000 && counts.unpackRefused > 10,
      JSON.stringify(counts),
    );
  });

  it('with random mutations is refused, or runs', () => {
    const counts = mutations(bytes, 20_000, 5, kernels);
    assert.equal(counts.refused + counts.unpackRefused + counts.valid, 20_000);
    assert.ok(counts.ran > 20, JSON.stringify(counts));
  });
});

describe('hostile packed files', () => {
  /** A file with this manifest and these other sections, its checksum right. */
  function file(manifest: readonly number[], weights: readonly number[] = []): Uint8Array {
    const bytes = new Uint8Array(24 + manifest.length + weights.length);
    bytes.set([0x53, 0x51, 0x4e, 0x54, 1, 0]);
    const view = new DataView(bytes.buffer);
    view.setUint32(8, manifest.length, true);
    view.setUint32(12, weights.length, true);
    bytes.set(manifest, 20);
    bytes.set(weights, 20 + manifest.length);
    return repaired(bytes);
  }
  const says = (bytes: Uint8Array, message: RegExp) => {
    const error = refusal(() => readSqnt(bytes));
    assert.equal(error.code, 'MALFORMED_MODEL');
    assert.match(error.message, message);
  };

  it('claim more than they hold', () => {
    says(file([]), /1 bytes of the number of texts at byte 20 but received 0/);
    says(file([255, 255, 255, 255, 255, 255, 127]), /the number of texts from 0 to 3 at byte 20/);
    says(
      file([255, 255, 255, 255, 255, 255, 255, 255, 255, 1]),
      /of at most 8 bytes at byte 20 but received more/,
    );
    says(file([0x80, 0, 0]), /the shortest form of the number of texts at byte 20/);
    says(file([1, 0, 200, 1]), /200 bytes of a text at byte 24 but received 0/);
    says(file([1, 5, 1, 65]), /shared with the text before from 0 to 0 at byte 21 but received 5/);
    says(file([2, 0, 1, 65, 0, 1, 65]), /a text that follows "A" at byte 24 but received "A"/);
    says(file([1, 0, 1, 0xff]), /UTF-8 for a text at byte 21/);
    says(file([1, 0, 1, 65, 7]), /the name of the model among 1 texts at byte 24 but received index 7/);
  });

  it('whose texts would grow without end share at most 16 MB of beginnings', () => {
    const growing = [0x90, 0x4e];
    for (let i = 0; i < 10_000; i++) growing.push(...(i < 128 ? [i] : [(i & 127) | 128, i >> 7]), 1, 65);
    says(file(growing), /at most 16777216 bytes of text at byte \d+/);
  });

  it('describe graphs that cannot be: the node is named', () => {
    const { model } = sampleNetwork();
    const refused = (
      change: (node: PackedModel['nodes'][number]) => object,
      code: string,
      message: RegExp,
    ) => {
      const nodes = model.nodes.map((node) => ({ ...node, ...change(node) }));
      const error = refusal(() => unpackedModel(readSqnt(writeSqnt({ ...model, nodes }))));
      assert.equal(error.code, code, error.message);
      assert.match(error.message, message);
    };
    const of = (name: string, change: object) => (node: { name: string }) =>
      node.name === name ? change : {};
    const attributes = (name: string, own: object) => (node: PackedModel['nodes'][number]) =>
      node.name === name ? { attributes: { ...node.attributes, ...own } } : {};
    refused(of('sum', { op: 'Sorcery' }), 'UNSUPPORTED_OPERATOR', /Sorcery \(node sum\)/);
    refused(of('stem', { op: 'Linear' }), 'MALFORMED_MODEL', /node stem \(Linear\)/);
    refused(of('stem', { op: 'ConvTranspose' }), 'MALFORMED_MODEL', /node stem \(ConvTranspose\)/);
    refused(
      attributes('stem', { strides: 'two' }),
      'MALFORMED_MODEL',
      /strides of node stem \(Conv\).*"two"/,
    );
    refused(attributes('stem', { strides: [0, 1] }), 'MALFORMED_MODEL', /node stem/);
    refused(attributes('stem', { clamp: [6, 0] }), 'MALFORMED_MODEL', /clamp of node stem/);
    refused(
      attributes('padded', { pads: [0, 0, 0, 1e15, 0, 0, 0, 1] }),
      'MALFORMED_MODEL',
      /"padded", output of node/,
    );
    refused(attributes('depthwise', { group: 3 }), 'MALFORMED_MODEL', /node depthwise/);
    refused(of('sum', { inputs: ['stem', 'image'] }), 'MALFORMED_MODEL', /node sum/);
    refused(of('sum', { inputs: [] }), 'MALFORMED_MODEL', /node sum/);
  });

  it('would make the reader compute: laborious operators on constants alone are refused', () => {
    const { model } = sampleNetwork();
    const small = { dtype: 'float32', shape: [1, 1, 1, 1], data: new Float32Array(1) } as const;
    const wide = { dtype: 'float32', shape: [1, 1, 1, 1], data: new Float32Array(1) } as const;
    const node = {
      ...{ name: 'trap', op: 'Conv', inputs: ['small', 'wide'], outputs: ['trapped'] },
      attributes: { pads: [90, 90, 90, 90] },
    };
    const constants = new Map([...model.constants, ['small', small], ['wide', wide]] as const);
    const error = refusal(() => unpackedModel({ ...model, constants, nodes: [...model.nodes, node] }));
    assert.match(error.message, /depend on an input for node trap \(Conv\)/);
  });
});

describe('unpacked model', () => {
  it('is the graph that was packed', () => {
    const { graph, quantization, model } = sampleNetwork();
    const unpacked = unpackedModel(readSqnt(writeSqnt(model)));
    assert.deepEqual(unpacked.quantization.activations, quantization.activations);
    for (const [name, { bits, q, scales, bias }] of unpacked.quantization.layers)
      assert.deepEqual({ bits, q, scales, bias }, quantization.layers.get(name), name);
    assert.equal(unpacked.quantization.layers.size, quantization.layers.size);
    const { constants, types, ...rest } = unpacked.graph;
    const { constants: packed, types: declared, ...others } = graph;
    assert.deepEqual(rest, others);
    for (const { name } of graph.nodes) assert.deepEqual(types.get(name), declared.get(name), name);
    assert.deepEqual([...constants.keys()].sort(), [...packed.keys()].sort());
    const { q, scales, bias } = quantization.layers.get('stem')!;
    const weights = constants.get('stem.w')!;
    assert.deepEqual(weights.shape, packed.get('stem.w')!.shape);
    assert.deepEqual(weights.data, dequantizeWeights(q, scales));
    assert.equal(weights.data, weights.data, 'made once');
    assert.deepEqual(constants.get('stem.b')!.data, bias);
  });

  for (const { backend } of available)
    it(`runs as the one that was packed, on ${backend}`, () => {
      const { graph, quantization } = sampleNetwork();
      const some = new Map(quantization.layers);
      some.delete('grouped');
      const mixed = { ...quantization, layers: some };
      const own = available.find((each) => each.backend === backend)!;
      const weightsOnly = { ...quantization, activations: new Map() };
      for (const integers of [quantization, mixed, weightsOnly]) {
        const unpacked = unpackedModel(readSqnt(writeSqnt(packedModel(graph, integers, ORIGIN))));
        const executors = [
          compile(graph, own, { quantization: integers }),
          compile(unpacked.graph, own, { quantization: unpacked.quantization }),
        ];
        const [a, b] = executors.map((executor) => executor.run(one('image', image(3)), ['logits', 'sum']));
        assert.deepEqual(b, a);
        for (const executor of executors) executor.dispose();
      }
    });
});

describe('packed files of the test bed', () => {
  before(function () {
    if (existsSync(models)) return;
    console.log('    skipped: ../shared/testbed is absent');
    this.skip();
  });

  const widths = { 'at 8 bits': () => 8, 'at 2 to 8 bits': (layer: number) => 2 + ((layer * 3) % 7) };
  for (const name of [...NETWORKS, 'resnet20-cifar10-bn'])
    it(`${name}: small, the same bits when it runs, and the same file again`, () => {
      const { graph: onnx } = importGraph(readFileSync(new URL(`${name}.onnx`, models)));
      const graph = toChannelsLast(onnx);
      const feeds = one(graph.inputs[0].name, randomImage(graph));
      const outputs = graph.outputs.map((output) => output.name);
      for (const [title, bitsOf] of Object.entries(widths)) {
        const quantization = plainQuantization(graph, kernels, randomImage(graph), bitsOf);
        const bytes = writeSqnt(packedModel(graph, quantization, ORIGIN));
        const sum = layersOf(graph).reduce(
          (total, { name: layer, weights, outChannels }) =>
            total + weightBytes(weights.length, outChannels, quantization.layers.get(layer)!.bits),
          0,
        );
        assert.ok(bytes.length <= allowed(sum), `${title}: ${bytes.length} bytes for ${sum} of weights`);
        if (process.env['SQNT_SIZES'])
          console.log(
            `      ${name} ${title}: ${sum} weightBytes, ${bytes.length} bytes, +${bytes.length - sum}`,
          );
        const unpacked = unpackedModel(readSqnt(bytes));
        assert.deepEqual(unpacked.graph.types, graph.types);
        assert.deepEqual(writeSqnt(packedModel(unpacked.graph, unpacked.quantization, ORIGIN)), bytes);
        const executors = [
          compile(graph, kernels, { quantization }),
          compile(unpacked.graph, kernels, { quantization: unpacked.quantization }),
        ];
        const [a, b] = executors.map((executor) => executor.run(feeds, outputs));
        assert.deepEqual(b, a, title);
        assert.deepEqual(executors[1].floatNodes, executors[0].floatNodes);
        for (const executor of executors) executor.dispose();
      }
    });
});
