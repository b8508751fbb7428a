import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { checked, createKernels, type Kernels, type KernelsOptions } from '../lib/kernels/index.ts';
import { exp, log, roundHalfEven } from '../lib/kernels/math.ts';
import { nativeIsas } from '../lib/kernels/native.ts';
import { gradients } from './contract/gradients.ts';
import { limits } from './contract/limits.ts';
import { floating, integers } from './contract/products.ts';
import { quantizing } from './contract/quantize.ts';
import { elementwise, statistics } from './contract/statistics.ts';
import { EMULATED_ISA, fusedMultiplyAdd } from './contract/support.ts';

/**
 * What this machine can build and run, found without asking the code under test. SIGMAQUANT_CONTRACT_ISA names one
 * instruction set of the addon that runs alone, with fewer cases (contract/support.ts): for emulated processors.
 */
function expectedBackends(): KernelsOptions[] {
  if (EMULATED_ISA) return [{ backend: 'native', isa: EMULATED_ISA, threads: 2 }];
  const found: KernelsOptions[] = [
    { backend: 'reference' },
    { backend: 'wasm' },
    { backend: 'wasm', threads: 2 },
  ];
  const has = (tool: string, ...options: string[]) => {
    try {
      execFileSync(tool, options, { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  };
  // An addon that was built elsewhere is there to be tested.
  const given = process.env['SIGMAQUANT_PREBUILD'] !== undefined;
  const compiler = [process.env['CXX'] ?? 'c++', 'g++', 'clang++'].some((tool) => has(tool, '--version'));
  if (!given && !(compiler && has('cmake', '--version'))) return found;
  const flags = existsSync('/proc/cpuinfo') ? readFileSync('/proc/cpuinfo', 'utf8') : '';
  // Only Linux tells what the processor has. Elsewhere the addon is asked, and scalar fails where it does not load.
  const asked =
    process.platform === 'linux' ? [] : nativeIsas().filter((isa) => isa !== 'scalar' && isa !== 'neon');
  const isas = [
    'scalar' as const,
    ...asked,
    ...(/\bavx2\b.*\bfma\b|\bfma\b.*\bavx2\b/.test(flags) ? (['avx2'] as const) : []),
    ...(/\bavx_vnni\b/.test(flags) ? (['avxvnni'] as const) : []),
    ...(flags.includes('avx512_vnni') ? (['avx512vnni'] as const) : []),
    ...(process.arch === 'arm64' ? (['neon'] as const) : []),
    ...(flags.includes('asimddp') ? (['neondot'] as const) : []),
    ...(flags.includes('i8mm') ? (['i8mm'] as const) : []),
  ];
  for (const isa of isas) for (const threads of [1, 2]) found.push({ backend: 'native', isa, threads });
  return found;
}

describe('kernels', () => {
  for (const options of expectedBackends()) {
    const name = [options.backend, options.isa, options.threads && `${options.threads} threads`]
      .filter(Boolean)
      .join(', ');
    describe(name, () => {
      let kernels: Kernels;
      before(async () => {
        kernels = checked(await createKernels(options));
        assert.equal(kernels.backend, options.backend);
        if (options.isa) assert.equal(kernels.isa, options.isa);
        if (options.threads) assert.equal(kernels.threads, options.threads);
        assert.equal(kernels.fused, options.backend === 'native' && kernels.isa !== 'scalar');
      });
      after(() => kernels?.dispose());
      const backend = () => kernels;
      quantizing(backend);
      integers(backend);
      floating(backend);
      gradients(backend);
      elementwise(backend);
      statistics(backend);
      limits(backend);

      it('regions: aligned, zeroed, usable after others are released', () => {
        const [first, second] = [kernels.arena.allocate(1000), kernels.arena.allocate(64)];
        assert.equal(first.bytes().length, 1000);
        assert.ok(first.bytes().every((byte) => byte === 0));
        second.float32()[3] = 2.5;
        first.release();
        const large = kernels.arena.allocate(3_000_000);
        assert.equal(second.float32()[3], 2.5);
        assert.equal(large.int32(4, 2).length, 2);
        assert.equal(large.byteLength, 3_000_000);
        second.release();
        large.release();
      });
    });
  }

  // Builds for tests emulate instruction sets themselves and offer all of them at once.
  if (EMULATED_ISA && !process.env['SIGMAQUANT_PREBUILD'])
    it('the emulated processor is given its own instruction set', async () => {
      const kernels = await createKernels({ backend: 'native' });
      assert.equal(kernels.isa, EMULATED_ISA);
      kernels.dispose();
    });

  it('unknown names and impossible options are refused in one sentence', async () => {
    await assert.rejects(createKernels({ backend: 'cuda' as never }), {
      code: 'INVALID_ARGUMENT',
      message: 'Expected one of native, wasm, reference for backend but received "cuda".',
    });
    await assert.rejects(createKernels({ threads: 0 }), { code: 'INVALID_ARGUMENT' });
    await assert.rejects(createKernels({ isa: 'avx9' as never }), (error: { code: string }) =>
      ['INVALID_ARGUMENT', 'BACKEND_UNAVAILABLE'].includes(error.code),
    );
  });

  it('checked says what was expected and what came', async () => {
    const kernels = checked(await createKernels({ backend: 'reference' }));
    const [x, q] = [new Float32Array(4), new Int8Array(3)];
    assert.throws(() => kernels.quantize(x, 1, 0, -8, 7, q), {
      code: 'INVALID_ARGUMENT',
      message: 'Expected an Int8Array of length 4 for q but received length 3.',
    });
    assert.throws(
      () => kernels.quantize(x, 0, 0, -8, 7, new Int8Array(4)),
      /positive finite float32 for scale but received 0/,
    );
    assert.throws(
      () => kernels.quantize([1] as never, 1, 0, -8, 7, q),
      /Expected a Float32Array for x but received Array/,
    );
    assert.throws(
      () => kernels.pack(q, 9, new Uint8Array(4)),
      /whole number from 2 to 8 for bits but received 9/,
    );
    const weights = { outChannels: 1, taps: 1, channels: 70_000, groups: 1, bits: 8 };
    assert.throws(
      () =>
        kernels.gemm(
          new Uint8Array(70_000),
          new Uint8Array(70_000),
          weights,
          1,
          0,
          null,
          null,
          0,
          0,
          0,
          new Int32Array(1),
        ),
      /from 1 to 65793 for taps \* channels/,
    );
    const moved = new Float32Array(4);
    structuredClone(moved, { transfer: [moved.buffer] });
    assert.throws(() => kernels.quantize(moved, 1, 0, -8, 7, new Int8Array(4)), { code: 'INVALID_ARGUMENT' });
  });

  it('log, exp and rounding are right', () => {
    for (const x of [1e-310, 1e-9, 0.3, 0.7, 1, 1.5, 2, 10, 1e9, 1e300])
      assert.ok(Math.abs(log(x) - Math.log(x)) <= Math.abs(Math.log(x)) * 3e-16, `log ${x}`);
    for (const x of [-745, -720, -50, -1, -0.1, 0, 0.1, 1, 50, 709])
      assert.ok(Math.abs(exp(x) - Math.exp(x)) <= Math.exp(x) * 3e-16, `exp ${x}`);
    assert.deepEqual(
      [log(0), log(-1), exp(-1e4), exp(1e4)],
      [Number.NEGATIVE_INFINITY, Number.NaN, 0, Number.POSITIVE_INFINITY],
    );
    assert.deepEqual(
      [0.5, 1.5, 2.5, -0.5, -1.5, 3.49999].map(roundHalfEven).map((r) => r + 0),
      [0, 2, 2, 0, -2, 3],
    );
    assert.equal(fusedMultiplyAdd(1 + 2 ** -23, 1 + 2 ** -23, -1), Math.fround(2 ** -22 + 2 ** -46));
  });
});
