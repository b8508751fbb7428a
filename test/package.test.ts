import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import {
  barePath,
  builtAddon,
  freshFolder,
  installed,
  type Packed,
  packed,
  type Ran,
  root,
  runBare,
  setWritable,
} from './support/installed.ts';

const MAX_PACKED_BYTES = 3_000_000;
/** From `npm install` to the first quantized network; seconds. */
const MAX_SECONDS = 300;
/** `npm install` and a search. */
const TIMEOUT_MS = 600_000;
const EXAMPLE = join(root, 'examples', 'cifar10');
const DATA = ['resnet8-cifar10.onnx', 'cifar10-demo-calibration.npz', 'cifar10-demo-test.npz'];
const QUANTIZE = [
  ...['quantize', DATA[0], '--calibration', DATA[1], '--evaluate', DATA[2], '--json'],
  ...['--scale', '1/255', '--mean', '.4914,.4822,.4465', '--std', '.247,.2435,.2616'],
  ...['--target', 'size=12.5%', '--max-drop', '1'],
];

const SYSTEM = `${process.platform}-${process.arch}`;
const kinds = (paths: string[]) => [...new Set(paths)].sort();

describe('the package', function () {
  this.timeout(TIMEOUT_MS);
  let folder: string;
  let tarball: Packed;

  before(function () {
    if (process.platform === 'win32' || !existsSync(join(root, 'dist', 'index.js'))) {
      console.log('      skipped: needs Unix and the built package');
      this.skip();
    }
    folder = freshFolder();
    tarball = packed(folder);
  });
  after(() => {
    if (!folder) return;
    if (existsSync(join(folder, 'project', 'node_modules'))) setWritable(join(folder, 'project'), true);
    rmSync(folder, { recursive: true, force: true });
  });

  it('holds what runs and what explains it: no tests, no sources, nothing else', () => {
    const paths = tarball.files.map(({ path }) => path);
    const addon = builtAddon() ? [`prebuilds/${SYSTEM}/sigmaquant.node`] : [];
    assert.deepEqual(
      paths.filter((path) => !path.startsWith('dist/')).sort(),
      ['CHANGELOG.md', 'LICENSE', 'README.md', 'THIRD-PARTY-NOTICES.md', 'package.json', ...addon].sort(),
    );
    const inDist = paths.filter((path) => path.startsWith('dist/'));
    assert.deepEqual(kinds(inDist.map((path) => path.replace(/^.*?(\.d\.ts|\.\w+)$/, '$1'))), [
      '.d.ts',
      '.js',
      '.json',
      '.wasm',
    ]);
    assert.deepEqual(
      inDist.filter((path) => path.endsWith('.wasm')),
      ['dist/kernels-threads.wasm', 'dist/kernels.wasm'],
    );
    for (const path of inDist.filter((path) => path.endsWith('.json')))
      assert.match(path, /^dist\/hardware\/devices\/[a-z0-9-]+\.json$/);
    // Each module stands for one source, or for one made of the ONNX schema.
    const sources = readdirSync(join(root, 'lib'), { recursive: true }).map((path) =>
      String(path).replaceAll('\\', '/'),
    );
    for (const path of inDist.filter((path) => /\.(js|d\.ts)$/.test(path)))
      assert.ok(
        sources.includes(path.replace(/^dist\//, '').replace(/(\.d\.ts|\.js)$/, '.ts')),
        `${path} has no source: remove dist and build again`,
      );
  });

  it('is smaller than 3 MB', () => {
    console.log(`      ${tarball.files.length} files, ${(tarball.size / 1e6).toFixed(2)} MB packed`);
    assert.ok(tarball.size < MAX_PACKED_BYTES, `${tarball.size} bytes`);
  });

  describe('installed where there is no compiler', () => {
    let path: string;
    let home: string;
    let addon: string;
    let seconds = 0;
    let started = 0;

    const command = (...argv: string[]): Ran =>
      runBare(join(home, 'node_modules', '.bin', 'sigmaquant'), argv, { cwd: home, path });
    const backend = (): string => {
      const script =
        "import { createKernels } from 'sigmaquant/kernels'; console.log((await createKernels()).backend)";
      const { out, error } = runBare('node', ['--input-type=module', '--eval', script], { cwd: home, path });
      return out.trim() || error;
    };

    before(function () {
      path = barePath(folder);
      started = performance.now();
      const found = installed(folder, tarball.file, path);
      if (found === null) {
        console.log('      skipped: no registry of npm answers');
        return this.skip();
      }
      home = found;
      seconds = (performance.now() - started) / 1000;
      for (const name of DATA) cpSync(join(EXAMPLE, name), join(home, name));
      addon = join(home, 'node_modules', 'sigmaquant', 'prebuilds', SYSTEM, 'sigmaquant.node');
    });

    it('can be imported and required, by every name', () => {
      for (const script of [
        "import { quantize } from 'sigmaquant'; import { Session } from 'sigmaquant/runtime'; console.log(typeof quantize, typeof Session.load)",
        "const { quantize } = require('sigmaquant'); const { Session } = require('sigmaquant/runtime'); console.log(typeof quantize, typeof Session.load)",
      ]) {
        const type = script.startsWith('import') ? 'module' : 'commonjs';
        const { out, error } = runBare('node', [`--input-type=${type}`, '--eval', script], {
          cwd: home,
          path,
        });
        assert.equal(out, 'function function\n', error);
      }
    });

    it('quantizes the network of the demo', () => {
      const { code, out, error } = command(...QUANTIZE);
      assert.equal(code, 0, error);
      const result = JSON.parse(out);
      assert.equal(result.verdict, 'met');
      assert.equal(result.backend, builtAddon() ? 'native' : 'wasm');
      for (const file of ['model.onnx', 'model.sqnt', 'allocation.json', 'report.html'])
        assert.ok(existsSync(join(home, 'resnet8-cifar10.sigmaquant', file)), file);
      const all = (performance.now() - started) / 1000;
      console.log(
        `      npm install ${seconds.toFixed(1)} s, to the first result ${all.toFixed(1)} s (${result.backend})`,
      );
      assert.ok(all < MAX_SECONDS, `${all} s`);
    });

    it('finds the addon in a package of its own, as npm installs it on each system', function () {
      if (!existsSync(addon)) return this.skip();
      assert.equal(backend(), 'native');
      const musl = existsSync('/etc/alpine-release') ? '-musl' : '';
      const beside = join(home, 'node_modules', `sigmaquant-${SYSTEM}${musl}`);
      const prebuilds = join(home, 'node_modules', 'sigmaquant', 'prebuilds');
      mkdirSync(beside);
      writeFileSync(
        join(beside, 'package.json'),
        JSON.stringify({ name: `sigmaquant-${SYSTEM}`, version: '0.0.0' }),
      );
      renameSync(prebuilds, join(beside, 'prebuilds'));
      try {
        assert.equal(backend(), 'native');
      } finally {
        renameSync(join(beside, 'prebuilds'), prebuilds);
        rmSync(beside, { recursive: true });
      }
    });

    /** Damages the addon; everything goes on in WASM, and one line says why. */
    function withDamage(damage: (path: string) => void, reason: RegExp): void {
      const whole = readFileSync(addon);
      try {
        damage(addon);
        assert.equal(backend(), 'wasm');
        const { code, out, error } = command('plan', DATA[0], '--json');
        assert.equal(code, 0, error);
        assert.equal(JSON.parse(out).layers.length, 10);
        assert.match(
          error,
          /^note: Expected the native addon but it does not load: [^\n]+ WebAssembly takes its place, and is slower\.\n$/,
        );
        assert.match(error, reason);
        const asked = command('plan', DATA[0], '--backend', 'native');
        assert.equal(asked.code, 2);
        assert.match(asked.error, reason);
        assert.equal(command('plan', DATA[0], '--backend', 'wasm').error, '');
      } finally {
        rmSync(addon, { force: true });
        writeFileSync(addon, whole);
      }
    }

    it('goes on in WASM with an addon for another processor, and says so', function () {
      if (process.platform !== 'linux' || !existsSync(addon)) return this.skip();
      withDamage((path) => {
        const bytes = readFileSync(path);
        bytes.writeUInt16LE(process.arch === 'x64' ? 183 : 62, 18); // e_machine
        writeFileSync(path, bytes);
      }, /it was built for another processor than \w+\./);
    });

    it('goes on in WASM with an addon that was cut short, that is garbage, or that is not there', function () {
      if (process.platform !== 'linux' || !existsSync(addon)) return this.skip();
      withDamage((path) => truncateSync(path, 1_000_000), /it ends at byte 1000000 of \d+\./);
      withDamage((path) => writeFileSync(path, 'not a library'), /it is not a library of Linux\./);
      withDamage((path) => writeFileSync(path, ''), /it is not a library of Linux\./);
      withDamage((path) => rmSync(path), /No native build was found for platform=linux/);
    });

    it('works from a folder that nobody may write to', () => {
      const modules = join(home, 'node_modules');
      setWritable(modules, false);
      const work = join(folder, 'work');
      mkdirSync(work, { mode: 0o777 });
      // mkdir's mode is cut by the umask.
      runBare('/bin/chmod', ['777', work], { cwd: work, path });
      const options = { cwd: work, path, nobody: true };
      const probe = "require('node:fs').writeFileSync(process.argv[1], '')";
      const written = runBare('node', ['-e', probe, join(modules, 'sigmaquant', 'x')], options);
      assert.match(written.error, /EACCES|EROFS/);
      const argv = QUANTIZE.map((word) => (DATA.includes(word) ? join(home, word) : word));
      const { code, out, error } = runBare(join(modules, '.bin', 'sigmaquant'), argv, options);
      assert.equal(code, 0, error);
      assert.equal(error, '');
      assert.equal(JSON.parse(out).backend, builtAddon() ? 'native' : 'wasm');
      const { last } = JSON.parse(
        runBare(
          'node',
          [
            '--input-type=module',
            '--eval',
            `import { Session } from '${join(modules, 'sigmaquant', 'dist', 'runtime', 'index.js')}';
             const session = await Session.load('resnet8-cifar10.sigmaquant/model.sqnt');
             const outputs = await session.run({ image: new Float32Array(3072) });
             console.log(JSON.stringify({ last: outputs.logits.shape }))`,
          ],
          options,
        ).out,
      );
      assert.deepEqual(last, [1, 10]);
    });
  });
});
