/** A fenced or indented block of a Markdown page. */
export interface Block {
  /** What stands behind the fence; null for indented blocks. */
  language: string | null;
  lines: string[];
  /** Of its first line, from 1. */
  line: number;
  /** Why its commands are not run: `<!-- not run: reason -->` above it. */
  notRun: string | undefined;
  /** The file that it shows: `<!-- file: name -->` above it. */
  file: string | undefined;
}

const COMMAND = /^(\$ )?(npx |npm |sigmaquant\b|node )/;

/** All blocks of a page, in order. Fences inside lists are not looked for. */
export function blocksOf(text: string): Block[] {
  const lines = text.split('\n');
  const blocks: Block[] = [];
  for (let i = 0; i < lines.length; i++) {
    const fence = /^(`{3,})(\w*)/.exec(lines[i]);
    const indented = /^ {4}\S/.test(lines[i]) && (i === 0 || lines[i - 1] === '');
    if (!fence && !indented) continue;
    const before = i - 1;
    const start = fence ? i + 1 : i;
    i = start;
    while (i < lines.length && (fence ? !lines[i].startsWith(fence[1]) : lines[i].startsWith('    '))) i++;
    const comment = lines[before] ?? '';
    blocks.push({
      language: fence ? fence[2] : null,
      lines: lines.slice(start, i).map((line) => (fence ? line : line.slice(4))),
      line: start + 1,
      notRun: /^<!-- not run: (.+) -->$/.exec(comment)?.[1],
      file: /^<!-- file: (.+) -->$/.exec(comment)?.[1],
    });
  }
  return blocks;
}

/** Whether commands stand in a block. */
export function hasCommands({ lines }: Block): boolean {
  return lines.some((line) => COMMAND.test(line));
}

/** The commands of a block as a shell reads them; of a transcript what stands behind its prompts. */
export function commandsOf({ language, lines }: Block): string {
  if (language !== 'console') return lines.join('\n');
  const taken = lines.map((line) => line.startsWith('$ '));
  for (let i = 1; i < lines.length; i++) taken[i] ||= taken[i - 1] && lines[i - 1].endsWith('\\');
  return lines
    .filter((_, i) => taken[i])
    .map((line) => line.replace(/^\$ /, ''))
    .join('\n');
}

/** Folder and name of every script that a text has npm run. */
export function scriptsOf(text: string): [folder: string, script: string][] {
  return [...text.matchAll(/\bnpm (?:--prefix (\S+) )?(?:run (?:--silent )?([\w:.-]+)|(test|start)\b)/g)].map(
    ([, folder, script, short]) => [folder ?? '.', script ?? short],
  );
}
