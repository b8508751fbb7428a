// Packed float weights and the tile of a product: one accumulator per output, k ascending. Weights lie in panels
// [k][NR or W].

namespace sq {
namespace {

inline int64_t group_floats(const WeightsShape& s) {
  return padded_columns(s.out_channels / s.groups) * s.taps * s.channels;
}

int64_t float_weights_size(const WeightsShape& s) {
  return 4 * (is_depthwise(s) ? padded_columns(s.groups) * s.taps : group_floats(s) * s.groups);
}

void pack_float_weights(const float* w, const WeightsShape& s, uint8_t* packed) {
  float* to = reinterpret_cast<float*>(packed);
  const int64_t k = int64_t(s.taps) * s.channels;
  if (is_depthwise(s)) {
    const int64_t padded = padded_columns(s.groups);
    for (int64_t t = 0; t < k; t++)
      for (int64_t c = 0; c < padded; c++) *to++ = c < s.groups ? w[c * k + t] : 0;
    return;
  }
  const int64_t columns = s.out_channels / s.groups;
  for (int64_t g = 0; g < s.groups; g++, w += columns * k)
    for (int64_t index = 0; index < panel_count(columns); index++) {
      const Panel panel = panel_at(index, columns);
      for (int64_t i = 0; i < k; i++)
        for (int j = 0; j < panel.vectors * W; j++) *to++ = j < panel.columns ? w[(panel.first + j) * k + i] : 0;
    }
}

/** What a tile of R rows needs beside its rows. A row is `runs` runs of `run` floats, `skip` floats between them. */
struct FloatTile {
  const float* weights;
  int64_t runs, run, skip;
  float bias[NR];
  float low, high;
  int columns;
  bool streams;
};

/** Whether all stores of whole vectors lie at whole vectors, and there are enough of them to pass by the caches. */
inline bool is_streamed(const float* out, int64_t pixels, int64_t channels) {
  return pixels * channels * 4 > STREAM_BYTES && channels % W == 0 && reinterpret_cast<uintptr_t>(out) % (4 * W) == 0;
}

template <int R, int V>
inline void float_tile(const float* a, int64_t lda, const FloatTile& tile, float* out, int64_t ldc) {
  // Three rows per pointer: base, base + lda, base + 2 * lda are addresses of one instruction.
  constexpr int POINTERS = (R + 2) / 3;
  VF acc[R][V];
#pragma GCC unroll 12
  for (int r = 0; r < R; r++)
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) acc[r][v] = vf_set(0);
  const float* p[POINTERS];
#pragma GCC unroll 4
  for (int i = 0; i < POINTERS; i++) p[i] = a + 3 * i * lda;
  const float* w = tile.weights;
  for (int64_t run = 0; run < tile.runs; run++) {
    for (int64_t i = 0; i < tile.run; i++, w += V * W) {
      VF weights[V];
#pragma GCC unroll 2
      for (int v = 0; v < V; v++) weights[v] = vf_load(w + v * W);
#pragma GCC unroll 12
      for (int r = 0; r < R; r++) {
        const VF x = vf_set(p[r / 3][(r % 3) * lda]);
#pragma GCC unroll 2
        for (int v = 0; v < V; v++) acc[r][v] = vf_muladd(x, weights[v], acc[r][v]);
      }
#pragma GCC unroll 4
      for (int j = 0; j < POINTERS; j++) p[j]++;
    }
#pragma GCC unroll 4
    for (int j = 0; j < POINTERS; j++) p[j] += tile.skip;
  }
  const VF low = vf_set(tile.low), high = vf_set(tile.high);
  VF bias[V];
#pragma GCC unroll 2
  for (int v = 0; v < V; v++) bias[v] = vf_load(tile.bias + v * W);
#pragma GCC unroll 12
  for (int r = 0; r < R; r++)
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) acc[r][v] = vf_min(vf_max(vf_add(acc[r][v], bias[v]), low), high);
  if (tile.streams) {
#pragma GCC unroll 12
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
      for (int v = 0; v < V; v++) vf_stream(out + r * ldc + v * W, acc[r][v]);
  } else if (tile.columns == V * W) {
#pragma GCC unroll 12
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
      for (int v = 0; v < V; v++) vf_store(out + r * ldc + v * W, acc[r][v]);
  } else {
#pragma GCC unroll 12
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
      for (int v = 0; v < V; v++)
        vf_store_n(out + r * ldc + v * W, acc[r][v], tile.columns - v * W < W ? tile.columns - v * W : W);
  }
}

template <int R, int V>
void float_tile_call(const float* a, int64_t lda, const FloatTile& tile, float* out, int64_t ldc) {
  float_tile<R, V>(a, lda, tile, out, ldc);
}

using FloatTileCall = void (*)(const float*, int64_t, const FloatTile&, float*, int64_t);

/** The tile of `rows` (1..ROWS) rows and V vectors. */
template <int V, int R = ROWS>
inline FloatTileCall float_tile_of(int rows) {
  if (rows == R) return float_tile_call<R, V>;
  if constexpr (R > 1) return float_tile_of<V, R - 1>(rows);
  return float_tile_call<1, V>;
}

struct FloatJob {
  Pool* pool;
  const float* a;
  const float* packed;
  WeightsShape weights;
  ConvShape shape;
  const float* bias;
  float low, high;
  float* out;
  Division division;
  Lines lines;
  bool in_place;
  bool streams;
};

/** The tile of one panel of columns, but for its runs. */
inline FloatTile float_tile_at(const FloatJob& job, int64_t group, const Panel& panel) {
  const int64_t k = int64_t(job.weights.taps) * job.weights.channels;
  const int64_t n = group * (job.weights.out_channels / job.weights.groups) + panel.first;
  FloatTile tile;
  tile.weights = job.packed + group * group_floats(job.weights) + panel.first * k;
  tile.runs = 1;
  tile.run = k;
  tile.skip = 0;
  for (int j = 0; j < NR; j++) tile.bias[j] = job.bias && j < panel.columns ? job.bias[n + j] : 0;
  tile.low = job.low;
  tile.high = job.high;
  tile.columns = panel.columns;
  tile.streams = job.streams;
  return tile;
}

}  // namespace
}  // namespace sq
