import type { AllocationFile } from '../export/allocation.ts';
import { deviceSection } from './html-device.ts';
import { frontSection } from './html-front.ts';
import { histogramSection } from './html-histograms.ts';
import { page } from './html-page.ts';
import { sensitivitySection } from './html-sensitivity.ts';
import { layerSection, madeBySection, traceSection } from './html-tables.ts';
import { numberSection, verdictSection } from './html-verdict.ts';
import { widthSection } from './html-widths.ts';

/** What the search knew; numbers that are none, or stand for infinity, are shown as a dash. */
export interface HtmlReportInput {
  allocation: AllocationFile;
  /** Command line or call that makes this result again. */
  command: string;
  /** Size of the exported file. */
  fileBytes: number;
  /** Size of the packed file; null without one. */
  sqntBytes: number | null;
  /**
   * Loss of each layer at each offered width: the output's divergence in nats when only this layer is quantized, or
   * the divergence of its weights where there was no data.
   */
  sensitivities: readonly {
    layer: string;
    source: 'output' | 'weights';
    widths: readonly number[];
    losses: readonly number[];
  }[];
  /** What was evaluated; null where nothing was. */
  front: Front | null;
  /** Per layer, weights before and after (integers times scale), counts on the same bins from `low` to `high`. */
  histograms: readonly LayerHistogram[];
  /** Hardware, by resource and layer; null where nobody asked. */
  device: DeviceCost | null;
  /** Why a layer has its width: a sentence or two. */
  explanations: readonly { layer: string; text: string }[];
}

export interface Front {
  /** Name and unit of what `cost` counts: `weightBytes`, `B`. */
  resource: string;
  unit: string;
  /** Cost of the float network. */
  float: number | null;
  points: readonly FrontPoint[];
}

export interface FrontPoint {
  cost: number;
  /** Percentage points below float, on validation. */
  drop: number;
  /** On the front, a uniform width, or none of both. */
  kind: 'front' | 'uniform' | 'tried';
  label: string;
  /** This result. */
  chosen: boolean;
}

export interface LayerHistogram {
  layer: string;
  bits: number;
  low: number;
  high: number;
  float: readonly number[];
  quantized: readonly number[];
}

export interface DeviceCost {
  name: string;
  description: string;
  /** `reference`: the same with all layers at 8 bits; null where not known. */
  resources: readonly {
    name: string;
    title: string;
    unit: string;
    total: number;
    reference: number | null;
  }[];
  /** What each layer takes of each resource, in its unit, in the order of `resources`. */
  layers: readonly { layer: string; shares: readonly number[] }[];
  notes: readonly string[];
}

/**
 * `report.html`: the search on one page that needs nothing else, no network, no script, no font. Light, dark, on
 * paper and on a phone. Same input, same text. Names of models are text and nothing more.
 */
export function htmlReport(input: HtmlReportInput): string {
  return page(
    input.allocation.model.name,
    verdictSection(input),
    [
      numberSection(input),
      widthSection(input),
      sensitivitySection(input),
      frontSection(input),
      histogramSection(input),
      deviceSection(input),
      traceSection(input),
      layerSection(input),
      madeBySection(input),
    ],
    `sigmaquant ${input.allocation.tool.version}`,
  );
}
