import assert from 'node:assert/strict';
import { compile } from '../lib/engine/index.ts';
import type { Tensor } from '../lib/graph/index.ts';
import { createReference } from '../lib/kernels/reference.ts';
import { hostWith } from '../lib/runtime/node-host.ts';
import { loadSession, type Outputs, type Session, type SessionOptions } from '../lib/runtime/session.ts';
import { availableKernels } from './engine/support.ts';
import { fileOf, floats, glutton, quantized, tower, twins } from './runtime/models.ts';
import { ORIGIN } from './sqnt/models.ts';

/** Node with the worker of the sources, not the built one. */
const host = hostWith(new URL('./runtime/worker.mjs', import.meta.url));
const load = (source: string | URL | Uint8Array | ArrayBuffer, options?: SessionOptions) =>
  loadSession(host, source, options);

const SAMPLE = 4 * 3 * 5;
const twin = twins();
const bytes = fileOf(twin);
const inputsOf = (batch: number, seed = 1) => ({
  left: floats(batch * SAMPLE, seed),
  right: floats(batch * SAMPLE, seed + 100),
});

/** What the reference makes of the same integers. */
const expected = (() => {
  const executor = compile(twin, createReference(), { quantization: quantized(twin) });
  return (batch: number, seed = 1): Outputs => {
    const feeds = Object.entries(inputsOf(batch, seed)).map(([name, data]): [string, Tensor] => [
      name,
      { dtype: 'float32', shape: [batch, 4, 3, 5], data },
    ]);
    return Object.fromEntries(executor.run(new Map(feeds), ['scores', 'mask']));
  };
})();

const backends = (await availableKernels()).map((kernels) => {
  kernels.dispose();
  return kernels.backend;
});

