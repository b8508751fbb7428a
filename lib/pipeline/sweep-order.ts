import type { Cell } from './sweep-plan.ts';

/** Cells with the same text are asked of one study. */
function studyKey({ study }: Cell): string {
  return JSON.stringify(study);
}

/** Cells of one study stand together; otherwise the order of the plan. */
export function grouped(cells: readonly Cell[]): Cell[] {
  const groups = new Map<string, Cell[]>();
  for (const cell of cells) {
    const key = studyKey(cell);
    groups.set(key, [...(groups.get(key) ?? []), cell]);
  }
  return [...groups.values()].flat();
}

/**
 * Takes the next cell out of `left`: one of the study that the worker has open, or else of one that nobody has (what two
 * measure at once is measured twice), or else any.
 */
export function nextCell(left: Cell[], own: Cell | undefined, open: readonly Cell[]): Cell | undefined {
  const taken = new Set(open.map(studyKey));
  const wanted = [
    (cell: Cell) => own !== undefined && studyKey(cell) === studyKey(own),
    (cell: Cell) => !taken.has(studyKey(cell)),
    () => true,
  ];
  for (const fits of wanted) {
    const at = left.findIndex(fits);
    if (at >= 0) return left.splice(at, 1)[0];
  }
  return undefined;
}
