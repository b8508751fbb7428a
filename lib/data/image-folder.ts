import { checkLabel } from './samples.ts';
import { type Folder, mismatch, unreadable } from './source.ts';

const IMAGE_NAME = /\.(jpe?g|png|webp|gif|tiff?|avif)$/i;
const LABELS_FILE = 'labels.csv';
/** A list of labels beyond this is something else. */
const MAX_LABELS_BYTES = 2 ** 28;

/** What a folder of images holds, without having read one of them. */
export interface ImageFolder {
  /** Paths below the folder, with '/' on every platform, in sample order. */
  files: string[];
  /** Class of each file; null for a plain folder of images. */
  labels: Int32Array | null;
  /** With a folder per class: class index -> folder name, names sorted. */
  classNames: string[] | null;
}

/**
 * With `labels.csv` (`file,label`, header optional) its files in its order; with one folder per class, classes
 * numbered by sorted name; else all images, without labels. Throws DATA_UNREADABLE or DATA_MISMATCH.
 */
export async function listImages(folder: Folder, name: string): Promise<ImageFolder> {
  const entries = await folder.list('');
  if (entries.some((entry) => entry.name === LABELS_FILE && !entry.folder))
    return fromLabelsFile(folder, name);
  const files = entries
    .filter((entry) => !entry.folder && IMAGE_NAME.test(entry.name))
    .map((entry) => entry.name);
  if (files.length > 0) return { files, labels: null, classNames: null };
  return fromClassFolders(
    folder,
    name,
    entries.filter((entry) => entry.folder).map((entry) => entry.name),
  );
}

async function fromClassFolders(folder: Folder, name: string, classes: string[]): Promise<ImageFolder> {
  const files: string[] = [];
  const labels: number[] = [];
  for (const [label, own] of classes.entries()) {
    for (const entry of await folder.list(own)) {
      if (entry.folder || !IMAGE_NAME.test(entry.name)) continue;
      files.push(`${own}/${entry.name}`);
      labels.push(label);
    }
  }
  if (files.length === 0) {
    throw unreadable(`Expected images, a labels.csv or a folder per class in ${name} but found no image.`);
  }
  return { files, labels: Int32Array.from(labels), classNames: classes };
}

async function fromLabelsFile(folder: Folder, name: string): Promise<ImageFolder> {
  const bytes = await folder.read(LABELS_FILE);
  if (bytes.length > MAX_LABELS_BYTES) {
    throw unreadable(
      `Expected at most ${MAX_LABELS_BYTES} bytes of ${LABELS_FILE} in ${name} but received ${bytes.length}.`,
    );
  }
  const files: string[] = [];
  const labels: number[] = [];
  const lines = new TextDecoder()
    .decode(bytes)
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/);
  const known = new Map<string, Set<string>>();
  for (const [i, line] of lines.entries()) {
    if (line.trim() === '') continue;
    const where = () => `line ${i + 1} of ${LABELS_FILE} in ${name}`;
    const [file, label] = splitLine(line, where);
    const number = label === '' ? Number.NaN : Number(label);
    // The first line may be a header: its second field is a word then.
    if (files.length === 0 && i === 0 && Number.isNaN(number) && !IMAGE_NAME.test(file)) continue;
    checkLabel(number, () => `the label on ${where()}`);
    if (!(await exists(folder, file, known)))
      throw unreadable(`Expected the image ${file} named on ${where()} but it is not there.`);
    files.push(file);
    labels.push(number);
  }
  if (files.length === 0)
    throw unreadable(`Expected lines \`file,label\` in ${LABELS_FILE} of ${name} but received none.`);
  return { files, labels: Int32Array.from(labels), classNames: null };
}

/** file,label; the file may stand in double quotes. */
function splitLine(line: string, where: () => string): [string, string] {
  const match = /^\s*(?:"([^"]+)"|([^,"]+?))\s*,\s*"?([^,"]*?)"?\s*$/.exec(line);
  if (!match) throw mismatch(`Expected \`file,label\` on ${where()} but received ${JSON.stringify(line)}.`);
  return [match[1] ?? match[2], match[3]];
}

/** Only names below the folder count; each subfolder is listed once. */
async function exists(place: Folder, file: string, known: Map<string, Set<string>>): Promise<boolean> {
  const pieces = file.split('/');
  if (pieces.some((piece) => piece === '' || piece === '.' || piece === '..')) return false;
  const folder = pieces.slice(0, -1).join('/');
  let names = known.get(folder);
  if (!names) {
    const entries = await place.list(folder).catch(() => []);
    names = new Set(entries.filter((entry) => !entry.folder).map((entry) => entry.name));
    known.set(folder, names);
  }
  return names.has(pieces[pieces.length - 1]);
}
