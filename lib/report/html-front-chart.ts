import type { Front, FrontPoint } from './html.ts';
import { chart, Markup } from './html-markup.ts';
import { amount, resourceOf } from './html-numbers.ts';
import { plural, signed } from './numbers.ts';
import { type Axis, escaped, linearAxis, round, text } from './svg.ts';

const WIDTH = 1032;
const HEIGHT = 440;
const PLOT = { left: 64, right: WIDTH - 28, top: 18, bottom: HEIGHT - 52 };
/** Drops that get a line, where there is room. */
const DROPS = [0, 1, 2, 5, 10, 20, 50, 100, 0.5, -0.5, -1, -2, -5, -10, 3, 30];
const LEAST_GAP = 20;
const CHARACTER = 6.6;
const LABEL_HEIGHT = 13;
const LONGEST = 28;
/** From a mark to the near end of its label. */
const MARGIN = 14;
/** Where a label may stand, best first: to the right and down, in half widths and heights of itself. */
const PLACES = [
  [1, 0],
  [1, 0.8],
  [-1, 0],
  [-1, -0.8],
  [1, -0.8],
  [-1, 0.8],
  [0, 1.6],
  [0, -1.6],
];

/** What was asked of the two axes; null where nothing was. */
export interface Limits {
  cost: number | null;
  drop: number | null;
}

/** Linear near zero, logarithmic beyond: a fall of 80 points must not flatten one of half a point. */
const spread = (drop: number) => Math.asinh(drop);

/** `known`: points whose numbers are finite, at least one. */
export function frontChart(front: Front, known: readonly FrontPoint[], limits: Limits): Markup {
  const x = costAxis(known, limits.cost);
  const y = dropAxis([...known.map(({ drop }) => drop), limits.drop ?? 0]);
  const { title, unit } = resourceOf(front.resource);
  const label = `${title}${(front.unit || unit) === 'B' ? '' : `, ${front.unit || unit}`}`;
  const best = known.find(({ chosen }) => chosen);
  return chart({
    id: 'front-chart',
    width: WIDTH,
    height: HEIGHT,
    title: `Drop against ${title}`,
    description: `${plural(known.length, 'network')}${best ? `; this result takes ${amount(best.cost, front.unit)} at a drop of ${signed(best.drop)} points` : ''}. The table below has them all.`,
    body: new Markup(
      [
        ...x.ticks.map(
          (tick) =>
            `<path class="grid" d="M${x.at(tick)} ${PLOT.top}V${PLOT.bottom}"/>${text(x.at(tick), PLOT.bottom + 18, amount(tick, front.unit), 'small', 'middle')}`,
        ),
        ...y.ticks.map(
          (tick) =>
            `<path class="grid" d="M${PLOT.left} ${y.at(tick)}H${PLOT.right}"/>${text(PLOT.left - 8, y.at(tick) + 4, tick > 0 ? `+${tick}` : String(tick), 'small', 'end')}`,
        ),
        text((PLOT.left + PLOT.right) / 2, HEIGHT - 10, label, '', 'middle'),
        `<text text-anchor="middle" transform="translate(16 ${(PLOT.top + PLOT.bottom) / 2}) rotate(-90)">drop, percentage points (up is better)</text>`,
        ...limitLines(limits, x, y),
        frontLine(known, x, y),
        ...[...known].sort((a, b) => order(a) - order(b)).map((point) => mark(point, front, x, y)),
        ...labels(known, limits, x, y),
      ].join('\n'),
    ),
  });
}

function costAxis(known: readonly FrontPoint[], limit: number | null): Axis {
  const costs = [...known.map(({ cost }) => cost), ...(limit === null ? [] : [limit])];
  const [least, most] = [Math.min(...costs), Math.max(...costs)];
  const pad = 0.06 * (most - least) || 0.1 * Math.abs(most) || 1;
  return linearAxis(
    Math.min(Math.max(0, least), least - pad < 0 ? least : least - pad),
    most + pad,
    PLOT.left,
    PLOT.right,
    8,
  );
}

/** Less drop is higher. */
function dropAxis(drops: readonly number[]): Axis {
  const low = spread(Math.min(0, ...drops)) - 0.25;
  const high = spread(Math.max(0, ...drops)) + 0.25;
  const at = (drop: number) =>
    round(PLOT.top + ((spread(drop) - low) / (high - low)) * (PLOT.bottom - PLOT.top));
  const ticks: number[] = [];
  for (const drop of DROPS) {
    const inside = spread(drop) >= low && spread(drop) <= high;
    if (inside && ticks.every((tick) => Math.abs(at(tick) - at(drop)) >= LEAST_GAP)) ticks.push(drop);
  }
  return { low, high, at, ticks };
}

function limitLines(limits: Limits, x: Axis, y: Axis): string[] {
  const lines: string[] = [];
  if (limits.drop !== null)
    lines.push(
      `<path class="limit" d="M${PLOT.left} ${y.at(limits.drop)}H${PLOT.right}"/>`,
      text(PLOT.right - 4, y.at(limits.drop) - 5, 'asked: floor', 'small quiet', 'end'),
    );
  if (limits.cost !== null)
    lines.push(
      `<path class="limit" d="M${x.at(limits.cost)} ${PLOT.top}V${PLOT.bottom}"/>`,
      text(x.at(limits.cost) + 5, PLOT.bottom - 6, 'asked: ceiling', 'small quiet'),
    );
  return lines;
}

