// Runs the kernels where mistakes show: under the address and undefined-behaviour sanitizers, with the instruction sets
// that this machine lacks emulated by SIMDe, small work divided among threads too.
//   node scripts/prove.mjs suite [ISA...]                 the contract suite on each instruction set of the build
//   node scripts/prove.mjs fuzz SECONDS [FAMILY...]       the programs of test/fuzz, seeded anew by the clock
//   node scripts/prove.mjs quotients                      that products give the levels of divisions, exhaustively
//   node scripts/prove.mjs libfuzzer SECONDS [FAMILY...]  the same by clang's libFuzzer, which keeps a corpus
// Where a tool is missing it says so and exits with SKIPPED.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** .ci/run counts this exit code as neither passed nor failed. */
const SKIPPED = 77;
const JOBS = '2';
const FAMILIES = ['integer', 'float', 'gradients', 'quantize', 'statistics', 'elementwise', 'hessian'];
/** Cases in the repository, found by libFuzzer and minimised; new ones go to the build first. */
const CORPUS = 'test/fuzz/corpus';
/** Bytes of a case: more than any reads before the generator that they seed takes over. */
const CASE_BYTES = '96';
const SANITIZERS = {
  // What node holds on to at its end is its own. An allocation that fails is an answer that kernels must give.
  ASAN_OPTIONS: 'detect_leaks=0:allocator_may_return_null=1',
  UBSAN_OPTIONS: 'print_stacktrace=1',
};

const root = fileURLToPath(new URL('..', import.meta.url));
const [command, ...rest] = process.argv.slice(2);

function skip(why) {
  console.log(`${command}: skipped, ${why}`);
  process.exit(SKIPPED);
}

const output = (tool, ...options) => spawnSync(tool, options, { encoding: 'utf8' }).stdout?.trim() ?? '';

function run(tool, options, environment = {}) {
  const env = { ...process.env, ...environment };
  const { status, signal } = spawnSync(tool, options, { cwd: root, stdio: 'inherit', env });
  if (status !== 0) process.exit(typeof status === 'number' ? status : signal ? 1 : 2);
}

/** Quiet unless it fails. */
function build(tool, ...options) {
  const { status, stdout, stderr } = spawnSync(tool, options, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
  });
  if (status === 0) return;
  console.error(`${stdout}${stderr}`);
  process.exit(1);
}

/** Instruction sets of x86 above AVX2 are emulated, where SIMDe is installed. */
function emulation(compiler) {
  const source = { input: '#include <simde/x86/avx512.h>\n', encoding: 'utf8' };
  const found = spawnSync(compiler, ['-fsyntax-only', '-x', 'c++', '-'], source).status === 0;
  if (!found && process.arch === 'x64') console.log('SIMDe (libsimde-dev) is missing: nothing is emulated');
  return found && process.arch === 'x64' ? 'ON' : 'OFF';
}

const OPTIONS = { SQ_FUZZ: 'ON', SQ_SANITIZE: 'address,undefined' };

/** The addon and the fuzz programs by the compiler of the package; returns where. */
function buildSanitized() {
  const compiler = process.env.CXX ?? 'c++';
  const runtime = output(compiler, '-print-file-name=libasan.so');
  if (!existsSync(runtime)) skip(`${compiler} has no address sanitizer`);
  const cmakeJs = createRequire(import.meta.url).resolve('cmake-js/bin/cmake-js');
  const out = join(root, 'build-asan', 'build');
  const definitions = Object.entries({ ...OPTIONS, SQ_EMULATE: emulation(compiler) });
  const options = ['compile', '--directory', root, '--out', out, '--parallel', JOBS];
  build(process.execPath, cmakeJs, ...options, ...definitions.map(([name, value]) => `--CD${name}=${value}`));
  return { out, preload: `${runtime} ${output(compiler, '-print-file-name=libubsan.so')}` };
}

function families(wanted) {
  for (const name of wanted)
    if (!FAMILIES.includes(name))
      throw new Error(`Expected one of ${FAMILIES.join(', ')} but received ${name}.`);
  return wanted.length > 0 ? wanted : FAMILIES;
}

