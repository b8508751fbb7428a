import { sha256 } from './model.ts';

/** Named values of one key. */
export interface CacheEntries {
  /** Null where there is none, or none that is whole. */
  read<T>(name: string): Promise<T | null>;
  write(name: string, value: unknown): Promise<void>;
  remove(name: string): Promise<void>;
}

/** What keeps nothing. */
export const noEntries: CacheEntries = {
  read: async () => null,
  write: async () => {},
  remove: async () => {},
};

/** Of bytes, or of plain data with the order of its keys; hex. */
export function digestOf(data: unknown): string {
  return sha256(data instanceof Uint8Array || typeof data === 'string' ? data : JSON.stringify(data));
}
