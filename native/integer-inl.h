// Integer GEMM and convolution. Weights lie in panels [k / STEP][NR or W][STEP], as bit planes below 8 bits; each
// panel is decoded once per task and used for all its rows. Sums leave the registers through one epilogue.

namespace sq {
namespace {

inline int64_t round_up(int64_t x, int64_t to) { return (x + to - 1) / to * to; }
inline int64_t depth_of(const WeightsShape& s) { return round_up(int64_t(s.taps) * s.channels, STEP); }

/** Column sums stand before a panel where activations are shifted or keep their zero point. */
constexpr int64_t HEADER = SHIFTED ? NR * 4 : 0;

inline int64_t panel_bytes(const WeightsShape& s, int vectors) {
  return HEADER + planes_size(depth_of(s) * vectors * W, s.bits);
}

inline int64_t group_bytes(const WeightsShape& s) {
  const int64_t columns = s.out_channels / s.groups, panels = panel_count(columns);
  return panels == 0 ? 0 : (panels - 1) * panel_bytes(s, 2) + panel_bytes(s, panel_at(panels - 1, columns).vectors);
}

int64_t weights_size(const WeightsShape& s) {
  return is_depthwise(s) ? planes_size(padded_columns(s.groups) * s.taps, s.bits) : group_bytes(s) * s.groups;
}

void pack_weights(const int8_t* q, const WeightsShape& s, uint8_t* packed) {
  const int64_t k = int64_t(s.taps) * s.channels;
  if (is_depthwise(s)) {
    const int64_t padded = padded_columns(s.groups);
    const auto value = [=](int64_t i) { return i % padded < s.groups ? q[i % padded * k + i / padded] : 0; };
    planes_encode(value, padded * k, s.bits, packed);
    return;
  }
  const int64_t columns = s.out_channels / s.groups;
  for (int64_t g = 0; g < s.groups; g++, q += columns * k)
    for (int64_t index = 0; index < panel_count(columns); index++) {
      const Panel panel = panel_at(index, columns);
      const int8_t* first = q + panel.first * k;
      if (SHIFTED) {
        for (int j = 0; j < NR; j++) {
          int32_t sum = 0;
          for (int64_t i = 0; j < panel.columns && i < k; i++) sum += first[j * k + i];
          memcpy(packed + 4 * j, &sum, 4);
        }
      }
      const int64_t width = int64_t(panel.vectors) * W;
      const auto value = [=](int64_t i) {
        const int64_t row = i / (width * STEP) * STEP + i % STEP, column = i / STEP % width;
        return row < k && column < panel.columns ? first[column * k + row] : 0;
      };
      planes_encode(value, depth_of(s) * width, s.bits, packed + HEADER);
      packed += panel_bytes(s, panel.vectors);
    }
}

/** What a tile of R rows needs beside its rows. */
struct IntegerTile {
  const Weight* weights;
  int64_t steps;
  int32_t offset[NR];  // bias and what the zero point and the shift add
  float multipliers[NR];
  Output::Kind kind;
  int32_t zero_point;
  float low, high;
  int columns;
};

/** n sums of one row to their place. */
inline void integer_store(VI sum, const IntegerTile& tile, int column, uint8_t* out, int n) {
  if (tile.kind == Output::INT32) return vi_store_n(reinterpret_cast<int32_t*>(out) + column, sum, n);
  const VF scaled = vf_mul(vi_float(sum), vf_load(tile.multipliers + column));
  if (tile.kind == Output::FLOAT32) return vf_store_n(reinterpret_cast<float*>(out) + column, scaled, n);
  bytes_round_n(out + column, scaled, vf_set(tile.low), vf_set(tile.high), vi_set(tile.zero_point), n);
}

/** lda in elements, ldc in bytes. */
template <int R, int V>
void integer_tile(const Activation* a, int64_t lda, const IntegerTile& tile, uint8_t* out, int64_t ldc) {
  constexpr int POINTERS = (R + 2) / 3;
  VI acc[R][V];
#pragma GCC unroll 12
  for (int r = 0; r < R; r++)
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) acc[r][v] = vi_load(tile.offset + v * W);
  const Activation* p[POINTERS];
#pragma GCC unroll 4
  for (int i = 0; i < POINTERS; i++) p[i] = a + 3 * i * lda;
  const Weight* w = tile.weights;
  for (int64_t i = 0; i < tile.steps; i++, w += V * W * STEP) {
    decltype(weights_load(w)) weights[V];
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) weights[v] = weights_load(w + v * W * STEP);
#pragma GCC unroll 12
    for (int r = 0; r < R; r++) {
      const auto x = activations_broadcast(p[r / 3] + (r % 3) * lda);
#pragma GCC unroll 2
      for (int v = 0; v < V; v++) acc[r][v] = vi_dot(acc[r][v], weights[v], x);
    }
#pragma GCC unroll 4
    for (int j = 0; j < POINTERS; j++) p[j] += STEP;
  }
#pragma GCC unroll 12
  for (int r = 0; r < R; r++)
#pragma GCC unroll 2
    for (int v = 0; v < V; v++)
      integer_store(acc[r][v], tile, v * W, out + r * ldc, tile.columns - v * W < W ? tile.columns - v * W : W);
}

