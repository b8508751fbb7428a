// Writes the published schemas of a sweep's files: npx tsx scripts/sweep-schema.ts
import { writeFileSync } from 'node:fs';
import { frontJsonSchema } from '../lib/pipeline/front-file.ts';
import { sweepJsonSchema } from '../lib/pipeline/sweep-plan.ts';
import { resultsJsonSchema } from '../lib/pipeline/sweep-row.ts';

const schemas = { sweep: sweepJsonSchema(), results: resultsJsonSchema(), front: frontJsonSchema() };
for (const [name, schema] of Object.entries(schemas)) {
  const path = new URL(`../docs/${name}.schema.json`, import.meta.url);
  writeFileSync(path, `${JSON.stringify(schema, null, 2)}\n`);
}
