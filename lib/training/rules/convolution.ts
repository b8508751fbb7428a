import { clampOf, weightsShape, windowShape } from '../../engine/geometry.ts';
import type { FloatSlot } from '../../engine/storage.ts';
import { SigmaQuantError } from '../../errors.ts';
import type { Node } from '../../graph/graph.ts';
import { sizeOf } from '../../graph/index.ts';
import type { ConvShape, WeightsShape } from '../../kernels/kernels.ts';
import type { Backward, TapeBuilder } from '../tape.ts';
import { maskClamp } from './clamp.ts';

export function convolution(tape: TapeBuilder, node: Node): Backward {
  const [input, output, weights] = [node.inputs[0], node.outputs[0], node.inputs[1]].map((name) =>
    tape.shape(name),
  );
  const form = weightsShape(node, weights, 8);
  const shape = windowShape(node, input, output, weights.slice(1, -1), form.groups);
  if (!shape)
    throw new SigmaQuantError(
      'UNSUPPORTED_OPERATOR',
      `Expected a convolution over one or two axes but received input shape [${input}] (node ${node.name}).`,
    );
  return products(tape, node, form, shape);
}

/** A matrix product as a 1x1 convolution over its rows. */
export function linear(tape: TapeBuilder, node: Node): Backward {
  const form = weightsShape(node, tape.shape(node.inputs[1]), 8);
  const rows = sizeOf(tape.shape(node.inputs[0])) / form.channels;
  const flat = [1, rows, 1];
  const shape = windowShape(
    { ...node, attributes: {} },
    [...flat, form.channels],
    [...flat, form.outChannels],
    [1, 1],
    1,
  )!;
  return products(tape, node, form, shape);
}

function products(tape: TapeBuilder, node: Node, form: WeightsShape, shape: ConvShape): Backward {
  const { kernels } = tape;
  const [inputName, weightsName, biasName] = node.inputs;
  const [output] = node.outputs;
  const x = tape.value(inputName);
  const y = tape.output(node);
  const panel = tape.bytes(kernels.floatWeightsSize(form));
  const [low, high] = clampOf(node);
  const quantizer = tape.options.weights?.get(node.name);
  const latent = tape.constant(weightsName)!;
  /** What the last forward half computed with. */
  let used = latent;
  const work = positionsOf(shape) * latent.length;
  tape.emit([x, panel, y], work, () => {
    used = quantizer?.quantize() ?? latent;
    kernels.packFloatWeights(used, form, panel.data);
    kernels.floatConv(x.data, panel.data, form, shape, tape.constant(biasName) ?? null, low, high, y.data);
  });
  return () => {
    const g = tape.gradient(output);
    if (!g) return;
    maskClamp(tape, y, g, low, high);
    biasGradient(tape, biasName, g, form.outChannels);
    const parameter = tape.parameter(weightsName);
    if (quantizer || parameter) {
      const gradient = tape.scratch(latent.length);
      tape.emit([x, g, gradient], work, () => {
        kernels.floatConvGradient(x.data, g.data, shape, gradient.data);
        if (quantizer) quantizer.backward(gradient.data);
        else addInto(parameter!.gradient, gradient.data);
      });
    }
    if (tape.needs(inputName)) inputGradient(tape, inputName, g, form, shape, () => used);
  };
}

function addInto(total: Float32Array, values: ArrayLike<number>): void {
  for (let i = 0; i < total.length; i++) total[i] += values[i];
}

function biasGradient(tape: TapeBuilder, name: string | undefined, g: FloatSlot, channels: number): void {
  const bias = tape.parameter(name);
  if (!bias) return;
  const sums = new Float64Array(2 * channels);
  tape.emitElements([g], () => {
    tape.kernels.sumChannels(g.data, g.data, channels, sums);
    addInto(bias.gradient, sums);
  });
}

const positionsOf = (s: ConvShape) => s.batch * s.outHeight * s.outWidth;

/**
 * The gradient by the input is a convolution too: of the output's gradient, with zeros between its pixels where the
 * stride is more than one, by the weights with taps turned round and channels exchanged.
 */
