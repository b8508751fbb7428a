/** Files as they come from inputs and from being dropped, folders included: `{ file, path }`, path below what was chosen. */

export function fromInput(input) {
  return [...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
}

export async function fromDrop(transfer) {
  // Entries are only there until the first pause.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter((entry) => entry);
  if (entries.length === 0) return [...transfer.files].map((file) => ({ file, path: file.name }));
  return (await Promise.all(entries.map((entry) => below(entry)))).flat();
}

async function below(entry) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ file, path: entry.fullPath.slice(1) }];
  }
  const reader = entry.createReader();
  const all = [];
  // A folder is read some entries at a time, until there are none.
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) break;
    all.push(...some);
  }
  return (await Promise.all(all.map((child) => below(child)))).flat();
}

/** The files as the library takes them: one alone, or a folder's with their paths. */
export function asData(given) {
  const files = given.map(({ file, path }) =>
    path.includes('/') ? Object.defineProperty(file, 'webkitRelativePath', { value: path }) : file,
  );
  return files.length === 1 ? files[0] : files;
}

export function describe(given) {
  const bytes = given.reduce((sum, { file }) => sum + file.size, 0);
  const size = bytes < 1e6 ? `${(bytes / 1e3).toFixed(0)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
  if (given.length === 1) return `${given[0].file.name}, ${size}`;
  return `${given.length} files, ${size}`;
}
