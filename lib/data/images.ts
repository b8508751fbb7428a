import { contentHash } from './content-hash.ts';
import type { Preprocessing } from './dataset.ts';
import type { CreateDecoder, DecodeImage, Image } from './image.ts';
import { type ImageFolder, listImages } from './image-folder.ts';
import { frame, framedShape } from './preprocessing.ts';
import type { SampleStore } from './samples.ts';
import { type Folder, mismatch, reason, unreadable } from './source.ts';

/** Decoded, cropped images that are kept for later passes; what does not fit is decoded again. */
const CACHE_BYTES = 256 * 2 ** 20;
/** Images that are being decoded while the one before is used. */
const DECODE_AHEAD = 8;
/** More unreadable images than this share of the folder is an error; fewer are left out and named. */
const UNREADABLE_SHARE = 0.01;
/** Names in the message. */
const NAMED = 3;

/** A folder of images (see listImages), decoded to 3 channels, or 1 where the network wants 1. */
export async function openImages(
  place: Folder,
  name: string,
  preprocessing: Preprocessing,
  channels: 1 | 3,
  createDecoder: CreateDecoder,
): Promise<SampleStore> {
  const folder = await listImages(place, name);
  const decode = await createDecoder(channels);
  const failed = new Map<number, string>();
  const store = { place, name, preprocessing, folder, decode, failed };
  const shape = await shapeOf(store, channels);
  const cache = new Map<number, Uint8Array>();
  const sampleBytes = shape.reduce((product, side) => product * side, 1);
  const unreadableNames: string[] = [];

  const load = async (index: number): Promise<Uint8Array | null> => {
    const known = cache.get(index);
    if (known) return known;
    if (failed.has(index)) return null;
    const x = await loadFramed(store, index, shape);
    if (x === null) unreadableNames.push(folder.files[index]);
    else if ((cache.size + 1) * sampleBytes <= CACHE_BYTES) cache.set(index, x);
    return x;
  };

  return {
    name,
    size: folder.files.length,
    shape,
    labelled: folder.labels !== null,
    ...(folder.classNames && { classNames: folder.classNames }),
    unreadable: unreadableNames,
    async *samples(select, signal) {
      const wanted = selected(folder.files.length, select);
      const ahead: { index: number; x: Promise<Uint8Array | null> }[] = [];
      const start = () => {
        const next = wanted.next();
        if (next.done) return;
        const x = load(next.value);
        // Whoever stops early never awaits the rest; their failures are theirs alone.
        x.catch(() => {});
        ahead.push({ index: next.value, x });
      };
      for (let i = 0; i < DECODE_AHEAD; i++) start();
      for (let sample = ahead.shift(); sample; sample = ahead.shift()) {
        signal?.throwIfAborted();
        const x = await sample.x;
        start();
        if (x) yield { index: sample.index, x, label: folder.labels?.[sample.index] ?? 0 };
      }
    },
    async fingerprint() {
      const hash = contentHash();
      for (const [i, file] of folder.files.entries()) {
        const one = contentHash();
        one.update(await place.read(file));
        hash.update(`${one.hex()} ${folder.labels?.[i] ?? ''}\n`);
      }
      return hash.hex();
    },
  };
}

function* selected(size: number, select: (index: number) => boolean): Generator<number> {
  for (let index = 0; index < size; index++) if (select(index)) yield index;
}

interface OpenFolder {
  place: Folder;
  name: string;
  preprocessing: Preprocessing;
  folder: ImageFolder;
  decode: DecodeImage;
  /** Unreadable images: index -> why. */
  failed: Map<number, string>;
}

/** Null for an image that cannot be decoded, as long as there are few of them. */
async function decodeOne(
  { place, name, folder, decode, failed }: OpenFolder,
  index: number,
): Promise<Image | null> {
  const file = folder.files[index];
  try {
    return await decode(await place.read(file));
  } catch (cause) {
    failed.set(index, `${file}: ${reason(cause)}`);
    const { length } = folder.files;
    if (failed.size <= UNREADABLE_SHARE * length) return null;
    const named = [...failed.values()].slice(0, NAMED).join('; ');
    throw unreadable(
      `Expected at most ${UNREADABLE_SHARE * 100} % unreadable images in ${name} but received ${failed.size} of ${length} (${named}).`,
      cause,
    );
  }
}

/** Resize or crop decide the size; without them all images must be as large as the first that can be read. */
async function shapeOf(store: OpenFolder, channels: number): Promise<readonly number[]> {
  const { resize, crop } = store.preprocessing;
  if (crop ?? resize)
    return framedShape([channels, ...frameOf(crop ?? resize!)], store.preprocessing, store.name);
  for (let index = 0; index < store.folder.files.length; index++) {
    const image = await decodeOne({ ...store, failed: new Map(store.failed) }, index);
    if (image) return [channels, image.height, image.width];
  }
  throw unreadable(`Expected a readable image in ${store.name} but received none.`);
}

function frameOf([width, height]: readonly [number, number]): [number, number] {
  return [height, width];
}

async function loadFramed(
  store: OpenFolder,
  index: number,
  shape: readonly number[],
): Promise<Uint8Array | null> {
  const image = await decodeOne(store, index);
  if (!image) return null;
  const stored = [image.channels, image.height, image.width];
  const label = `${store.folder.files[index]} of ${store.name}`;
  const framed = framedShape(stored, store.preprocessing, label);
  if (framed.some((side, i) => side !== shape[i])) {
    throw mismatch(
      `Expected images of ${shape[2]}x${shape[1]} as the first one in ${store.name} but ${store.folder.files[index]} has ${framed[2]}x${framed[1]}: give resize or crop.`,
    );
  }
  return frame(image.x, stored, store.preprocessing) as Uint8Array;
}
