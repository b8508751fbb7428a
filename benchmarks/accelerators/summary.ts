import { type Column, markdownTable } from '../results.ts';
import type { Contest, Row } from './trial.ts';

/** What the trials say in sum: tables per objective, and the verdict of each device over all pairs. */

/** The paper's headline against INT8, as ratios, and the mean width up to which area is held against it. */
export const BARS = { energy: 1 - 0.206, area: 1 - 0.223, bits: 4 } as const;
/** How much smaller a commercial multiplier might be, and how much less it might spend. */
const DISCOUNT = 0.15;

type Ratio = (row: Row) => number;

const ENERGY: Ratio = ({ full }) => full.own.energy / full.int8.energy;
const AREA: Ratio = ({ full }) => full.own.area / full.int8.area;
const PEAK_AREA: Ratio = ({ full }) => full.own.peakArea / full.int8.peakArea;
const LATENCY: Ratio = ({ full }) => full.own.latency / full.int8.latency;

function discounted({ own, int8 }: Contest): number {
  return own.energy / (int8.energy - DISCOUNT * int8.compute);
}

/** `-20.6 %` */
export function change(ratio: number): string {
  const percent = 100 * (ratio - 1);
  return `${percent > 0 ? '+' : ''}${percent.toFixed(1)} %`;
}

function ratioColumn(title: string, ratio: Ratio): Column<Row> {
  return { title, right: true, text: (row) => change(ratio(row)) };
}

function points(value: number | null): string {
  return value === null ? '' : value.toFixed(2);
}

const WHO: readonly Column<Row>[] = [
  { title: 'pair', text: ({ pair }) => pair },
  { title: 'device', text: ({ device }) => device },
];

const ENERGY_COLUMNS: readonly Column<Row>[] = [
  ...WHO,
  { title: 'verdict', text: ({ verdict }) => verdict },
  { title: 'average bits', right: true, text: ({ averageBits }) => averageBits.toFixed(2) },
  { title: 'bits per MAC', right: true, text: ({ macBits }) => macBits.toFixed(2) },
  { title: 'drop, validation', right: true, text: ({ validationDrop }) => points(validationDrop) },
  { title: 'drop, judged', right: true, text: ({ drop }) => points(drop) },
  { title: '95 % interval', right: true, text: ({ interval }) => interval?.map(points).join(' to ') ?? '' },
  { title: 'of INT8, judged', right: true, text: ({ int8Drop }) => points(int8Drop) },
  { title: 'energy, uJ', right: true, text: ({ full }) => full.own.energy.toPrecision(4) },
  {
    title: 'of it elements',
    right: true,
    text: ({ full: { own } }) => `${((100 * own.compute) / own.energy).toFixed(0)} %`,
  },
  ratioColumn('to INT8', ENERGY),
  ratioColumn('to INT8, our weights', ({ full }) => full.own.energy / full.int8Narrow.energy),
  ratioColumn('to gated INT8', ({ full }) => full.own.energy / full.gated.energy),
  ratioColumn('to gated INT8, our weights', ({ full }) => full.own.energy / full.gatedNarrow.energy),
  ratioColumn(
    'to INT8, no 1 MiB level',
    ({ withoutGlobalBuffer: { own, int8 } }) => own.energy / int8.energy,
  ),
];

const AREA_COLUMNS: readonly Column<Row>[] = [
  ...WHO,
  { title: 'bits per MAC', right: true, text: ({ macBits }) => macBits.toFixed(2) },
  { title: 'area, mm2', right: true, text: ({ full }) => full.own.area.toFixed(3) },
  ratioColumn('to INT8', AREA),
  ratioColumn('to gated INT8', ({ full }) => full.own.area / full.gated.area),
  { title: 'peak area, mm2', right: true, text: ({ full }) => full.own.peakArea.toFixed(3) },
  ratioColumn('peak to INT8', PEAK_AREA),
  { title: 'latency, ms', right: true, text: ({ full }) => full.own.latency.toPrecision(3) },
  { title: 'times INT8', right: true, text: (row) => LATENCY(row).toFixed(2) },
];

/** Tables and verdicts, one part per objective. */
export function summary(rows: readonly Row[]): string[] {
  return [...new Set(rows.map(({ objective }) => objective))].flatMap((objective) => {
    const own = rows.filter((row) => row.objective === objective);
    return [
      `### Least ${objective}`,
      'Energy of an inference, memories included:',
      markdownTable(own, ENERGY_COLUMNS),
      'Area of the elements at equal throughput, on average and where most is needed, and latency of an array of as many elements:',
      markdownTable(own, AREA_COLUMNS),
      verdictLines(own).join('\n'),
    ];
  });
}

/** Per device over all pairs: how it stands at each bar. */
export function verdictLines(rows: readonly Row[]): string[] {
  return [...new Set(rows.map(({ device }) => device))].map((device) => {
    const own = rows.filter((row) => row.device === device);
    const narrow = own.filter(({ macBits }) => macBits <= BARS.bits);
    return `- \`${device}\`: ${[
      `energy ${barText(own, ENERGY, BARS.energy)}`,
      `without the 1 MiB level ${barText(own, ({ withoutGlobalBuffer: w }) => w.own.energy / w.int8.energy, BARS.energy)}`,
      `with ${100 * DISCOUNT} % off what INT8's elements spend ${barText(own, ({ full }) => discounted(full), BARS.energy)}`,
      `to gated INT8 with our weights ${range(own, ({ full }) => full.own.energy / full.gatedNarrow.energy)}`,
      `to plain INT8 with our weights ${range(own, ({ full }) => full.own.energy / full.int8Narrow.energy)}`,
      narrow.length === 0
        ? `no pair at ${BARS.bits} bits per MAC or less`
        : `area at ${BARS.bits} bits per MAC or less ${barText(narrow, AREA, BARS.area)}`,
      ...(narrow.length === 0
        ? []
        : [
            `with ${100 * DISCOUNT} % off INT8's ${barText(narrow, (row) => AREA(row) / (1 - DISCOUNT), BARS.area)}`,
          ]),
      `area on all pairs ${range(own, AREA)}`,
      `peak area ${range(own, PEAK_AREA)}`,
      `latency ${Math.min(...own.map(LATENCY)).toFixed(2)} to ${Math.max(...own.map(LATENCY)).toFixed(2)} times INT8's`,
    ].join('; ')}.`;
  });
}

/** `-45.0 % to -25.1 %, holds on 6 of 6` */
function barText(rows: readonly Row[], ratio: Ratio, bar: number): string {
  const missed = rows.filter((row) => !(ratio(row) <= bar));
  const named = missed.map((row) => `${row.pair} ${change(ratio(row))}`).join(', ');
  return `${range(rows, ratio)}, ${change(bar)} holds on ${rows.length - missed.length} of ${rows.length}${named && ` (not ${named})`}`;
}

function range(rows: readonly Row[], ratio: Ratio): string {
  const ratios = rows.map(ratio);
  return `${change(Math.min(...ratios))} to ${change(Math.max(...ratios))}`;
}
