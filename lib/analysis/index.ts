export type * from './analysis.ts';
export { calibrate } from './calibrate.ts';
export { channelStatistics } from './channel-statistics.ts';
export { BREAK_RULE } from './damage.ts';
export {
  type Damage,
  type LayerDamage,
  measureDamage,
  type OutputDamage,
} from './debug.ts';
export type { InputChoice, QuantizeLayer } from './experiments.ts';
export { OutputDivergence, type OutputKind, outputKinds } from './outputs.ts';
export { createPace, type Pace, pause } from './pace.ts';
export { type Pairing, pairValues, type QuantizedNetwork } from './pairing.ts';
export { type ProfileCheckpoint, type ProfileOptions, type ProfileState, profile } from './profile.ts';
export { SuffixRuns } from './suffix-runs.ts';
export { weightProfile } from './weight-profile.ts';