/** Points that no other beats in both, cheapest first. */
function nondominated(known: readonly FrontPoint[]): FrontPoint[] {
  const front: FrontPoint[] = [];
  for (const point of [...known].sort((a, b) => a.cost - b.cost || a.drop - b.drop))
    if (front.length === 0 || point.drop < front[front.length - 1].drop) front.push(point);
  return front;
}

/** Steps: between two points of the front one can have the cheaper one for sure, and no more. */
function frontLine(known: readonly FrontPoint[], x: Axis, y: Axis): string {
  const [first, ...rest] = nondominated(known);
  const steps = rest.map(({ cost, drop }) => `H${x.at(cost)}V${y.at(drop)}`);
  return `<path class="accent-line" d="M${x.at(first.cost)} ${y.at(first.drop)}${steps.join('')}"/>`;
}

/** This result is drawn last, over all others. */
export const order = ({ kind, chosen }: FrontPoint) =>
  chosen ? 3 : ['tried', 'front', 'uniform'].indexOf(kind);

function mark(point: FrontPoint, front: Front, x: Axis, y: Axis): string {
  const [cx, cy] = [x.at(point.cost), y.at(point.drop)];
  const tip = `${point.label}: ${amount(point.cost, front.unit)}, drop ${signed(point.drop)}`;
  return `<g><title>${escaped(tip)}</title>${shape(point, cx, cy)}</g>`;
}

export function shape({ kind, chosen }: Pick<FrontPoint, 'kind' | 'chosen'>, x: number, y: number): string {
  if (chosen)
    return `<path class="ring" d="M${x} ${round(y - 10)}L${round(x + 10)} ${y}L${x} ${round(y + 10)}L${round(x - 10)} ${y}Z"/>`;
  if (kind === 'uniform')
    return `<rect class="other" x="${round(x - 5)}" y="${round(y - 5)}" width="10" height="10"/>`;
  return `<circle class="${kind === 'front' ? 'accent' : 'tried'}" cx="${x}" cy="${y}" r="${kind === 'front' ? 4.5 : 4}"/>`;
}

interface Box {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

/** Names of this result and of the uniform widths, where they cover no mark, no line and no other name. */
function labels(known: readonly FrontPoint[], limits: Limits, x: Axis, y: Axis): string[] {
  const taken: Box[] = [
    ...known.map(({ cost, drop }) => around(x.at(cost), y.at(drop), 7, 7)),
    ...lineBoxes(known, limits, x, y),
  ];
  const named = known.filter(({ kind, chosen }) => chosen || kind === 'uniform');
  return named
    .toSorted((a, b) => Number(b.chosen) - Number(a.chosen))
    .map((point) => {
      const label = point.label.length > LONGEST ? `${point.label.slice(0, LONGEST - 3)}...` : point.label;
      const half = (CHARACTER * label.length) / 2;
      const [cx, cy] = [x.at(point.cost), y.at(point.drop)];
      const box = PLACES.map(([right, down]) =>
        around(cx + right * (half + MARGIN), cy + down * LABEL_HEIGHT, half, LABEL_HEIGHT / 2),
      ).find((place) => inside(place) && taken.every((other) => !overlap(place, other)));
      if (!box) return '';
      taken.push(box);
      const [middle, base] = [round((box.left + box.right) / 2), round(box.bottom - 3)];
      return text(middle, base, label, point.chosen ? 'strong' : 'small', 'middle');
    });
}

/** The front's steps and the limits, as boxes two pixels wide. */
function lineBoxes(known: readonly FrontPoint[], limits: Limits, x: Axis, y: Axis): Box[] {
  const front = nondominated(known).map(({ cost, drop }) => [x.at(cost), y.at(drop)]);
  const boxes = front.slice(1).flatMap(([right, above], i) => {
    const [left, below] = front[i];
    return [
      { left, right, top: below - 1, bottom: below + 1 },
      { left: right - 1, right: right + 1, top: above, bottom: below },
    ];
  });
  if (limits.drop !== null) {
    const at = y.at(limits.drop);
    boxes.push({ left: PLOT.left, right: PLOT.right, top: at - 1, bottom: at + 1 });
  }
  if (limits.cost !== null) {
    const at = x.at(limits.cost);
    boxes.push({ left: at - 1, right: at + 1, top: PLOT.top, bottom: PLOT.bottom });
  }
  return boxes;
}

function around(x: number, y: number, halfWidth: number, halfHeight: number): Box {
  return { left: x - halfWidth, right: x + halfWidth, top: y - halfHeight, bottom: y + halfHeight };
}

const inside = ({ left, right, top, bottom }: Box) =>
  left >= PLOT.left && right <= WIDTH && top >= 0 && bottom <= PLOT.bottom;

const overlap = (a: Box, b: Box) =>
  a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
