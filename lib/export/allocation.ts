import { z } from 'zod';
import { parseJson, SigmaQuantError } from '../errors.ts';

/** Raised whenever a reader of older files would misread a newer one. */
export const ALLOCATION_VERSION = 1;

const bits = z.int().min(2).max(8);
const number = z.number();
const natural = z.int().min(0);
const digest = z.string().regex(/^[0-9a-f]{64}$/);
const perChannel = z.union([number, z.array(number)]);
const extent = z.tuple([z.int().min(1), z.int().min(1)]);

const preprocessing = z
  .strictObject({
    resize: extent.optional(),
    crop: extent.optional(),
    scale: number.optional(),
    mean: perChannel.optional(),
    std: perChannel.optional(),
  })
  .describe('Resize, centre crop, then (x * scale - mean) / std; sizes are [width, height].');

const cost = z
  .record(z.string(), number)
  .describe('Resources by name: weightBytes, averageBits (weights only), ...');

const measurement = z
  .strictObject({
    drop: number.describe('Percentage points below the float network.'),
    accuracy: number.describe('Of the quantized network, in percent (decibels for SQNR).'),
    divergence: number.describe('Mean KL divergence of the outputs from those of the float network, nats.'),
  })
  .nullable();

const accuracy = z
  .strictObject({
    metric: z.string(),
    float: number.nullable(),
    quantized: number,
    drop: number.nullable(),
    interval: z.tuple([number, number]).nullable().describe('Paired 95 % interval of the drop.'),
    samples: natural,
  })
  .nullable();

const layer = z.strictObject({
  name: z.string(),
  op: z.enum(['Conv', 'Linear']),
  parameters: natural.describe('Weights and biases.'),
  weightCount: natural.describe('Weights alone.'),
  outChannels: natural,
  macs: natural.describe('Multiply-accumulates for one sample.'),
  sigma: number.describe('Population standard deviation of the weights after batch-norm folding.'),
  weights: bits.describe('Width of the weights.'),
  activations: bits.describe('Width of the input.'),
  weightBytes: natural.describe('ceil(n * bits / 8), 4 bytes of scale and 4 bytes of bias per channel.'),
  rawSigma: number.nullable().describe('The same before batch-norm folding; null where it is not known.'),
  offered: z
    .array(
      z.strictObject({
        of: z
          .enum(['weights', 'activations'])
          .describe('Whether the width is that of the weights or of the input.'),
        bits,
        divergence: number
          .nullable()
          .describe('Of the outputs where this alone is quantized; of the weights without data.'),
        weightDivergence: number.nullable(),
        curvature: number
          .nullable()
          .describe('Expected divergence by the trace of the curvature, where measured.'),
        change: z
          .record(z.string(), number)
          .describe('What the network would cost more or less at it, by resource.'),
      }),
    )
    .describe('Every width that the layer could have had.'),
});

const quantizer = z.strictObject({
  value: z.string().describe('Name of the tensor in the float model.'),
  bits,
  scale: number,
  zeroPoint: natural.max(255),
  low: natural.max(255),
  high: natural.max(255),
});

const step = z.strictObject({
  phase: z.string(),
  moves: z.array(
    z.strictObject({
      layer: z.string(),
      from: natural,
      to: natural,
      of: z
        .literal('activations')
        .optional()
        .describe("The width of the layer's input moved, not of its weights."),
    }),
  ),
  reason: z.string(),
  cost,
  measurement,
  kept: z.boolean(),
});

const binding = z.strictObject({ layer: z.string(), reason: z.string() });
const source = z.strictObject({ name: z.string(), samples: natural, sha256: z.string() }).nullable();

