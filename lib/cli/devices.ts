import { refuse } from '../errors.ts';
import { type Device, serializeDevice } from '../hardware/index.ts';
import { deviceNames, importTimings, loadDevice } from '../pipeline/devices.ts';
import { refuseExistingFile, writeNewFile } from '../pipeline/files.ts';
import { deviceListText, deviceText } from './device-text.ts';
import { type Action, EXIT_CODES, type Flags } from './program.ts';
import type { Terminal } from './terminal.ts';

type Verb = (subject: string, flags: Flags, terminal: Terminal) => Promise<void>;

/** What `devices` can do, by its first argument. */
const VERBS: Readonly<Record<string, Verb>> = {
  list: listDevices,
  show: async (subject, flags, terminal) => {
    const device = await loadDevice(named(subject, 'the name or the file of a device'));
    terminal.out(flags['json'] ? json(device) : deviceText(device));
  },
  validate: async (subject, flags, terminal) => {
    const device = await loadDevice(named(subject, 'a device file'));
    const { name, version } = device;
    terminal.out(
      flags['json']
        ? json({ valid: true, name, version })
        : `${subject} is a device: ${name}, version ${version}.\n`,
    );
  },
  import: async (subject, flags, terminal) => {
    const path = named(subject, 'a CSV file of timings');
    await write(flags, terminal, () => importTimings(path, nameOf(flags, 'board')));
  },
  measure: async (_, flags, terminal) => {
    await write(flags, terminal, async () => {
      const { measureDevice } = await import('./measure-device.ts');
      return measureDevice(flags, nameOf(flags, 'this-machine'), terminal);
    });
  },
};

/** `sigmaquant devices` */
export const devicesAction: Action = async (verb, flags, terminal, subject) => {
  const name = verb || 'list';
  if (!Object.hasOwn(VERBS, name)) refuse(Object.keys(VERBS).join(', '), 'devices', verb);
  await VERBS[name](subject, flags, terminal);
  return EXIT_CODES.met;
};

async function listDevices(_: string, flags: Flags, terminal: Terminal): Promise<void> {
  const devices = await Promise.all(deviceNames().map(loadDevice));
  terminal.out(
    flags['json']
      ? json(devices.map(({ name, title, baseline }) => ({ name, title, baseline })))
      : deviceListText(devices),
  );
}

const json = (document: unknown) => `${JSON.stringify(document)}\n`;

function named(subject: string, what: string): string {
  return subject === '' ? refuse(what, 'devices', 'none') : subject;
}

function nameOf(flags: Flags, otherwise: string): string {
  const name = (flags['name'] as string | undefined) ?? otherwise;
  if (!/^[a-z0-9][a-z0-9.-]*$/.test(name)) refuse('small letters, digits, dots and dashes', 'name', name);
  return name;
}

/** Makes a device and writes its file; a path that cannot be written is refused before the work. */
async function write(flags: Flags, terminal: Terminal, make: () => Promise<Device>): Promise<void> {
  const out = flags['out'] as string | undefined;
  if (out === undefined) refuse('the path of a new device file', 'out', undefined);
  const force = flags['force'] === true;
  await refuseExistingFile(out, 'out', force);
  const device = await make();
  terminal.clear();
  await writeNewFile(out, 'out', serializeDevice(device), force);
  const { name, latency } = device;
  const rules = latency?.rules.length ?? 0;
  terminal.out(flags['json'] ? json({ name, file: out, rules }) : `${out}: ${name}, ${rules} rules.\n`);
}
