// Float GEMM and convolution: one accumulator per output, k ascending. Weights lie in panels [k][NR or W].
// Convolutions gather blocks of patches first; 1x1 ones read the input in place; depthwise ones have their own loop.

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

/** What a tile of R rows needs beside its rows. */
struct FloatTile {
  const float* weights;
  int64_t k;
  float bias[NR];
  float low, high;
  int columns;
};

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
  for (int64_t i = 0; i < tile.k; i++, w += V * W) {
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
  const VF low = vf_set(tile.low), high = vf_set(tile.high);
  const bool whole = tile.columns == V * W;
#pragma GCC unroll 12
  for (int r = 0; r < R; r++)
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) {
      const VF x = vf_min(vf_max(vf_add(acc[r][v], vf_load(tile.bias + v * W)), low), high);
      if (whole)
        vf_store(out + r * ldc + v * W, x);
      else
        vf_store_n(out + r * ldc + v * W, x, tile.columns - v * W < W ? tile.columns - v * W : W);
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
  bool in_place;
};

void float_task(const void* context, int64_t task, int thread) {
  const FloatJob& job = *static_cast<const FloatJob*>(context);
  const Division& d = job.division;
  const int64_t chunk = task % d.chunks, block = task / d.chunks % d.blocks, group = task / d.chunks / d.blocks;
  const int64_t m = positions_of(job.shape), first = block * d.rows;
  const int64_t rows = m - first < d.rows ? m - first : d.rows;
  const int64_t k = int64_t(job.weights.taps) * job.weights.channels;
  const int64_t columns = job.weights.out_channels / job.weights.groups;
  const float* a = job.a + first * job.shape.in_channels + group * job.weights.channels;
  int64_t lda = job.shape.in_channels;
  if (!job.in_place) {
    float* rows_of_a = static_cast<float*>(job.pool->scratch(thread, sizeof(float) * d.rows * k));
    if (!rows_of_a) return;
    gather(job.a, job.shape, job.weights.channels, group, first, 1, rows, rows_of_a, k, copy_floats, zero_floats);
    a = rows_of_a;
    lda = k;
  }
  FloatTile tile;
  tile.k = k;
  tile.low = job.low;
  tile.high = job.high;
  const int64_t last = (chunk + 1) * d.panels_per_chunk;
  for (int64_t index = chunk * d.panels_per_chunk; index < last && index < panel_count(columns); index++) {
    const Panel panel = panel_at(index, columns);
    tile.weights = job.packed + group * group_floats(job.weights) + panel.first * k;
    tile.columns = panel.columns;
    const int64_t n = group * columns + panel.first;
    for (int j = 0; j < NR; j++) tile.bias[j] = job.bias && j < panel.columns ? job.bias[n + j] : 0;
    float* out = job.out + first * job.weights.out_channels + n;
    for (int64_t r = 0; r < rows; r += ROWS) {
      const int count = static_cast<int>(rows - r < ROWS ? rows - r : ROWS);
      const FloatTileCall call = panel.vectors == 2 ? float_tile_of<2>(count) : float_tile_of<1>(count);
      call(a + r * lda, lda, tile, out + r * job.weights.out_channels, job.weights.out_channels);
    }
  }
}

/** P pixels `step` apart, all of whose taps in y and x lie inside; `lanes` channels. */
template <int P, bool WHOLE>
void float_depthwise(const float* a, int64_t step, const float* w, const ConvShape& s, Taps y, Taps x,
                            int64_t padded, VF bias, VF low, VF high, int some, float* out) {
  const int lanes = WHOLE ? W : some;
  VF acc[P];
#pragma GCC unroll 8
  for (int i = 0; i < P; i++) acc[i] = vf_set(0);
  const int64_t c = s.in_channels;
  for (int32_t ky = y.first; ky < y.last; ky++)
    for (int32_t kx = x.first; kx < x.last; kx++) {
      const float* from = a + (int64_t(ky) * s.dilation_height * s.in_width + kx * s.dilation_width) * c;
      const VF weights = vf_load(w + (ky * s.kernel_width + kx) * padded);
#pragma GCC unroll 8
      for (int i = 0; i < P; i++)
        acc[i] = vf_muladd(lanes == W ? vf_load(from + i * step) : vf_load_n(from + i * step, lanes), weights, acc[i]);
    }
#pragma GCC unroll 8
  for (int i = 0; i < P; i++) {
    const VF value = vf_min(vf_max(vf_add(acc[i], bias), low), high);
    if (lanes == W)
      vf_store(out + i * c, value);
    else
      vf_store_n(out + i * c, value, lanes);
  }
}