using IntegerTileCall = void (*)(const Activation*, int64_t, const IntegerTile&, uint8_t*, int64_t);

template <int V, int R = ROWS>
inline IntegerTileCall integer_tile_of(int rows) {
  if (rows == R) return integer_tile<R, V>;
  if constexpr (R > 1) return integer_tile_of<V, R - 1>(rows);
  return integer_tile<1, V>;
}

struct IntegerJob {
  Pool* pool;
  Bytes a;
  const uint8_t* packed;
  WeightsShape weights;
  ConvShape shape;
  int32_t zero_point;
  Output out;
  Division division;
  bool in_place;
};

inline int64_t output_bytes(const Output& out) { return out.kind == Output::BYTES ? 1 : 4; }

inline float least_of(const Output& out) { return static_cast<float>(out.low - out.zero_point); }
inline float most_of(const Output& out) { return static_cast<float>(out.high - out.zero_point); }

/** Patches as activations of the tile: shifted to unsigned where SHIFTED, else less their zero point. */
inline void gather_activations(const IntegerJob& job, int64_t group, int64_t first, int64_t rows, Activation* to) {
  const int64_t depth = depth_of(job.weights), k = int64_t(job.weights.taps) * job.weights.channels;
  const uint8_t flip = SHIFTED && job.a.is_signed ? 0x80 : 0;
  const Activation padding = SHIFTED ? static_cast<Activation>(job.zero_point ^ flip) : 0;
  const int32_t change = SHIFTED ? flip : job.zero_point;
  const bool widen_signed = job.a.is_signed;
  const auto fill = [=](Activation* at, int64_t n) {
    for (int64_t i = 0; i < n; i++) at[i] = padding;
  };
  const auto copy = [=](const uint8_t* from, Activation* at, int64_t n) {
    int64_t i = 0;
    for (; i + ACTIVATIONS <= n; i += ACTIVATIONS) activations_copy(from + i, at + i, change, widen_signed);
    if (i == n) return;
    if (i > 0) return activations_copy(from + n - ACTIVATIONS, at + n - ACTIVATIONS, change, widen_signed);
    activations_copy_n(from, at, change, widen_signed, static_cast<int>(n));
  };
  gather(job.a.data, job.shape, job.weights.channels, group, first, 1, rows, to, depth, copy, fill);
  for (int64_t r = 0; r < rows && k < depth; r++)
    for (int64_t i = k; i < depth; i++) to[r * depth + i] = 0;
}

void integer_task(const void* context, int64_t task, int thread) {
  const IntegerJob& job = *static_cast<const IntegerJob*>(context);
  const Division& d = job.division;
  const WeightsShape& weights = job.weights;
  const int64_t chunk = task % d.chunks, block = task / d.chunks % d.blocks, group = task / d.chunks / d.blocks;
  const int64_t m = positions_of(job.shape), first = block * d.rows;
  const int64_t rows = m - first < d.rows ? m - first : d.rows;
  const int64_t depth = depth_of(weights), columns = weights.out_channels / weights.groups;
  const bool decoded = weights.bits < 8 || sizeof(Weight) > 1;
  const int64_t panel_values = decoded ? round_up(planes_values(depth * NR), 64) : 0;
  const int64_t gathered = job.in_place ? 0 : round_up(d.rows * depth, 64);
  auto* memory = static_cast<uint8_t*>(job.pool->scratch(thread, panel_values * sizeof(Weight) + gathered * sizeof(Activation)));
  if (!memory) return;
  auto* values = reinterpret_cast<Weight*>(memory);
  const Activation* a = reinterpret_cast<const Activation*>(job.a.data) + first * depth;
  if (!job.in_place) {
    auto* to = reinterpret_cast<Activation*>(memory + panel_values * sizeof(Weight));
    gather_activations(job, group, first, rows, to);
    a = to;
  }
  const int64_t element = output_bytes(job.out), ldc = weights.out_channels * element;
  const uint32_t zero = SHIFTED ? static_cast<uint32_t>(job.zero_point + (job.a.is_signed ? 128 : 0)) : 0;
  IntegerTile tile;
  tile.steps = depth / STEP;
  tile.kind = job.out.kind;
  tile.zero_point = job.out.zero_point;
  tile.low = least_of(job.out);
  tile.high = most_of(job.out);
  const int64_t last = (chunk + 1) * d.panels_per_chunk;
  for (int64_t index = chunk * d.panels_per_chunk; index < last && index < panel_count(columns); index++) {
    const Panel panel = panel_at(index, columns);
    const uint8_t* packed = job.packed + group * group_bytes(weights) + index * panel_bytes(weights, 2);
    const int64_t n = group * columns + panel.first;
    tile.columns = panel.columns;
    for (int j = 0; j < NR; j++) {
      const bool real = j < panel.columns;
      int32_t sum = 0;
      if (SHIFTED) memcpy(&sum, packed + 4 * j, 4);
      const uint32_t bias = real && job.out.bias ? static_cast<uint32_t>(job.out.bias[n + j]) : 0;
      tile.offset[j] = static_cast<int32_t>(bias - zero * static_cast<uint32_t>(sum));
      tile.multipliers[j] = real && job.out.multipliers ? job.out.multipliers[n + j] : 0;
    }
    if (decoded) planes_decode(packed + HEADER, depth * panel.vectors * W, weights.bits, values);
    tile.weights = decoded ? values : reinterpret_cast<const Weight*>(packed + HEADER);
    uint8_t* out = static_cast<uint8_t*>(job.out.data) + first * ldc + n * element;
    for (int64_t r = 0; r < rows; r += ROWS) {
      const int count = static_cast<int>(rows - r < ROWS ? rows - r : ROWS);
      const IntegerTileCall call = panel.vectors == 2 ? integer_tile_of<2>(count) : integer_tile_of<1>(count);
      call(a + r * depth, depth, tile, out + r * ldc, ldc);
    }
  }
}

