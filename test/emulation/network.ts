// The demo network on its first test images, with mixed widths, on the best instruction set of this processor:
//   node network.js > expected.json      prints its logits, in integers and in float
//   node network.js expected.json ISA    asserts that they are the same here, and that ISA was chosen
// The working directory is the package.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { openDataset } from '../../lib/data/index.ts';
import { compile } from '../../lib/engine/index.ts';
import { importGraph, type Tensor, toChannelsLast } from '../../lib/graph/index.ts';
import { createKernels } from '../../lib/kernels/index.ts';
import { createReference } from '../../lib/kernels/reference.ts';
import { one, quantizationFrom } from '../engine/support.ts';

const EXAMPLE = 'examples/cifar10/';
const IMAGES = 3;
/** Every width takes its turn. */
const bitsOf = (layer: number) => 2 + (layer % 7);

interface Logits {
  fused: boolean;
  integers: number[];
  float: number[];
}

const [expectedFile, isa] = process.argv.slice(2);
const graph = toChannelsLast(importGraph(readFileSync(`${EXAMPLE}resnet8-cifar10.onnx`)).graph);
const images = await firstImages();
const kernels = await createKernels({ backend: 'native' });
if (isa) assert.equal(kernels.isa, isa);

// The ranges come from the reference: float sums of scalar tiers round otherwise, and integers follow their scales.
// One image is enough; what lies outside in the others is clamped.
const [{ name: input }] = graph.inputs;
const reference = compile(graph, createReference());
const names = graph.nodes.flatMap(({ outputs }) => outputs);
const values = reference.run(one(input, firstOf(images)), names);
const quantization = quantizationFrom(graph, new Map(values).set(input, images), bitsOf);

const actual: Logits = {
  fused: kernels.fused,
  integers: logitsOf(compile(graph, kernels, { quantization })),
  float: logitsOf(compile(graph, kernels)),
};
assert.ok(actual.integers.every(Number.isFinite) && new Set(actual.integers).size > IMAGES);
if (expectedFile) {
  const expected = JSON.parse(readFileSync(expectedFile, 'utf8')) as Logits;
  assert.deepEqual(actual.integers, expected.integers);
  if (actual.fused && expected.fused) assert.deepEqual(actual.float, expected.float);
  console.log(`${isa}: ${IMAGES} images, the same logits`);
} else {
  console.log(JSON.stringify(actual));
}

function logitsOf(executor: ReturnType<typeof compile>): number[] {
  const output = graph.outputs[0].name;
  const logits = Array.from(executor.run(one(input, images), [output]).get(output)!.data, Number);
  executor.dispose();
  return logits;
}

function firstOf({ dtype, shape, data }: Tensor): Tensor {
  return {
    dtype,
    shape: [1, ...shape.slice(1)],
    data: (data as Float32Array).slice(0, data.length / shape[0]),
  };
}

async function firstImages(): Promise<Tensor> {
  const preprocessing = { scale: 1 / 255, mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] };
  const data = await openDataset(`${EXAMPLE}cifar10-demo-test.npz`, { preprocessing });
  for await (const { x, count } of data.batches({ size: IMAGES }))
    return { dtype: 'float32', shape: [count, ...data.shape], data: x };
  return assert.fail('no images');
}
