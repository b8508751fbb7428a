// Writes the published schemas of a sweep's files: npx tsx scripts/sweep-schema.ts
import { writeFileSync } from 'node:fs';
import { sweepJsonSchema } from '../lib/pipeline/sweep-plan.ts';
import { resultsJsonSchema } from '../lib/pipeline/sweep-row.ts';

for (const [name, schema] of Object.entries({ sweep: sweepJsonSchema(), results: resultsJsonSchema() })) {
  const path = new URL(`../docs/${name}.schema.json`, import.meta.url);
  writeFileSync(path, `${JSON.stringify(schema, null, 2)}\n`);
}
