// Packed float weights and the tile of a product: one accumulator per output, k ascending. Weights lie in panels
// [k][NR or W], those of depthwise convolutions in blocks [taps][W].

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
    for (int64_t at = 0; at < s.groups; at += W)
      for (int64_t t = 0; t < k; t++)
        for (int64_t c = at; c < at + W; c++) *to++ = c < s.groups ? w[c * k + t] : 0;
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
  const float* bias;
  int64_t bias_step;   // floats from panel to panel
  int64_t panels;      // side by side; more than one only where all are full
  int64_t tiles;       // one below the other
  int64_t advance;     // floats from row to row; 0 where that differs, and tiles are called one by one
  const float* ahead;  // rows that will be wanted next: fetched meanwhile
  float low, high;
  int columns;
  bool streams;
};

/** Whether all stores of whole vectors lie at whole vectors, and there are enough of them to pass by the caches. */
inline bool is_streamed(const float* out, int64_t pixels, int64_t channels) {
  return pixels * channels * 4 > STREAM_BYTES && channels % W == 0 && reinterpret_cast<uintptr_t>(out) % (4 * W) == 0;
}

/** R rows, wherever each begins, times panels of V vectors of columns; `ldc` floats lie between rows of `out`. */
template <int R, int V>
void float_tile(const float* const* rows, const FloatTile& tile, float* first, int64_t ldc) {
  const float* p[R];
#pragma GCC unroll 12
  for (int r = 0; r < R; r++) p[r] = rows[r];
  const float* ahead = tile.ahead;
  for (int64_t index = 0; index < tile.tiles; index++, first += R * ldc) {
    const float *w = tile.weights, *bias = tile.bias;
    float* out = first;
    for (int64_t panel = tile.panels; panel > 0; panel--, out += V * W, bias += tile.bias_step) {
      VF acc[R][V];
#pragma GCC unroll 12
      for (int r = 0; r < R; r++) {
        if (!tile.streams) prefetch(out + r * ldc);
#pragma GCC unroll 2
        for (int v = 0; v < V; v++) acc[r][v] = vf_set(0);
      }
      int64_t at = 0;
      for (int64_t run = 0; run < tile.runs; run++, at += tile.skip) {
        for (const int64_t end = at + tile.run; at < end; at++, w += V * W, ahead += R) {
          VF weights[V];
#pragma GCC unroll 2
          for (int v = 0; v < V; v++) weights[v] = vf_load(w + v * W);
          prefetch(ahead);
#pragma GCC unroll 12
          for (int r = 0; r < R; r++) {
            const VF x = vf_set(p[r][at]);
#pragma GCC unroll 2
            for (int v = 0; v < V; v++) acc[r][v] = vf_muladd(x, weights[v], acc[r][v]);
          }
        }
      }
      const VF low = vf_set(tile.low), high = vf_set(tile.high);
      VF shift[V];
#pragma GCC unroll 2
      for (int v = 0; v < V; v++) shift[v] = vf_load(bias + v * W);
#pragma GCC unroll 12
      for (int r = 0; r < R; r++)
#pragma GCC unroll 2
        for (int v = 0; v < V; v++) acc[r][v] = vf_min(vf_max(vf_add(acc[r][v], shift[v]), low), high);
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
#pragma GCC unroll 12
    for (int r = 0; r < R; r++) p[r] += R * tile.advance;
  }
}

using FloatTileCall = void (*)(const float* const*, const FloatTile&, float*, int64_t);

/** The tile of `rows` (1..ROWS) rows and V vectors. */
template <int V, int R = ROWS>
inline FloatTileCall float_tile_of(int rows) {
  if (rows == R) return float_tile<R, V>;
  if constexpr (R > 1) return float_tile_of<V, R - 1>(rows);
  return float_tile<1, V>;
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

/** Panels whose weights stay in the first cache together take turns on each tile of rows, so that whole rows of
 * outputs are written at once; else one panel stays there for many tiles. */
constexpr int64_t TURN_BYTES = 16 * 1024;

/**
 * Rows times the panels first_panel..last_panel of a group: `place(i, n, rows)` tells where rows i..i+n begin,
 * `out` is where the first row of the group's outputs does. `tile` has the runs of a row; `reach` floats lie between
 * a row and the one that is fetched meanwhile, 0 if rows are in a cache.
 */
template <class Place>
inline void float_product(const FloatJob& job, int64_t group, int64_t first_panel, int64_t last_panel, int64_t count,
                          FloatTile tile, int64_t reach, Place place, float* out) {
  const int64_t k = int64_t(job.weights.taps) * job.weights.channels, ldc = job.weights.out_channels;
  const int64_t columns = ldc / job.weights.groups, panels = panel_count(columns);
  if (last_panel > panels) last_panel = panels;
  // Tiles of like size: the smallest ones cannot hide the latency of their sums.
  const int64_t tiles = (count + ROWS - 1) / ROWS, least = count / tiles, larger = count % tiles;
  const bool together = last_panel - first_panel > 1 && 4 * k * NR * (last_panel - first_panel) <= TURN_BYTES;
  float bias[NR];
  const float* rows[ROWS];
  tile.low = job.low;
  tile.high = job.high;
  tile.streams = job.streams;
  for (int64_t index = first_panel; index < last_panel; index += tile.panels) {
    const Panel panel = panel_at(index, columns);
    const int64_t full = columns / NR - index;
    tile.panels = !together || full < 1 ? 1 : full < last_panel - index ? full : last_panel - index;
    tile.weights = job.packed + group * group_floats(job.weights) + panel.first * k;
    tile.columns = panel.columns;
    tile.bias = job.bias ? job.bias + group * columns + panel.first : bias;
    tile.bias_step = job.bias ? NR : 0;
    if (!job.bias || panel.columns < panel.vectors * W) {
      for (int j = 0; j < NR; j++) bias[j] = job.bias && j < panel.columns ? tile.bias[j] : 0;
      tile.bias = bias;
    }
    for (int64_t i = 0; i < tiles; i += tile.tiles) {
      const int size = static_cast<int>(i < larger ? least + 1 : least);
      const int64_t first = i * least + (i < larger ? i : larger);
      tile.tiles = tile.advance == 0 ? 1 : i < larger ? larger : tiles - i;
      place(first, size, rows);
      tile.ahead = reach > 0 && index == first_panel ? rows[0] + reach : tile.weights;
      const FloatTileCall call = panel.vectors == 2 ? float_tile_of<2>(size) : float_tile_of<1>(size);
      call(rows, tile, out + first * ldc + panel.first, ldc);
    }
  }
}

}  // namespace
}  // namespace sq
