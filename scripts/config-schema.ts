// Writes the published schema of sigmaquant.config.json: npx tsx scripts/config-schema.ts
import { writeFileSync } from 'node:fs';
import { configJsonSchema } from '../lib/cli/config.ts';
import { commands } from '../lib/cli/program.ts';

const path = new URL('../docs/config.schema.json', import.meta.url);
writeFileSync(path, `${JSON.stringify(configJsonSchema(commands()), null, 2)}\n`);
