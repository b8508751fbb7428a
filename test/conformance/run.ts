// npm run conformance -- DIR [--backend NAME] [--json]: ONNX's backend node tests on one backend or on every one.
import { existsSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { SigmaQuantError } from '../../lib/errors.ts';
import { type BackendName, backends, createKernels } from '../../lib/kernels/index.ts';
import { casesIn, runCase, UNDEFINED } from './cases.ts';

interface Result {
  passed: number;
  failed: string[];
  /** Why the backend did not run at all. */
  unavailable?: string;
}

async function onBackend(backend: BackendName, folder: string, names: readonly string[]): Promise<Result> {
  let kernels: Awaited<ReturnType<typeof createKernels>>;
  try {
    kernels = await createKernels({ backend, threads: 1 });
  } catch (error) {
    if (error instanceof SigmaQuantError && error.code === 'BACKEND_UNAVAILABLE')
      return { passed: 0, failed: [...names], unavailable: error.message };
    throw error;
  }
  try {
    const failed = names.filter((name) => {
      const wrong = runCase(join(folder, name), kernels);
      if (wrong !== null && !json) console.log(`${backend} ${name}: ${wrong}`);
      return wrong !== null;
    });
    return { passed: names.length - failed.length, failed };
  } finally {
    kernels.dispose();
  }
}

const { values: flags, positionals } = parseArgs({
  options: { backend: { type: 'string' }, json: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const { json } = flags;
const known = Object.keys(backends) as BackendName[];
const chosen = known.filter((name) => flags.backend === undefined || name === flags.backend);
const [argument] = positionals;
// npm runs scripts in the package's folder; paths count from where the command was typed.
const folder = argument && resolve(process.env['INIT_CWD'] ?? '.', argument);
if (chosen.length === 0) {
  console.error(`Expected ${known.join(', ')} for --backend but received ${flags.backend}.`);
  process.exitCode = 2;
} else if (!folder || !existsSync(folder)) {
  console.error(`Expected the folder of the conformance cases but received ${argument ?? 'nothing'}.`);
  process.exitCode = 2;
} else {
  const names = casesIn(folder);
  const results: Partial<Record<BackendName, Result>> = {};
  for (const backend of chosen) results[backend] = await onBackend(backend, folder, names);
  if (json) console.log(JSON.stringify({ total: names.length, backends: results }));
  else
    for (const [backend, { passed, unavailable }] of Object.entries(results))
      console.log(unavailable ?? `${backend}: ${passed} of ${names.length} pass (${basename(folder)})`);
  const unexpected = Object.values(results).flatMap(({ failed }) =>
    failed.filter((name) => !(name in UNDEFINED)),
  );
  if (names.length === 0 || unexpected.length > 0) process.exitCode = 1;
}
