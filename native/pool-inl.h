// Pools: a few vectors of channels of one output pixel over all the taps of its window.

namespace sq {
namespace {

/** What a tap of one channel costs beside a multiply-add of a product. */
constexpr double TAP_WORK = 4;

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

/** The taps of one output pixel. */
struct Window {
  Taps y, x;
  /** From one tap to the next, in elements. */
  int64_t down, right;
  int32_t inside() const { return (y.last - y.first) * (x.last - x.first); }
};

/** pixel(output, window, its tap 0, 0) for every pixel of `out`; lines of pixels on several threads. */
template <class T, class Pixel>
inline void for_each_window(Pool& pool, const T* a, const ConvShape& s, T* out, const Pixel& pixel) {
  struct Job {
    const T* a;
    const ConvShape& s;
    T* out;
    const Pixel& pixel;
  } job{a, s, out, pixel};
  const int64_t lines = int64_t(s.batch) * s.out_height;
  const double taps = double(lines) * s.out_width * s.in_channels * s.kernel_height * s.kernel_width;
  pool.run(lines, taps * TAP_WORK, [](const void* context, int64_t line, int) {
    const Job& j = *static_cast<const Job*>(context);
    const ConvShape& shape = j.s;
    const int64_t c = shape.in_channels, row = shape.in_width * c, batch = line / shape.out_height;
    Window w{};
    w.y = taps_inside(static_cast<int32_t>(line % shape.out_height), shape.stride_height, shape.pad_top,
                      shape.dilation_height, shape.kernel_height, shape.in_height);
    w.down = shape.dilation_height * row;
    w.right = shape.dilation_width * c;
    T* to = j.out + line * shape.out_width * c;
    for (int32_t ox = 0; ox < shape.out_width; ox++, to += c) {
      w.x = taps_inside(ox, shape.stride_width, shape.pad_left, shape.dilation_width, shape.kernel_width, shape.in_width);
      j.pixel(to, w, j.a + (batch * shape.in_height + w.y.start) * row + w.x.start * c);
    }
  }, &job);
}

/** V vectors of channels (the only one with `lanes`) folded over a window. */
template <int V, class Fold>
inline void fold_window(const float* a, const Window& w, int lanes, const Fold& fold, float* out) {
  VF acc[V];
#pragma GCC unroll 4
  for (int v = 0; v < V; v++) acc[v] = fold.start;
  for (int32_t ky = w.y.first; ky < w.y.last; ky++)
    for (int32_t kx = w.x.first; kx < w.x.last; kx++) {
      const float* from = a + ky * w.down + kx * w.right;
#pragma GCC unroll 4
      for (int v = 0; v < V; v++) acc[v] = fold.take(acc[v], load(from + v * W, lanes));
    }
#pragma GCC unroll 4
  for (int v = 0; v < V; v++) vf_store_n(out + v * W, fold.end(acc[v]), lanes);
}

template <class Fold>
inline void fold_channels(const float* a, int64_t c, const Window& w, const Fold& fold, float* out) {
  int64_t at = 0;
  for (; at + 4 * W <= c; at += 4 * W) fold_window<4>(a + at, w, W, fold, out + at);
  for (; at + W <= c; at += W) fold_window<1>(a + at, w, W, fold, out + at);
  if (at < c) fold_window<1>(a + at, w, static_cast<int>(c - at), fold, out + at);
}

void max_pool(Pool& pool, const float* a, const ConvShape& s, float* out) {
  struct Maximum {
    VF start = vf_set(-__builtin_inff());
    inline VF take(VF most, VF x) const { return vf_max(x, most); }
    inline VF end(VF most) const { return most; }
  };
  for_each_window(pool, a, s, out, [c = s.in_channels](float* o, const Window& w, const float* x) {
    fold_channels(x, c, w, Maximum(), o);
  });
}

void average_pool(Pool& pool, const float* a, const ConvShape& s, bool count_padding, float* out) {
  struct Average {
    VF count, start = vf_set(0);
    explicit Average(int32_t taps) : count(vf_set(static_cast<float>(taps))) {}
    inline VF take(VF sum, VF x) const { return vf_add(sum, x); }
    inline VF end(VF sum) const { return vf_div(sum, count); }
  };
  const int32_t all = s.kernel_height * s.kernel_width;
  for_each_window(pool, a, s, out, [=, c = s.in_channels](float* o, const Window& w, const float* x) {
    fold_channels(x, c, w, Average(count_padding ? all : w.inside()), o);
  });
}

void quantized_max_pool(Pool& pool, const uint8_t* a, const ConvShape& s, uint8_t* out) {
  for_each_window(pool, a, s, out, [c = int64_t(s.in_channels)](uint8_t* o, const Window& w, const uint8_t* x) {
    const auto for_each_tap = [&](const auto& take) {
      for (int32_t ky = w.y.first; ky < w.y.last; ky++)
        for (int32_t kx = w.x.first; kx < w.x.last; kx++) take(x + ky * w.down + kx * w.right);
    };
    const bool done = in_steps(0, c, WB, [&](int64_t at) {
      VB most = vb_set(0);
      for_each_tap([&](const uint8_t* tap) { most = vb_max(most, vb_load(tap + at)); });
      vb_store(o + at, most);
    });
    if (done) return;
    uint8_t most[WB] = {0};  // c < WB
    for_each_tap([&](const uint8_t* tap) {
      for (int64_t i = 0; i < c; i++) most[i] = tap[i] > most[i] ? tap[i] : most[i];
    });
    memcpy(o, most, static_cast<size_t>(c));
  });
}

/** All pixels of one picture for WB channels, or for `count` < WB of them. */
inline void average_bytes(const uint8_t* a, int64_t pixels, int64_t channels, int64_t count, int32_t zero_point,
                          float multiplier, float least, float most, uint8_t zero_out, uint8_t* out) {
  const VI start = vi_set(static_cast<int32_t>(-pixels * zero_point));
  VI sums[4] = {start, start, start, start};
  for (int64_t p = 0; p < pixels; p++)
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
      const int64_t left = count - j * W;
      const int lanes = left < 0 ? 0 : left < W ? static_cast<int>(left) : W;
      sums[j] = vi_add(sums[j], bytes_widen(a + p * channels + j * W, count == WB ? W : lanes, false));
    }
  VF scaled[4];
  for (int j = 0; j < 4; j++)
    scaled[j] = vf_min(vf_set(most), vf_max(vf_set(least), vf_mul(vi_float(sums[j]), vf_set(multiplier))));
  uint8_t bytes[WB];
  vb_store(bytes, vb_add(vb_round(scaled), vb_set(zero_out)));
  memcpy(out, bytes, static_cast<size_t>(count));
}

void quantized_global_average(Pool& pool, const uint8_t* a, int64_t batch, int64_t pixels, int64_t channels,
                              int32_t zero_point, float multiplier, int32_t zero_out, int32_t low, int32_t high,
                              uint8_t* out) {
  const float least = static_cast<float>(low - zero_out), most = static_cast<float>(high - zero_out);
  const auto picture = [=](int64_t b) {
    const uint8_t* from = a + b * pixels * channels;
    uint8_t* to = out + b * channels;
    const auto block = [=](int64_t c, int64_t count) {
      average_bytes(from + c, pixels, channels, count, zero_point, multiplier, least, most, static_cast<uint8_t>(zero_out), to + c);
    };
    if (!in_steps(0, channels, WB, [=](int64_t c) { block(c, WB); })) block(0, channels);
  };
  using Picture = decltype(picture);
  const double work = double(batch) * double(pixels) * double(channels);
  pool.run(batch, work * TAP_WORK, [](const void* context, int64_t b, int) { (*static_cast<const Picture*>(context))(b); },
           &picture);
}

}  // namespace
}  // namespace sq
