import { costOf, type Limit, limitKey, limitOf, shareOf } from './limits.ts';
import type { Samples } from './measure.ts';
import { baselinesOf } from './plan.ts';
import { median, quantile } from './statistics.ts';
import { type Group, keyOf, type Machine, type Row } from './trial.ts';

/** Samples of a limit: one list for every group in which it was measured, in order. */
export interface MeasuredLimit extends Machine {
  limit: Limit;
  /** Operations or bytes of one call. */
  work: number;
  visits: Samples[];
}

/** A measured limit as `--json` holds it. */
export interface LimitRow extends Machine {
  limit: Limit['limit'];
  /** Width of weights for `peak` (32: float), else null. */
  bits: number | null;
  /** Of the array that is read or copied, else null. */
  bytes: number | null;
  medianUs: number;
  p10Us: number;
  p90Us: number;
  gops: number | null;
  /** `stream` counts bytes read and written, `copy` bytes copied. */
  gbps: number | null;
}

export function limitRow({ limit, work, visits, backend, isa, threads }: MeasuredLimit): LimitRow {
  const samples = visits.flat();
  const rate = giga(work, median(samples));
  const peak = limit.limit === 'peak';
  return {
    limit: limit.limit,
    bits: peak ? limit.bits : null,
    bytes: limit.limit === 'peak' ? null : limit.bytes,
    backend,
    isa,
    threads,
    ...spread(samples),
    gops: peak ? rate : null,
    gbps: peak ? null : rate,
  };
}

/** The reported rows of a group from the samples of its trials, in their order, and the limits measured with them. */
export function rowsOf(
  group: Group,
  samples: readonly Samples[],
  limits: ReadonlyMap<string, MeasuredLimit>,
): Row[] {
  const medians = new Map(group.trials.map((trial, i) => [keyOf(trial), median(samples[i])]));
  const speedOf = (baseline: Parameters<typeof keyOf>[0] | null, us: number): number | null => {
    const other = baseline && medians.get(keyOf(baseline));
    return other ? rounded(other / us) : null;
  };
  return group.trials.flatMap((trial, i): Row[] => {
    if (trial.baseline) return [];
    const { op, shape, bits, activations, backend, isa, threads } = trial;
    const us = median(samples[i]);
    const { operations, countedBytes } = costOf(trial);
    const limit = limitOf(trial);
    const measured = limit && limits.get(limitKey(trial, limit));
    const { eightBit, float } = baselinesOf(trial);
    const bandwidth = op === 'gemv' || trial.subject.kind === 'elements';
    return [
      {
        op,
        shape,
        bits,
        activations,
        backend,
        isa,
        threads,
        ...spread(samples[i]),
        gops: operations > 0 ? giga(operations, us) : null,
        gbps: bandwidth && countedBytes > 0 ? giga(countedBytes, us) : null,
        peakShare:
          limit && measured
            ? rounded(shareOf(trial, limit, us / 1e6, measured.work / (median(measured.visits.flat()) / 1e6)))
            : null,
        ofEightBit: speedOf(eightBit, us),
        ofFloat: speedOf(float, us),
      },
    ];
  });
}

function spread(samples: Samples): Pick<Row, 'medianUs' | 'p10Us' | 'p90Us'> {
  return {
    medianUs: rounded(median(samples)),
    p10Us: rounded(quantile(samples, 0.1)),
    p90Us: rounded(quantile(samples, 0.9)),
  };
}

/** 10^9 per second, from a number per call and microseconds. */
const giga = (work: number, us: number) => rounded(work / us / 1000);

/** Four digits: more are noise, and make the document hard to read. */
function rounded(value: number): number {
  return Number(value.toPrecision(4));
}
