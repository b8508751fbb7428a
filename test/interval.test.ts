import assert from 'node:assert/strict';
import { paired } from '../lib/pipeline/interval.ts';

describe('paired interval', () => {
  it('is the adjusted Wald interval of matched pairs', () => {
    // n = 100, float alone right 8 times, quantized alone 3 times: pb = 9/102, pc = 4/102.
    const float = Float64Array.from({ length: 100 }, (_, i) => (i < 8 ? 1 : i < 11 ? 0 : 1));
    const quantized = Float64Array.from({ length: 100 }, (_, i) => (i < 8 ? 0 : 1));
    const result = paired(float, quantized);
    assert.equal(result.samples, 100);
    assert.equal(result.float, 97);
    assert.equal(result.quantized, 92);
    assert.ok(Math.abs(result.drop - 5) < 1e-12);
    const centre = 5 / 102;
    const half = 1.959963984540054 * Math.sqrt((13 / 102 - centre * centre) / 102);
    assert.ok(Math.abs(result.interval[0] - 100 * (centre - half)) < 1e-9);
    assert.ok(Math.abs(result.interval[1] - 100 * (centre + half)) < 1e-9);
  });

  it('keeps a width where the networks never disagree', () => {
    const same = new Float64Array(50).fill(1);
    const { drop, interval } = paired(same, same);
    assert.equal(drop, 0);
    assert.ok(interval[0] < -1 && interval[1] > 1);
  });

  it('takes the standard error of other scores', () => {
    const { drop, interval } = paired([0.5, 0.7, 0.9], [0.4, 0.5, 0.6]);
    assert.ok(Math.abs(drop - 20) < 1e-9);
    const error = (1.959963984540054 * 10) / Math.sqrt(3);
    assert.ok(Math.abs(interval[0] - (20 - error)) < 1e-9);
    assert.ok(Math.abs(interval[1] - (20 + error)) < 1e-9);
  });
});
