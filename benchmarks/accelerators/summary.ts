import { type Column, markdownTable } from '../results.ts';
import type { Row } from './trial.ts';

/** What the trials say in sum: tables per objective, and the verdict of each device over all pairs. */

/** The paper's headline against INT8, as ratios, and the mean width up to which area is held against it. */
export const BARS = { energy: 1 - 0.206, area: 1 - 0.223, bits: 4 } as const;
/** How much smaller a commercial multiplier might be, and how much less it might spend. */
const DISCOUNT = 0.15;

type Ratio = (row: Row) => number;

const ENERGY: Ratio = ({ full }) => full.own.energy / full.int8.energy;
const ENERGY_WITHOUT: Ratio = ({ withoutGlobalBuffer: { own, int8 } }) => own.energy / int8.energy;
const ENERGY_DISCOUNTED: Ratio = ({ full: { own, int8 } }) =>
  own.energy / (int8.energy - DISCOUNT * int8.compute);
const AREA: Ratio = ({ full }) => full.own.area / full.int8.area;
const AREA_BY_TIME: Ratio = ({ full }) => full.own.areaByTime / full.int8.areaByTime;
const PEAK_AREA: Ratio = ({ full }) => full.own.peakArea / full.int8.peakArea;
const LATENCY: Ratio = ({ full }) => full.own.latency / full.int8.latency;

/** `-20.6 %` */
function change(ratio: number): string {
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
  ratioColumn('against INT8', ENERGY),
  ratioColumn('against INT8, our weights', ({ full }) => full.own.energy / full.int8Narrow.energy),
  ratioColumn('against gated INT8', ({ full }) => full.own.energy / full.gated.energy),
  ratioColumn('against gated INT8, our weights', ({ full }) => full.own.energy / full.gatedNarrow.energy),
  ratioColumn('against INT8, no 1 MiB level', ENERGY_WITHOUT),
];

const AREA_COLUMNS: readonly Column<Row>[] = [
  ...WHO,
  { title: 'bits per MAC', right: true, text: ({ macBits }) => macBits.toFixed(2) },
  { title: 'area, mm2', right: true, text: ({ full }) => full.own.area.toFixed(3) },
  ratioColumn('against INT8', AREA),
  ratioColumn('against gated INT8', ({ full }) => full.own.area / full.gated.area),
  ratioColumn('against INT8, by time', AREA_BY_TIME),
  { title: 'peak area, mm2', right: true, text: ({ full }) => full.own.peakArea.toFixed(3) },
  ratioColumn('peak against INT8', PEAK_AREA),
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
      'Area of the elements at equal throughput, on average over MACs, over the passes of the array, and where most is needed; and the latency of an array of as many elements:',
      markdownTable(own, AREA_COLUMNS),
      'Over all pairs:',
      markdownTable(standings(own), STANDING_COLUMNS),
    ];
  });
}

/** How a device stands over several pairs: ratios from the best to the worst, and where a bar is missed. */
export interface Standing {
  device: string;
  measure: string;
  best: number;
  worst: number;
  pairs: number;
  /** Null for what is stated and not judged. */
  bar: number | null;
  missed: readonly { pair: string; ratio: number }[];
}

const MEASURES: readonly { measure: string; ratio: Ratio; bar?: number; narrow?: boolean }[] = [
  { measure: 'energy against INT8', ratio: ENERGY, bar: BARS.energy },
  { measure: 'energy against INT8, no 1 MiB level', ratio: ENERGY_WITHOUT, bar: BARS.energy },
  {
    measure: `energy against INT8 whose elements spend ${100 * DISCOUNT} % less`,
    ratio: ENERGY_DISCOUNTED,
    bar: BARS.energy,
  },
  {
    measure: 'energy against INT8, our weights',
    ratio: ({ full }) => full.own.energy / full.int8Narrow.energy,
  },
  { measure: 'energy against gated INT8', ratio: ({ full }) => full.own.energy / full.gated.energy },
  {
    measure: 'energy against gated INT8, our weights',
    ratio: ({ full }) => full.own.energy / full.gatedNarrow.energy,
  },
  { measure: 'area against INT8', ratio: AREA, bar: BARS.area, narrow: true },
  { measure: 'area against INT8, by time', ratio: AREA_BY_TIME, bar: BARS.area, narrow: true },
  {
    measure: `area against INT8 that is ${100 * DISCOUNT} % smaller`,
    ratio: (row) => AREA(row) / (1 - DISCOUNT),
    bar: BARS.area,
    narrow: true,
  },
  { measure: 'area against INT8, all pairs', ratio: AREA },
  { measure: 'peak area against INT8', ratio: PEAK_AREA },
  { measure: 'latency against INT8', ratio: LATENCY },
];

/** Every device at every measure; areas are judged on the pairs of `BARS.bits` bits per MAC or less. */
export function standings(rows: readonly Row[]): Standing[] {
  return [...new Set(rows.map(({ device }) => device))].flatMap((device) =>
    MEASURES.flatMap(({ measure, ratio, bar = null, narrow = false }): Standing[] => {
      const own = rows.filter((row) => row.device === device && !(narrow && row.macBits > BARS.bits));
      if (own.length === 0) return [];
      const ratios = own.map((row) => ({ pair: row.pair, ratio: ratio(row) }));
      const sorted = ratios.map(({ ratio: value }) => value).sort((a, b) => a - b);
      return [
        {
          device,
          measure: narrow ? `${measure}, at most ${BARS.bits} bits per MAC` : measure,
          best: sorted[0],
          worst: sorted.at(-1)!,
          pairs: own.length,
          bar,
          missed: bar === null ? [] : ratios.filter(({ ratio: value }) => !(value <= bar)),
        },
      ];
    }),
  );
}

const STANDING_COLUMNS: readonly Column<Standing>[] = [
  { title: 'device', text: ({ device }) => device },
  { title: 'measure', text: ({ measure }) => measure },
  { title: 'best pair', right: true, text: ({ best }) => change(best) },
  { title: 'worst pair', right: true, text: ({ worst }) => change(worst) },
  { title: 'bar', right: true, text: ({ bar }) => (bar === null ? '' : change(bar)) },
  {
    title: 'holds on',
    text: ({ bar, pairs, missed }) => (bar === null ? '' : `${pairs - missed.length} of ${pairs}`),
  },
  {
    title: 'not on',
    text: ({ missed }) => missed.map(({ pair, ratio }) => `${pair} ${change(ratio)}`).join(', '),
  },
];
