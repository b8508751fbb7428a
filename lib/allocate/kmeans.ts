/** A run of neighbouring values. */
export interface Cluster {
  /** Indices into the values, by rising value. */
  members: readonly number[];
  centroid: number;
  /** Population standard deviation of the members. */
  spread: number;
}

/**
 * One-dimensional k-means, exact by dynamic programming over the sorted values (Wang and Song, R Journal 3/2, 2011):
 * no seeds, the same answer everywhere. Clusters by rising centroid; equal values are never parted, so there may be
 * fewer than k clusters.
 */
export function kmeans(values: readonly number[], k: number): Cluster[] {
  const order = values.map((_, index) => index).sort((a, b) => values[a] - values[b] || a - b);
  const sorted = order.map((index) => values[index]);
  const n = sorted.length;
  if (n === 0) return [];
  const distinct = new Set(sorted).size;
  const clusters = Math.min(k, distinct);
  const within = squares(sorted);
  const least = Array.from({ length: clusters }, () => new Float64Array(n).fill(Number.POSITIVE_INFINITY));
  const starts = Array.from({ length: clusters }, () => new Int32Array(n));
  for (let c = 0; c < clusters; c++)
    for (let last = c; last < n; last++)
      for (let first = c; first <= (c === 0 ? 0 : last); first++) {
        if (first > 0 && sorted[first] === sorted[first - 1]) continue;
        const sum = (c === 0 ? 0 : least[c - 1][first - 1]) + within(first, last);
        if (sum < least[c][last]) {
          least[c][last] = sum;
          starts[c][last] = first;
        }
      }
  const result: Cluster[] = [];
  for (let c = clusters - 1, last = n - 1; c >= 0; last = starts[c][last] - 1, c--)
    result.push(describe(order.slice(starts[c][last], last + 1), values));
  return result.reverse();
}

/**
 * k-means with at most k clusters. ours: k shrinks while a cluster would be empty or two neighbouring centroids lie
 * closer than the spreads of their clusters together, since such clusters say nothing.
 */
export function adaptiveKmeans(values: readonly number[], k: number): Cluster[] {
  for (let count = k; count > 1; count--) {
    const clusters = kmeans(values, count);
    const apart = clusters.every(
      ({ centroid, spread }, index) =>
        index === 0 || centroid - clusters[index - 1].centroid >= spread + clusters[index - 1].spread,
    );
    if (clusters.length === count && apart) return clusters;
  }
  return kmeans(values, 1);
}

/** Sum of squared distances from the mean over a range of sorted values, in constant time. */
function squares(sorted: readonly number[]): (first: number, last: number) => number {
  // Around the middle value, so that prefix sums do not cancel.
  const middle = sorted[sorted.length >> 1];
  const sum = new Float64Array(sorted.length + 1);
  const square = new Float64Array(sorted.length + 1);
  sorted.forEach((value, index) => {
    sum[index + 1] = sum[index] + (value - middle);
    square[index + 1] = square[index] + (value - middle) ** 2;
  });
  return (first, last) => {
    const total = sum[last + 1] - sum[first];
    return Math.max(0, square[last + 1] - square[first] - total ** 2 / (last - first + 1));
  };
}

function describe(members: readonly number[], values: readonly number[]): Cluster {
  const centroid = members.reduce((total, index) => total + values[index], 0) / members.length;
  const variance = members.reduce((total, index) => total + (values[index] - centroid) ** 2, 0);
  return { members, centroid, spread: Math.sqrt(variance / members.length) };
}
