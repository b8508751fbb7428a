// Puts the device files beside the compiled modules that read them; tsc copies no JSON.
import { cpSync, rmSync } from 'node:fs';

const from = new URL('../lib/hardware/devices/', import.meta.url);
const to = new URL('../dist/hardware/devices/', import.meta.url);
rmSync(to, { recursive: true, force: true });
cpSync(from, to, { recursive: true });
