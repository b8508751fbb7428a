// Pools, vectorized by the compiler over the channels of one output pixel.

namespace sq {
namespace {

/** The taps of one axis that lie inside the input for one output coordinate: first <= t < last. */
struct Taps {
  int32_t start, first, last;
};

inline Taps taps_inside(int32_t output, int32_t stride, int32_t pad, int32_t dilation, int32_t kernel, int32_t size) {
  const int32_t start = output * stride - pad;
  if (start >= 0 && start + (kernel - 1) * dilation < size) return {start, 0, kernel};  // the common case, no division
  int32_t first = start < 0 ? (-start + dilation - 1) / dilation : 0;
  int32_t last = size > start ? (size - start + dilation - 1) / dilation : 0;
  if (last > kernel) last = kernel;
  if (first > last) first = last;
  return {start, first, last};
}

/** Calls begin(output), take(output, input) for every tap inside, then end(output, taps inside), pixel by pixel. */
template <class T, class Begin, class Take, class End>
inline void for_each_window(const T* a, const ConvShape& s, T* out, Begin begin, Take take, End end) {
  const int64_t c = s.in_channels;
  for (int32_t b = 0; b < s.batch; b++)
    for (int32_t oy = 0; oy < s.out_height; oy++) {
      const Taps y = taps_inside(oy, s.stride_height, s.pad_top, s.dilation_height, s.kernel_height, s.in_height);
      for (int32_t ox = 0; ox < s.out_width; ox++, out += c) {
        const Taps x = taps_inside(ox, s.stride_width, s.pad_left, s.dilation_width, s.kernel_width, s.in_width);
        begin(out);
        for (int32_t ky = y.first; ky < y.last; ky++)
          for (int32_t kx = x.first; kx < x.last; kx++) {
            const int64_t row = int64_t(b) * s.in_height + y.start + ky * s.dilation_height;
            take(out, a + (row * s.in_width + x.start + kx * s.dilation_width) * c);
          }
        end(out, (y.last - y.first) * (x.last - x.first));
      }
    }
}

template <class T>
inline void maximum(const T* a, const ConvShape& s, T least, T* out) {
  const int64_t c = s.in_channels;
  for_each_window(
      a, s, out,
      [=](T* o) {
        for (int64_t i = 0; i < c; i++) o[i] = least;
      },
      [=](T* o, const T* x) {
        for (int64_t i = 0; i < c; i++) o[i] = x[i] > o[i] ? x[i] : o[i];
      },
      [](T*, int32_t) {});
}

/** V vectors of channels of one pixel (the only one with `lanes`): the taps that lie inside, `row` and `pixel` apart. */
template <int V>
inline void window_maximum(const float* a, Taps y, Taps x, int64_t row, int64_t pixel, int lanes, float* out) {
  VF most[V];
#pragma GCC unroll 4
  for (int v = 0; v < V; v++) most[v] = vf_set(-__builtin_inff());
  for (int32_t ky = y.first; ky < y.last; ky++)
    for (int32_t kx = x.first; kx < x.last; kx++) {
      const float* from = a + ky * row + kx * pixel;
#pragma GCC unroll 4
      for (int v = 0; v < V; v++) most[v] = vf_max(lanes == W ? vf_load(from + v * W) : vf_load_n(from, lanes), most[v]);
    }
#pragma GCC unroll 4
  for (int v = 0; v < V; v++) vf_store_n(out + v * W, most[v], lanes);
}

void max_pool(const float* a, const ConvShape& s, float* out) {
  const int64_t c = s.in_channels, row = s.in_width * c;
  for (int64_t line = 0; line < int64_t(s.batch) * s.out_height; line++) {
    const int64_t batch = line / s.out_height;
    const Taps y = taps_inside(static_cast<int32_t>(line % s.out_height), s.stride_height, s.pad_top, s.dilation_height,
                               s.kernel_height, s.in_height);
    for (int32_t ox = 0; ox < s.out_width; ox++, out += c) {
      const Taps x = taps_inside(ox, s.stride_width, s.pad_left, s.dilation_width, s.kernel_width, s.in_width);
      const float* from = a + (batch * s.in_height + y.start) * row + x.start * c;
      const int64_t down = s.dilation_height * row, right = s.dilation_width * c;
      int64_t at = 0;
      for (; at + 4 * W <= c; at += 4 * W) window_maximum<4>(from + at, y, x, down, right, W, out + at);
      for (; at + W <= c; at += W) window_maximum<1>(from + at, y, x, down, right, W, out + at);
      if (at < c) window_maximum<1>(from + at, y, x, down, right, static_cast<int>(c - at), out + at);
    }
  }
}

void quantized_max_pool(const uint8_t* a, const ConvShape& shape, uint8_t* out) {
  maximum(a, shape, static_cast<uint8_t>(0), out);
}

void average_pool(const float* a, const ConvShape& shape, bool count_padding, float* out) {
  const int64_t c = shape.in_channels;
  const int32_t window = shape.kernel_height * shape.kernel_width;
  for_each_window(
      a, shape, out,
      [=](float* o) {
        for (int64_t i = 0; i < c; i++) o[i] = 0;
      },
      [=](float* o, const float* x) {
        for (int64_t i = 0; i < c; i++) o[i] += x[i];
      },
      [=](float* o, int32_t inside) {
        const float count = static_cast<float>(count_padding ? window : inside);
        for (int64_t i = 0; i < c; i++) o[i] /= count;
      });
}

void quantized_global_average(const uint8_t* a, int64_t batch, int64_t pixels, int64_t channels, int32_t zero_point,
                              float multiplier, int32_t zero_out, int32_t low, int32_t high, uint8_t* out) {
  constexpr int64_t BLOCK = 64;
  const float least = static_cast<float>(low - zero_out), most = static_cast<float>(high - zero_out);
  for (int64_t b = 0; b < batch; b++)
    for (int64_t c0 = 0; c0 < channels; c0 += BLOCK) {
      const int64_t count = channels - c0 < BLOCK ? channels - c0 : BLOCK;
      const uint8_t* x = a + b * pixels * channels + c0;
      int32_t sums[BLOCK];
      for (int64_t i = 0; i < count; i++) sums[i] = static_cast<int32_t>(-pixels * zero_point);
      for (int64_t p = 0; p < pixels; p++)
        for (int64_t i = 0; i < count; i++) sums[i] += x[p * channels + i];
      for (int64_t i = 0; i < count; i++) {
        const float scaled = static_cast<float>(sums[i]) * multiplier;
        out[b * channels + c0 + i] = static_cast<uint8_t>(round_between(scaled, least, most) + zero_out);
      }
    }
}

}  // namespace
}  // namespace sq
