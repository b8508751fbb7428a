import type { Strategy } from './allocate.ts';
import { greedy } from './greedy.ts';
import { hessian } from './hessian.ts';
import { random } from './random.ts';
import { sensitivity } from './sensitivity.ts';
import { sigma } from './sigma.ts';
import { uniform } from './uniform.ts';

export type * from './allocate.ts';
export { type FrontierOptions, type FrontierPoint, frontier } from './frontier.ts';

/** Every strategy there is, by the name that `--strategy` takes. */
export const strategies: Readonly<Record<string, Strategy>> = {
  sensitivity,
  sigma,
  hessian,
  greedy,
  uniform,
  random,
};

/** The strategy of all networks where none is named. */
export const defaultStrategy = 'sensitivity';

/** The strategy where nothing but weights is known: the paper's first phase is made for that. */
export const planStrategy = 'sigma';
export { holds, within } from './targets.ts';
