import type { LayerProfile } from '../analysis/analysis.ts';
import type { ProfileCheckpoint, ProfileState } from '../analysis/index.ts';
import type { Dataset } from '../data/dataset.ts';
import type { Layer } from '../graph/graph.ts';
import type { Kernels } from '../kernels/kernels.ts';
import type { QuantizedLayer } from '../quant/quantizer.ts';
import type { Recovery } from '../recovery/recovery.ts';
import { type CacheEntries, digestOf, noEntries } from './cache-entries.ts';
import {
  type PackedLayer,
  type PackedScore,
  packLayer,
  packScore,
  unpackLayer,
  unpackScore,
} from './cache-values.ts';
import type { Choices } from './choices.ts';
import type { Host } from './host.ts';
import { learningOptions, roundingOf } from './learning.ts';
import { metricDigest } from './metric.ts';
import type { Executable } from './model.ts';
import { type DataSource, DEFAULTS, type QuantizeOptions, recoveryOf } from './options.ts';
import { type Ranges, widthsKey } from './quantization.ts';
import type { Reused } from './result.ts';
import type { Roles, Samples } from './samples.ts';
import type { Score } from './scoring.ts';
import type { Candidate } from './search.ts';

/** Samples whose values enter a key where the caller brings a data set: what its preprocessing makes of them. */
const SAMPLES_IN_KEY = 2;
/** Hex digits that tell the evaluations of one key apart. */
const WIDTHS_DIGITS = 32;

/** What of a study is kept from one run to the next. */
export interface StudyCache {
  readonly reused: Reused;
  /** Calibration samples that earlier runs could not read: this one may not come across them. */
  readonly unreadable: readonly string[];
  ranges(make: () => Promise<Ranges>): Promise<Ranges>;
  recovery(made: Recovery): Recovery;
  profile(
    make: (checkpoint: ProfileCheckpoint) => Promise<readonly LayerProfile[]>,
  ): Promise<readonly LayerProfile[]>;
  /** Where learning from these samples keeps what it made. */
  learning(training: Dataset): Promise<CacheEntries>;
  /** `metric`: what scores mean. */
  candidate(made: Candidate, metric: string, training: Dataset): Promise<Candidate>;
}

/** What values depend on. */
export interface CachedStudy extends Pick<Executable, 'model' | 'executor'> {
  host: Host;
  options: QuantizeOptions;
  kernels: Kernels;
  /** Those that get a width, in execution order. */
  layers: readonly Layer[];
  choices: Choices;
  roles: Roles;
}

/** The cache that the options name; one that keeps nothing where they name none. Throws INVALID_ARGUMENT for a file. */
export async function openCache(study: CachedStudy): Promise<StudyCache> {
  const { cache, onWarning = study.host.warn } = study.options;
  const none = async () => noEntries;
  if (cache === undefined) return new KeptStudy(study, noEntries, noEntries, none, none);
  const entries = await study.host.openCache(cache, onWarning);
  const integers = await integersKey(study);
  const widths = study.choices.layers.map(({ bits }) => bits);
  return new KeptStudy(
    study,
    await entries(['integers', integers]),
    await entries(['profile', integers, widths]),
    (validation) => entries(['evaluations', integers, validation]),
    (learning) => entries(['learning', integers, learning]),
  );
}

/**
 * What integers depend on: everything but what is known to change none of them, so that an option of tomorrow is in.
 * Tiers with fused multiply-adds give the same bits on every processor, the others each their own; another
 * executor is trusted on one kind of processor alone.
 */
async function integersKey({
  host,
  model,
  executor,
  options,
  kernels,
  choices,
  roles,
}: CachedStudy): Promise<object> {
  const { signal, onProgress, onWarning, cache, out, force, command, threads, backend, isa, ...work } =
    options;
  const { model: _, calibration, validation, evaluate, metric, bits, pins, bans, groups, ...search } = work;
  const { targets, maxDrop, minAccuracy, minSqnr, strategy, evaluations, cacheBytes, opset, ...rest } =
    search;
  const { minimize, device, training, trainingSamples, ...most } = rest;
  const { epochs, epochsPerStep, learningRate, labelShare, augment, ...others } = most;
  return {
    tool: host.version,
    model: model.sha256,
    executor: executor.name === 'engine' ? executor : [executor, host.processor],
    tier: kernels.fused ? 'fused' : [kernels.backend, kernels.isa],
    calibration: await samplesKey(roles.calibration, calibration),
    options: sorted({
      ...others,
      recovery: roundingOf(recoveryOf(options.recovery)),
      ranges: options.ranges ?? DEFAULTS.ranges,
      samples: options.samples ?? DEFAULTS.samples,
      seed: options.seed ?? DEFAULTS.seed,
      executor: undefined,
    }),
    activations: choices.layers.map(({ activations }) => activations),
  };
}

