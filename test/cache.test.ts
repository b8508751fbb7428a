import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as later } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { fromIterable, type QuantizeOptions, type QuantizeResult, quantize } from '../lib/index.ts';
import { CacheFolder } from '../lib/pipeline/cache-folder.ts';
import { sigmaquant } from './support/command.ts';
import { CLASSES, imageBytes, SAMPLE, tinyModel, writeImages } from './support/network.ts';

const ARTEFACTS = ['model.onnx', 'model.sqnt', 'allocation.json'];
/** Uniform widths that are measured beside the search, but for the one that fits, which the search measures itself. */
const UNIFORM = 5;
const NOTHING = { profile: 0, evaluations: 0, integers: 0 };
const PROFILE_SAMPLES = 24;

let folder: string;
let base: QuantizeOptions;
/** What a run without any cache gives. */
let undisturbed: QuantizeResult;

function sameArtefacts(a: QuantizeResult, b: QuantizeResult): void {
  assert.deepEqual(a.artefacts.model, b.artefacts.model);
  assert.deepEqual(a.artefacts.sqnt, b.artefacts.sqnt);
  assert.equal(JSON.stringify(a.artefacts.allocation), JSON.stringify(b.artefacts.allocation));
  assert.equal(a.artefacts.report, b.artefacts.report);
  assert.equal(a.evaluations, b.evaluations);
}

/** Every file of a cache, whatever its key. */
function entriesOf(cache: string): string[] {
  if (!existsSync(cache)) return [];
  return readdirSync(cache, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

let caches = 0;
const newCache = () => join(folder, `cache-${caches++}`);

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sigmaquant-'));
  const labels = Array.from({ length: 60 }, (_, i) => i % CLASSES);
  writeFileSync(join(folder, 'tiny.onnx'), tinyModel());
  writeImages(join(folder, 'calibration.npz'), imageBytes(PROFILE_SAMPLES, 5), null);
  writeImages(join(folder, 'test.npz'), imageBytes(60, 3), labels);
  base = {
    model: join(folder, 'tiny.onnx'),
    calibration: join(folder, 'calibration.npz'),
    evaluate: join(folder, 'test.npz'),
    preprocessing: { scale: 1 / 255, mean: [0.4, 0.5, 0.6], std: 0.25 },
    targets: ['bits=5'],
    evaluations: 8,
  };
  undisturbed = await quantize(base);
});
after(() => rmSync(folder, { recursive: true }));