function suite(wanted) {
  const { out, preload } = buildSanitized();
  const environment = { ...SANITIZERS, LD_PRELOAD: preload, SIGMAQUANT_PREBUILD: join(out, '..') };
  const require = createRequire(import.meta.url);
  const addon = join(out, 'Release', 'sigmaquant.node');
  const list = spawnSync(process.execPath, ['-p', `require(${JSON.stringify(addon)}).isas().join(' ')`], {
    encoding: 'utf8',
    env: { ...process.env, ...environment },
  });
  const isas = list.stdout.trim().split(' ');
  if (!isas.includes('scalar')) throw new Error(`the sanitized addon does not load: ${list.stderr}`);
  const mocha = require.resolve('mocha/bin/mocha.js');
  // Without mocha's own configuration: it would start node anew, and every test with it.
  const options = ['--import', 'tsx', mocha, '--no-config', '--timeout', '600000', '--reporter', 'dot'];
  for (const isa of wanted.length > 0 ? wanted : isas) {
    console.log(`contract suite on ${isa}, sanitized`);
    run(process.execPath, [...options, 'test/kernels.test.ts'], {
      ...environment,
      SIGMAQUANT_CONTRACT_ISA: isa,
    });
  }
}

function fuzz(seconds, wanted) {
  const { out } = buildSanitized();
  for (const family of families(wanted)) {
    const program = join(out, `fuzz-${family}`);
    const kept = join(root, CORPUS, family);
    if (existsSync(kept))
      run(
        program,
        readdirSync(kept).map((name) => join(kept, name)),
        SANITIZERS,
      );
    process.stdout.write(`${family}: `);
    run(program, [seconds, String(Date.now())], SANITIZERS);
  }
}

function libfuzzer(seconds, wanted) {
  const clang = ['clang++', 'clang++-14', 'clang++-15', 'clang++-16'].find((tool) =>
    output(tool, '--version'),
  );
  if (!clang) skip('clang is missing');
  const empty = {
    input: 'extern "C" int LLVMFuzzerTestOneInput(const char*, long) { return 0; }',
    encoding: 'utf8',
  };
  const linked = spawnSync(clang, ['-fsanitize=fuzzer', '-x', 'c++', '-', '-o', '/dev/null'], empty);
  if (linked.status !== 0) skip('libFuzzer (libclang-rt-14-dev) is missing');
  const out = join(root, 'build-libfuzzer');
  const definitions = Object.entries({
    ...OPTIONS,
    SQ_LIBFUZZER: 'ON',
    SQ_EMULATE: emulation(clang),
    CMAKE_CXX_COMPILER: clang,
  });
  build('cmake', '-S', root, '-B', out, ...definitions.map(([name, value]) => `-D${name}=${value}`));
  build('cmake', '--build', out, '--target', 'fuzz', '--parallel', JOBS);
  for (const family of families(wanted)) {
    const [grown, kept] = [join(out, 'corpus', family), join(root, CORPUS, family)];
    for (const folder of [grown, kept]) mkdirSync(folder, { recursive: true });
    const limits = [`-max_total_time=${seconds}`, `-max_len=${CASE_BYTES}`, `-artifact_prefix=${out}/`];
    run(
      join(out, `fuzz-${family}`),
      [...limits, '-print_final_stats=1', '-verbosity=0', grown, kept],
      SANITIZERS,
    );
  }
}

/** Seconds where the processor fuses multiply and add, hours where a library does it. */
function quotients() {
  const compiler = process.env.CXX ?? 'c++';
  const flags = ['-O3', '-march=native', '-ffp-contract=off', '-fno-math-errno'];
  const macros = spawnSync(compiler, [...flags, '-dM', '-E', '-x', 'c++', '-'], {
    input: '',
    encoding: 'utf8',
  });
  if (!macros.stdout?.includes('__FP_FAST_FMAF')) skip(`${compiler} fuses nothing for this processor`);
  const program = join(mkdtempSync(join(tmpdir(), 'sigmaquant-')), 'quotients');
  build(compiler, ...flags, '-Wall', '-Wextra', join('test', 'proofs', 'quotients.cpp'), '-o', program);
  run(program, []);
  rmSync(dirname(program), { recursive: true });
}

const COMMANDS = {
  quotients,
  suite: () => suite(rest),
  fuzz: () => fuzz(rest[0] ?? '10', rest.slice(1)),
  libfuzzer: () => libfuzzer(rest[0] ?? '60', rest.slice(1)),
};
if (!Object.hasOwn(COMMANDS, command ?? '')) {
  console.error(`node scripts/prove.mjs ${Object.keys(COMMANDS).join('|')} ...`);
  process.exit(2);
}
COMMANDS[command]();
