import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import {
  type AllocationFile,
  allocationJsonSchema,
  parseAllocation,
  serializeAllocation,
} from '../lib/export/allocation.ts';
import { markdownReport } from '../lib/report/markdown.ts';

const digest = 'ab'.repeat(32);

const allocation: AllocationFile = {
  version: 1,
  tool: { name: 'sigmaquant', version: '1.2.3' },
  model: { name: 'tiny', sha256: digest },
  exported: { file: 'model.onnx', profile: 'ort', opset: 21, sha256: digest },
  seed: 0,
  strategy: 'sensitivity',
  recovery: 'gptq',
  ranges: 'mse',
  preprocessing: { scale: 1 / 255, mean: [0.4, 0.5, 0.6] },
  targets: [{ resource: 'weightBytes', limit: 600, text: 'size=15%' }],
  floor: { text: 'max-drop=1', maxDrop: 1 },
  verdict: 'met',
  binding: [],
  feasible: [],
  reachable: null,
  warnings: ['The judged samples lose 1.50 points, more than the 1.00 of the floor that validation held.'],
  cost: { weightBytes: 614, averageBits: 3.5 },
  floatBytes: 4000,
  validation: { metric: 'top-1', float: 90, quantized: 89.5, drop: 0.5, interval: [-0.4, 1.4], samples: 200 },
  accuracy: { metric: 'top-1', float: 91, quantized: 89.5, drop: 1.5, interval: [0.1, 2.9], samples: 200 },
  data: {
    calibration: { name: 'c.npz', samples: 64, sha256: digest },
    validation: { name: 'e.npz', samples: 200, sha256: digest },
    judged: { name: 'e.npz', samples: 200, sha256: digest },
  },
  layers: [
    {
      name: 'conv|1',
      op: 'Conv',
      parameters: 400,
      weightCount: 400,
      outChannels: 4,
      macs: 40_000,
      sigma: 0.12,
      weights: 8,
      activations: 8,
      weightBytes: 432,
    },
    {
      name: 'fc',
      op: 'Linear',
      parameters: 400,
      weightCount: 400,
      outChannels: 4,
      macs: 400,
      sigma: 0.05,
      weights: 3,
      activations: 8,
      weightBytes: 182,
    },
  ],
  quantizers: [{ value: 'x', bits: 8, scale: 0.02, zeroPoint: 128, low: 0, high: 255 }],
  floatNodes: [],
  evaluations: 7,
  trace: [
    {
      phase: 'refine',
      moves: [{ layer: 'fc', from: 4, to: 3 }],
      reason: 'smallest rise of divergence per byte',
      cost: { weightBytes: 580 },
      measurement: { drop: 0.5, accuracy: 89.5, divergence: 0.01 },
      kept: true,
    },
  ],
};

describe('allocation.json', () => {
  it('comes back as it was written', () => {
    assert.deepEqual(parseAllocation(serializeAllocation(allocation)), allocation);
  });

  it('is described by the published schema', () => {
    const published = readFileSync(new URL('../docs/allocation.schema.json', import.meta.url), 'utf8');
    assert.deepEqual(
      JSON.parse(published),
      JSON.parse(JSON.stringify(allocationJsonSchema())),
      'npx tsx scripts/allocation-schema.ts writes it again',
    );
  });

  it('is refused with the field that is wrong', () => {
    const wrong = (change: object) => () => parseAllocation(JSON.stringify({ ...allocation, ...change }));
    assert.throws(wrong({ version: 2 }), { code: 'INVALID_ARGUMENT', message: /field version/ });
    assert.throws(wrong({ extra: 1 }), { code: 'INVALID_ARGUMENT', message: /extra/ });
    assert.throws(wrong({ layers: [{ ...allocation.layers[0], weights: 9 }] }), {
      message: /layers\.0\.weights/,
    });
    assert.throws(() => parseAllocation('{'), { code: 'INVALID_ARGUMENT', message: /^Expected JSON/ });
  });
});

describe('report.md', () => {
  const report = markdownReport({
    allocation,
    command: 'sigmaquant quantize tiny.onnx',
    fileBytes: 1500,
    sqntBytes: 777,
  });

  it('states the verdict first, and where the judged samples miss the floor', () => {
    const [title, , verdict] = report.split('\n');
    assert.match(title, /^# tiny: quantized to 3\.50 bits/);
    assert.match(verdict, /^\*\*Verdict: met\*\*/);
    assert.match(
      report,
      /\*\*Note:\*\* The judged samples lose 1\.50 points, more than the 1\.00 of the floor/,
    );
  });

  it('gives sizes, accuracies, layers, reasons and the command', () => {
    assert.match(report, /\| \*\*this result, packed\*\* +\| +614 \| +15\.3 % \|/);
    assert.match(report, /\| packed file, `model\.sqnt` +\| +777 \| +19\.4 % \|/);
    assert.match(report, /\| all layers at 8 bits +\| +864 \| +21\.6 % \|/);
    assert.match(
      report,
      /\| judged once, unseen +\| top-1 +\| +91\.00 % \| +89\.50 % \| +\+1\.50 \| +\+0\.10 \.\. \+2\.90 \| +200 \|/,
    );
    assert.match(report, /\| conv\\\|1 \| Conv/);
    assert.match(report, /fc 4 to 3/);
    assert.match(report, /```sh\nsigmaquant quantize tiny\.onnx\n```/);
  });
});
