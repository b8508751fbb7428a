import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createKernels } from '../../lib/kernels/index.ts';
import { casesIn, runCase, UNDEFINED } from './cases.ts';

const folder = fileURLToPath(new URL('../../../shared/testbed/conformance/', import.meta.url));

describe('conformance', () => {
  it('passes the backend node tests on the reference kernels', async function () {
    if (!existsSync(folder)) {
      console.log('    skipped: ../shared/testbed is absent');
      this.skip();
    }
    const kernels = await createKernels({ backend: 'reference' });
    const names = casesIn(folder);
    assert.ok(names.length >= 426, `${names.length} cases`);
    const failed = names
      .map((name) => [name, runCase(join(folder, name), kernels)] as const)
      .filter(([name, wrong]) => wrong !== null && !(name in UNDEFINED));
    assert.deepEqual(failed, []);
  });
});
