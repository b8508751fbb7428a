import assert from 'node:assert/strict';
import { costByHand } from '../benchmarks/accelerators/by-hand.ts';
import { standings, summary } from '../benchmarks/accelerators/summary.ts';
import type { Contest, Figures, Row } from '../benchmarks/accelerators/trial.ts';
import { loadDevice } from '../lib/pipeline/devices.ts';

const layer = {
  q: Int8Array.of(1, -2, 0, 3),
  bits: 3,
  operator: 'conv' as const,
  outChannels: 1,
  groups: 1,
  pixels: 4,
  inputs: 16,
};

function near(actual: number, expected: number): void {
  assert.ok(Math.abs(actual / expected - 1) < 1e-12, `${actual} is not ${expected}`);
}

/** Figures of which only energy and area count. */
function figures(energy: number, area: number): Figures {
  return { energy, compute: energy / 2, area, areaByTime: area, peakArea: area, latency: 1 };
}

function row(pair: string, macBits: number, energy: number, area: number): Row {
  const int8 = figures(100, 10);
  const contest: Contest = {
    own: figures(energy, area),
    ...{ int8, int8Narrow: int8, gated: int8, gatedNarrow: int8 },
  };
  return {
    pair,
    macBits,
    device: 'D',
    objective: 'energy',
    verdict: 'met',
    averageBits: 4,
    full: contest,
    withoutGlobalBuffer: contest,
    ...{ validationDrop: 0, drop: null, interval: null, int8Drop: null },
  } as Row;
}

describe('the comparison of accelerators', () => {
  it('has costs of its own that agree with paper and pencil', async () => {
    const device = await loadDevice('shift-add-serial-45nm');
    const { energy, area, areaByTime, peakArea, latency } = costByHand(device, [layer]);
    // Digits max(1, set bits): 1, 1, 1, 2. Sixteen deep, of which four have work: 64 products are paid.
    const elements = 64 * (47.4 * 3 + 413.7 * 0.75 + 231.1 * 1.25);
    // 12 bits of weights, 16 inputs, four sums of 64 bits; 2 bytes of weights and 8 of scale and bias.
    const memories = ((12 + 16 * 8 + 4 * 64) / 8) * 2.5 + (2 + 8) * 64;
    near(energy, elements / 1e9 + memories / 1e6);
    near(area, (119.08 * 4096 * 3) / 1e6);
    near(areaByTime, area);
    near(peakArea, area);
    near(latency, (3 / 400e6) * 1e3);
  });

  it('counts set bits of magnitudes and of registers, and bits that change', async () => {
    const skip = costByHand(await loadDevice('shift-add-skip-45nm'), [layer]);
    // Registers 00000001, 11111110, 00000000, 00000011: bits 0 and 1 are set twice, the others once.
    const shares = [2, 2, 1, 1, 1, 1, 1, 1].map((count) => count / 4);
    const toggles = shares.reduce((sum, share) => sum + 2 * share * (1 - share), 0);
    // Lanes of 16 pixels that share a weight, of which four have work.
    const elements = 4 * 16 * (171.4 * 1.25 + 528.3 * 1 + 174 * toggles);
    const memories = ((12 + 16 * 8 + 4 * 64) / 8) * 2.5 + (2 + 8) * 64;
    near(skip.energy, elements / 1e9 + memories / 1e6);
    near(skip.area, (455.64 * 256 * 1.25) / 1e6);
  });

  it('holds each device against both bars, area only where the mean width is four bits or less', () => {
    const rows = [row('one', 3.5, 79.4, 7.7), row('two', 5, 79.5, 12)];
    const found = standings(rows);
    const of = (measure: string) => found.find((standing) => standing.measure === measure)!;
    const energy = of('energy against INT8');
    assert.equal(energy.pairs, 2);
    assert.deepEqual(energy.missed, [{ pair: 'two', ratio: 0.795 }]);
    const area = of('area against INT8, at most 4 bits per MAC');
    assert.deepEqual([area.pairs, area.best, area.worst, area.missed], [1, 0.77, 0.77, []]);
    assert.equal(of('area against INT8, all pairs').worst, 1.2);
    // 15 % off what INT8's elements spend, which is half of its 100.
    near(of('energy against INT8 whose elements spend 15 % less').best, 79.4 / 92.5);
    assert.ok(standings([rows[1]]).every(({ measure }) => !measure.includes('at most 4 bits')));
    assert.match(
      summary(rows).join('\n'),
      /\| D \| energy against INT8 \| -20\.6 % \| -20\.5 % \| -20\.6 % \| 1 of 2 \| two -20\.5 % \|/,
    );
  });
});
