import { z } from 'zod';
import type { FrontierPoint } from '../allocate/index.ts';
import { finiteCost } from './artefacts.ts';
import { csv } from './sweep-row.ts';
import { toolVersion } from './version.ts';

/** Raised whenever a reader of older files would misread a newer one. */
const FRONT_VERSION = 1;

const number = z.number();

const point = z.strictObject({
  onFront: z.boolean().describe('Whether nothing that was tried is as good for less.'),
  budget: number.describe('Of the resource, for which the widths were sought.'),
  cost: z.record(z.string(), number).describe('Resources by name.'),
  drop: number.describe('Measured on validation samples: percentage points below the float network.'),
  accuracy: number.describe('Measured on validation samples, percent (decibels for SQNR).'),
  divergence: number,
  widths: z.record(z.string(), z.strictObject({ weights: z.int(), activations: z.int() })),
});

/** `front.json`: accuracy against a resource, by rising cost, dominated points included. */
export const frontSchema = z
  .strictObject({
    version: z.literal(FRONT_VERSION),
    tool: z.strictObject({ name: z.literal('sigmaquant'), version: z.string() }),
    model: z.strictObject({ name: z.string(), sha256: z.string() }),
    device: z.string(),
    resource: z.string().describe('Name of the resource in the costs.'),
    unit: z.string(),
    metric: z.string(),
    points: z.array(point),
    picked: z.int().nullable().describe('Position of the point whose artefacts were written.'),
  })
  .meta({ title: 'SigmaQuant front' });

export type FrontFile = z.infer<typeof frontSchema>;

/** The published JSON Schema (draft 2020-12) of `front.json`. */
export function frontJsonSchema(): object {
  return z.toJSONSchema(frontSchema, { io: 'input' });
}

export function frontFileOf(
  points: readonly FrontierPoint[],
  facts: Omit<FrontFile, 'version' | 'tool' | 'points'>,
): FrontFile {
  return frontSchema.parse({
    version: FRONT_VERSION,
    tool: { name: 'sigmaquant', version: toolVersion() },
    ...facts,
    points: points.map(({ onFront, budget, cost, measurement, widths }) => ({
      onFront,
      budget,
      cost: finiteCost(cost),
      ...finiteCost({ ...measurement! }),
      widths: Object.fromEntries(widths),
    })),
  });
}

/** A line per point. */
export function frontCsv({ points, picked }: FrontFile): string {
  const resources = Object.keys(points[0]?.cost ?? {});
  return csv([
    ['front', 'picked', ...resources, 'drop', 'accuracy', 'divergence', 'budget'],
    ...points.map(({ onFront, cost, drop, accuracy, divergence, budget }, index) => [
      ...[onFront ? 1 : 0, index === picked ? 1 : 0],
      ...resources.map((resource) => cost[resource]),
      ...[drop, accuracy, divergence, budget],
    ]),
  ]);
}
