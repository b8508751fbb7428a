// Reads the machine code that the compiler made: `node scripts/hot-loops.mjs [BUILD]` (default build/). Fails where
// - an inner loop of a product writes a vector to the stack and reads it again: accumulators were spilled;
// - a family that an instruction set must have has no such loop: the check would see nothing;
// - an instruction-set file exports code that the linker may share: an older processor would run it;
// - other files hold instructions that not every processor of the architecture has.
// Needs binutils and a build by g++; says so and exits with SKIPPED where they are missing.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** .ci/run counts this exit code as neither passed nor failed. */
const SKIPPED = 77;

const root = fileURLToPath(new URL('..', import.meta.url));
const build = process.argv[2] ?? join(root, 'build');

/** Multiply-adds of the products. */
const PRODUCT =
  /^(?:\{vex\} )?(vpdpbusd|vpmaddubsw|vpmaddwd|vpdpwssd|vfn?madd\d*[ps][sd]|[us]+dot|[us]?ml[as]l2?|us?mmla|smmla|fmla)$/;
const BRANCH = /^(j\w+|b|b\.\w+|cbn?z|tbn?z)$/;
const CALL = /^(call|blr?)$/;
/** What is not followed by the next instruction. */
const ENDS = /^(jmp|ret|ud2|b|br)$/;
/** What the inner loops must be found in, by demangled name, and in which instruction sets. */
const X86 = /^(avx2|avxvnni|avx512vnni)$/;
const FAMILIES = [
  { name: 'integer tiles', functions: /\b(integer|decoding)_tile</, isas: X86 },
  // Told, not failed: sums of 16 bits are drained into memory on purpose, and these loops wait for memory anyway.
  { name: 'GEMV', functions: /\bfields_tile</, isas: X86, mayWait: true },
  { name: 'integer depthwise', functions: /\bdepthwise_(block|task)<sq::/, isas: X86 },
  // On AVX2 pairs of products need constants beside sums and weights: a few go by memory, and columns are read once.
  { name: 'sliding lines', functions: /::sliding_line</, isas: /^(avxvnni|avx512vnni)$/ },
  { name: 'float tiles', functions: /\bfloat_(tile|lines|task)/, isas: X86 },
  { name: 'float depthwise', functions: /\bfloat_(depthwise|slide_vector)</, isas: X86 },
];

/**
 * Spills that are known, with how many vectors. Twelve sums, two weights, one activation, the ones and a product are 17
 * vectors for 16 registers; the sum that goes by memory has the rest of the loop to come back. The loop over what was
 * split off runs once for sixteen steps at most, and keeps two activations in memory besides. 24 sums, two weights, an
 * activation and its signs leave four vectors for the masks and pieces of a chunk of 3 or 7 bits; one tile of a panel
 * does it.
 */
const KNOWN = new Map([
  ['avx2 sq::integer_tile<sq::PairedDot, 6, 2>', 1],
  ['avx2 sq::integer_tile<sq::SplitDot, 6, 2>', 3],
  ['avx512vnni sq::decoding_tile<sq::Dot, 3>', 2],
  ['avx512vnni sq::decoding_tile<sq::Dot, 7>', 4],
]);

/** Instructions that only instruction-set files may hold: those of AVX and later, by their registers or names. */
const BEYOND_BASE = /%[yz]mm|%k[1-7]\b|%xmm(1[6-9]|2\d|3[01])\b|^v[a-z0-9]+ .*%xmm/;
const BEYOND_AVX2 = /%zmm|%k[1-7]\b|%[xy]mm(1[6-9]|2\d|3[01])\b/;

function run(tool, ...options) {
  const { status, stdout, error } = spawnSync(tool, options, { encoding: 'utf8', maxBuffer: 2 ** 30 });
  return error || status !== 0 ? undefined : stdout;
}

function skip(why) {
  console.log(`hot loops: skipped, ${why}`);
  process.exit(SKIPPED);
}

/** Functions of an object file: [{ name, lines: [{ address, operation, operands }] }]. */
function functionsOf(object) {
  const functions = [];
  for (const line of run('objdump', '-d', '-C', '--no-show-raw-insn', object).split('\n')) {
    const start = line.match(/^[0-9a-f]+ <(.*)>:$/);
    if (start) functions.push({ name: start[1].replaceAll('(anonymous namespace)::', ''), lines: [] });
    const code = line.match(/^\s*([0-9a-f]+):\s+((?:\{vex\} |rep \w* ?|lock |notrack |bnd )?)(\S+)\s*(.*)$/);
    if (code)
      functions
        .at(-1)
        .lines.push({ address: Number.parseInt(code[1], 16), operation: code[3], operands: code[4] });
  }
  return functions;
}

/** Where a branch leads; undefined for what is no branch, or one out of the function. */
function targetOf({ operation, operands }, indexes) {
  const target = BRANCH.test(operation) && operands.match(/(?:^|[ ,])(?:0x)?([0-9a-f]+) </);
  return target ? indexes.get(Number.parseInt(target[1], 16)) : undefined;
}

/** Whether the lines from `first` on lead to `last` by themselves: rare code after its function jumps back without that. */
function isLoop(lines, indexes, { first, last }) {
  const seen = new Set();
  const open = [first];
  while (open.length > 0) {
    const at = open.pop();
    if (at === last) return true;
    if (at < first || at > last || seen.has(at)) continue;
    seen.add(at);
    const target = targetOf(lines[at], indexes);
    if (target !== undefined) open.push(target);
    if (!ENDS.test(lines[at].operation)) open.push(at + 1);
  }
  return false;
}