function sorted(record: object): [string, unknown][] {
  return Object.entries(record)
    .filter(([, value]) => value !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
}

/** The source by its content; of a caller's data set the first samples too, whose preprocessing nobody else knows. */
async function samplesKey(
  { dataset, size, select }: Samples,
  source: DataSource | undefined,
): Promise<object> {
  const key = { source: await dataset.fingerprint(), size, part: select !== undefined };
  if (typeof source !== 'object') return key;
  for await (const { x } of dataset.batches({ size: SAMPLES_IN_KEY, ...(select ? { select } : {}) }))
    return { ...key, first: digestOf(new Uint8Array(x.buffer, x.byteOffset, x.byteLength)) };
  return key;
}

class KeptStudy implements StudyCache {
  readonly reused: Reused = { profile: 0, evaluations: 0, integers: 0 };
  readonly #study: CachedStudy;
  readonly #integers: CacheEntries;
  readonly #profile: CacheEntries;
  readonly #evaluations: (validation: object) => Promise<CacheEntries>;
  readonly #learning: (learning: object) => Promise<CacheEntries>;
  readonly #unreadable = new Set<string>();

  constructor(
    study: CachedStudy,
    integers: CacheEntries,
    profile: CacheEntries,
    evaluations: (validation: object) => Promise<CacheEntries>,
    learning: (learning: object) => Promise<CacheEntries>,
  ) {
    this.#learning = learning;
    this.#study = study;
    this.#integers = integers;
    this.#profile = profile;
    this.#evaluations = evaluations;
  }

  get unreadable(): readonly string[] {
    return [...this.#unreadable];
  }

  async ranges(make: () => Promise<Ranges>): Promise<Ranges> {
    const known = await this.#read<Ranges>(this.#integers, 'ranges');
    if (known) return known;
    const made = await make();
    await this.#write(this.#integers, 'ranges', made);
    return made;
  }

  recovery(made: Recovery): Recovery {
    const positions = new Map(this.#study.layers.map(({ name }, index) => [name, index]));
    const known = new Map<string, QuantizedLayer>();
    const quantize: Recovery['quantize'] = async (name, bits, signal) => {
      signal?.throwIfAborted();
      const entry = `layer-${positions.get(name)}-${bits}bits`;
      const before = known.get(entry);
      if (before) return before;
      const kept = await this.#integers.read<PackedLayer>(entry);
      if (kept) this.reused.integers++;
      const result = kept ? unpackLayer(kept) : await made.quantize(name, bits, signal);
      if (!kept) await this.#integers.write(entry, packLayer(result));
      known.set(entry, result);
      return result;
    };
    return {
      name: made.name,
      quantize,
      get cached() {
        return known.size;
      },
    };
  }

  async profile(
    make: (checkpoint: ProfileCheckpoint) => Promise<readonly LayerProfile[]>,
  ): Promise<readonly LayerProfile[]> {
    const whole = await this.#read<{ samples: number; profiles: LayerProfile[] }>(this.#profile, 'whole');
    if (whole) {
      this.reused.profile = whole.samples;
      return whole.profiles;
    }
    const from = await this.#read<ProfileState>(this.#profile, 'begun');
    let samples = (this.reused.profile = from?.samples ?? 0);
    const profiles = await make({
      from,
      save: async (state) => {
        samples = state.samples;
        await this.#write(this.#profile, 'begun', state);
      },
    });
    await this.#write(this.#profile, 'whole', { samples, profiles });
    await this.#profile.remove('begun');
    return profiles;
  }

  async learning(training: Dataset): Promise<CacheEntries> {
    return this.#learning(await this.#learningKey(training));
  }

  async #learningKey(training: Dataset): Promise<object> {
    const { options } = this.#study;
    const learned = sorted(learningOptions(options));
    return { data: await training.fingerprint(), learned, seed: options.seed ?? DEFAULTS.seed };
  }

  async candidate(made: Candidate, metric: string, training: Dataset): Promise<Candidate> {
    const { options, roles } = this.#study;
    const digest = await metricDigest(options.metric, this.#study.host);
    if (options.cache === undefined || digest === null) return made;
    const source = options.validation ?? options.evaluate ?? options.calibration;
    const samples = await samplesKey(roles.validation, source);
    const between = options.epochsPerStep ? { learning: await this.#learningKey(training) } : {};
    const entries = await this.#evaluations({ metric, digest, samples, ...between });
    const known = new Map<string, Score>();
    const score: Candidate['score'] = async (widths, work) => {
      work.signal?.throwIfAborted();
      const entry = `widths-${digestOf(widthsKey(widths)).slice(0, WIDTHS_DIGITS)}`;
      const before = known.get(entry);
      if (before) return before;
      const kept = await entries.read<PackedScore>(entry);
      if (kept) this.reused.evaluations++;
      const result = kept ? unpackScore(kept) : await made.score(widths, work);
      if (!kept) await entries.write(entry, packScore(result));
      known.set(entry, result);
      return result;
    };
    return {
      get quantization() {
        return made.quantization;
      },
      get executor() {
        return made.executor;
      },
      become: made.become,
      finish: made.finish,
      score,
    };
  }

  async #read<T>(entries: CacheEntries, name: string): Promise<T | null> {
    const kept = await entries.read<{ value: T; unreadable: string[] }>(name);
    for (const sample of kept?.unreadable ?? []) this.#unreadable.add(sample);
    return kept?.value ?? null;
  }

  /** With the samples that this work could not read: whoever skips it shall know of them. */
  #write(entries: CacheEntries, name: string, value: unknown): Promise<void> {
    const { unreadable = [] } = this.#study.roles.calibration.dataset;
    return entries.write(name, { value, unreadable: [...new Set([...this.#unreadable, ...unreadable])] });
  }
}
