import assert from 'node:assert/strict';
import type {
  AllocatableLayer,
  Ceiling,
  CostModel,
  LayerWidths,
  Problem,
  Tie,
} from '../lib/allocate/allocate.ts';
import { strategies } from '../lib/allocate/index.ts';
import { createSearch, type Plan, type Search } from '../lib/allocate/search.ts';
import { bestPlan, frontPlans, neighbours } from '../lib/allocate/solver.ts';
import { within } from '../lib/allocate/targets.ts';
import { randomness } from './synthetic-problem.ts';

const RESOURCES = ['weightBytes', 'bops', 'activationBytes'];

/** Bytes of weights are a sum, bops a sum of products of both widths, the peak the largest of three parts. */
function problemOf(seed: number, options: Partial<Problem> = {}): Problem {
  const random = randomness(seed);
  const layers = ['a', 'b', 'c', 'd'].map((name): AllocatableLayer => {
    const [weights, input] = [random(), random()];
    const table = (strength: number, widths: number[]) =>
      Object.fromEntries(widths.map((bits) => [bits, strength * 4 ** -bits * (1 + 0.2 * random())]));
    return {
      name,
      parameters: Math.round(100 + 900 * random()),
      macs: Math.round(1000 + 9000 * random()),
      sigma: random(),
      rawSigma: null,
      bits: [2, 4, 8],
      activations: [4, 8],
      weightDivergence: table(weights, [2, 4, 8]),
      outputDivergence: table(weights, [2, 4, 8]),
      inputDivergence: table(input, [4, 8]),
      curvatureLoss: null,
    };
  });
  const elements = layers.map(() => Math.round(100 + 900 * random()));
  const share = (name: string, { weights, activations }: LayerWidths, resource: string, part = 0): number => {
    const index = layers.findIndex((layer) => layer.name === name);
    if (resource === 'weightBytes') return Math.ceil((layers[index].parameters * weights) / 8);
    if (resource === 'bops') return layers[index].macs * weights * activations;
    return index === part || index === part + 1 ? (elements[index] * activations) / 8 : 0;
  };
  const parts = (resource: string) => (resource === 'activationBytes' ? 3 : 1);
  const cost: CostModel = {
    parts,
    layerCost: share,
    cost: (widths) =>
      Object.fromEntries(
        RESOURCES.map((resource) => {
          const sums = Array.from({ length: parts(resource) }, (_, part) =>
            [...widths].reduce((sum, [name, own]) => sum + share(name, own, resource, part), 0),
          );
          return [resource, Math.max(...sums)];
        }),
      ),
  };
  return {
    layers,
    ties: [],
    cost,
    ceilings: [],
    maxDrop: null,
    goal: 'weightBytes',
    evaluate: null,
    budget: 0,
    buffer: { cost: 0.2, drop: 2 },
    seed,
    ...options,
  };
}

function everyPlan({ dials }: Search): Plan[] {
  return dials.reduce<Plan[]>(
    (plans, { bits }) => plans.flatMap((plan) => bits.map((own) => [...plan, own])),
    [[]],
  );
}

function scoreOf({ dials, scores }: Search, plan: Plan): number {
  return plan.reduce((sum, bits, dial) => sum + scores[dial][dials[dial].bits.indexOf(bits)], 0);
}

/** Ceilings somewhere between what the smallest and the widest plan take. */
function ceilingsOf(search: Search, random: () => number, resources: readonly string[]): Ceiling[] {
  const [low, high] = [search.cost(search.smallest), search.cost(search.widest)];
  return resources.map((resource) => {
    const limit = low[resource] + (0.05 + 0.9 * random()) * (high[resource] - low[resource]);
    return { resource, limit, text: `${resource}=${limit}` };
  });
}

