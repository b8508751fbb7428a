// Writes the published schema of allocation.json: npx tsx scripts/allocation-schema.ts
import { writeFileSync } from 'node:fs';
import { allocationJsonSchema } from '../lib/export/allocation.ts';

const path = new URL('../docs/allocation.schema.json', import.meta.url);
writeFileSync(path, `${JSON.stringify(allocationJsonSchema(), null, 2)}\n`);
