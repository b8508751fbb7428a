export type { ExternalRange, ReadExternal } from './external-data.ts';
export * from './generated/onnx_pb.ts';
export {
  elementCount,
  type ReadOptions,
  readModel,
  readTensor,
} from './reader.ts';
export {
  type AttributeReference,
  encodeModel,
  type FileFunction,
  type FileModel,
  type FileNode,
  type FileTensor,
  type FileValue,
  type TensorValue,
  writeModel,
} from './writer.ts';