for (const backend of backends)
  describe(`session, ${backend}`, () => {
    let session: Session;
    before(async () => {
      session = await load(bytes, { backend, threads: 1 });
    });
    after(() => session.dispose());

    it('says what it is', () => {
      assert.deepEqual(
        session.inputs.map(({ name, dtype, shape }) => [name, dtype, shape]),
        ['left', 'right'].map((name) => [name, 'float32', ['batch', 4, 3, 5]]),
      );
      assert.deepEqual(
        session.outputs.map(({ name, shape }) => [name, shape]),
        [
          ['scores', ['batch', 3]],
          ['mask', ['batch', 4, 3, 6]],
        ],
      );
      const { name, preprocessing, provenance, threads, floatNodes } = session;
      assert.deepEqual([name, session.backend, threads], ['network', backend, 1]);
      assert.deepEqual({ preprocessing, provenance }, ORIGIN);
      assert.deepEqual(floatNodes, ['mask']);
      const { planned, withoutReuse } = session.memory(2);
      assert.ok(planned > 0 && planned < withoutReuse, `${planned} of ${withoutReuse}`);
    });

    it('runs batches to the bits of the reference, at once and later, again and again', async () => {
      for (const batch of [1, 3, 1, 16, 1])
        for (let round = 0; round < 3; round++) {
          const seed = 10 * batch + round;
          assert.deepEqual(session.runSync(inputsOf(batch, seed)), expected(batch, seed), `sync, ${batch}`);
          assert.deepEqual(
            await session.run(inputsOf(batch, seed)),
            expected(batch, seed),
            `later, ${batch}`,
          );
        }
    });

    it('takes shapes, and gives only the outputs that are wanted', async () => {
      const { left, right } = inputsOf(2);
      const shape = [2, 4, 3, 5];
      const shaped = { left: { data: left, shape }, right };
      const { scores } = expected(2);
      assert.deepEqual(session.runSync(shaped, { outputs: ['scores'] }), { scores });
      assert.deepEqual(await session.run(shaped, { outputs: ['scores'] }), { scores });
      assert.deepEqual(session.runSync(shaped, { outputs: [] }), {});
    });

    it("fills the caller's arrays", async () => {
      const { scores, mask } = expected(2);
      for (const run of ['runSync', 'run'] as const) {
        const room = new Float32Array(10).fill(7);
        const own = room.subarray(2, 8);
        const outputs = await session[run](inputsOf(2), { into: { scores: own } });
        assert.equal(outputs['scores'].data, own);
        assert.deepEqual(outputs, { scores, mask });
        assert.deepEqual([room[0], room[1], room[8], room[9]], [7, 7, 7, 7]);
      }
    });

    it('copies inputs before an asynchronous run returns, and leaves results alone afterwards', async () => {
      const inputs = inputsOf(1, 3);
      const pending = [session.run(inputs), session.run(inputs)];
      inputs.left.fill(9);
      structuredClone(inputs.right, { transfer: [inputs.right.buffer as ArrayBuffer] });
      for (const outputs of await Promise.all(pending)) assert.deepEqual(outputs, expected(1, 3));
      const kept = await session.run(inputsOf(1, 4));
      await session.run(inputsOf(1, 5));
      session.runSync(inputsOf(1, 6));
      assert.deepEqual(kept, expected(1, 4));
    });

    it('lets runs take turns, and refuses a synchronous one among them', async () => {
      const runs = Array.from({ length: 8 }, (_, i) => session.run(inputsOf(1 + (i % 3), i)));
      const busy = { name: 'SigmaQuantError', code: 'BUSY', message: /await it first/ };
      assert.throws(() => session.runSync(inputsOf(1)), busy);
      assert.throws(() => session.profile(inputsOf(1), 1), busy);
      for (const [i, outputs] of (await Promise.all(runs)).entries())
        assert.deepEqual(outputs, expected(1 + (i % 3), i), `run ${i}`);
      assert.deepEqual(session.runSync(inputsOf(1)), expected(1));
    });

    it('rejects with the reason of an abort, and runs on', async () => {
      const reason = new Error('enough');
      await assert.rejects(session.run(inputsOf(1), { signal: AbortSignal.abort(reason) }), reason);
      const controller = new AbortController();
      const runs = [1, 2, 3].map((i) => session.run(inputsOf(1, i), { signal: controller.signal }));
      controller.abort(reason);
      for (const run of runs) await assert.rejects(run, reason);
      assert.deepEqual(await session.run(inputsOf(1, 4)), expected(1, 4));
      await assert.rejects(load(bytes, { backend, signal: AbortSignal.abort(reason) }), reason);
    });

    it('profiles every layer: time, share and bytes', () => {
      const layers = session.profile(inputsOf(4), 3);
      assert.deepEqual(
        layers.map(({ name, op }) => `${name} ${op}`),
        [
          'left.conv Conv',
          'right.conv Conv',
          'sum Add',
          'mask Sigmoid',
          'global GlobalAveragePool',
          'scores Linear',
        ],
      );
      assert.ok(layers.every(({ milliseconds }) => milliseconds >= 0));
      const share = layers.reduce((sum, layer) => sum + layer.share, 0);
      assert.ok(Math.abs(share - 1) < 1e-9, String(share));
      // Reads two quantized values and writes one.
      assert.equal(layers[2].bytes, 3 * 4 * 4 * 3 * 6);
      assert.throws(() => session.profile(inputsOf(1), 0), { code: 'INVALID_ARGUMENT' });
      assert.deepEqual(session.runSync(inputsOf(1)), expected(1));
    });

    it('refuses inputs that do not fit, at once and later, and runs on', async () => {
      const { left, right } = inputsOf(1);
      const cases: [unknown, unknown, string, string][] = [
        [{ left }, {}, 'INVALID_ARGUMENT', 'Expected a value for "right" for inputs but received "none".'],
        [
          { left, right, middle: left },
          {},
          'INVALID_ARGUMENT',
          'Expected an input ("left", "right") for inputs but received "middle".',
        ],
        [
          left,
          {},
          'INVALID_ARGUMENT',
          'Expected an object with "left", "right" for inputs but received Float32Array of length 60.',
        ],
        [
          null,
          {},
          'INVALID_ARGUMENT',
          'Expected an object with "left", "right" for inputs but received null.',
        ],
        [
          { left: new Float64Array(60), right },
          {},
          'INVALID_ARGUMENT',
          'Expected a Float32Array (float32) for input left but received Float64Array of length 60.',
        ],
        [
          { left: [...left], right },
          {},
          'INVALID_ARGUMENT',
          'Expected a Float32Array (float32) for input left but received Array.',
        ],
        [
          { left: left.subarray(1), right },
          {},
          'DATA_MISMATCH',
          'Expected a multiple of 60 elements (shape [batch, 4, 3, 5]) for input left but received 59.',
        ],
        [
          { left: new Float32Array(0), right },
          {},
          'DATA_MISMATCH',
          'Expected a multiple of 60 elements (shape [batch, 4, 3, 5]) for input left but received 0.',
        ],
        [
          { left: { data: left, shape: [1, 3, 4, 5] }, right },
          {},
          'DATA_MISMATCH',
          'Expected shape [batch, 4, 3, 5] for input left but received [1, 3, 4, 5].',
        ],
        [
          { left: { data: left, shape: [2, 4, 3, 5] }, right },
          {},
          'DATA_MISMATCH',
          'Expected 120 elements for shape [2, 4, 3, 5] for input left but received 60.',
        ],
        [
          { left: floats(120, 1), right },
          {},
          'DATA_MISMATCH',
          'Expected a batch of 2 for right but received 1.',
        ],
        [
          { left, right },
          { outputs: ['logits'] },
          'INVALID_ARGUMENT',
          'Expected an output ("scores", "mask") for outputs but received "logits".',
        ],
        [
          { left, right },
          { into: { logits: left } },
          'INVALID_ARGUMENT',
          'Expected an output ("scores", "mask") for into but received "logits".',
        ],
        [
          { left, right },
          { outputs: ['mask'], into: { scores: new Float32Array(3) } },
          'INVALID_ARGUMENT',
          'Expected an output that is wanted for into but received "scores".',
        ],
        [
          { left, right },
          { into: { scores: new Int8Array(3) } },
          'INVALID_ARGUMENT',
          'Expected a Float32Array (float32) for into scores but received Int8Array of length 3.',
        ],
        [
          { left, right },
          { into: { scores: new Float32Array(4) } },
          'DATA_MISMATCH',
          'Expected room for 3 elements of float32 for scores but received 4 of float32.',
        ],
      ];
      for (const [inputs, options, code, message] of cases) {
        const error = { name: 'SigmaQuantError', code, message };
        assert.throws(() => session.runSync(inputs as never, options as never), error);
        await assert.rejects(session.run(inputs as never, options as never), error);
      }
      assert.deepEqual(session.runSync(inputsOf(1)), expected(1));
      assert.deepEqual(await session.run(inputsOf(1)), expected(1));
    });

    it('ends runs that are under way when it is disposed, and refuses later ones', async () => {
      const own = await load(bytes, { backend });
      const runs = [1, 2, 3].map((i) => own.run(inputsOf(1, i)));
      own.dispose();
      own.dispose();
      const gone = {
        code: 'INVALID_ARGUMENT',
        message: 'Expected a session that is not disposed for session but received "network, which is".',
      };
      assert.throws(() => own.runSync(inputsOf(1)), gone);
      assert.throws(() => own.profile(inputsOf(1)), gone);
      assert.throws(() => own.memory(), gone);
      await assert.rejects(own.run(inputsOf(1)), gone);
      for (const [i, outputs] of (await Promise.all(runs)).entries())
        assert.deepEqual(outputs, expected(1, i + 1));
      (await load(bytes, { backend }))[Symbol.dispose]();
    });

    it('refuses a file that asks for more memory than there can be', async () => {
      const own = await load(fileOf(glutton(40)), { backend });
      assert.ok(own.memory().planned > 2 ** 34);
      const full = { code: 'OUT_OF_MEMORY', message: /^Expected \d+ bytes of (WASM )?memory but / };
      assert.throws(() => own.runSync({ x: new Float32Array(1) }), full);
      await assert.rejects(own.run({ x: new Float32Array(1) }), full);
      own.dispose();
      assert.deepEqual(session.runSync(inputsOf(1)), expected(1));
    });

    it('splits a batch whose values would not stay in a cache, with the same results', async function () {
      if (backend === 'reference') this.skip(); // it would take minutes
      const own = await load(fileOf(tower(64, 2)), { backend, threads: 1 });
      const sample = 64 * 64 * 16;
      const batch = 128;
      const data = floats(batch * sample, 1);
      const whole = own.runSync({ image: data })['last'].data as Float32Array;
      const into = new Float32Array(whole.length);
      const later = await own.run({ image: data }, { into: { last: into } });
      assert.equal(later['last'].data, into);
      assert.deepEqual(later['last'].shape, [batch, 64, 64, 32]);
      assert.ok(Buffer.from(into.buffer).equals(Buffer.from(whole.buffer)));
      for (const i of [0, 63, 127]) {
        const { data: alone } = own.runSync({ image: data.subarray(i * sample, (i + 1) * sample) })['last'];
        const length = (alone as Float32Array).length;
        assert.deepEqual(whole.subarray(i * length, (i + 1) * length), alone, `sample ${i}`);
      }
      own.dispose();
    });
  });
