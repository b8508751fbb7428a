import type { LayerWidths } from '../allocate/allocate.ts';
import type { DeviceLatency, StepKind } from './device.ts';
import { linear } from './features.ts';
import type { NetworkLayer } from './network.ts';
import type { NetworkStep } from './steps.ts';
import { factorOf } from './units.ts';

type Rule = DeviceLatency['rules'][number];

/** A float product is charged as so many of 8 x 8 bits where nothing was measured. */
const FLOAT_PRODUCTS = 16;
/** Kinds that stand in where a device was not measured for one, nearest first. */
const STAND_INS: readonly StepKind[] = [
  'conv',
  'pointwise',
  'grouped',
  'linear',
  'few-channels',
  'depthwise',
];

/** Seconds that a program takes for one layer: as measured for just this shape, or by the rule of its kind. */
export function layerSeconds(latency: DeviceLatency, layer: NetworkLayer, widths: LayerWidths): number {
  const { weights, activations } = widths;
  const factor = factorOf('time', latency.unit);
  const measured = latency.timings
    .filter((row) => row.shape === layer.shape && row.weights >= weights && row.activations >= activations)
    .sort((a, b) => a.weights * a.activations - b.weights * b.activations)
    .at(0);
  if (measured) return measured.time * factor;
  const rule = ruleOf(latency.rules, layer.kind, widths);
  return rule ? linear(rule.terms, layer.features) * factor : 0;
}

/** Seconds of a step that is no layer; 0 for a kind that was not measured. */
export function stepSeconds(latency: DeviceLatency, { kind, features }: NetworkStep): number {
  const rule = latency.rules.find((row) => row.kind === kind);
  return rule ? linear(rule.terms, features) * factorOf('time', latency.unit) : 0;
}

/** The rule of the kind, or of the one that stands in for it, at these widths or the next wider. */
function ruleOf(rules: readonly Rule[], kind: StepKind, widths: LayerWidths): Rule | null {
  for (const candidate of [kind, ...STAND_INS]) {
    const found = rules
      .filter((rule) => rule.kind === candidate && rule.weights !== null && rule.activations !== null)
      .filter((rule) => rule.weights! >= widths.weights && rule.activations! >= widths.activations)
      .sort((a, b) => a.weights! * a.activations! - b.weights! * b.activations!)
      .at(0);
    if (found) return found;
  }
  return null;
}

/** What a float layer takes: as measured in float, or as at 8 x 8 bits, 16 times over. */
export function floatSeconds(latency: DeviceLatency, layer: NetworkLayer): number {
  const rule = latency.rules.find(({ kind, weights }) => kind === layer.kind && weights === null);
  if (rule) return linear(rule.terms, layer.features) * factorOf('time', latency.unit);
  return FLOAT_PRODUCTS * layerSeconds(latency, layer, { weights: 8, activations: 8 });
}
