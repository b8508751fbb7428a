// Writes the published schema of device files: npx tsx scripts/device-schema.ts
import { writeFileSync } from 'node:fs';
import { deviceJsonSchema } from '../lib/hardware/device.ts';

const path = new URL('../docs/device.schema.json', import.meta.url);
writeFileSync(path, `${JSON.stringify(deviceJsonSchema(), null, 2)}\n`);