describe('cache', () => {
  it('does all work once, and changes nothing that is written', async () => {
    const cache = newCache();
    const cold = await quantize({ ...base, cache });
    const warm = await quantize({ ...base, cache, threads: 1 });
    sameArtefacts(cold, undisturbed);
    sameArtefacts(warm, undisturbed);
    assert.deepEqual(undisturbed.cached, NOTHING);
    assert.deepEqual(cold.cached, NOTHING);
    const entries = entriesOf(cache);
    const { integers, ...rest } = warm.cached;
    assert.deepEqual(rest, { profile: PROFILE_SAMPLES, evaluations: warm.evaluations + UNIFORM });
    // Evaluations that are known need no integers: only the first widths and the last are made again.
    assert.ok(integers >= warm.layers.length && integers <= 2 * warm.layers.length, `${integers} layers`);
    assert.equal(entries.filter((path) => /layer-\d+-\dbits$/.test(path)).length, 30);
  });

  it('serves other targets, floors and strategies', async () => {
    const cache = newCache();
    await quantize({ ...base, cache });
    const other: QuantizeOptions = { ...base, targets: ['size=30%'], strategy: 'hessian', opset: 13 };
    const result = await quantize({ ...other, cache });
    assert.equal(result.cached.profile, PROFILE_SAMPLES);
    assert.ok(result.cached.integers > 0);
    sameArtefacts(result, await quantize(other));
  });

  it('never serves another key', async () => {
    const cache = newCache();
    await quantize({ ...base, cache });
    writeImages(join(folder, 'other.npz'), imageBytes(PROFILE_SAMPLES, 6), null);
    const changed: Record<string, Partial<QuantizeOptions>> = {
      model: { model: { name: 'tiny', bytes: tinyModel(({ name }) => ({ name: `${name}2` })) } },
      calibration: { calibration: join(folder, 'other.npz') },
      preprocessing: { preprocessing: { ...base.preprocessing, std: 0.5 } },
      samples: { samples: 12 },
      ranges: { ranges: 'minmax' },
      recovery: { recovery: 'none' },
      seed: { seed: 1 },
      activationBits: { activationBits: 4 },
      backend: { backend: 'wasm' },
    };
    for (const [name, options] of Object.entries(changed))
      assert.deepEqual((await quantize({ ...base, ...options, cache })).cached, NOTHING, name);
    const evaluate = join(folder, 'relabelled.npz');
    writeImages(evaluate, imageBytes(60, 3), new Array(60).fill(1));
    const judged = await quantize({ ...base, evaluate, cache });
    assert.equal(judged.cached.evaluations, 0);
    assert.equal(judged.cached.profile, PROFILE_SAMPLES);
    sameArtefacts(judged, await quantize({ ...base, evaluate }));
    const narrower = await quantize({ ...base, bits: [3, 5, 8], cache });
    assert.equal(narrower.cached.profile, 0);
    assert.ok(narrower.cached.integers > 0);
    sameArtefacts(narrower, await quantize({ ...base, bits: [3, 5, 8] }));
  });

  it("tells a caller's data sets apart by what they feed, not by their source alone", async () => {
    const cache = newCache();
    const images = imageBytes(PROFILE_SAMPLES, 5);
    const length = images.length / PROFILE_SAMPLES;
    const data = (std: number) =>
      fromIterable(
        'images',
        [...SAMPLE],
        function* () {
          for (let i = 0; i < PROFILE_SAMPLES; i++)
            yield { x: images.subarray(i * length, (i + 1) * length) };
        },
        { size: PROFILE_SAMPLES, preprocessing: { scale: 1 / 255, std } },
      );
    await quantize({ ...base, calibration: await data(0.25), cache });
    const same = await quantize({ ...base, calibration: await data(0.25), cache });
    assert.equal(same.cached.profile, PROFILE_SAMPLES);
    assert.deepEqual((await quantize({ ...base, calibration: await data(0.5), cache })).cached, NOTHING);
  });

  it('keeps no scores of a metric that it cannot tell from another', async () => {
    const cache = newCache();
    const metric = () => new Array(30).fill(1);
    await quantize({ ...base, cache, metric });
    assert.equal((await quantize({ ...base, cache, metric })).cached.evaluations, 0);
    const module = join(folder, 'metric.mjs');
    writeFileSync(module, 'export default ({ count }) => new Array(count).fill(0.5);');
    await quantize({ ...base, cache, metric: module });
    const again = await quantize({ ...base, cache, metric: module });
    assert.equal(again.cached.evaluations, again.evaluations + UNIFORM);
    const reader = join(folder, 'reader.mjs');
    writeFileSync(reader, "import 'node:os';\nexport default ({ count }) => new Array(count).fill(0.5);");
    await quantize({ ...base, cache, metric: reader });
    assert.equal((await quantize({ ...base, cache, metric: reader })).cached.evaluations, 0);
  });

  it('replaces entries that are damaged, cut short or not its own', async () => {
    const cache = newCache();
    await quantize({ ...base, cache });
    const entries = entriesOf(cache);
    const whole = entries.map((path) => readFileSync(path));
    for (const [i, path] of entries.entries()) {
      const bytes = Buffer.from(whole[i]);
      if (i % 4 === 0) bytes[bytes.length - 1] ^= 1;
      const damages = [bytes, bytes.subarray(0, bytes.length / 2), Buffer.alloc(0)];
      if (i % 4 === 3) copyFileSync(entries[(i + 1) % entries.length], path);
      else writeFileSync(path, damages[i % 4]);
    }
    const result = await quantize({ ...base, cache });
    sameArtefacts(result, undisturbed);
    assert.deepEqual(result.cached, NOTHING);
    assert.deepEqual(entriesOf(cache), entries);
    assert.deepEqual(
      entries.map((path) => readFileSync(path)),
      whole,
    );
  });

  it('goes on without a cache where the disk is full, and says so once', async () => {
    const warnings: string[] = [];
    let written = 0;
    const full = new CacheFolder(newCache(), {
      warn: (sentence) => void warnings.push(sentence),
      write: async (path, bytes) => {
        if (written++ > 1) throw Object.assign(new Error('full'), { code: 'ENOSPC' });
        writeFileSync(path, bytes);
      },
    });
    const entries = await full.entries('key');
    for (let i = 0; i < 5; i++) await entries.write(`${i}`, i);
    assert.equal(written, 3);
    assert.deepEqual(await Promise.all([0, 1, 2, 3].map((i) => entries.read(`${i}`))), [0, 1, null, null]);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0], /writable folder for cache .*: no space left on the device; the run goes on/);
  });

  it('survives a disk that really fills up', async function () {
    const disk = join(folder, 'disk');
    mkdirSync(disk);
    if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', disk]).status !== 0) return this.skip();
    try {
      const warnings: string[] = [];
      const onWarning = (sentence: string) => void warnings.push(sentence);
      const result = await quantize({ ...base, cache: join(disk, 'cache'), onWarning });
      sameArtefacts(result, undisturbed);
      assert.equal(warnings.length, 1);
      assert.match(warnings[0], /no space left on the device/);
      const again = await quantize({ ...base, cache: join(disk, 'cache'), onWarning });
      sameArtefacts(again, undisturbed);
      assert.ok(again.cached.integers > 0);
    } finally {
      spawnSync('umount', [disk]);
    }
  });

  it('refuses a file where a folder should be', async () => {
    await assert.rejects(quantize({ ...base, cache: base.model as string }), {
      code: 'INVALID_ARGUMENT',
      message: /Expected a folder for cache/,
    });
  });

  it('serves two runs at once', async () => {
    const cache = newCache();
    const both = await Promise.all([quantize({ ...base, cache }), quantize({ ...base, cache })]);
    for (const result of both) sameArtefacts(result, undisturbed);
    assert.deepEqual(
      entriesOf(cache).filter((path) => path.endsWith('.tmp')),
      [],
    );
    assert.equal((await quantize({ ...base, cache })).cached.profile, PROFILE_SAMPLES);
  });

  it('goes on after an abort at any stage', async () => {
    for (const stage of ['profile', 'allocate']) {
      const cache = newCache();
      const controller = new AbortController();
      const onProgress = (name: string, done: number) => {
        if (name === stage && done >= 1) controller.abort(new Error('enough'));
      };
      await assert.rejects(quantize({ ...base, cache, onProgress, signal: controller.signal }), /enough/);
      const result = await quantize({ ...base, cache });
      sameArtefacts(result, undisturbed);
      assert.ok(result.cached.integers > 0, stage);
    }
  });

  it('lies beside the output of the command, unless told otherwise', async () => {
    const out = join(folder, 'by-command');
    const argv = ['quantize', join(folder, 'tiny.onnx'), '--calibration', join(folder, 'calibration.npz')];
    const flags = ['--target', 'bits=5', '--evaluations', '4', '--out', out, '--force', '--json'];
    const run = async (...more: string[]) =>
      JSON.parse((await sigmaquant(...argv, ...flags, ...more)).out).cached;
    assert.deepEqual(await run('--no-cache'), NOTHING);
    assert.ok(!existsSync(`${out}.cache`));
    assert.deepEqual(await run(), NOTHING);
    assert.ok(existsSync(`${out}.cache`));
    assert.equal((await run()).evaluations, 4 + UNIFORM);
    assert.deepEqual(await run('--cache', newCache()), NOTHING);
  });
});

