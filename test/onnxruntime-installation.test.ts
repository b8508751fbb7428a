import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { evaluate, quantize } from '../lib/index.ts';
import { findInstallation, Onnxruntime } from '../lib/onnxruntime/index.ts';
import { refusal } from './support/refusal.ts';

/** A folder with a package of that name that does what `code` says. */
function fakeInstallation(folder: string, version: string, code = ''): string {
  const home = join(folder, `fake-${version}-${code.length}`);
  const main = join(home, 'node_modules/onnxruntime-node');
  mkdirSync(main, { recursive: true });
  writeFileSync(
    join(main, 'package.json'),
    JSON.stringify({ name: 'onnxruntime-node', version, main: 'main.js' }),
  );
  writeFileSync(join(main, 'main.js'), code);
  return join(home, 'package.json');
}

describe('executor onnxruntime: installation and worker', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'sigmaquant-ort-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  it('asks for the package where it is absent', () => {
    const error = refusal(() => findInstallation([join(folder, 'package.json')]));
    assert.equal(error.code, 'BACKEND_UNAVAILABLE');
    assert.match(error.message, /npm install onnxruntime-node\.$/);
  });

  it('refuses a version that is too old, naming it and its folder', () => {
    const error = refusal(() => findInstallation([fakeInstallation(folder, '1.17.3')]));
    assert.equal(error.code, 'BACKEND_UNAVAILABLE');
    assert.match(error.message, /1\.18 or later .* found 1\.17\.3 at .*onnxruntime-node/);
  });

  it('takes the first place that has it, and versions from 1.18 on', () => {
    const places = [
      join(folder, 'package.json'),
      fakeInstallation(folder, '1.18.0'),
      fakeInstallation(folder, '2.0.0'),
    ];
    assert.equal(findInstallation(places).version, '1.18.0');
    assert.equal(findInstallation(places.slice(2)).version, '2.0.0');
  });

  const start = (code: string) =>
    Onnxruntime.start(findInstallation([fakeInstallation(folder, '1.30.0', code)]));

  for (const [what, code, message] of [
    ['throws while it loads', 'throw new Error("no binding for this system");', /no binding for this system/],
    ['ends the process while it loads', 'process.exit(5);', /exit code 5/],
  ] as const)
    it(`tells of an installation that ${what}`, () =>
      assert.rejects(start(code), { code: 'BACKEND_UNAVAILABLE', message }));

  for (const [what, create, message] of [
    ['ends the process', '() => process.exit(7)', /ended \(exit code 7\)/],
    ['throws outside of its promises', '() => new Promise(() => setTimeout(() => { throw 1 }))', /ended/],
  ] as const)
    it(`tells of an installation that ${what} while it opens a model`, async () => {
      const runtime = await start(`exports.InferenceSession = { create: ${create} };`);
      const error = refusal(() => runtime.session(new Uint8Array(1), 1));
      assert.equal(error.code, 'BACKEND_UNAVAILABLE');
      assert.match(error.message, message);
      runtime.dispose();
    });

  it('tells of a session that dies in mid-run, and of every call after it', async () => {
    const runtime = await start(
      `exports.Tensor = class {};
       exports.InferenceSession = { create: async () => ({ run: async () => process.exit(3) }) };`,
    );
    const session = runtime.session(new Uint8Array(1), 1);
    for (let i = 0; i < 2; i++) {
      const error = refusal(() => session.run(new Map(), ['y']));
      assert.equal(error.code, 'BACKEND_UNAVAILABLE');
      assert.match(error.message, /exit code 3/);
    }
    runtime.dispose();
  });

  it('refuses an executor that is not there', async () => {
    const options = { model: 'x.onnx', calibration: 'x.npz', executor: 'tensorrt' as 'onnxruntime' };
    await assert.rejects(quantize(options), { code: 'INVALID_ARGUMENT', message: /engine, onnxruntime/ });
    await assert.rejects(evaluate({ ...options, evaluate: 'x.npz' }), { code: 'INVALID_ARGUMENT' });
  });
});
