/** Things that belong together: disjoint sets over 0..size-1, each named by its smallest member. */
export class DisjointSets {
  readonly #parent: Int32Array;

  constructor(size: number) {
    this.#parent = Int32Array.from({ length: size }, (_, i) => i);
  }

  get size(): number {
    return this.#parent.length;
  }

  find(member: number): number {
    const parent = this.#parent;
    while (parent[member] !== member) {
      parent[member] = parent[parent[member]];
      member = parent[member];
    }
    return member;
  }

  join(a: number, b: number): void {
    const [x, y] = [this.find(a), this.find(b)];
    this.#parent[Math.max(x, y)] = Math.min(x, y);
  }
}

/** Sets of channels of values: every channel of every value is in one. */
export class ChannelSets {
  readonly #first = new Map<string, number>();
  readonly #counts: ReadonlyMap<string, number>;
  readonly #sets: DisjointSets;

  /** Channels by value. */
  constructor(counts: ReadonlyMap<string, number>) {
    this.#counts = counts;
    let total = 0;
    for (const [value, count] of counts) {
      this.#first.set(value, total);
      total += count;
    }
    this.#sets = new DisjointSets(total);
  }

  get size(): number {
    return this.#sets.size;
  }

  of(value: string, channel: number): number {
    return this.#sets.find(this.#first.get(value)! + channel);
  }

  /** The sets of a value's channels. */
  all(value: string): Int32Array {
    return Int32Array.from({ length: this.#counts.get(value) ?? 0 }, (_, channel) => this.of(value, channel));
  }

  join(value: string, channel: number, other: string, otherChannel: number): void {
    this.#sets.join(this.#first.get(value)! + channel, this.#first.get(other)! + otherChannel);
  }
}
