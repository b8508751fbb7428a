import { storedBytes } from './bytes.ts';
import { contentHash } from './content-hash.ts';
import type { Preprocessing } from './dataset.ts';
import { elementsOf, type NpyArray, openNpy } from './npy.ts';
import { frame, framedShape } from './preprocessing.ts';
import { checkLabel, type SampleStore } from './samples.ts';
import { mismatch, type Source, unreadable } from './source.ts';
import { openZip } from './zip.ts';

/** Bytes read at once. */
const BLOCK_BYTES = 2 ** 20;
/** One sample beyond this is a shape read wrongly. */
const MAX_SAMPLE_BYTES = 2 ** 28;
/** Labels are held in memory. */
const MAX_LABELS = 2 ** 26;

/** `.npz` with `x` [N, ...] and optionally `y` [N]; or a single `.npy`, which is x. */
export async function openArrays(source: Source, preprocessing: Preprocessing): Promise<SampleStore> {
  if (source.name.toLowerCase().endsWith('.npy')) {
    return arrayStore(
      source.name,
      await openNpy(storedBytes(source, 0, source.size), source.name),
      null,
      preprocessing,
    );
  }
  const members = await openZip(source);
  const member = async (name: string): Promise<NpyArray | null> => {
    const bytes = members.get(`${name}.npy`);
    return bytes ? await openNpy(bytes, `${source.name}, member ${name}.npy`) : null;
  };
  const x = await member('x');
  if (!x) {
    const present = [...members.keys()].join(', ') || 'none';
    throw unreadable(`Expected a member x.npy in ${source.name} but its members are: ${present}.`);
  }
  return arrayStore(source.name, x, await member('y'), preprocessing);
}

async function arrayStore(
  name: string,
  x: NpyArray,
  y: NpyArray | null,
  preprocessing: Preprocessing,
): Promise<SampleStore> {
  const [size, ...stored] = x.shape;
  const sampleSize = stored.reduce((product, side) => product * side, 1);
  if (x.shape.length < 2 || sampleSize < 1) {
    throw mismatch(
      `Expected x of shape [samples, channels, ...] in ${x.label} but received [${x.shape.join(', ')}].`,
    );
  }
  if (size < 1) throw mismatch(`Expected at least one sample in ${x.label} but received none.`);
  const sampleBytes = sampleSize * x.elementBytes;
  if (sampleBytes > MAX_SAMPLE_BYTES) {
    throw mismatch(
      `Expected samples of at most ${MAX_SAMPLE_BYTES} bytes in ${x.label} but received ${sampleBytes}.`,
    );
  }
  const shape = framedShape(stored, preprocessing, name);
  const labels = y ? await readLabels(y, size) : null;
  const perBlock = Math.max(1, Math.floor(BLOCK_BYTES / sampleBytes));
  const framed = preprocessing.resize !== undefined || preprocessing.crop !== undefined;

  return {
    name,
    size,
    shape,
    labelled: labels !== null,
    async *samples(select, signal) {
      const wanted = (block: number) => {
        const end = Math.min(size, (block + 1) * perBlock);
        for (let i = block * perBlock; i < end; i++) if (select(i)) return true;
        return false;
      };
      for await (const block of x.bytes.blocks(x.start, perBlock * sampleBytes, wanted)) {
        signal?.throwIfAborted();
        const elements = elementsOf(block.bytes, x.element);
        for (let i = 0; i * sampleSize < elements.length; i++) {
          const index = block.index * perBlock + i;
          if (!select(index)) continue;
          const sample = elements.subarray(i * sampleSize, (i + 1) * sampleSize);
          yield {
            index,
            x: framed ? frame(sample, stored, preprocessing) : sample,
            label: labels?.[index] ?? 0,
          };
        }
      }
    },
    async fingerprint() {
      const hash = contentHash();
      hash.update(`${x.element} ${x.shape.join('x')} ${labels ? 'labelled' : ''}\n`);
      for await (const block of x.bytes.blocks(x.start, BLOCK_BYTES, () => true)) hash.update(block.bytes);
      if (labels) hash.update(new Uint8Array(labels.buffer));
      return hash.hex();
    },
  };
}

async function readLabels(y: NpyArray, size: number): Promise<Int32Array> {
  const columns = y.shape.slice(1).reduce((product, side) => product * side, 1);
  if (y.shape[0] !== size || columns !== 1 || size > MAX_LABELS) {
    throw mismatch(
      `Expected one label for each of ${size} samples in ${y.label} but received shape [${y.shape.join(', ')}].`,
    );
  }
  const labels = new Int32Array(size);
  let at = 0;
  for await (const block of y.bytes.blocks(y.start, BLOCK_BYTES, () => true)) {
    for (const element of elementsOf(block.bytes, y.element)) {
      const label = Number(element);
      checkLabel(label, () => `the label of sample ${at} in ${y.label}`);
      labels[at++] = label;
    }
  }
  return labels;
}
