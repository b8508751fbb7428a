export { type CostedLayer, floatBytes, memoryCost } from './memory.ts';
export { parseTargets } from './targets.ts';
