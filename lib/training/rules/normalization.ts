import { clampOf } from '../../engine/geometry.ts';
import type { Node } from '../../graph/graph.ts';
import type { Backward, TapeBuilder } from '../tape.ts';
import { maskClamp } from './clamp.ts';

const EPSILON = 1e-5;
const MOMENTUM = 0.1;

/**
 * Batch normalization over all axes but the last (Ioffe and Szegedy 2015), with a fused activation: by the batch's own
 * statistics where the tape has a state for the node, which they update; by its constants otherwise. Inputs
 * [x, scale, shift, mean, variance]. Statistics in float64.
 */
export function batchNormalization(tape: TapeBuilder, node: Node): Backward {
  const { kernels } = tape;
  const [inputName, scaleName, shiftName, meanName, varianceName] = node.inputs;
  const [x, y] = [tape.value(inputName), tape.output(node)];
  const channels = tape.shape(inputName).at(-1)!;
  const rows = x.length / channels;
  const epsilon = (node.attributes['epsilon'] as number | undefined) ?? EPSILON;
  const momentum = tape.options.momentum ?? MOMENTUM;
  const [low, high] = clampOf(node);
  const state = tape.options.norms?.get(node.name);
  const frozen = { mean: tape.constant(meanName)!, variance: tape.constant(varianceName)! };
  const [scale, shift] = [tape.constant(scaleName)!, tape.constant(shiftName)!];
  const sums = new Float64Array(2 * channels);
  const [mean, variance, deviation] = [0, 1, 2].map(() => new Float64Array(channels));
  const [slope, offset] = [new Float32Array(channels), new Float32Array(channels)];
  tape.emitElements([x, y], () => {
    if (state) kernels.sumChannels(x.data, x.data, channels, sums);
    for (let c = 0; c < channels; c++) {
      mean[c] = state ? sums[c] / rows : frozen.mean[c];
      variance[c] = state ? Math.max(0, sums[channels + c] / rows - mean[c] * mean[c]) : frozen.variance[c];
      deviation[c] = Math.sqrt(variance[c] + epsilon);
      slope[c] = scale[c] / deviation[c];
      offset[c] = shift[c] - mean[c] * slope[c];
    }
    kernels.affineChannels(x.data, slope, offset, low, high, y.data);
  });
  if (state) {
    const follow = () => {
      for (let c = 0; c < channels; c++) {
        state.mean[c] += momentum * (mean[c] - state.mean[c]);
        state.variance[c] += momentum * ((variance[c] * rows) / Math.max(1, rows - 1) - state.variance[c]);
      }
    };
    tape.emit([], channels, follow, { once: true });
  }
  return () => {
    const g = tape.gradient(node.outputs[0]);
    if (!g) return;
    maskClamp(tape, y, g, low, high);
    const [ofGradient, ofInput, constant] = [0, 1, 2].map(() => new Float32Array(channels));
    tape.emitElements([x, g, g], () => {
      kernels.sumChannels(g.data, x.data, channels, sums);
      for (let c = 0; c < channels; c++) {
        const shiftGradient = sums[c];
        const scaleGradient = (sums[channels + c] - mean[c] * sums[c]) / deviation[c];
        const factor = scale[c] / deviation[c];
        const byInput = state ? (-factor * scaleGradient) / (rows * deviation[c]) : 0;
        ofGradient[c] = factor;
        ofInput[c] = byInput;
        constant[c] = state ? (-factor * shiftGradient) / rows - byInput * mean[c] : 0;
        addTo(tape, scaleName, c, scaleGradient);
        addTo(tape, shiftName, c, shiftGradient);
      }
      if (tape.needs(inputName))
        kernels.combineChannels(g.data, x.data, ofGradient, ofInput, constant, g.data);
    });
    tape.adopt(inputName, g);
  };
}

function addTo(tape: TapeBuilder, name: string, channel: number, value: number): void {
  const parameter = tape.parameter(name);
  if (parameter) parameter.gradient[channel] += value;
}
