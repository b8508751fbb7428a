// tsx does not reach into worker threads by itself.
import { register } from 'tsx/esm/api';

register();
await import('../../lib/runtime/worker.ts');