/** Depthwise: weights as int32 lanes of which the lower half counts; sums start at bias - zero_point * Σw. */
struct DepthwiseJob {
  IntegerJob base;
  const int32_t* weights;  // [taps][padded]
  const int32_t* offset;   // [padded]
  const float* multipliers;
};

/** P pixels `step` apart, with the same taps inside; taps outside count as the zero point. */
template <int P, bool WHOLE, bool SIGNED>
void integer_depthwise(const DepthwiseJob& job, const uint8_t* a, int64_t step, Taps y, Taps x, int64_t at, int some,
                       const IntegerTile& tile, uint8_t* out, int64_t ldc) {
  const ConvShape& s = job.base.shape;
  const int lanes = WHOLE ? W : some;
  const int64_t c = s.in_channels, padded = padded_columns(c);
  const bool all = y.last - y.first == s.kernel_height && x.last - x.first == s.kernel_width;
  VI acc[P];
#pragma GCC unroll 8
  for (int i = 0; i < P; i++) acc[i] = vi_load(job.offset + at);
  for (int32_t ky = y.first; ky < y.last; ky++)
    for (int32_t kx = x.first; kx < x.last; kx++) {
      const uint8_t* from = a + (int64_t(ky) * s.dilation_height * s.in_width + kx * s.dilation_width) * c;
      const VI w = vi_load(job.weights + (ky * s.kernel_width + kx) * padded + at);
#pragma GCC unroll 8
      for (int i = 0; i < P; i++) acc[i] = vi_short_muladd(bytes_widen(from + i * step, lanes, SIGNED), w, acc[i]);
    }
  if (!all) {
    const VI zero = vi_set(job.base.zero_point);
    for (int32_t ky = 0; ky < s.kernel_height; ky++)
      for (int32_t kx = 0; kx < s.kernel_width; kx++) {
        if (ky >= y.first && ky < y.last && kx >= x.first && kx < x.last) continue;
        const VI w = vi_load(job.weights + (ky * s.kernel_width + kx) * padded + at);
#pragma GCC unroll 8
        for (int i = 0; i < P; i++) acc[i] = vi_short_muladd(zero, w, acc[i]);
      }
  }
#pragma GCC unroll 8
  for (int i = 0; i < P; i++) integer_store(acc[i], tile, 0, out + i * ldc, lanes);
}

using DepthwiseCall = void (*)(const DepthwiseJob&, const uint8_t*, int64_t, Taps, Taps, int64_t, int,
                               const IntegerTile&, uint8_t*, int64_t);

template <bool WHOLE, bool SIGNED>
inline DepthwiseCall depthwise_of(int pixels) {
  return pixels == 8   ? integer_depthwise<8, WHOLE, SIGNED>
         : pixels == 4 ? integer_depthwise<4, WHOLE, SIGNED>
         : pixels == 2 ? integer_depthwise<2, WHOLE, SIGNED>
                       : integer_depthwise<1, WHOLE, SIGNED>;
}

