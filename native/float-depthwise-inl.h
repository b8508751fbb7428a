// Depthwise float convolution: vectors of channels, several pixels of a row at once.

namespace sq {
namespace {

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

}  // namespace
}  // namespace sq
