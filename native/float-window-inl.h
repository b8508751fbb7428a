// Depthwise float convolution with the common windows, 3x3 and 5x5 at strides 1 and 2: inputs are read where they
// lie, each once for all the pixels of a tile that it serves. Padding is read from a line of zeros. Where vectors are
// as wide as cache lines, float-slide-inl.h has the windows of 3x3.

namespace sq {
namespace {

/** Most pixels of a tile: with 9 weights and an input, their sums fill 16 registers. */
constexpr int WINDOW_PIXELS = 5;
constexpr int WINDOW_SIDE = 5;
constexpr int WINDOW_COLUMNS = (WINDOW_PIXELS - 1) * 2 + WINDOW_SIDE;

/** One vector of channels (its first `lanes`, if not WHOLE) of P pixels, of which the first `pixels` are stored. */
template <int K, int STRIDE, int P, bool WHOLE>
inline void window_vector(const float* const (*from)[WINDOW_COLUMNS], const WindowTile& tile, int64_t at, int lanes,
                          int pixels, float* out) {
  constexpr int COLUMNS = (P - 1) * STRIDE + K;
  const float* w = tile.weights + at * K * K;
  if (at % FLOATS_PER_LINE == 0) {
#pragma GCC unroll 2
    for (int ky = K - STRIDE; ky < K; ky++)
#pragma GCC unroll 16
      for (int x = 0; x < P * STRIDE; x++) prefetch(from[ky][x] + at + tile.below);
  }
  VF acc[P];
#pragma GCC unroll 8
  for (int i = 0; i < P; i++) acc[i] = vf_set(0);
#pragma GCC unroll 5
  for (int ky = 0; ky < K; ky++) {
    VF weights[K];
#pragma GCC unroll 5
    for (int kx = 0; kx < K; kx++) weights[kx] = vf_load(w + (ky * K + kx) * W);
#pragma GCC unroll 16
    for (int x = 0; x < COLUMNS; x++) {
      const VF value = WHOLE ? vf_load(from[ky][x] + at) : vf_load_n(from[ky][x] + at, lanes);
#pragma GCC unroll 8
      for (int i = 0; i < P; i++)
        if (x - i * STRIDE >= 0 && x - i * STRIDE < K) acc[i] = vf_muladd(value, weights[x - i * STRIDE], acc[i]);
    }
  }
  const WindowOutput<WHOLE> output(tile, at, lanes);
#pragma GCC unroll 8
  for (int i = 0; i < P; i++) {
    if (i >= pixels) return;
    output.store(acc[i], out + i * tile.channels + at);
  }
}

/** A line of outputs: lines[ky] is where the line of inputs under kernel row ky begins, null if it is padding. */
template <int K, int STRIDE, int P>
void float_window(const float* const* lines, const WindowTile& tile, float* out) {
  constexpr int COLUMNS = (P - 1) * STRIDE + K;
  const int64_t c = tile.channels;
  const float* from[K][WINDOW_COLUMNS];
  for (int64_t ox = 0; ox < tile.out_width; ox += P) {
    // The last tile of a line begins early and computes some pixels again.
    if (ox + P > tile.out_width && tile.out_width > P) ox = tile.out_width - P;
    const int64_t x = ox * STRIDE - tile.pad_left;
    const bool inside = x >= 0 && x + COLUMNS <= tile.in_width;
#pragma GCC unroll 5
    for (int ky = 0; ky < K; ky++) {
      if (lines[ky] && inside) {
#pragma GCC unroll 16
        for (int i = 0; i < COLUMNS; i++) from[ky][i] = lines[ky] + (x + i) * c;
      } else {
        for (int i = 0; i < COLUMNS; i++)
          from[ky][i] = lines[ky] && x + i >= 0 && x + i < tile.in_width ? lines[ky] + (x + i) * c : tile.zeros;
      }
    }
    const int pixels = static_cast<int>(tile.out_width - ox < P ? tile.out_width - ox : P);
    float* to = out + ox * c;
    int64_t at = 0;
    for (; at + W <= c; at += W) window_vector<K, STRIDE, P, true>(from, tile, at, W, pixels, to);
    if (at < c) window_vector<K, STRIDE, P, false>(from, tile, at, static_cast<int>(c - at), pixels, to);
  }
}

using FloatWindow = void (*)(const float* const*, const WindowTile&, float*);

/** How many pixels a tile holds so that lines of `width` pixels waste fewest. */
inline int window_pixels(int32_t width) {
  int best = WINDOW_PIXELS;
  int64_t least = INT64_MAX;
  for (int pixels = WINDOW_PIXELS; pixels >= 3; pixels--) {
    const int64_t computed = int64_t(width + pixels - 1) / pixels * (pixels + 1);  // a tile costs about a pixel more
    if (computed < least) least = computed, best = pixels;
  }
  return best;
}

template <int K, int STRIDE>
inline FloatWindow float_window_of(int pixels) {
  return pixels == 5 ? float_window<K, STRIDE, 5> : pixels == 4 ? float_window<K, STRIDE, 4> : float_window<K, STRIDE, 3>;
}

/** Null where the window is not one of the common ones. */
inline FloatWindow float_window_of(const ConvShape& s) {
  if (s.kernel_height != s.kernel_width || s.stride_height != s.stride_width) return nullptr;
  if (s.dilation_height != 1 || s.dilation_width != 1) return nullptr;
  const int pixels = window_pixels(s.out_width), k = s.kernel_width, stride = s.stride_width;
  if (stride != 1 && stride != 2) return nullptr;
  if constexpr (W == FLOATS_PER_LINE)
    if (k == SLIDE_SIDE) return stride == 1 ? float_slide<1> : float_slide<2>;
  if (k == 3) return stride == 1 ? float_window_of<3, 1>(pixels) : float_window_of<3, 2>(pixels);
  if (k == 5) return stride == 1 ? float_window_of<5, 1>(pixels) : float_window_of<5, 2>(pixels);
  return nullptr;
}

/** Lines of outputs of one picture. */
void float_window_task(const void* context, int64_t task, int thread) {
  const FloatJob& job = *static_cast<const FloatJob*>(context);
  const ConvShape& s = job.shape;
  const Lines& l = job.lines;
  const int64_t batch = task / l.blocks, first = task % l.blocks * l.lines, c = s.in_channels;
  const int64_t last = s.out_height - first < l.lines ? s.out_height : first + l.lines;
  const int side = s.kernel_width, stride = s.stride_width;
  const FloatWindow window = float_window_of(s);
  float* zeros = static_cast<float*>(job.pool->scratch(thread, sizeof(float) * padded_columns(c)));
  if (!zeros) return;
  zero_floats(zeros, padded_columns(c));
  const int64_t width = s.in_width * c;
  const WindowTile tile = {job.packed, job.bias, zeros,  c,        s.in_width, s.out_width, s.pad_left, stride * width,
                           job.low,    job.high, job.streams};
  for (int64_t oy = first; oy < last; oy++) {
    const float* lines[WINDOW_SIDE];
    for (int ky = 0; ky < side; ky++) {
      const int64_t y = oy * stride - s.pad_top + ky;
      lines[ky] = y >= 0 && y < s.in_height ? job.a + (batch * s.in_height + y) * width : nullptr;
    }
    window(lines, tile, job.out + (batch * s.out_height + oy) * s.out_width * c);
  }
  if (job.streams) stream_end();
}

}  // namespace
}  // namespace sq
