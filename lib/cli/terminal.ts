import type { Progress } from '../analysis/analysis.ts';
import { duration } from '../report/numbers.ts';

/** Where a command prints and what interrupts it; a value, so that tests can bring their own. */
export interface Terminal {
  /** Results, on stdout. */
  out(text: string): void;
  /** A line for people, on stderr. */
  note(line: string): void;
  /** Shows progress where a person watches; silent otherwise. */
  progress: Progress;
  /** Removes the progress line. */
  clear(): void;
  readonly signal: AbortSignal;
}

export interface TerminalOptions {
  out: (text: string) => void;
  error: (text: string) => void;
  /** A person watches stderr. */
  interactive: boolean;
  /** Columns of the terminal. */
  width: () => number;
  /** Milliseconds of a monotonic clock. */
  now: () => number;
  signal: AbortSignal;
}

/** Progress is drawn at most this often, in milliseconds. */
const REDRAW = 100;
/** An estimate before this much has passed would jump about. Milliseconds. */
const ESTIMATE_AFTER = 1500;
const ERASE = '\r\u001b[2K';

export function createTerminal(options: TerminalOptions): Terminal {
  let stage = '';
  let started = 0;
  let drawn = Number.NEGATIVE_INFINITY;
  let visible = false;

  function clear(): void {
    if (visible) options.error(ERASE);
    visible = false;
  }

  function progress(name: string, done: number, total: number, detail = ''): void {
    if (!options.interactive) return;
    const now = options.now();
    if (name !== stage) {
      stage = name;
      started = now;
    } else if (now - drawn < REDRAW && done < total) return;
    drawn = now;
    options.error(
      ERASE +
        progressLine(name, done, total, now - started, detail).slice(0, Math.max(20, options.width() - 1)),
    );
    visible = true;
  }

  return {
    out: (text) => {
      clear();
      options.out(text);
    },
    note: (line) => {
      clear();
      options.error(`${line}\n`);
    },
    progress,
    clear,
    signal: options.signal,
  };
}

/** `calibrate 45 %, about 12 s left`, or with a detail `train 45 %, loss 0.12, about 12 s left` */
export function progressLine(
  stage: string,
  done: number,
  total: number,
  elapsed: number,
  detail = '',
): string {
  if (!(total > 0)) return stage;
  const share = Math.min(1, Math.max(0, done / total));
  const text = `${stage} ${Math.floor(100 * share)} %${detail && `, ${detail}`}`;
  if (elapsed < ESTIMATE_AFTER || share <= 0 || share >= 1) return text;
  return `${text}, about ${duration((elapsed / 1000) * (1 / share - 1))} left`;
}
