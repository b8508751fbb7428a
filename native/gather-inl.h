// Input patches of a convolution as rows of a matrix, and how a product is divided among threads.

namespace sq {
namespace {

constexpr int NR = 2 * W;  // columns of a full panel

/** Where one panel of columns lies: all panels are NR wide, but the last may be W. */
struct Panel {
  int64_t first;    // column of its group
  int columns;      // columns that exist
  int vectors;      // 1 or 2
};

inline int64_t panel_count(int64_t columns) { return (columns + NR - 1) / NR; }
inline int64_t padded_columns(int64_t columns) { return (columns + W - 1) / W * W; }

inline Panel panel_at(int64_t index, int64_t columns) {
  const int64_t left = columns - index * NR;
  return {index * NR, static_cast<int>(left < NR ? left : NR), left > W ? 2 : 1};
}

inline bool is_pointwise(const ConvShape& s) {
  return s.kernel_height == 1 && s.kernel_width == 1 && s.stride_height == 1 && s.stride_width == 1 && s.pad_top == 0 &&
         s.pad_left == 0 && s.out_height == s.in_height && s.out_width == s.in_width;
}

inline bool is_depthwise(const WeightsShape& w) { return w.channels == 1 && w.groups == w.out_channels && w.groups > 1; }

/** A matrix product as a 1x1 convolution over m pixels. */
inline ConvShape matrix_shape(const WeightsShape& w, int32_t m) {
  return {1, 1, m, w.channels, 1, m, w.out_channels, 1, 1, 1, 1, 1, 1, 0, 0, 1};
}

inline int64_t positions_of(const ConvShape& s) { return int64_t(s.batch) * s.out_height * s.out_width; }

/** Pixels of a row that depthwise loops hold at once: enough independent sums to hide the latency of an addition. */
constexpr int PIXELS = 8;

/** Rows [m] times columns of `groups` groups, cut into tasks; never along k, so that sums do not depend on it. */
struct Division {
  int64_t rows, blocks, chunks, panels_per_chunk;
};

/** Rows of one task stay in the second cache beside a panel of weights. */
constexpr int64_t BLOCK_BYTES = 192 * 1024;
constexpr int64_t MOST_TILES = 16;
constexpr int64_t TASKS_PER_THREAD = 4;

inline Division divide(int64_t m, int64_t panels, int64_t groups, int64_t row_bytes, int threads) {
  const int64_t wanted = threads > 1 ? threads * TASKS_PER_THREAD : 1;
  int64_t tiles = BLOCK_BYTES / (row_bytes * ROWS);
  tiles = tiles < 1 ? 1 : tiles > MOST_TILES ? MOST_TILES : tiles;
  const int64_t share = m * groups / (wanted * ROWS);
  if (share < tiles) tiles = share < 1 ? 1 : share;
  const int64_t rows = tiles * ROWS, blocks = (m + rows - 1) / rows;
  int64_t chunks = blocks * groups >= wanted || blocks == 0 ? 1 : (wanted + blocks * groups - 1) / (blocks * groups);
  if (chunks > panels) chunks = panels;
  const int64_t panels_per_chunk = (panels + chunks - 1) / (chunks < 1 ? 1 : chunks);
  return {rows, blocks, (panels + panels_per_chunk - 1) / panels_per_chunk, panels_per_chunk};
}

/**
 * Copies the patches of output positions first, first + step, ... (`count` of them) to the rows of `to`, each
 * `stride` apart and taps * channels long: copy(from, to, n) for what lies inside, fill(to, n) for padding.
 */
template <class From, class To, class Copy, class Fill>
inline void gather(const From* a, const ConvShape& s, int64_t channels, int64_t group, int64_t first, int64_t step,
                   int64_t count, To* to, int64_t stride, Copy copy, Fill fill) {
  const int64_t pixel = s.in_channels, width = s.kernel_width * channels;
  const bool runs = s.dilation_width == 1 && s.groups == 1;
  int64_t line = first / s.out_width, ox = first - line * s.out_width, batch = line / s.out_height;
  int64_t oy = line - batch * s.out_height;
  for (int64_t row = 0; row < count; row++, to += stride, ox += step) {
    for (; ox >= s.out_width; ox -= s.out_width) {
      if (++oy < s.out_height) continue;
      oy = 0;
      batch++;
    }
    const Taps y = taps_inside(static_cast<int32_t>(oy), s.stride_height, s.pad_top, s.dilation_height, s.kernel_height,
                               s.in_height);
    const Taps x = taps_inside(static_cast<int32_t>(ox), s.stride_width, s.pad_left, s.dilation_width, s.kernel_width,
                               s.in_width);
    if (y.first > 0) fill(to, y.first * width);
    for (int32_t ky = y.first; ky < y.last; ky++) {
      const From* from = a + ((batch * s.in_height + y.start + ky * s.dilation_height) * s.in_width + x.start) * pixel +
                         group * channels;
      To* at = to + ky * width;
      if (x.first > 0) fill(at, x.first * channels);
      if (runs && x.last > x.first) {
        copy(from + x.first * pixel, at + x.first * channels, (x.last - x.first) * channels);
      } else {
        for (int32_t kx = x.first; kx < x.last; kx++)
          copy(from + kx * s.dilation_width * pixel, at + kx * channels, channels);
      }
      if (x.last < s.kernel_width) fill(at + x.last * channels, (s.kernel_width - x.last) * channels);
    }
    if (y.last < s.kernel_height) fill(to + y.last * width, (s.kernel_height - y.last) * width);
  }
}

inline void copy_floats(const float* from, float* to, int64_t n) {
  int64_t i = 0;
  for (; i + W <= n; i += W) vf_store(to + i, vf_load(from + i));
  if (i == n) return;
  if (i > 0) return vf_store(to + n - W, vf_load(from + n - W));  // again what overlaps
  vf_store_n(to, vf_load_n(from, static_cast<int>(n)), static_cast<int>(n));
}

inline void zero_floats(float* to, int64_t n) {
  for (int64_t i = 0; i < n; i++) to[i] = 0;
}

}  // namespace
}  // namespace sq
