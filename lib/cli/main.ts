#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { run } from './program.ts';
import { createTerminal } from './terminal.ts';

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
const controller = new AbortController();
const interrupt = () => controller.abort(new DOMException('The work was interrupted.', 'AbortError'));
process.once('SIGINT', interrupt);
process.once('SIGTERM', interrupt);
// A closed pipe (`| head`) ends the output, not the program with a stack trace.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
});

const argv = process.argv.slice(2);
const terminal = createTerminal({
  out: (text) => process.stdout.write(text),
  error: (text) => process.stderr.write(text),
  interactive: process.stderr.isTTY === true && !argv.includes('--json'),
  width: () => process.stderr.columns ?? 80,
  now: () => performance.now(),
  signal: controller.signal,
});
process.exitCode = await run(argv, terminal, version);
process.off('SIGINT', interrupt);
process.off('SIGTERM', interrupt);