using FloatDepthwiseCall = void (*)(const float*, int64_t, const float*, const ConvShape&, Taps, Taps, int64_t, VF, VF, VF,
                                    int, float*);

template <bool WHOLE>
inline FloatDepthwiseCall float_depthwise_of(int pixels) {
  return pixels == 8   ? float_depthwise<8, WHOLE>
         : pixels == 4 ? float_depthwise<4, WHOLE>
         : pixels == 2 ? float_depthwise<2, WHOLE>
                       : float_depthwise<1, WHOLE>;
}

/** One row of outputs. */
void float_depthwise_task(const void* context, int64_t task, int) {
  const FloatJob& job = *static_cast<const FloatJob*>(context);
  const ConvShape& s = job.shape;
  const int64_t c = s.in_channels, batch = task / s.out_height, padded = padded_columns(c);
  const Taps y = taps_inside(static_cast<int32_t>(task % s.out_height), s.stride_height, s.pad_top, s.dilation_height,
                             s.kernel_height, s.in_height);
  const float* row = job.a + (batch * s.in_height + y.start) * s.in_width * c;
  float* out = job.out + task * s.out_width * c;
  const VF low = vf_set(job.low), high = vf_set(job.high);
  for (int32_t ox = 0; ox < s.out_width;) {
    const Taps x = taps_inside(ox, s.stride_width, s.pad_left, s.dilation_width, s.kernel_width, s.in_width);
    const int pixels = pixels_together(s, ox, x);
    for (int64_t at = 0; at < c; at += W) {
      const int count = static_cast<int>(c - at < W ? c - at : W);
      const VF bias = job.bias ? vf_load_n(job.bias + at, count) : vf_set(0);
      const float* from = row + int64_t(x.start) * c + at;
      const int64_t step = s.stride_width * c;
      const FloatDepthwiseCall call = count == W ? float_depthwise_of<true>(pixels) : float_depthwise_of<false>(pixels);
      call(from, step, job.packed + at, s, y, x, padded, bias, low, high, count, out + ox * c + at);
    }
    ox += pixels;
  }
}

void float_conv(Pool& pool, const float* a, const uint8_t* packed, const WeightsShape& weights, const ConvShape& shape,
                const float* bias, float low, float high, float* out) {
  FloatJob job{&pool, a, reinterpret_cast<const float*>(packed), weights, shape, bias, low, high, out, {}, is_pointwise(shape)};
  const int64_t k = int64_t(weights.taps) * weights.channels, m = positions_of(shape);
  if (m == 0 || weights.out_channels == 0) return;
  const double work = double(m) * double(k) * weights.out_channels;
  if (is_depthwise(weights)) {
    pool.run(int64_t(shape.batch) * shape.out_height, work, float_depthwise_task, &job);
    return;
  }
  const int threads = work < PARALLEL_WORK ? 1 : pool.threads();
  job.division = divide(m, panel_count(weights.out_channels / weights.groups), weights.groups, 4 * k, threads);
  pool.run(job.division.blocks * job.division.chunks * weights.groups, work, float_task, &job);
}

void float_gemm(Pool& pool, const float* a, const uint8_t* packed, const WeightsShape& weights, int32_t m,
                const float* bias, float low, float high, float* out) {
  float_conv(pool, a, packed, weights, matrix_shape(weights, m), bias, low, high, out);
}

}  // namespace
}  // namespace sq
