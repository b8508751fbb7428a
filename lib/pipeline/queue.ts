import type { ConnectionOptions, Queue, Worker } from 'bullmq';
import { refuse, SigmaQuantError } from '../errors.ts';

/** The queue of every sweep on a server. */
export const QUEUE_NAME = 'sigmaquant';
/** Milliseconds without a connection after which the queue counts as gone. */
const GONE_AFTER = 5000;
/** Milliseconds that a try to connect may take. */
const CONNECT_TIMEOUT = 3000;
/** Milliseconds between tries. */
const RETRY_DELAY = 250;

/** The package, which is the user's own. Throws QUEUE_UNAVAILABLE where it is not installed. */
export async function loadBullmq(): Promise<typeof import('bullmq')> {
  try {
    return await import('bullmq');
  } catch (error) {
    throw new SigmaQuantError(
      'QUEUE_UNAVAILABLE',
      `Expected the packages bullmq and ioredis for --queue but they do not load (${(error as Error).message.split('\n')[0]}); run npm install bullmq ioredis.`,
      { cause: error },
    );
  }
}

/** How to connect, and how to stop trying: without that the client waits for its server forever. */
export interface Connection {
  options: ConnectionOptions;
  giveUp(): void;
}

/** `redis://[user:password@]host[:port][/db]`, or `rediss:` over TLS. Throws INVALID_ARGUMENT. */
export function connectionOf(url: string): Connection {
  const parsed = URL.canParse(url) ? new URL(url) : null;
  if (!parsed || !/^rediss?:$/.test(parsed.protocol) || parsed.hostname === '')
    refuse('redis://host:port', 'queue', url);
  const { hostname, port, username, password, pathname, protocol } = parsed;
  const database = pathname.replace(/^\//, '');
  if (!/^\d*$/.test(database)) refuse('redis://host:port/NUMBER', 'queue', url);
  let over = false;
  const options = {
    host: hostname.replace(/^\[|\]$/g, ''),
    port: port === '' ? 6379 : Number(port),
    ...(username ? { username: decodeURIComponent(username) } : {}),
    ...(password ? { password: decodeURIComponent(password) } : {}),
    ...(database ? { db: Number(database) } : {}),
    ...(protocol === 'rediss:' ? { tls: {} } : {}),
    connectTimeout: CONNECT_TIMEOUT,
    retryStrategy: () => (over ? null : RETRY_DELAY),
    maxRetriesPerRequest: null,
  };
  return {
    options,
    giveUp: () => {
      over = true;
    },
  };
}

/** The address without what is secret in it. */
function shown(url: string): string {
  const { protocol, host } = new URL(url);
  return `${protocol}//${host}`;
}

/** A queue or a worker, as far as its connection goes. */
type Connected = Pick<Queue | Worker, 'getBackend' | 'waitUntilReady'>;

/**
 * Rejects with QUEUE_UNAVAILABLE once the connection has been gone for a while; the client itself would wait forever.
 * `stop` ends the watch.
 */
export function watchQueue(url: string, source: Connected): { gone: Promise<never>; stop: () => void } {
  let timer: NodeJS.Timeout | undefined;
  let rejectGone: (error: Error) => void = () => {};
  const gone = new Promise<never>((_, reject) => {
    rejectGone = reject;
  });
  gone.catch(() => {});
  let why = 'no connection';
  const lost = () => {
    timer ??= setTimeout(() => {
      rejectGone(
        new SigmaQuantError(
          'QUEUE_UNAVAILABLE',
          `Expected a Redis server at ${shown(url)} but it has been away for ${GONE_AFTER / 1000} s (${why}); finished cells are kept, the same command goes on once it is back.`,
        ),
      );
    }, GONE_AFTER);
  };
  const back = () => {
    clearTimeout(timer);
    timer = undefined;
  };
  lost();
  const backend = source.getBackend();
  backend.on('error', (error: NodeJS.ErrnoException) => {
    why = error.code ?? error.message;
  });
  backend.on('close', lost);
  backend.on('ready', back);
  source.waitUntilReady().then(back, () => {});
  return { gone, stop: back };
}
