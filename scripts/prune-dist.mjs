// Removes from dist/ what earlier sources left there: `npm pack` takes all of it.
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');
if (existsSync(dist))
  for (const path of readdirSync(dist, { recursive: true })) {
    const source = path.replace(/(\.d\.ts|\.js)$/, '.ts');
    if (source !== path && !existsSync(join(root, 'lib', source))) rmSync(join(dist, path));
  }
