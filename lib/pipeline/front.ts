import { join } from 'node:path';
import { defaultStrategy, type FrontierPoint } from '../allocate/index.ts';
import { within } from '../allocate/targets.ts';
import { refuse } from '../errors.ts';
import type { Answer } from './answers.ts';
import { artefactFiles } from './artefacts.ts';
import { commandOf } from './command.ts';
import { conclude } from './conclusion.ts';
import { refuseExisting, writeDirectory } from './files.ts';
import { type FrontFile, frontCsv, frontFileOf } from './front-file.ts';
import { type Pick, parsePick, pickPoint } from './front-pick.ts';
import { nodeHost } from './node-host.ts';
import { checkOptions, type QuantizeOptions } from './options.ts';
import { OUTPUT_NAMES, outputFiles } from './output-files.ts';
import { goalOf } from './resources.ts';
import type { QuantizeSummary, Reused } from './result.ts';
import { type Study, withStudy } from './study.ts';

const NAMES = { json: 'front.json', csv: 'front.csv' } as const;
/** Budgets at which widths are sought. */
const POINTS = 12;
/** More are an evaluation each, and no chart shows them. */
const POINTS_LIMIT = 200;

/** Ceilings of the options hold for every point; floors have no meaning here. */
export interface FrontOptions
  extends Omit<QuantizeOptions, 'maxDrop' | 'minAccuracy' | 'strategy' | 'minimize'> {
  /** What accuracy is traded against: size (default), bits, bops, energy, ... */
  resource?: string;
  /** Budgets at which widths are sought; default 12. */
  points?: number;
  /** Also writes the artefacts of one point: `knee`, `budget=120kB` or `drop=1`. */
  pick?: string;
}

export interface FrontResult {
  front: FrontFile;
  /** Judged after it was chosen; null where nothing was to be picked. */
  picked: QuantizeSummary | null;
  cached: Reused;
  /** Null where no `out` was given. */
  files: { directory: string; json: string; csv: string } | null;
}

/**
 * Accuracy against a resource: the network is measured once, widths are sought for budgets from the smallest to the
 * widest and each is evaluated on validation samples. Rejects as `quantize`, and with TARGET_UNREACHABLE where no point
 * is what `pick` asks for.
 */
export async function front(options: FrontOptions): Promise<FrontResult> {
  const { resource = 'size', points = POINTS, pick: pickText, ...rest } = options;
  if (!(Number.isInteger(points) && points >= 2 && points <= POINTS_LIMIT))
    refuse(`a whole number from 2 to ${POINTS_LIMIT}`, 'points', points);
  const pick = pickText === undefined ? null : parsePick(pickText);
  const { out, force = false, signal, evaluations = 2 * points } = rest;
  const flags = [`--resource ${resource}`, `--points ${points}`, ...(pickText ? [`--pick ${pickText}`] : [])];
  const command = [commandOf(rest).replace('quantize', 'sweep'), ...flags].join(' ');
  const asked: QuantizeOptions = { ...rest, evaluations, command };
  checkOptions(asked);
  signal?.throwIfAborted();
  if (out !== undefined) await refuseExisting(out, force, [...OUTPUT_NAMES, ...Object.values(NAMES)]);
  return withStudy(nodeHost, asked, async (study) => {
    const goal = goalOf(resource, study.costs.model);
    const limit = pick?.kind === 'budget' ? await budgetOf(study, `${resource}=${pick.text}`) : 0;
    const found = await study.front(asked, { resource: goal, points });
    const chosen = pick && pickPoint(found, goal, pick, limit);
    const answer = chosen && (await answerAt(study, found, chosen, asked, pick!));
    const { artefacts, ...summary } = answer ? await conclude(study, answer, asked) : { artefacts: null };
    const file = frontFileOf(found, {
      model: { name: study.model.name, sha256: study.model.sha256 },
      device: study.costs.device.name,
      resource: goal,
      unit: study.costs.model.resources.find(({ name }) => name === goal)?.unit ?? '',
      metric: study.metricName,
      picked: chosen ? found.indexOf(chosen) : null,
    });
    if (out !== undefined)
      await writeDirectory(
        out,
        {
          ...(artefacts ? artefactFiles(artefacts) : {}),
          [NAMES.json]: `${JSON.stringify(file, null, 2)}\n`,
          [NAMES.csv]: frontCsv(file),
        },
        { names: [...OUTPUT_NAMES, ...Object.values(NAMES)], force, ...(signal ? { signal } : {}) },
      );
    return {
      front: file,
      picked: artefacts && {
        ...(summary as QuantizeSummary),
        files: out === undefined ? null : outputFiles(out, artefacts.sqnt !== null),
      },
      cached: { ...study.cache.reused },
      files:
        out === undefined ? null : { directory: out, json: join(out, NAMES.json), csv: join(out, NAMES.csv) },
    };
  });
}

async function budgetOf(study: Study, text: string): Promise<number> {
  const [{ limit }] = await study.costs.ceilings([text]);
  return limit;
}

/** The point as an answer: what was tried before it is its trace. */
async function answerAt(
  study: Study,
  points: readonly FrontierPoint[],
  chosen: FrontierPoint,
  { targets }: QuantizeOptions,
  pick: Pick,
): Promise<Answer> {
  const ceilings = await study.costs.ceilings(targets);
  const { widths, cost, measurement } = chosen;
  return {
    allocation: {
      widths,
      cost,
      measurement,
      verdict: within(ceilings, cost) ? 'met' : 'impossible',
      binding: [],
      reachable: null,
      feasible: [],
      evaluations: points.length,
      trace: points.map((point, index) => ({
        phase: 'front',
        moves: movesBetween(points[index - 1] ?? point, point),
        reason: point.onFront ? 'a point of the front' : 'dominated',
        cost: point.cost,
        measurement: point.measurement,
        kept: point === chosen,
      })),
    },
    feasible: [],
    ceilings,
    floor: pick.kind === 'drop' ? { text: `max-drop=${pick.points}`, maxDrop: pick.points } : null,
    strategy: defaultStrategy,
    ...(await study.validate(widths, null)),
  };
}

function movesBetween(before: FrontierPoint, after: FrontierPoint) {
  return [...after.widths].flatMap(([layer, { weights: to }]) => {
    const from = before.widths.get(layer)!.weights;
    return from === to ? [] : [{ layer, from, to }];
  });
}
