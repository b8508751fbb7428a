/** What a stage is called, and what it stands for in the whole: the search measures after all the others. */
const TITLES = {
  load: 'Opening',
  float: 'Running the float network',
  calibrate: 'Calibrating',
  profile: 'Measuring single layers',
  allocate: 'Choosing widths',
  evaluate: 'Searching',
  check: 'Running the packed file',
};
/** After the search, widths that are the same for all layers are measured for comparison: as many as are offered. */
const UNIFORM = 6;
/** An estimate before this much has passed would jump about. Milliseconds. */
const ESTIMATE_AFTER = 1000;

/**
 * How far a run is, from what it says of its progress. Before the search it is guessed to take as long for each
 * evaluation as the float network took for the same samples, and afterwards what its evaluations did take. `evaluations`:
 * how many it may spend; it often ends with fewer.
 */
export class Estimate {
  #evaluations;
  #stage = '';
  #started = 0;
  #done = 0;
  /** Milliseconds of the float network's pass, of which an evaluation is another. */
  #pass = null;
  #searched = 0;
  #searchTime = 0;

  constructor(evaluations) {
    this.#evaluations = evaluations;
  }

  /** `{ title, share (of this stage, null where it does not tell), left (milliseconds, null where nobody knows) }`. */
  update(stage, done, total, now) {
    if (stage !== this.#stage || done < this.#done) this.#enter(stage, now);
    this.#done = done;
    const elapsed = now - this.#started;
    const share = total > 0 ? Math.min(1, done / total) : null;
    if (share === 1) this.#leave(stage, elapsed);
    const own = share && elapsed >= ESTIMATE_AFTER ? elapsed * (1 / share - 1) : null;
    const searching = stage === 'evaluate' || stage === 'allocate';
    if (!searching)
      return { title: TITLES[stage] ?? stage, share, left: own === null ? null : own + this.#ahead() };
    const over = this.#searched >= this.#evaluations;
    return {
      title: over
        ? 'Comparing with uniform widths'
        : `${TITLES.evaluate}, evaluation ${this.#searched + 1} of at most ${this.#evaluations}`,
      share: Math.min(1, this.#searched / (this.#evaluations + UNIFORM)),
      left: this.#searched < 2 ? null : this.#ahead(),
    };
  }

  #enter(stage, now) {
    this.#stage = stage;
    this.#started = now;
  }

  #leave(stage, elapsed) {
    if (stage === 'float') this.#pass ??= elapsed;
    if (stage !== 'evaluate') return;
    this.#searched++;
    this.#searchTime += elapsed;
  }

  /** What the search may still take. */
  #ahead() {
    const each = this.#searched > 0 ? this.#searchTime / this.#searched : this.#pass;
    return each === null ? 0 : each * Math.max(0, this.#evaluations + UNIFORM - this.#searched);
  }
}
