import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, posix, win32 } from 'node:path';
import { create, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { SigmaQuantError } from '../lib/errors.ts';
import {
  ModelProtoSchema,
  readModel,
  StringStringEntryProtoSchema,
  TensorProto_DataLocation,
} from '../lib/onnx/index.ts';
import { openModel } from '../lib/pipeline/model.ts';
import { nodeHost } from '../lib/pipeline/node-host.ts';
import { sigmaquant } from './support/command.ts';
import { tinyModel } from './support/network.ts';

const LOCATION = 'weights.bin';
/** Bytes before the first tensor. */
const START = 64;

type Entries = Record<string, string>;

/** The tiny model with every initializer outside, and those bytes; `change` alters what is said of conv1.w. */
function outside(change: (entries: Entries) => Entries = (entries) => entries) {
  const model = readModel(tinyModel());
  const pieces: Uint8Array[] = [new Uint8Array(START)];
  let offset = START;
  for (const tensor of model.graph!.initializer) {
    const said = { location: LOCATION, offset: String(offset), length: String(tensor.rawData.length) };
    const entries: Entries = tensor.name === 'conv1.w' ? change(said) : said;
    tensor.externalData = Object.entries(entries).map(([key, value]) =>
      create(StringStringEntryProtoSchema, { key, value }),
    );
    tensor.dataLocation = TensorProto_DataLocation.EXTERNAL;
    pieces.push(tensor.rawData);
    offset += tensor.rawData.length;
    tensor.rawData = new Uint8Array(0);
  }
  return { model: toBinary(ModelProtoSchema, model), weights: Buffer.concat(pieces) };
}

describe('external data', () => {
  let parent: string;
  let folder: string;
  const path = (name: string) => join(folder, name);

  before(() => {
    parent = mkdtempSync(join(tmpdir(), 'sigmaquant-external-'));
    folder = join(parent, 'model');
    mkdirSync(folder);
    const { model, weights } = outside();
    writeFileSync(path('split.onnx'), model);
    writeFileSync(path(LOCATION), weights);
    writeFileSync(path('whole.onnx'), tinyModel());
    writeFileSync(join(parent, 'secret.bin'), weights);
  });
  after(() => rmSync(parent, { recursive: true }));

  async function refused(
    change: (entries: Entries) => Entries,
    code: string,
    sentence: RegExp,
  ): Promise<void> {
    writeFileSync(path('bad.onnx'), outside(change).model);
    await assert.rejects(openModel({ model: path('bad.onnx') }, nodeHost), (error) => {
      assert.ok(error instanceof SigmaQuantError, String(error));
      assert.equal(error.code, code, error.message);
      assert.match(error.message, sentence);
      assert.match(error.message, /tensor "conv1\.w"/);
      return true;
    });
  }

  it('gives the same graph as one file, and belongs to what the digest says', async () => {
    const [split, whole] = await Promise.all(
      ['split.onnx', 'whole.onnx'].map((name) => openModel({ model: path(name) }, nodeHost)),
    );
    assert.deepEqual([...split.graph.constants.keys()], [...whole.graph.constants.keys()]);
    for (const [name, tensor] of whole.graph.constants)
      assert.deepEqual(split.graph.constants.get(name), tensor, name);
    const { model, weights } = outside();
    assert.equal(split.fileBytes, model.length + weights.length - START);
    mkdirSync(path('other'), { recursive: true });
    writeFileSync(path('other/split.onnx'), model);
    writeFileSync(path(`other/${LOCATION}`), weights.fill(0, START, START + 4));
    const other = await openModel({ model: path('other/split.onnx') }, nodeHost);
    assert.notEqual(other.sha256, split.sha256);
  });

  it('takes offset 0 and the tensor’s own length where nothing else is said, in folders below too', async () => {
    const { weights } = outside();
    mkdirSync(path('below'), { recursive: true });
    writeFileSync(path('below/first.bin'), weights.subarray(START));
    writeFileSync(path('first.onnx'), outside(() => ({ location: './below/first.bin' })).model);
    const [first, whole] = await Promise.all(
      ['first.onnx', 'whole.onnx'].map((name) => openModel({ model: path(name) }, nodeHost)),
    );
    assert.deepEqual(first.graph.constants.get('conv1.w'), whole.graph.constants.get('conv1.w'));
  });

  it('serves the command line', async () => {
    const [split, whole] = await Promise.all(
      ['split.onnx', 'whole.onnx'].map((name) => sigmaquant('inspect', path(name), '--json')),
    );
    assert.equal(split.code, 0, split.error);
    assert.deepEqual(JSON.parse(split.out).layers, JSON.parse(whole.out).layers);
  });

  it('refuses paths that leave the folder of the model', async () => {
    for (const location of [
      '../secret.bin',
      'below/../../secret.bin',
      '..\\secret.bin',
      join(parent, 'secret.bin'),
      'C:\\secret.bin',
      'c:secret.bin',
      '\\\\server\\secret.bin',
      '..',
      '',
      'a\0b',
      'x'.repeat(5000),
    ])
      await refused((said) => ({ ...said, location }), 'MALFORMED_MODEL', /a path inside the model's folder/);
  });

  it('refuses links that leave it, and follows those that stay', async function () {
    try {
      symlinkSync(join(parent, 'secret.bin'), path('out.bin'));
      symlinkSync(parent, path('up'));
      symlinkSync(path(LOCATION), path('in.bin'));
    } catch {
      console.log('      skipped: this system makes no symbolic links');
      return this.skip();
    }
    for (const location of ['out.bin', 'up/secret.bin'])
      await refused((said) => ({ ...said, location }), 'MALFORMED_MODEL', /a link that leads out of it/);
    writeFileSync(path('linked.onnx'), outside((said) => ({ ...said, location: 'in.bin' })).model);
    assert.equal((await openModel({ model: path('linked.onnx') }, nodeHost)).layers.length, 5);
  });

  it('refuses what is no file: nothing, a folder, a pipe', async function () {
    await refused((said) => ({ ...said, location: 'none.bin' }), 'INVALID_ARGUMENT', /no such file/);
    mkdirSync(path('folder.bin'), { recursive: true });
    await refused((said) => ({ ...said, location: 'folder.bin' }), 'INVALID_ARGUMENT', /regular file|folder/);
    if (process.platform === 'win32') return this.skip();
    execFileSync('mkfifo', [path('pipe.bin')]);
    await refused((said) => ({ ...said, location: 'pipe.bin' }), 'INVALID_ARGUMENT', /regular file/);
  });

  it('refuses sizes that do not fit', async () => {
    const size = readFileSync(path(LOCATION)).length;
    await refused((said) => ({ ...said, length: '4' }), 'MALFORMED_MODEL', /864 bytes .* length 4/);
    await refused(
      (said) => ({ ...said, offset: String(size - 4) }),
      'MALFORMED_MODEL',
      new RegExp(`864 bytes at ${size - 4} .* a file of ${size}`),
    );
    for (const value of ['-1', '1e3', '0x10', '', ' 1', '9'.repeat(20)])
      for (const key of ['offset', 'length'])
        await refused(
          (said) => ({ ...said, [key]: value }),
          'MALFORMED_MODEL',
          /a whole number for (offset|length)/,
        );
    await refused((said) => ({ ...said, offset: '9'.repeat(15) }), 'MALFORMED_MODEL', /a file of/);
  });

  it('refuses references where there is no folder', async () => {
    await assert.rejects(openModel({ model: { name: 'tiny', bytes: outside().model } }, nodeHost), {
      code: 'UNSUPPORTED_MODEL',
      message: /reference to "weights\.bin"; give the model by its path/,
    });
  });

  it('never asks for a file outside the folder, whatever the path', () => {
    const seen: string[] = [];
    const piece = fc.oneof(
      fc.constantFrom('..', '.', '', 'a', '/', '\\', 'C:', '\0'),
      fc.string({ maxLength: 3 }),
    );
    const paths = fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join('/'));
    fc.assert(
      fc.property(fc.oneof(paths, fc.string()), (location) => {
        const { model } = outside((said) => ({ ...said, location }));
        const external = (range: { location: string; length: number }) => {
          seen.push(range.location);
          return new Uint8Array(range.length);
        };
        try {
          readModel(model, { external });
        } catch (error) {
          assert.ok(error instanceof SigmaQuantError, String(error));
        }
      }),
      { numRuns: 500, seed: 5 },
    );
    assert.ok(seen.length > 500);
    for (const location of seen) {
      assert.ok(posix.resolve('/model', location).startsWith('/model'), location);
      assert.ok(win32.resolve('C:\\model', location).startsWith('C:\\model'), location);
    }
  });
});