describe('plans within ceilings', () => {
  const ties: Tie[][] = [
    [],
    [{ of: 'activations', layers: ['a', 'c'] }],
    [
      { of: 'weights', layers: ['b', 'd'] },
      { of: 'activations', layers: ['a', 'b', 'c'] },
    ],
  ];
  const asked = [['weightBytes'], ['bops'], ['activationBytes'], ['weightBytes', 'bops'], RESOURCES];

  for (const [number, tied] of ties.entries())
    for (const resources of asked)
      it(`are as good as trying everything: ${resources.join(', ')}, ${number} ties`, async () => {
        for (const seed of [1, 2, 3, 4]) {
          const search = createSearch(problemOf(seed, { ties: tied }));
          const ceilings = ceilingsOf(search, randomness(seed + 100), resources);
          const fitting = everyPlan(search).filter((plan) => within(ceilings, search.cost(plan)));
          const best = Math.min(...fitting.map((plan) => scoreOf(search, plan)));
          const found = await bestPlan(search, search.scores, ceilings);
          assert.ok(found && within(ceilings, search.cost(found)));
          assert.ok(scoreOf(search, found) <= best * (1 + 1e-6), `${scoreOf(search, found)} of ${best}`);
        }
      });

  it('are null where none fits, and the widest without ceilings', async () => {
    const search = createSearch(problemOf(5));
    const least = search.cost(search.smallest);
    const below = RESOURCES.map((resource) => ({ resource, limit: least[resource] * 0.99, text: resource }));
    for (const ceilings of [[below[0]], [below[1]], [below[2]], below])
      assert.equal(await bestPlan(search, search.scores, ceilings), null);
    assert.deepEqual(await bestPlan(search, search.scores, []), search.widest);
  });

  it('keep a ceiling that the smallest plan meets exactly', async () => {
    const search = createSearch(problemOf(6));
    const least = search.cost(search.smallest);
    const ceilings = RESOURCES.map((resource) => ({ resource, limit: least[resource], text: resource }));
    assert.deepEqual(await bestPlan(search, search.scores, ceilings), search.smallest);
  });

  it('have neighbours that keep them too', () => {
    for (const seed of [1, 2, 3]) {
      const search = createSearch(problemOf(seed));
      const ceilings = ceilingsOf(search, randomness(seed), RESOURCES);
      const around = neighbours(search, search.scores, search.smallest, ceilings);
      assert.ok(around.length > 0);
      for (const plan of around) assert.ok(within(ceilings, search.cost(plan)));
    }
  });

  it('lie on a front only where the resource is a sum over dials', () => {
    const search = createSearch(problemOf(1));
    const front = frontPlans(search, search.scores, 'weightBytes')!;
    assert.deepEqual(search.cost(front[0]).weightBytes, search.cost(search.smallest).weightBytes);
    assert.equal(frontPlans(search, search.scores, 'bops'), null);
    assert.equal(frontPlans(search, search.scores, 'activationBytes'), null);
  });
});

describe('layers that share a width', () => {
  const ties: Tie[] = [
    { of: 'weights', layers: ['b', 'd'] },
    { of: 'activations', layers: ['a', 'c'] },
  ];
  for (const [name, strategy] of Object.entries(strategies))
    it(`have one with ${name}`, async () => {
      const problem = problemOf(3, { ties });
      const search = createSearch(problem);
      const ceilings = ceilingsOf(search, randomness(9), ['weightBytes', 'bops']);
      const { widths, cost } = await strategy({ ...problem, ceilings });
      assert.equal(widths.get('b')!.weights, widths.get('d')!.weights);
      assert.equal(widths.get('a')!.activations, widths.get('c')!.activations);
      if (name !== 'uniform') assert.ok(within(ceilings, cost), JSON.stringify(cost));
    });

  it('must offer a common one', () => {
    const problem = problemOf(3, { ties });
    const layers = problem.layers.map((layer) => (layer.name === 'b' ? { ...layer, bits: [3] } : layer));
    assert.throws(() => createSearch({ ...problem, layers }), /b: 3; d: 2, 4, 8/);
  });
});

describe('inputs', () => {
  it('are narrowed where that costs least', async () => {
    const problem = problemOf(4);
    const layers = problem.layers.map((layer, index) => ({
      ...layer,
      inputDivergence: { 4: index === 2 ? 0 : 1, 8: 0 },
      macs: 1000,
    }));
    const full = { weights: 8, activations: 8 };
    const bops = problem.cost.cost(new Map(layers.map(({ name }) => [name, full])))['bops'];
    const spared = problem.cost.layerCost('c', full, 'bops') / 2;
    const ceilings = [{ resource: 'bops', limit: bops - spared, text: 'bops' }];
    const { widths } = await strategies['sensitivity']({ ...problem, layers, ceilings });
    assert.equal(widths.get('c')!.activations, 4);
    for (const name of ['a', 'b', 'd']) assert.equal(widths.get(name)!.activations, 8);
  });
});
