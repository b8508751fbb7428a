import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { quantize } from '../../lib/index.ts';
import { imageBytes, tinyModel, writeImages } from './network.ts';

export const SCALE = 1 / 128;
export const COUNT = 24;

/** The small network, exported in both forms at mixed widths, with unlabelled samples. */
export interface Exported {
  folder: string;
  float: string;
  qdq: string;
  sqnt: string;
  data: string;
  /** Of the QDQ file. */
  bytes: Uint8Array;
  remove(): void;
}

export async function exportedNetwork(): Promise<Exported> {
  const folder = mkdtempSync(join(tmpdir(), 'sigmaquant-'));
  const at = (name: string) => join(folder, name);
  const paths = {
    float: at('tiny.onnx'),
    qdq: at('model.onnx'),
    sqnt: at('model.sqnt'),
    data: at('images.npz'),
  };
  writeFileSync(paths.float, tinyModel());
  writeImages(paths.data, imageBytes(COUNT, 3), null);
  const { artefacts } = await quantize({
    model: paths.float,
    calibration: paths.data,
    preprocessing: { scale: SCALE },
    pins: { conv1: 8, conv2: 4, conv3: 6, conv4: 5, fc: 8 },
    evaluations: 1,
  });
  writeFileSync(paths.qdq, artefacts.model);
  writeFileSync(paths.sqnt, artefacts.sqnt);
  return { folder, ...paths, bytes: artefacts.model, remove: () => rmSync(folder, { recursive: true }) };
}
