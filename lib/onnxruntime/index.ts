export { type OnnxruntimeNetwork, onnxruntimeNetwork } from './executor.ts';
export { findInstallation, type Installation } from './installation.ts';
export { Onnxruntime, type Session } from './runtime.ts';
export { valueTypes } from './value-types.ts';