/** Loops without a loop or a call inside: from the target of a branch back to that branch. */
function innerLoops({ lines }) {
  const indexes = new Map(lines.map(({ address }, index) => [address, index]));
  const loops = [];
  for (const [last, line] of lines.entries()) {
    const first = targetOf(line, indexes);
    if (first !== undefined && first <= last && isLoop(lines, indexes, { first, last }))
      loops.push({ first, last });
  }
  return loops
    .filter(
      (a) =>
        !loops.some(
          (b) => b !== a && b.first >= a.first && b.last <= a.last && b.last - b.first < a.last - a.first,
        ),
    )
    .map(({ first, last }) => lines.slice(first, last + 1))
    .filter((loop) => !loop.some(({ operation }) => CALL.test(operation)));
}

/** A slot of the stack: by the stack pointer, or by the frame pointer where the function has one. */
function stackSlot({ lines }) {
  const framed = lines.some((line) => line.operation === 'mov' && line.operands === '%rsp,%rbp');
  return framed ? /-?(0x[0-9a-f]+)?\(%r[sb]p\)|\[(sp|x29)[^\]]*\]/ : /-?(0x[0-9a-f]+)?\(%rsp\)|\[sp[^\]]*\]/;
}

/** A name without its parameters. */
const signature = (name) => name.replace(/\((?!.*>\().*$/, '').replace(/^\w+ (?=sq::)/, '');

const VECTOR = /%[xyz]mm|\b[vqds]\d+\b/;
const problems = [];
const told = [];

/** Slots of the stack that a loop writes and reads as vectors. Other vectors there are local arrays or constants. */
function spillsOf(loop, stack) {
  const [written, read] = [new Set(), new Set()];
  for (const { operation, operands } of loop) {
    if (!VECTOR.test(operands)) continue;
    const slot = operands.match(stack)?.[0];
    if (!slot) continue;
    const stores =
      /^(v?mov|str|stp|stur|st1)/.test(operation) && (operands.endsWith(slot) || /^st/.test(operation));
    (stores ? written : read).add(slot);
  }
  return [...written].filter((slot) => read.has(slot));
}

function checkLoops(isa, functions) {
  for (const family of FAMILIES.filter(({ isas }) => isas.test(isa))) {
    let [found, spilled] = [0, 0];
    for (const candidate of functions.filter(({ name }) => family.functions.test(name))) {
      const stack = stackSlot(candidate);
      for (const loop of innerLoops(candidate)) {
        if (!loop.some(({ operation }) => PRODUCT.test(operation))) continue;
        found++;
        const spills = spillsOf(loop, stack);
        if (spills.length === 0) continue;
        spilled++;
        const message = `${isa}: ${signature(candidate.name)}: ${spills.length} vectors in ${loop.length} instructions spilled, as ${spills[0]}`;
        if (family.mayWait || spills.length <= (KNOWN.get(`${isa} ${signature(candidate.name)}`) ?? 0))
          told.push(message);
        else problems.push(message);
      }
    }
    console.log(
      `  ${isa.padEnd(11)} ${family.name.padEnd(18)} ${String(found).padStart(3)} inner loops, ${spilled} with spills`,
    );
    if (found === 0) problems.push(`${isa}: no inner loop of ${family.name} found`);
  }
}

/** Weak and unique symbols are shared with whoever has the same name. */
function checkSymbols(isa, object) {
  for (const line of run('nm', '-C', object).split('\n'))
    if (/ [WVu] /.test(line)) problems.push(`${isa}: shared symbol ${line.trim()}`);
}

function checkInstructions(name, functions, beyond) {
  for (const { name: where, lines } of functions)
    for (const { operation, operands } of lines)
      if (beyond.test(`${operation} ${operands}`)) {
        problems.push(`${name}: ${where}: ${operation} ${operands}`);
        break;
      }
}

for (const tool of ['objdump', 'nm']) if (run(tool, '--version') === undefined) skip(`${tool} is missing`);
const cache = join(build, 'CMakeCache.txt');
if (!existsSync(cache)) skip(`nothing is built in ${build}`);
const compiler = readFileSync(cache, 'utf8').match(/^CMAKE_CXX_COMPILER:\w+=(.*)$/m)?.[1] ?? 'c++';
if (!/Free Software Foundation/.test(run(compiler, '--version') ?? '')) skip(`${compiler} is not g++`);

const objects = readdirSync(join(build, 'CMakeFiles'), { recursive: true })
  .filter((path) => /native[/\\].*\.cpp\.o$/.test(path))
  .map((path) => join(build, 'CMakeFiles', path));
if (objects.length === 0) skip(`no objects in ${build}`);
for (const object of objects) {
  const name = basename(object, '.cpp.o');
  const isIsa = /[/\\]isa[/\\]/.test(object);
  const functions = functionsOf(object);
  if (isIsa) {
    checkLoops(name, functions);
    checkSymbols(name, object);
  }
  if (!isIsa || name === 'scalar') checkInstructions(name, functions, BEYOND_BASE);
  else if (/^avx(2|vnni)$/.test(name)) checkInstructions(name, functions, BEYOND_AVX2);
}
for (const message of told) console.log(`  told: ${message}`);
for (const problem of problems) console.log(`  ${problem}`);
console.log(problems.length === 0 ? 'hot loops: clean' : `hot loops: ${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;
