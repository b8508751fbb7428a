export type { ExternalRange, ReadExternal } from './external-data.ts';
export * from './generated/onnx_pb.ts';
export {
  elementBits,
  elementCount,
  type ReadOptions,
  readModel,
  readTensor,
} from './reader.ts';
export { type FileModel, type FileNode, type FileTensor, type FileValue, writeModel } from './writer.ts';