/** One row of outputs. */
void integer_depthwise_task(const void* context, int64_t task, int) {
  const DepthwiseJob& job = *static_cast<const DepthwiseJob*>(context);
  const ConvShape& s = job.base.shape;
  const int64_t c = s.in_channels, batch = task / s.out_height, element = output_bytes(job.base.out), ldc = c * element;
  const Taps y = taps_inside(static_cast<int32_t>(task % s.out_height), s.stride_height, s.pad_top, s.dilation_height,
                             s.kernel_height, s.in_height);
  const uint8_t* row = job.base.a.data + (batch * s.in_height + y.start) * s.in_width * c;
  uint8_t* out = static_cast<uint8_t*>(job.base.out.data) + task * s.out_width * ldc;
  IntegerTile tile;
  tile.kind = job.base.out.kind;
  tile.zero_point = job.base.out.zero_point;
  tile.low = least_of(job.base.out);
  tile.high = most_of(job.base.out);
  for (int32_t ox = 0; ox < s.out_width;) {
    const Taps x = taps_inside(ox, s.stride_width, s.pad_left, s.dilation_width, s.kernel_width, s.in_width);
    const int pixels = pixels_together(s, ox, x);
    for (int64_t at = 0; at < c; at += W) {
      const int lanes = static_cast<int>(c - at < W ? c - at : W);
      const uint8_t* from = row + int64_t(x.start) * c + at;
      uint8_t* to = out + ox * ldc + at * element;
      memcpy(tile.multipliers, job.multipliers + at, W * sizeof(float));
      const bool whole = lanes == W;
      const DepthwiseCall call = job.base.a.is_signed ? (whole ? depthwise_of<true, true>(pixels) : depthwise_of<false, true>(pixels))
                                                     : (whole ? depthwise_of<true, false>(pixels) : depthwise_of<false, false>(pixels));
      call(job, from, s.stride_width * c, y, x, at, lanes, tile, to, ldc);
    }
    ox += pixels;
  }
}

void depthwise_conv(Pool& pool, const IntegerJob& base, double work) {
  const int64_t c = base.shape.in_channels, padded = padded_columns(c), taps = base.weights.taps, count = padded * taps;
  // Scratch of thread 0, which depthwise tasks do not ask for: int32 weights and offsets, multipliers, bytes.
  const int64_t words = count + 2 * padded;
  auto* weights = static_cast<int32_t*>(pool.scratch(0, 4 * words + planes_values(count)));
  if (!weights) return;
  int32_t* offset = weights + count;
  auto* multipliers = reinterpret_cast<float*>(offset + padded);
  auto* bytes = reinterpret_cast<int8_t*>(multipliers + padded);
  planes_decode(base.packed, count, base.weights.bits, bytes);
  for (int64_t i = 0; i < padded; i++) {
    offset[i] = base.out.bias && i < c ? base.out.bias[i] : 0;
    multipliers[i] = base.out.multipliers && i < c ? base.out.multipliers[i] : 0;
  }
  for (int64_t t = 0; t < taps; t++)
    for (int64_t i = 0; i < padded; i++) {
      const int32_t w = bytes[t * padded + i];
      weights[t * padded + i] = w & 0xffff;
      offset[i] = static_cast<int32_t>(static_cast<uint32_t>(offset[i]) - static_cast<uint32_t>(base.zero_point * w));
    }
  const DepthwiseJob job{base, weights, offset, multipliers};
  pool.run(int64_t(base.shape.batch) * base.shape.out_height, work, integer_depthwise_task, &job);
}

void conv(Pool& pool, Bytes a, const uint8_t* packed, const WeightsShape& weights, const ConvShape& shape,
          int32_t zero_point, const Output& out) {
  const int64_t k = int64_t(weights.taps) * weights.channels, m = positions_of(shape);
  if (m == 0 || weights.out_channels == 0) return;
  const bool in_place = SHIFTED && !a.is_signed && is_pointwise(shape) && weights.groups == 1 && k == depth_of(weights);
  IntegerJob job{&pool, a, packed, weights, shape, zero_point, out, {}, in_place};
  const double work = double(m) * double(k) * weights.out_channels;
  if (is_depthwise(weights)) return depthwise_conv(pool, job, work);
  const int threads = work < PARALLEL_WORK ? 1 : pool.threads();
  const int64_t row_bytes = depth_of(weights) * int64_t(sizeof(Activation));
  job.division = divide(m, panel_count(weights.out_channels / weights.groups), weights.groups, row_bytes, threads);
  pool.run(job.division.blocks * job.division.chunks * weights.groups, work, integer_task, &job);
}

void gemm(Pool& pool, Bytes a, const uint8_t* packed, const WeightsShape& weights, int32_t m, int32_t zero_point,
          const Output& out) {
  conv(pool, a, packed, weights, matrix_shape(weights, m), zero_point, out);
}

}  // namespace
}  // namespace sq