describe('a run that is killed', () => {
  /** Enough samples that there is time to kill in. */
  const IMAGES = 3000;
  const script = fileURLToPath(new URL('../lib/cli/main.ts', import.meta.url));
  let argv: string[];
  let whole: Buffer[];
  let work: Record<string, number>;

  const artefacts = (out: string) => ARTEFACTS.map((name) => readFileSync(join(out, name)));
  const start = (out: string, ...flags: string[]) =>
    spawn(process.execPath, ['--import', 'tsx', script, ...argv, '--out', out, ...flags], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });

  async function finish(out: string, ...flags: string[]): Promise<Record<string, never>> {
    const child = start(out, '--json', ...flags);
    let text = '';
    child.stdout.on('data', (piece) => void (text += piece));
    const [code] = await once(child, 'close');
    assert.equal(code, 0, text);
    return JSON.parse(text);
  }

  before(async function () {
    if (process.platform === 'win32') return this.skip();
    const labels = Array.from({ length: IMAGES }, (_, i) => i % CLASSES);
    writeImages(join(folder, 'many-calibration.npz'), imageBytes(512, 5), null);
    writeImages(join(folder, 'many.npz'), imageBytes(IMAGES, 3), labels);
    argv = ['quantize', join(folder, 'tiny.onnx'), '--calibration', join(folder, 'many-calibration.npz')];
    argv.push('--evaluate', join(folder, 'many.npz'), '--scale', '1/255', '--target', 'bits=5');
    const result = await finish(join(folder, 'whole'), '--no-cache');
    work = { evaluations: result['evaluations'] };
    whole = artefacts(join(folder, 'whole'));
  });

  const moments: Record<string, RegExp> = {
    'among the integers': /layer-1-3bits$/,
    'in the profile': /begun$/,
    'at the first evaluation': /widths-/,
  };
  for (const [moment, sign] of Object.entries(moments))
    it(`${moment} by SIGKILL goes on to the same artefacts`, async () => {
      const out = join(folder, `killed-${Object.keys(moments).indexOf(moment)}`);
      await killedWhen(out, (entries) => entries.some((path) => sign.test(path)));
      const { cached } = await finish(out);
      assert.ok(cached['integers'] > 0);
      assert.deepEqual(artefacts(out), whole);
    });

  it('three times in mid-search loses no evaluation that was finished', async () => {
    const out = join(folder, 'killed-thrice');
    const evaluated = () => entriesOf(`${out}.cache`).filter((path) => /widths-[^.]+$/.test(path)).length;
    for (const count of [2, 4, 6]) await killedWhen(out, () => evaluated() >= count);
    const finished = evaluated();
    const { cached, evaluations } = await finish(out);
    assert.ok(finished >= 6 && finished < work['evaluations'], `${finished} of ${work['evaluations']}`);
    assert.equal(evaluations, work['evaluations']);
    assert.equal(cached['evaluations'], finished);
    assert.deepEqual(artefacts(out), whole);
  });

  async function killedWhen(out: string, due: (entries: string[]) => boolean): Promise<void> {
    const child = start(out);
    const ended = once(child, 'exit');
    let running = true;
    void ended.then(() => (running = false));
    while (running && !due(entriesOf(`${out}.cache`))) await later(5);
    child.kill('SIGKILL');
    const [, signal] = await ended;
    assert.equal(signal, 'SIGKILL', 'the run ended before it was killed');
    assert.ok(!existsSync(out));
    assert.ok(statSync(`${out}.cache`).isDirectory());
  }
});
