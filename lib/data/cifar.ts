import { storedBytes } from './bytes.ts';
import { contentHash } from './content-hash.ts';
import type { Preprocessing } from './dataset.ts';
import { frame, framedShape } from './preprocessing.ts';
import type { SampleStore } from './samples.ts';
import { type Source, unreadable } from './source.ts';

/** A record is its labels, then 32x32 red, green and blue planes. */
const IMAGE_BYTES = 3072;
const SHAPE = [3, 32, 32] as const;
const PER_BLOCK = 256;
/** CIFAR-10 has one label byte below 10; CIFAR-100 a coarse one below 20, then the fine one below 100. */
const KINDS = [
  { labelBytes: 1, classes: [10] },
  { labelBytes: 2, classes: [20, 100] },
] as const;

/** CIFAR's binary files, concatenated. Throws DATA_UNREADABLE where a file is not whole records. */
export async function openCifar(
  sources: readonly Source[],
  name: string,
  preprocessing: Preprocessing,
): Promise<SampleStore> {
  const kind = KINDS.find(({ labelBytes }) =>
    sources.every(({ size }) => size > 0 && size % (IMAGE_BYTES + labelBytes) === 0),
  );
  if (!kind) {
    const sizes = sources.map((source) => `${source.name} of ${source.size} bytes`).join(', ');
    throw unreadable(`Expected CIFAR records of 3,073 or 3,074 bytes in ${name} but received ${sizes}.`);
  }
  const record = IMAGE_BYTES + kind.labelBytes;
  const firsts: number[] = [];
  let size = 0;
  for (const source of sources) {
    firsts.push(size);
    size += source.size / record;
  }
  const framed = preprocessing.resize !== undefined || preprocessing.crop !== undefined;
  const files = () => sources.map((source) => storedBytes(source, 0, source.size));

  return {
    name,
    size,
    shape: framedShape(SHAPE, preprocessing, name),
    labelled: true,
    async *samples(select, signal) {
      for (const [f, bytes] of files().entries()) {
        const wanted = (block: number) => {
          const end = Math.min(bytes.length / record, (block + 1) * PER_BLOCK);
          for (let i = block * PER_BLOCK; i < end; i++) if (select(firsts[f] + i)) return true;
          return false;
        };
        for await (const block of bytes.blocks(0, PER_BLOCK * record, wanted)) {
          signal?.throwIfAborted();
          for (let at = 0; at < block.bytes.length; at += record) {
            const index = firsts[f] + block.index * PER_BLOCK + at / record;
            if (!select(index)) continue;
            kind.classes.forEach((limit, i) => {
              const label = block.bytes[at + i];
              if (label >= limit) {
                throw unreadable(
                  `Expected a label below ${limit} in record ${index} of ${name} but received ${label}: not a CIFAR file.`,
                );
              }
            });
            const x = block.bytes.subarray(at + kind.labelBytes, at + record);
            yield {
              index,
              x: framed ? frame(x, SHAPE, preprocessing) : x,
              label: block.bytes[at + kind.labelBytes - 1],
            };
          }
        }
      }
    },
    async fingerprint() {
      const hash = contentHash();
      for (const bytes of files()) {
        for await (const block of bytes.blocks(0, PER_BLOCK * record, () => true)) hash.update(block.bytes);
      }
      return hash.hex();
    },
  };
}
