import { SURVEY_BYTES } from './shapes.ts';
import { type Machine, machineName, type Trial } from './trial.ts';

/**
 * What a trial cannot exceed, and which limit it is held against:
 * - products: the products of that width on registers (`peak`);
 * - gemv: reading the dense weights, in memory of their size (`read`);
 * - statistics: reading what they read (`read`);
 * - other ops on arrays: copying the wider side (`copy`); beyond the caches, where stores decide, all bytes read and
 *   written against those of a copy past the caches (`stream`);
 * - calls on a few elements: nothing.
 */
export type Limit =
  | { limit: 'peak'; bits: number }
  /** Bytes of the array that is read or copied; for `stream` half of what moves. */
  | { limit: 'read' | 'copy' | 'stream'; bytes: number };

/** Work of one call. */
export interface Cost {
  /** Two for a multiply-add, padding counted. */
  operations: number;
  /** Each array once; weights dense. */
  readBytes: number;
  writtenBytes: number;
  /** What `gbps` counts. */
  countedBytes: number;
}

/** From here on stores go past the caches. */
const STREAM_BYTES = 16 * 1024 * 1024;

export function costOf(trial: Trial): Cost {
  const { subject, bits, activations } = trial;
  const element = activations === 'f32' ? 4 : 1;
  switch (subject.kind) {
    case 'matrix': {
      const { m, n, k } = subject;
      const weights = Math.ceil((n * k * bits) / 8);
      return {
        operations: 2 * m * n * k,
        readBytes: m * k * element + weights,
        writtenBytes: m * n * element,
        countedBytes: weights,
      };
    }
    case 'window': {
      const s = subject.shape;
      const taps = s.kernelHeight * s.kernelWidth;
      const weights = Math.ceil((s.outChannels * taps * (s.inChannels / s.groups) * bits) / 8);
      const outputs = s.batch * s.outHeight * s.outWidth * s.outChannels;
      return {
        operations: 2 * outputs * taps * (s.inChannels / s.groups),
        readBytes: s.batch * s.inHeight * s.inWidth * s.inChannels * element + weights,
        writtenBytes: outputs * element,
        countedBytes: weights,
      };
    }
    case 'elements':
      return arrayCost(trial, subject.count);
  }
}

function arrayCost({ op, bits }: Trial, n: number): Cost {
  const packed = Math.ceil((n * bits) / 8);
  const [readBytes, writtenBytes] = {
    quantize: [4 * n, n],
    dequantize: [n, 4 * n],
    moments: [4 * n, 0],
    histogram: [4 * n, 0],
    squaredError: [8 * n, 0],
    quantizeError: [4 * n, 0],
    pack: [n, packed],
    unpack: [packed, n],
    call: [0, 0],
  }[op as 'quantize'];
  const packing = op === 'pack' || op === 'unpack';
  return {
    operations: 0,
    readBytes,
    writtenBytes,
    countedBytes: packing ? n : Math.max(readBytes, writtenBytes),
  };
}

/** Operations per byte; 0 where there are no operations. */
export function intensityOf(trial: Trial): number {
  const { operations, readBytes, writtenBytes } = costOf(trial);
  return operations / Math.max(1, readBytes + writtenBytes);
}

export function limitOf(trial: Trial): Limit | null {
  const { readBytes, writtenBytes, countedBytes } = costOf(trial);
  if (trial.op === 'call') return null;
  if (trial.op === 'gemv') return { limit: 'read', bytes: countedBytes };
  if (trial.subject.kind !== 'elements') return { limit: 'peak', bits: trial.bits };
  if (writtenBytes === 0) return { limit: 'read', bytes: readBytes };
  return { limit: countedBytes >= STREAM_BYTES ? 'stream' : 'copy', bytes: countedBytes };
}

/** Share of the limit that a call of `seconds` reaches, from what the limit's own loop reaches per second. */
export function shareOf(trial: Trial, limit: Limit, seconds: number, limitPerSecond: number): number {
  const { operations, readBytes, writtenBytes, countedBytes } = costOf(trial);
  const work = {
    peak: operations,
    read: trial.op === 'gemv' ? countedBytes : readBytes,
    copy: countedBytes,
    stream: readBytes + writtenBytes,
  }[limit.limit];
  return work / seconds / limitPerSecond;
}

/** `peak 8`, `read 65536`: limits of one machine that are the same. */
export function limitName(limit: Limit): string {
  return `${limit.limit} ${limit.limit === 'peak' ? limit.bits : limit.bytes}`;
}

/** Identifies a limit among those of all machines. */
export const limitKey = (machine: Machine, limit: Limit) => `${machineName(machine)} ${limitName(limit)}`;

/** What is measured at the beginning and at the end, whatever the trials are. */
export const SURVEY: readonly Limit[] = [
  ...[8, 7, 6, 5, 4, 3, 2, 32].map((bits): Limit => ({ limit: 'peak', bits })),
  { limit: 'read', bytes: SURVEY_BYTES.small },
  { limit: 'read', bytes: SURVEY_BYTES.large },
  { limit: 'copy', bytes: SURVEY_BYTES.small },
  { limit: 'copy', bytes: SURVEY_BYTES.large },
  { limit: 'stream', bytes: SURVEY_BYTES.large },
];
