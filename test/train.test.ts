import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ErrorCode } from '../lib/errors.ts';
import { importGraph, toChannelsLast } from '../lib/graph/index.ts';
import { readModel } from '../lib/onnx/index.ts';
import { Checkpoint } from '../lib/pipeline/checkpoint.ts';
import { type TrainOptions, train } from '../lib/pipeline/train.ts';
import { TrainedFile } from '../lib/pipeline/trained-file.ts';
import { trainable, trainedGraph } from '../lib/training/index.ts';
import { initialize, normals } from '../lib/training/initialization.ts';
import { CENTRED, normalizedModel, writeClasses } from './support/classes.ts';
import { interruptible, sigmaquant } from './support/command.ts';
import { tinyModel } from './support/network.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

describe('train', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sigmaquant-train-'));
  const path = (name: string) => join(folder, name);
  const [data, validation] = [path('data.npz'), path('validation.npz')];
  const model = { name: 'normalized', bytes: normalizedModel() };
  const options: TrainOptions = {
    model,
    data,
    preprocessing: CENTRED,
    epochs: 6,
    batch: 16,
    rate: 0.05,
    flip: true,
    shift: 1,
    reset: true,
  };

  before(() => {
    writeClasses(data, 128, 3);
    writeClasses(validation, 64, 4);
    writeFileSync(path('normalized.onnx'), model.bytes);
  });
  after(() => rmSync(folder, { recursive: true }));

  async function refused(code: ErrorCode, pattern: RegExp, change: Partial<TrainOptions>): Promise<void> {
    await assert.rejects(train({ ...options, ...change }), (error: Error & { code?: string }) => {
      assert.equal(error.code, code, error.stack);
      assert.match(error.message, pattern);
      assert.match(error.message, /^Expected [^\n]*\.$/);
      return true;
    });
  }

  describe('the network', () => {
    it('learns the classes from fresh weights, and says so by epoch', async () => {
      const told: number[] = [];
      const { history, score, samples, parameters, steps } = await train({
        ...options,
        validation,
        onEpoch: ({ epoch }) => told.push(epoch),
      });
      assert.deepEqual(told, [1, 2, 3, 4, 5, 6]);
      assert.deepEqual([samples, steps], [128, 48]);
      assert.equal(parameters, 8 * 27 + 8 * 72 + 8 * 4 + 4 + 4 * 8);
      assert.ok(history[0].loss > 1.5 * history[5].loss, JSON.stringify(history));
      assert.ok(score!.accuracy > 80, JSON.stringify(score));
      assert.deepEqual(history[5].validation, score);
    });

    it('comes out with the same nodes and names; only learned tensors differ', async () => {
      const { network } = await train({ ...options, epochs: 1 });
      const [before, after] = [model.bytes, network].map((bytes) => readModel(bytes));
      const learned = before.graph!.initializer.map(({ name }) => name);
      for (const [i, tensor] of after.graph!.initializer.entries()) {
        const old = before.graph!.initializer[i];
        assert.ok(learned.includes(tensor.name));
        assert.notDeepEqual(tensor.rawData, old.rawData, tensor.name);
        tensor.rawData = old.rawData;
      }
      assert.deepEqual(after, before);
    });

    it('is the same to the bit on one thread and on two, another for another seed', async () => {
      const [one, two, other] = [{ threads: 1 }, { threads: 2 }, { seed: 1 }].map((change) =>
        train({ ...options, epochs: 1, ...change }),
      );
      assert.deepEqual((await one).network, (await two).network);
      assert.notDeepEqual((await one).network, (await other).network);
    });

    it('is the same whether a Softmax stands at its end or not', async () => {
      const ended = normalizedModel(({ nodes }) => ({
        nodes: [
          ...nodes.slice(0, -1),
          { ...nodes.at(-1)!, outputs: ['scores'] },
          {
            name: 'softmax',
            op: 'Softmax',
            inputs: ['scores'],
            outputs: ['logits'],
            attributes: { axis: 1 },
          },
        ],
      }));
      const [plain, softmax] = [
        await train({ ...options, validation, epochs: 1 }),
        await train({ ...options, validation, epochs: 1, model: { name: 'ended', bytes: ended } }),
      ];
      const tensors = [plain, softmax].map(({ network }) => readModel(network).graph!.initializer);
      assert.deepEqual(tensors[0], tensors[1]);
      assert.deepEqual(plain.score, softmax.score);
    });

    it('goes on from its own weights without reset, and learns from another network', async () => {
      const first = await train({ ...options, validation });
      const trained = { name: 'trained', bytes: first.network };
      const gentle = { validation, reset: false, optimizer: 'adam' as const, rate: 1e-4, epochs: 1 };
      const { score } = await train({ ...options, ...gentle, model: trained });
      assert.ok(score!.accuracy > 80, JSON.stringify(score));
      const taught = await train({ ...options, validation, distill: trained, average: 0.5 });
      assert.ok(taught.score!.accuracy > 80, JSON.stringify(taught.score));
      assert.notDeepEqual(taught.network, first.network);
    });
  });

  describe('the file', () => {
    /** Every learned value replaced by another, written and read again. */
    function changed(bytes: Uint8Array): void {
      const proto = readModel(bytes);
      const network = trainable(toChannelsLast(importGraph(proto, { foldBatchNorm: false }).graph));
      const file = new TrainedFile(proto, network);
      let value = 1;
      for (const { data: values } of network.parameters.values())
        for (let i = 0; i < values.length; i++) values[i] = value++;
      const again = toChannelsLast(
        importGraph(file.encode(trainedGraph(network)), { foldBatchNorm: false }).graph,
      );
      for (const [name, { data: values }] of network.parameters)
        assert.deepEqual(again.constants.get(name)!.data, values, name);
    }

    it('takes back weights of convolutions, of Gemm in both layouts and of MatMul', () => {
      changed(model.bytes);
      changed(tinyModel());
      changed(
        normalizedModel(({ nodes }) => ({
          nodes: [...nodes.slice(0, -1), { ...nodes.at(-1)!, op: 'MatMul', inputs: ['flat.out', 'fc.w'] }],
        })),
      );
    });

    it('takes back weights that two layers share, and those of Constant nodes', () => {
      changed(
        tinyModel(({ nodes }) => ({
          nodes: [
            ...nodes.slice(0, 3),
            { ...nodes[2], name: 'again', inputs: ['c', ...nodes[2].inputs.slice(1)], outputs: ['c2'] },
            { ...nodes[3], inputs: ['c2', 'b'] },
            ...nodes.slice(4),
          ],
        })),
      );
      changed(
        normalizedModel(({ nodes, initializers }) => {
          const [constant, ...rest] = initializers;
          return {
            initializers: rest,
            nodes: [
              {
                name: 'k',
                op: 'Constant',
                inputs: [],
                outputs: [constant.name],
                attributes: { value: constant.tensor },
              },
              ...nodes,
            ],
          };
        }),
      );
    });
  });

  describe('fresh weights', () => {
    it('are normal with mean 0 and variance 2 / inputs; norms scale by 1, biases are 0', () => {
      const graph = toChannelsLast(importGraph(model.bytes, { foldBatchNorm: false }).graph);
      const network = trainable(graph);
      initialize(network, 9);
      const values = network.parameters.get('conv2.w')!.data;
      const power = values.reduce((sum, value) => sum + value * value, 0) / values.length;
      assert.ok(Math.abs(power / (2 / 72) - 1) < 0.15, `${power}`);
      assert.deepEqual([...network.parameters.get('norm1.scale')!.data], new Array(8).fill(1));
      assert.deepEqual([...network.parameters.get('fc.b')!.data], new Array(4).fill(0));
      assert.deepEqual([...network.norms.get('norm2')!.variance], new Array(8).fill(1));
    });

    it('are drawn from a normal distribution', () => {
      const next = normals(1);
      const values = Array.from({ length: 20_000 }, next);
      const moment = (power: number) =>
        values.reduce((sum, value) => sum + value ** power, 0) / values.length;
      for (const [power, wanted, bound] of [
        [1, 0, 0.03],
        [2, 1, 0.04],
        [3, 0, 0.1],
        [4, 3, 0.25],
      ])
        assert.ok(Math.abs(moment(power) - wanted) < bound, `moment ${power}: ${moment(power)}`);
    });
  });

  describe('a checkpoint', () => {
    const state = { step: 7, arrays: [Float32Array.of(1, 2, 3), Float32Array.of(-0, Number.NaN)] };
    const own = { digest: 'abc', lengths: [3, 2], warn: (sentence: string) => assert.fail(sentence) };

    it('gives back what it was given, and nothing where nothing was written', async () => {
      const file = new Checkpoint(path('state'), own);
      assert.equal(await file.read(), null);
      await file.write(state);
      assert.deepEqual(await file.read(), state);
      await file.remove();
      assert.equal(await file.read(), null);
    });

    it('refuses whatever is damaged, of another training or no checkpoint', async () => {
      const file = new Checkpoint(path('hostile'), own);
      await file.write(state);
      const bytes = readFileSync(file.path);
      const refuses = async (content: Uint8Array, checkpoint = file) => {
        writeFileSync(file.path, content);
        await assert.rejects(checkpoint.read(), { code: 'INVALID_ARGUMENT' });
      };
      for (let end = 0; end < bytes.length; end++) await refuses(bytes.subarray(0, end));
      for (let at = 0; at < bytes.length; at++) {
        const flipped = Buffer.from(bytes);
        flipped[at] ^= 1 << (at % 8);
        await refuses(flipped);
      }
      for (const header of [
        'null',
        '{}',
        '[',
        JSON.stringify({ ...own, step: 7.5 }),
        JSON.stringify({ ...own, step: -1 }),
        '{"lengths":[1e308],"step":1}',
      ])
        await refuses(sealed(header, 20));
      await refuses(new Uint8Array(2 ** 21));
      await refuses(bytes, new Checkpoint(file.path, { ...own, digest: 'abd' }));
      await refuses(bytes, new Checkpoint(file.path, { ...own, lengths: [2, 3] }));
    });

    /** A file with a right checksum around any header. */
    function sealed(header: string, arrays: number): Uint8Array {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(header.length);
      const body = Buffer.concat([
        Buffer.from('sigmaquant training 1\n'),
        length,
        Buffer.from(header),
        Buffer.alloc(arrays),
      ]);
      return Buffer.concat([body, createHash('sha256').update(body).digest()]);
    }

    it('on a full disk is told once, keeps the last whole one and lets training go on', async () => {
      const told: string[] = [];
      let full = false;
      const file = new Checkpoint(path('full'), {
        ...own,
        warn: (sentence) => told.push(sentence),
        write: async (target, bytes) => {
          writeFileSync(target, full ? bytes.subarray(0, 10) : bytes);
          if (full) throw Object.assign(new Error('full'), { code: 'ENOSPC' });
        },
      });
      await file.write(state);
      full = true;
      await file.write({ ...state, step: 8 });
      await file.write({ ...state, step: 9 });
      assert.equal(told.length, 1);
      assert.match(told[0], /^Expected a writable path for checkpoint .*no space left on the device; .*\.$/);
      assert.deepEqual(await file.read(), state);
      assert.ok(!existsSync(`${file.path}.new`));
    });

    it('is where an interrupted training goes on, to the same bytes', async () => {
      const whole = await train({ ...options, average: 0.9 });
      const controller = new AbortController();
      const kept = { ...options, average: 0.9, checkpoint: path('interrupted') };
      const stop = (_: string, step: number) => {
        if (step === 20) controller.abort();
      };
      await assert.rejects(train({ ...kept, signal: controller.signal, onProgress: stop }), {
        name: 'AbortError',
      });
      await assert.rejects(train({ ...kept, rate: 0.04 }), { code: 'INVALID_ARGUMENT' });
      const rest = await train(kept);
      // Heard a few steps later, as many as 20 ms hold.
      assert.ok(rest.resumedAt >= 16 && rest.resumedAt < 48 && rest.resumedAt % 8 === 0, `${rest.resumedAt}`);
      assert.deepEqual(rest.history.at(-1)!.epoch, 6);
      assert.deepEqual(rest.network, whole.network);
      assert.ok(!existsSync(kept.checkpoint), 'a finished training needs none');
    });

    it('survives kill -9: the same command goes on to the same bytes', async () => {
      const flags = [
        '--data',
        data,
        '--scale',
        '1/128',
        '--mean',
        '1',
        '--reset',
        '--epochs',
        '12',
        '--batch',
        '16',
      ];
      const argv = (out: string) => ['train', path('normalized.onnx'), ...flags, '--out', path(out)];
      assert.equal((await sigmaquant(...argv('whole.onnx'))).code, 0);
      const child = spawn(process.execPath, ['--import', 'tsx', 'lib/cli/main.ts', ...argv('killed.onnx')], {
        cwd: root,
        stdio: 'ignore',
      });
      const ended = new Promise<NodeJS.Signals | null>((resolve) => {
        child.once('exit', (_, signal) => resolve(signal));
      });
      const checkpoint = path('killed.onnx.checkpoint');
      const watch = setInterval(() => existsSync(checkpoint) && child.kill('SIGKILL'), 5);
      assert.equal(await ended, 'SIGKILL');
      clearInterval(watch);
      assert.ok(!existsSync(path('killed.onnx')));
      const { code, out } = await sigmaquant(...argv('killed.onnx'));
      assert.equal(code, 0);
      assert.match(out, /^went on {5}from step \d+ of 96$/m);
      assert.deepEqual(readFileSync(path('killed.onnx')), readFileSync(path('whole.onnx')));
    });
  });

  describe('bad input', () => {
    it('refuses labels that are missing or no classes of the network', async () => {
      writeClasses(path('unlabelled.npz'), 32, 3, null);
      await refused('DATA_MISMATCH', /labelled samples .*unlabelled\.npz without labels/, {
        data: path('unlabelled.npz'),
      });
      await refused('DATA_MISMATCH', /without labels/, { validation: path('unlabelled.npz') });
      writeClasses(
        path('fifth.npz'),
        32,
        3,
        Array.from({ length: 32 }, (_, i) => (i === 9 ? 4 : i % 4)),
      );
      await refused('DATA_MISMATCH', /from 0 to 3 .*sample 9 of fifth\.npz but received 4/, {
        data: path('fifth.npz'),
      });
      await refused('DATA_MISMATCH', /sample 9 of fifth\.npz/, { validation: path('fifth.npz') });
    });

    it('names operators without a gradient', async () => {
      const bytes = tinyModel(({ nodes }) => ({
        nodes: nodes.map((node) => (node.op === 'MaxPool' ? { ...node, op: 'LpPool' } : node)),
      }));
      await refused('UNSUPPORTED_OPERATOR', /LpPool \(node g\)/, { model: { name: 'tiny', bytes } });
    });

    it('refuses a batch larger than the data, a fixed batch and outputs that are no classes', async () => {
      await refused('DATA_MISMATCH', /at least 129 samples .*received 128/, { batch: 129 });
      const fixed = normalizedModel(() => ({
        inputs: [{ name: 'image', dtype: 'float32', shape: [1, 3, 8, 8] }],
      }));
      await refused('UNSUPPORTED_MODEL', /open batch for input image/, {
        model: { name: 'fixed', bytes: fixed },
      });
      const open = normalizedModel(({ nodes }) => ({
        nodes: nodes.slice(0, 7),
        outputs: [{ name: 'relu2.out', dtype: 'float32', shape: ['batch', 8, 8, 8] }],
      }));
      await refused('UNSUPPORTED_MODEL', /\[batch, classes\]/, { model: { name: 'open', bytes: open } });
    });

    it('refuses numbers that mean nothing', async () => {
      for (const change of [
        { epochs: 0 },
        { batch: 1.5 },
        { rate: 0 },
        { rate: Number.POSITIVE_INFINITY },
        { smoothing: 1 },
        { warmup: -0.1 },
        { average: Number.NaN },
        { shift: -1 },
        { seed: 0.5 },
        { optimizer: 'lion' as 'sgd' },
      ])
        await refused('INVALID_ARGUMENT', new RegExp(`for ${Object.keys(change)[0]} but`), change);
    });

    it('refuses samples that would not fit in memory before it reads them', async () => {
      const huge = {
        name: 'huge',
        size: 2 ** 23,
        shape: [3, 8, 8],
        labelled: true,
        fingerprint: async () => '',
        batches: () => assert.fail('read'),
      };
      await refused('DATA_MISMATCH', /at most 4294967296 bytes .*huge with 6442450944/, { data: huge });
    });

    it('stops where the loss explodes, with the last good network written and told', async () => {
      const out = path('diverged.onnx');
      const steep = { rate: 1e6, epochs: 20, out, checkpoint: `${out}.checkpoint` };
      await refused(
        'TRAINING_DIVERGED',
        /at step \d+ of 160: the state of step \d+ was kept; .*its network is in .*diverged\.onnx/,
        steep,
      );
      for (const { name, rawData } of readModel(readFileSync(out)).graph!.initializer)
        assert.ok(new Float32Array(Uint8Array.from(rawData).buffer).every(Number.isFinite), name);
      assert.ok(!existsSync(steep.checkpoint));
    });
  });

  describe('the command', () => {
    const argv = () => ['train', path('normalized.onnx'), '--data', data, '--scale', '1/128', '--mean', '1'];
    const short = ['--epochs', '1', '--batch', '16', '--seed', '3'];

    it('prints one document with --json and nothing else', async () => {
      const out = path('json.onnx');
      const {
        code,
        out: text,
        error,
      } = await sigmaquant(...argv(), ...short, '--out', out, '--json', '--validation', validation);
      assert.deepEqual([code, error], [0, '']);
      const document = JSON.parse(text);
      assert.deepEqual(
        [document.file, document.seed, document.steps, document.history.length, document.network],
        [out, 3, 8, 1, undefined],
      );
      const again = await sigmaquant(...argv(), ...short, '--out', out);
      assert.equal(again.code, 2);
      assert.match(again.error, /which exists \(--force replaces it\)/);
      assert.equal(
        (await sigmaquant(...argv(), ...short, '--out', out, '--force', '--no-checkpoint')).code,
        0,
      );
    });

    it('stops within 200 ms of an abort, with nothing written', async () => {
      const out = path('aborted.onnx');
      const waits: number[] = [];
      // Three times: a busy machine may keep any process waiting for once.
      for (let i = 0; i < 3; i++) {
        const controller = new AbortController();
        let aborted = 0;
        setTimeout(() => {
          aborted = performance.now();
          controller.abort(new DOMException('The work was interrupted.', 'AbortError'));
        }, 300);
        const { code } = await interruptible(controller.signal, ...argv(), '--epochs', '1000', '--out', out);
        waits.push(performance.now() - aborted);
        assert.equal(code, 130);
        assert.ok(!existsSync(out));
      }
      assert.ok(Math.min(...waits) < 200, `${waits} ms`);
    });

    it('refuses a call without data', async () => {
      const { code, error } = await sigmaquant('train', path('normalized.onnx'));
      assert.equal(code, 2);
      assert.match(error, /--data/);
    });
  });
});