function inputGradient(
  tape: TapeBuilder,
  name: string,
  g: FloatSlot,
  form: WeightsShape,
  shape: ConvShape,
  weights: () => Float32Array,
): void {
  const { kernels } = tape;
  const turned = { ...form, outChannels: shape.inChannels, channels: shape.outChannels / shape.groups };
  const spread = spreadOf(shape);
  const back: ConvShape = {
    ...shape,
    inHeight: spread.height,
    inWidth: spread.width,
    inChannels: shape.outChannels,
    outHeight: shape.inHeight,
    outWidth: shape.inWidth,
    outChannels: shape.inChannels,
    strideHeight: 1,
    strideWidth: 1,
    padTop: spread.padTop,
    padLeft: spread.padLeft,
  };
  let from = g;
  if (spread.needed) {
    const wide = tape.scratch(shape.batch * spread.height * spread.width * shape.outChannels);
    tape.emitElements([g, wide], () => spreadPixels(tape, shape, spread, g.data, wide.data));
    from = wide;
  }
  const panel = tape.bytes(kernels.floatWeightsSize(turned));
  const flipped = new Float32Array(form.outChannels * form.taps * form.channels);
  const work = positionsOf(back) * flipped.length;
  tape.contribute(name, [from, panel], work, (out) => {
    turn(weights(), form, flipped);
    kernels.packFloatWeights(flipped, turned, panel.data);
    kernels.floatConv(
      from.data,
      panel.data,
      turned,
      back,
      null,
      Number.NEGATIVE_INFINITY,
      Number.POSITIVE_INFINITY,
      out,
    );
  });
}

interface Spread {
  /** Of the gradient with its zeros. */
  height: number;
  width: number;
  padTop: number;
  padLeft: number;
  /** Lines and columns in front that no input sees. */
  cropTop: number;
  cropLeft: number;
  needed: boolean;
}

function spreadOf(s: ConvShape): Spread {
  const padTop = (s.kernelHeight - 1) * s.dilationHeight - s.padTop;
  const padLeft = (s.kernelWidth - 1) * s.dilationWidth - s.padLeft;
  const [cropTop, cropLeft] = [Math.max(0, -padTop), Math.max(0, -padLeft)];
  const height = Math.max(1, (s.outHeight - 1) * s.strideHeight + 1 - cropTop);
  const width = Math.max(1, (s.outWidth - 1) * s.strideWidth + 1 - cropLeft);
  return {
    height,
    width,
    padTop: Math.max(0, padTop),
    padLeft: Math.max(0, padLeft),
    cropTop,
    cropLeft,
    needed: height !== s.outHeight || width !== s.outWidth,
  };
}

function spreadPixels(
  tape: TapeBuilder,
  s: ConvShape,
  to: Spread,
  g: Float32Array,
  wide: Float32Array,
): void {
  const channels = s.outChannels;
  const firstColumn = Math.ceil(to.cropLeft / s.strideWidth);
  const columns = s.outWidth - firstColumn;
  wide.fill(0);
  for (let image = 0; image < s.batch; image++)
    for (let row = Math.ceil(to.cropTop / s.strideHeight); row < s.outHeight; row++) {
      const line = (image * s.outHeight + row) * s.outWidth + firstColumn;
      const target =
        (image * to.height + row * s.strideHeight - to.cropTop) * to.width +
        firstColumn * s.strideWidth -
        to.cropLeft;
      if (columns > 0)
        tape.kernels.copyPlane(
          g,
          wide,
          columns,
          channels,
          line * channels,
          channels,
          1,
          target * channels,
          s.strideWidth * channels,
          1,
        );
    }
}

/** [outChannels][taps][channels] -> [groups * channels][taps turned round][outChannels of the group]. */
function turn(
  w: Float32Array,
  { outChannels, taps, channels, groups }: WeightsShape,
  to: Float32Array,
): void {
  const rows = outChannels / groups;
  let at = 0;
  for (let group = 0; group < groups; group++)
    for (let c = 0; c < channels; c++)
      for (let tap = taps - 1; tap >= 0; tap--)
        for (let n = 0; n < rows; n++) to[at++] = w[((group * rows + n) * taps + tap) * channels + c];
}
