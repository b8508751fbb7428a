import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
/** Characters of what a trial said last that are looked through for its error. */
const TAIL = 4000;

export interface Failure {
  pair: string;
  error: string;
}

/**
 * One trial in a process of its own: `script`, relative to this folder, is given the trial as JSON and the path of the
 * file that its rows go to.
 */
export function runInOwnProcess<Row>(
  script: string,
  trial: { pair: { name: string } },
): Promise<Row[] | Failure> {
  const folder = mkdtempSync(join(tmpdir(), 'sigmaquant-trial-'));
  const into = join(folder, 'rows.json');
  return new Promise<Row[] | Failure>((resolve) => {
    let said = '';
    const child = spawn(
      process.execPath,
      ['--import', 'tsx', join(here, script), JSON.stringify(trial), into],
      { cwd: here, stdio: ['ignore', 'inherit', 'pipe'] },
    );
    child.stderr!.on('data', (piece) => {
      said = (said + piece).slice(-TAIL);
    });
    child.on('close', (code, signal) => {
      if (code === 0) return resolve(JSON.parse(readFileSync(into, 'utf8')));
      const error = /^.*Error: .*$/m.exec(said)?.[0] ?? said.trim();
      resolve({ pair: trial.pair.name, error: `${error || 'no message'} (exit ${signal ?? code})` });
    });
  }).finally(() => rmSync(folder, { recursive: true }));
}