/** `allocation.json`: what was decided, why, and what is needed to use it. No times, paths or thread counts. */
export const allocationSchema = z
  .strictObject({
    version: z.literal(ALLOCATION_VERSION),
    tool: z.strictObject({ name: z.literal('sigmaquant'), version: z.string() }),
    model: z.strictObject({ name: z.string(), sha256: digest.describe('Of the float ONNX file.') }),
    exported: z
      .strictObject({ file: z.string(), profile: z.string(), opset: natural, sha256: digest })
      .nullable(),
    executor: z
      .strictObject({ name: z.enum(['engine', 'onnxruntime']), version: z.string() })
      .optional()
      .describe('Who evaluated the float network and every candidate.'),
    seed: z.int(),
    strategy: z.string(),
    recovery: z.string(),
    learning: z
      .object({
        before: z.number().describe('Drop on validation by rounding alone, percentage points.'),
        after: z.number().describe('The same after learning.'),
        kept: z
          .boolean()
          .describe('False where rounding alone was nearer to float on validation, and was taken.'),
        blocks: z.array(
          z.object({
            layers: z.array(z.string()),
            before: z.number().describe("Squared output error relative to the output's power."),
            after: z.number(),
          }),
        ),
      })
      .nullable()
      .optional()
      .describe('What was learned on top of rounding; null where nothing was.'),
    ranges: z.string().describe('How activation ranges were chosen.'),
    preprocessing,
    targets: z.array(z.strictObject({ resource: z.string(), limit: number, text: z.string() })),
    floor: z
      .strictObject({ text: z.string(), maxDrop: number.describe('On validation, percentage points.') })
      .nullable(),
    verdict: z.enum(['met', 'accuracy-only', 'resource-only', 'impossible']),
    binding: z.array(binding).describe('Layers that stand in the way of a missed target, worst first.'),
    reachable: z.strictObject({ cost, measurement }).nullable(),
    feasible: z
      .array(
        z.strictObject({
          cost,
          measurement,
          ask: z.array(z.string()).describe('Flags of targets that this point meets.'),
        }),
      )
      .describe(
        'Where a target is missed: measured points that meet targets near those asked for, nearest first.',
      ),
    warnings: z.array(z.string()).describe('What a careful reader should know beside the verdict.'),
    cost,
    device: z
      .strictObject({ name: z.string(), sha256: digest })
      .describe('Whose costs these are: name and digest of its file.'),
    floatBytes: natural,
    validation: accuracy,
    accuracy: accuracy.describe('Judged once, on samples that the search never saw.'),
    data: z.strictObject({ calibration: source, validation: source, judged: source }),
    layers: z.array(layer),
    quantizers: z.array(quantizer),
    floatNodes: z
      .array(z.strictObject({ name: z.string(), op: z.string() }))
      .describe('Nodes that stay in float.'),
    evaluations: natural,
    uniform: z
      .array(z.strictObject({ bits, cost, measurement }))
      .describe('One width for all weights, measured after the search for comparison.'),
    trace: z.array(step),
  })
  .meta({ title: 'SigmaQuant allocation' });

/** `allocation.json`: the decisions of a search and what they rest on. Its schema is published. */
export type AllocationFile = z.infer<typeof allocationSchema>;

/** The published JSON Schema (draft 2020-12) of `allocation.json`. */
export function allocationJsonSchema(): object {
  return z.toJSONSchema(allocationSchema, { io: 'input' });
}

/** The text of `allocation.json`; checked first, so that nothing unreadable is ever written. */
export function serializeAllocation(allocation: AllocationFile): string {
  return `${JSON.stringify(allocationSchema.parse(allocation), null, 2)}\n`;
}

/** Reads `allocation.json`. Throws INVALID_ARGUMENT naming the first field that is wrong. */
export function parseAllocation(text: string): AllocationFile {
  const value = parseJson(text, 'allocation');
  const result = allocationSchema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new SigmaQuantError(
    'INVALID_ARGUMENT',
    `Expected an allocation of version ${ALLOCATION_VERSION} but received a wrong field ${issue.path.join('.') || '(root)'}: ${issue.message}.`,
  );
}
