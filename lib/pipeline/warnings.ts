import type { Allocation } from '../allocate/allocate.ts';
import type { AllocationFile } from '../export/allocation.ts';
import type { Costs } from './resources.ts';
import type { AccuracyResult, LearnedResult } from './result.ts';
import type { Roles, Samples } from './samples.ts';
import type { Floor } from './search.ts';

/** A float network that does no better than this times chance was most likely fed wrongly. */
const CHANCE_FACTOR = 1.5;
/** Unreadable samples that are named, and layers that a device rounds up. */
const NAMED = 3;

export interface Judgement {
  roles: Roles;
  /** Calibration samples that could not be read, now or when what the cache keeps was measured. */
  unreadable: readonly string[];
  data: AllocationFile['data'];
  floor: Floor | null;
  allocation: Allocation;
  costs: Costs;
  validation: AccuracyResult;
  accuracy: AccuracyResult | null;
  learned: LearnedResult | null;
  /** Null where outputs are not classes. */
  classes: number | null;
}

/** What a careful reader should know beside the verdict. */
export function warningsOf(judgement: Judgement): string[] {
  return [
    ...missedFloor(judgement),
    ...chance(judgement),
    ...sharedSamples(judgement),
    ...unreadable(judgement),
    ...roundedUp(judgement),
    ...(judgement.learned?.notes ?? []),
  ];
}

/** The floor is about validation; where the judged samples miss it, that is said beside the verdict. */
function missedFloor({ floor, validation, accuracy }: Judgement): string[] {
  if (!floor || validation.drop === null || accuracy?.drop == null) return [];
  if (validation.drop > floor.maxDrop || accuracy.drop <= floor.maxDrop) return [];
  return [
    `The judged samples lose ${accuracy.drop.toFixed(2)} points, more than the ${floor.maxDrop.toFixed(2)} of the floor that validation held.`,
  ];
}

function chance({ classes, validation: { metric, float } }: Judgement): string[] {
  if (!classes || metric !== 'top-1' || float === null || float >= (CHANCE_FACTOR * 100) / classes) return [];
  return [
    `The float network is right on ${float.toFixed(1)} % of the validation samples, little better than chance: check --scale, --mean and --std, and the labels.`,
  ];
}

/** By content: the same file under two names is found too. Halves of one set share no sample. */
function sharedSamples({ roles, data: { calibration, validation, judged } }: Judgement): string[] {
  const warnings: string[] = [];
  if (judged && calibration?.sha256 === judged.sha256)
    warnings.push('Calibration and judged samples come from the same data: none of them is unseen.');
  if (judged && !roles.judged?.select && validation?.sha256 === judged.sha256)
    warnings.push('Validation and judged samples are the same data: the search has seen all of them.');
  return warnings;
}

function unreadable({ roles, unreadable: known }: Judgement): string[] {
  const used = [roles.calibration, roles.validation, roles.judged].filter((role) => role !== null);
  return [...new Set(used.map(({ dataset }: Samples) => dataset))].flatMap((dataset) => {
    const before = dataset === roles.calibration.dataset ? known : [];
    const list = [...new Set([...before, ...(dataset.unreadable ?? [])])].sort();
    if (list.length === 0) return [];
    const named = `${list.slice(0, NAMED).join(', ')}${list.length > NAMED ? ', ...' : ''}`;
    return [`Left out ${list.length} unreadable samples of ${dataset.name}: ${named}.`];
  });
}

/** A device that lacks a pair of widths computes with the next one that it has, and its costs are those of that one. */
function roundedUp({ costs, allocation }: Judgement): string[] {
  const wider = costs.model.breakdown(allocation.widths).filter(({ pair }) => pair.rounded);
  if (wider.length === 0) return [];
  const named = wider
    .slice(0, NAMED)
    .map(
      ({ layer, widths, pair }) =>
        `${layer} ${widths.weights} x ${widths.activations} as ${pair.weights} x ${pair.activations}`,
    );
  const list = `${named.join(', ')}${wider.length > NAMED ? ', ...' : ''}`;
  return [
    `${costs.device.name} lacks widths of ${wider.length === 1 ? 'one layer' : `${wider.length} layers`} and computes with the next it has, weights x input: ${list}; costs are those of the wider ones.`,
  ];
}
