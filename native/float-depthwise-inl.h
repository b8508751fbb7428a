// Depthwise float convolution with any window. One vector of channels at a time, a block of lines is copied side by
// side with its padding written out: no edges, neighbouring pixels in neighbouring cache lines, whatever the number
// of channels. The common windows are in float-window-inl.h.

namespace sq {
namespace {

/** A copied block stays in the second cache, the lines under one kernel in the first. */
constexpr int64_t STRIP_BYTES = 64 * 1024;

/** Copies one vector of channels (`lanes` of them real) of `height` lines from line y on. */
template <bool WHOLE>
inline void copy_strip(const float* a, const ConvShape& s, int64_t y, int64_t height, int64_t width, int lanes, float* to) {
  const int64_t c = s.in_channels, left = s.pad_left < width ? s.pad_left : width;
  const int64_t inside = s.in_width < width - left ? s.in_width : width - left;
  const VF zero = vf_set(0);
  for (int64_t i = 0; i < height; i++) {
    const bool exists = y + i >= 0 && y + i < s.in_height;
    const float* from = a + (y + i) * s.in_width * c;
    const int64_t before = exists ? left : width;
    for (int64_t x = 0; x < before; x++, to += W) vf_store(to, zero);
    if (!exists) continue;
    for (int64_t x = 0; x < inside; x++, to += W, from += c) {
      vf_store(to, WHOLE ? vf_load(from) : vf_load_n(from, lanes));
      prefetch(from + W);  // the next strip
    }
    for (int64_t x = left + inside; x < width; x++, to += W) vf_store(to, zero);
  }
}

/** What the tiles of one strip share; `line` floats lie between lines of the strip. */
struct DepthwiseTile {
  const float* weights;
  int64_t line, step, column, ldc;
  int32_t kernel_height, kernel_width;
  VF bias, low, high;
  int lanes;
  bool streams;
};

/** P neighbouring pixels; a STRIDE that is known (not 0) makes their addresses constants. */
template <int P, int STRIDE>
void float_depthwise(const float* a, const DepthwiseTile& tile, float* out) {
  const int64_t step = STRIDE ? STRIDE * W : tile.step;
  VF acc[P];
#pragma GCC unroll 8
  for (int i = 0; i < P; i++) acc[i] = vf_set(0);
  const float* w = tile.weights;
  for (int32_t ky = 0; ky < tile.kernel_height; ky++, a += tile.line) {
    const float* from = a;
    for (int32_t kx = 0; kx < tile.kernel_width; kx++, from += tile.column, w += W) {
      const VF weights = vf_load(w);
#pragma GCC unroll 8
      for (int i = 0; i < P; i++) acc[i] = vf_muladd(vf_load(from + i * step), weights, acc[i]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < P; i++) {
    const VF value = vf_min(vf_max(vf_add(acc[i], tile.bias), tile.low), tile.high);
    if (tile.streams)
      vf_stream(out + i * tile.ldc, value);
    else if (tile.lanes == W)
      vf_store(out + i * tile.ldc, value);
    else
      vf_store_n(out + i * tile.ldc, value, tile.lanes);
  }
}

using FloatDepthwiseCall = void (*)(const float*, const DepthwiseTile&, float*);

/** The tile of `pixels` (1..PIXELS) pixels. */
template <int STRIDE, int P = PIXELS>
inline FloatDepthwiseCall float_depthwise_of(int pixels) {
  if (pixels == P) return float_depthwise<P, STRIDE>;
  if constexpr (P > 1) return float_depthwise_of<STRIDE, P - 1>(pixels);
  return float_depthwise<1, STRIDE>;
}

inline FloatDepthwiseCall float_depthwise_of(int pixels, int32_t stride) {
  return stride == 1 ? float_depthwise_of<1>(pixels) : stride == 2 ? float_depthwise_of<2>(pixels) : float_depthwise_of<0>(pixels);
}

/** Lines of outputs of one picture. */
void float_depthwise_task(const void* context, int64_t task, int thread) {
  const FloatJob& job = *static_cast<const FloatJob*>(context);
  const ConvShape& s = job.shape;
  const Lines& l = job.lines;
  const int64_t block = task % l.blocks, batch = task / l.blocks, first = block * l.lines;
  const int64_t lines = s.out_height - first < l.lines ? s.out_height - first : l.lines;
  const int64_t c = s.in_channels, height = height_needed(s, lines);
  float* strip = static_cast<float*>(job.pool->scratch(thread, sizeof(float) * height * l.width * W));
  if (!strip) return;
  const int64_t tiles = (s.out_width + PIXELS - 1) / PIXELS;
  DepthwiseTile tile;
  tile.line = s.dilation_height * l.width * W;
  tile.step = int64_t(s.stride_width) * W;
  tile.column = int64_t(s.dilation_width) * W;
  tile.ldc = c;
  tile.kernel_height = s.kernel_height;
  tile.kernel_width = s.kernel_width;
  tile.streams = job.streams;
  tile.low = vf_set(job.low);
  tile.high = vf_set(job.high);
  for (int64_t at = 0; at < c; at += W) {
    tile.lanes = static_cast<int>(c - at < W ? c - at : W);
    tile.weights = job.packed + at * s.kernel_height * s.kernel_width;
    tile.bias = job.bias ? vf_load_n(job.bias + at, tile.lanes) : vf_set(0);
    const float* a = job.a + batch * s.in_height * s.in_width * c + at;
    (tile.lanes == W ? copy_strip<true> : copy_strip<false>)(a, s, first * s.stride_height - s.pad_top, height, l.width, tile.lanes, strip);
    for (int64_t line = 0; line < lines; line++) {
      const float* from = strip + line * s.stride_height * l.width * W;
      float* out = job.out + (batch * s.out_height + first + line) * s.out_width * c + at;
      for (int64_t i = 0, ox = 0; i < tiles; i++) {
        const int count = static_cast<int>((s.out_width - ox) / (tiles - i));  // tiles of like size
        float_depthwise_of(count, s.stride_width)(from + ox * tile.step, tile, out + ox * c);
        ox += count;
      }
    }
  }
  if (job.streams) stream_end();
}

}  // namespace
}  // namespace sq
