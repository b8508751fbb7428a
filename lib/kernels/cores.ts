import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

type Read = (path: string) => string | undefined;

const fromDisk: Read = (path) => {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
};

/** The numbers of a list as Linux writes it: 0-3,8,10-11. */
function numbersOf(list: string): number[] {
  return list.split(',').flatMap((range) => {
    const [first, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}

/** Processors that the control groups of this process pay for: the tightest of its own and all above; fractions too. */
function quota(read: Read): number {
  let least = Number.POSITIVE_INFINITY;
  for (const line of read('/proc/self/cgroup')?.split('\n') ?? []) {
    const [, controllers, group = '/'] = line.split(':');
    const second = controllers === '';
    if (!second && !controllers?.split(',').includes('cpu')) continue;
    for (let path = group; ; path = path.slice(0, path.lastIndexOf('/'))) {
      const folder = `/sys/fs/cgroup${second ? '' : '/cpu'}${path === '/' ? '' : path}`;
      const [most, period] = second
        ? (read(`${folder}/cpu.max`)?.split(' ') ?? [])
        : [read(`${folder}/cpu.cfs_quota_us`), read(`${folder}/cpu.cfs_period_us`)];
      const share = Number(most) / Number(period);
      if (share > 0) least = Math.min(least, share); // "max" and -1: no limit
      if (path === '' || path === '/') break;
    }
  }
  return least;
}

/** The distinct cores among the processors this process may run on; undefined where Linux does not tell. */
function allowedCores(read: Read): number | undefined {
  const allowed = read('/proc/self/status')?.match(/^Cpus_allowed_list:\s*(\S+)$/m)?.[1];
  if (allowed === undefined) return undefined;
  const siblings = numbersOf(allowed).map(
    (i) => read(`/sys/devices/system/cpu/cpu${i}/topology/thread_siblings_list`) ?? `cpu${i}`,
  );
  return new Set(siblings).size;
}

/**
 * Physical cores that this process may use, at least 1: on Linux the distinct cores of its affinity mask, no more than
 * its control groups' quota rounded up. Elsewhere what the system calls available: there, threads that share a core
 * count as two.
 */
export function physicalCores(read: Read = fromDisk, available = availableParallelism()): number {
  return Math.max(1, Math.min(allowedCores(read) ?? available, available, Math.ceil(quota(read))));
}
