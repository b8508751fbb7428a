export type { Verdict } from './allocate/allocate.ts';
export type { Progress, RangeMethod, WorkOptions } from './analysis/analysis.ts';
export type { LayerDamage, OutputDamage } from './analysis/debug.ts';
export type {
  Batch,
  BatchOptions,
  Dataset,
  IterableOptions,
  IterableSample,
  OpenOptions,
  Preprocessing,
} from './data/index.ts';
export { fromIterable, openDataset } from './data/index.ts';
export { type ErrorCode, SigmaQuantError } from './errors.ts';
export type { AllocationFile } from './export/allocation.ts';
export type { Refusal } from './export/preflight.ts';
export type { Execution } from './export/preflight-layers.ts';
export { type DebugOptions, type DebugResult, debug } from './pipeline/debug.ts';
export { type EvaluateOptions, type EvaluateResult, evaluate } from './pipeline/evaluate.ts';
export {
  type ExportedLayer,
  type ExportForecast,
  type ExportOptions,
  type ExportResult,
  type ExportSummary,
  exportModel,
} from './pipeline/export.ts';
export { type InspectedLayer, type InspectOptions, type InspectResult, inspect } from './pipeline/inspect.ts';
export type { MetricFunction, MetricInput, MetricOutput } from './pipeline/metric.ts';
export type {
  AugmentName,
  DataSource,
  ExecutorName,
  ModelSource,
  QuantizeOptions,
  RecoveryName,
} from './pipeline/options.ts';
export { type PlanOptions, type PlanResult, plan } from './pipeline/plan.ts';
export { quantize } from './pipeline/quantize.ts';
export type {
  AccuracyResult,
  Artefacts,
  ExecutorResult,
  LayerResult,
  LearnedResult,
  OutputFiles,
  QuantizeResult,
  QuantizeSummary,
  Reused,
  Seconds,
} from './pipeline/result.ts';
export {
  type OptimizerName,
  type TrainEpoch,
  type TrainOptions,
  type TrainResult,
  type TrainSettings,
  train,
  type ValidationScore,
} from './pipeline/train.ts';
