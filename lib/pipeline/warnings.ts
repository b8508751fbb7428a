import type { AllocationFile } from '../export/allocation.ts';
import { floorWarning } from '../report/markdown.ts';
import type { Roles, Samples } from './samples.ts';

/** A float network that does no better than this times chance was most likely fed wrongly. */
const CHANCE_FACTOR = 1.5;
/** Unreadable samples that are named. */
const NAMED = 3;

/** What a careful reader should know beside the verdict. */
export function warningsOf(roles: Roles, allocation: AllocationFile, classes: number | null): string[] {
  const warnings: string[] = [];
  const floor = floorWarning(allocation);
  if (floor) warnings.push(floor);
  const { validation } = allocation;
  if (classes && validation?.metric === 'top-1' && validation.float! < (CHANCE_FACTOR * 100) / classes)
    warnings.push(
      `The float network is right on ${validation.float!.toFixed(1)} % of the validation samples, little better than chance: check --scale, --mean and --std, and the labels.`,
    );
  const sets = new Set([roles.calibration, roles.validation, roles.judged].filter((role) => role !== null));
  for (const dataset of new Set([...sets].map((samples: Samples) => samples.dataset))) {
    const unreadable = dataset.unreadable ?? [];
    if (unreadable.length > 0)
      warnings.push(
        `Left out ${unreadable.length} unreadable samples of ${dataset.name}: ${unreadable.slice(0, NAMED).join(', ')}${unreadable.length > NAMED ? ', ...' : ''}.`,
      );
  }
  return warnings;
}
