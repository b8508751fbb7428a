import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CONFIG_FILE, configFlags, configJsonSchema } from '../lib/cli/config.ts';
import { commands } from '../lib/cli/program.ts';
import { nearest } from '../lib/pipeline/nearest.ts';
import { sigmaquant } from './support/command.ts';
import { refusal } from './support/refusal.ts';
import { TINTED, writeTintedNetwork } from './support/tinted.ts';

describe('config file', () => {
  let folder: string;
  let before_: string;
  const env = { ...process.env };

  before(() => {
    // The working directory is looked at, so that each test stands in one of its own.
    folder = realpathSync(mkdtempSync(join(tmpdir(), 'sigmaquant-')));
    before_ = process.cwd();
    writeTintedNetwork(join(folder, 'tiny.onnx'), join(folder, 'images.npz'), 48);
    process.chdir(folder);
  });
  afterEach(() => {
    rmSync(join(folder, CONFIG_FILE), { force: true });
    for (const key of ['SIGMAQUANT_BACKEND', 'SIGMAQUANT_THREADS'])
      if (env[key] === undefined) delete process.env[key];
      else process.env[key] = env[key];
  });
  after(() => {
    process.chdir(before_);
    rmSync(folder, { recursive: true });
  });

  const write = (content: object, name = CONFIG_FILE) =>
    writeFileSync(join(folder, name), JSON.stringify(content));
  const quantize = async (...flags: string[]) => {
    const { code, out, error } = await sigmaquant(
      'quantize',
      'tiny.onnx',
      '--calibration',
      'images.npz',
      '--json',
      '--force',
      '--no-cache',
      '--evaluations',
      '2',
      ...flags,
    );
    assert.equal(code, 0, error);
    return JSON.parse(out);
  };
  const flagsOf = (content: object, given: string[] = [], name = 'quantize') => {
    write(content, 'options.json');
    const command = commands().find((own) => own.name() === name)!;
    command.setOptionValue('config', 'options.json');
    return configFlags(command, given);
  };

  it('is found in the working directory, read where --config says, and left alone by --no-config', async () => {
    write({ pin: { conv2: 3 }, preprocessing: TINTED });
    assert.equal(width(await quantize(), 'conv2'), 3);
    write({ pin: { conv2: 5 } }, 'other.json');
    assert.equal(width(await quantize('--config', 'other.json'), 'conv2'), 5);
    const free = await quantize('--no-config', '--bits', '4');
    assert.equal(width(free, 'conv2'), 4);
  });

  const width = (result: { layers: { name: string; weights: number }[] }, layer: string) =>
    result.layers.find(({ name }) => name === layer)!.weights;

  it('stands between flags and the environment', async () => {
    process.env['SIGMAQUANT_BACKEND'] = 'wasm';
    process.env['SIGMAQUANT_THREADS'] = '1';
    assert.equal((await quantize()).backend, 'wasm');
    write({ backend: 'reference', bits: [4] });
    const configured = await quantize();
    assert.equal(configured.backend, 'reference');
    assert.equal(configured.threads, 1);
    assert.equal(width(configured, 'conv2'), 4);
    const flagged = await quantize('--backend', 'wasm', '--bits', '6');
    assert.equal(flagged.backend, 'wasm');
    assert.equal(width(flagged, 'conv2'), 6);
    delete process.env['SIGMAQUANT_BACKEND'];
    rmSync(CONFIG_FILE);
    assert.notEqual(width(await quantize(), 'conv2'), undefined);
  });

  it('says everything that flags can say', () => {
    const at = (name: string) => join(process.cwd(), name);
    const content = {
      $schema: './config.schema.json',
      target: ['size=25%', 'energy=-20%:int8'],
      maxDrop: 1.5,
      bits: [2, 4, 8],
      'activation-bits': '4,8',
      freeEnds: true,
      force: false,
      pin: { conv1: 8, '/^conv[34]$/': 4 },
      ban: { conv2: [2, 3] },
      group: ['add', ['conv3', 'conv4']],
      inputShape: { image: [1, 3, 8, 8] },
      device: 'int8-dot-45nm',
      recovery: 'none',
      preprocessing: { resize: [16, 8], scale: '1/255', mean: [0.5, 0.25, 0] },
      cache: false,
    };
    assert.deepEqual(flagsOf(content), [
      '--target=size=25%',
      '--target=energy=-20%:int8',
      '--max-drop=1.5',
      '--bits=2,4,8',
      '--activation-bits=4,8',
      '--free-ends',
      '--pin=conv1=8',
      '--pin=/^conv[34]$/=4',
      '--ban=conv2=2,3',
      '--group=add',
      '--group=conv3,conv4',
      '--input-shape=image=1x3x8x8',
      '--device=int8-dot-45nm',
      '--recovery=none',
      '--no-cache',
      '--resize=16x8',
      '--scale=1/255',
      '--mean=0.5,0.25,0',
    ]);
    assert.deepEqual(flagsOf({ target: { size: '25%', bits: 3 } }), ['--target=size=25%', '--target=bits=3']);
    assert.deepEqual(flagsOf({ seed: 1, bits: [4], cache: 'kept' }, ['--bits=3', '--no-cache']), [
      '--seed=1',
    ]);
    mkdirSync('sub', { recursive: true });
    const paths = { calibration: 'c.npz', out: '/abs/out', device: './board.json' };
    assert.deepEqual(
      flagsOf(paths)
        .map((flag) => flag.replace(`${at('')}/`, ''))
        .sort(),
      ['--calibration=c.npz', '--device=board.json', '--out=/abs/out'].sort(),
    );
  });

  it('serves all commands: each leaves to the others what is theirs', () => {
    const content = { evaluate: 'labels.npz', bits: [3], svg: 'chart.svg', seed: 2 };
    assert.deepEqual(flagsOf(content, [], 'plan'), ['--bits=3', '--seed=2']);
    assert.deepEqual(flagsOf(content, [], 'devices'), []);
  });

  const refused: [string, object, RegExp][] = [
    [
      'a slip',
      { 'max-dorp': 1 },
      /quantize's options for config options\.json .*"max-dorp" \(did you mean max-drop\?\)/,
    ],
    ['a slip in the other spelling', { activatonBits: 4 }, /did you mean activation-bits\?/],
    ['what is near nothing', { colour: 1 }, /received "colour"\.$/],
    ['a slip in preprocessing', { preprocessing: { skale: 1 } }, /names among resize.*"skale"/],
    ['preprocessing that is a number', { preprocessing: 3 }, /an object for preprocessing/],
    ['a text for a number', { maxDrop: 'one' }, /a number for maxDrop of config options\.json .*"one"/],
    ['half a sample', { samples: 1.5 }, /a whole number for samples .*1\.5/],
    [
      'a choice that is none',
      { recovery: 'magic' },
      /one of none, gptq, reconstruct, finetune for recovery .*"magic"/,
    ],
    ['a number for a flag', { force: 1 }, /true or false for force/],
    ['pins that are no numbers', { pin: { conv1: 'four' } }, /an object of widths by layer/],
    ['true for a cache', { cache: true }, /a path for cache/],
    ['a list', [], /an object for config/],
  ];
  for (const [title, content, sentence] of refused)
    it(`is refused with ${title}`, () => {
      assert.match(refusal(() => flagsOf(content)).message, sentence);
    });

  it('has the published schema', () => {
    const path = new URL('../docs/config.schema.json', import.meta.url);
    assert.deepEqual(JSON.parse(readFileSync(path, 'utf8')), configJsonSchema(commands()));
  });

  it('suggests the nearest name only where one is near', () => {
    assert.equal(nearest('max-dorp', ['max-drop', 'mean']), 'max-drop');
    assert.equal(nearest('qqqqqq', ['max-drop', 'mean']), undefined);
  });
});
