// Depthwise float convolution with windows of 3x3 at strides 1 and 2 by vectors as wide as cache lines: a window slides
// over the lines of one vector of channels after the other. Weights stay in registers, and a column is read once for
// all pixels that it serves: pixels a power of two apart, which share few lines of the first cache, need not stay there.

namespace sq {
namespace {

constexpr int FLOATS_PER_LINE = LINE_BYTES / int(sizeof(float));
constexpr int SLIDE_SIDE = 3;

/** What the windows of one task share. */
struct WindowTile {
  const float *weights, *bias, *zeros;
  int64_t channels, in_width, out_width, pad_left;
  int64_t below;  // floats from a line to the one that the next line of outputs needs in its place
  float low, high;
  bool streams;
};

/** Makes outputs of the sums of one vector of channels (its first `lanes`, if not WHOLE). */
template <bool WHOLE>
struct WindowOutput {
  VF bias, low, high;
  int lanes;
  bool streams;

  SQ_INLINE WindowOutput(const WindowTile& tile, int64_t at, int lanes)
      : bias(!tile.bias ? vf_set(0) : WHOLE ? vf_load(tile.bias + at) : vf_load_n(tile.bias + at, lanes)),
        low(vf_set(tile.low)),
        high(vf_set(tile.high)),
        lanes(lanes),
        streams(tile.streams) {}

  SQ_INLINE void store(VF sum, float* to) const {
    const VF value = vf_min(vf_max(vf_add(sum, bias), low), high);
    if (!WHOLE)
      vf_store_n(to, value, lanes);
    else if (streams)
      vf_stream(to, value);
    else
      vf_store(to, value);
  }
};

/** Where the three lines of one vector of channels lie; those of padding are zeros, again and again. */
template <bool WHOLE>
struct SlideLines {
  const float* line[SLIDE_SIDE];
  int64_t step[SLIDE_SIDE];
  int64_t width, below;
  int lanes;

  SQ_INLINE SlideLines(const float* const* lines, const WindowTile& tile, int64_t at, int lanes)
      : width(tile.in_width), below(tile.below), lanes(lanes) {
    for (int ky = 0; ky < SLIDE_SIDE; ky++) {
      line[ky] = (lines[ky] ? lines[ky] : tile.zeros) + at;
      step[ky] = lines[ky] ? tile.channels : 0;
    }
  }

  /** The STRIDE lines that the next line of outputs needs anew are asked for. */
  template <int STRIDE>
  SQ_INLINE void column(int64_t x, VF (&to)[SLIDE_SIDE]) const {
    const bool inside = x >= 0 && x < width;
#pragma GCC unroll 3
    for (int ky = 0; ky < SLIDE_SIDE; ky++) {
      to[ky] = vf_set(0);
      if (!inside) continue;
      const float* p = line[ky] + x * step[ky];
      to[ky] = WHOLE ? vf_load(p) : vf_load_n(p, lanes);
      if (ky >= SLIDE_SIDE - STRIDE) prefetch(p + below);
    }
  }
};

template <int STRIDE, bool WHOLE>
inline void float_slide_vector(const float* const* lines, const WindowTile& tile, int64_t at, int lanes, float* out) {
  const SlideLines<WHOLE> from(lines, tile, at, lanes);
  constexpr int TAPS = SLIDE_SIDE * SLIDE_SIDE;
  VF w[TAPS];
#pragma GCC unroll 9
  for (int i = 0; i < TAPS; i++) w[i] = vf_load(tile.weights + at * TAPS + i * W);
  const WindowOutput<WHOLE> output(tile, at, lanes);
  int64_t left = tile.out_width, x = -tile.pad_left;  // pixels to do, and the first column of the next
  const auto pixel = [&](const VF (&a)[SLIDE_SIDE], VF (&b)[SLIDE_SIDE], VF (&c)[SLIDE_SIDE]) SQ_INLINE_LAMBDA {
    if (STRIDE == 2) from.template column<STRIDE>(x + 1, b);
    from.template column<STRIDE>(x + 2, c);
    VF sum = vf_set(0);
#pragma GCC unroll 3
    for (int ky = 0; ky < SLIDE_SIDE; ky++) {
      sum = vf_muladd(a[ky], w[SLIDE_SIDE * ky], sum);
      sum = vf_muladd(b[ky], w[SLIDE_SIDE * ky + 1], sum);
      sum = vf_muladd(c[ky], w[SLIDE_SIDE * ky + 2], sum);
    }
    output.store(sum, out);
    out += tile.channels;
    x += STRIDE;
    left--;
  };
  VF a[SLIDE_SIDE], b[SLIDE_SIDE], c[SLIDE_SIDE];
  from.template column<STRIDE>(x, a);
  if (STRIDE == 1) {
    from.template column<STRIDE>(x + 1, b);
    while (left >= 3) {
      pixel(a, b, c);
      pixel(b, c, a);
      pixel(c, a, b);
    }
    if (left > 0) pixel(a, b, c);
    if (left > 0) pixel(b, c, a);
  } else {
    while (left >= 2) {
      pixel(a, b, c);
      pixel(c, b, a);
    }
    if (left > 0) pixel(a, b, c);
  }
}

/** A line of outputs: see float_window. */
template <int STRIDE>
void float_slide(const float* const* lines, const WindowTile& tile, float* out) {
  int64_t at = 0;
  for (; at + W <= tile.channels; at += W) float_slide_vector<STRIDE, true>(lines, tile, at, W, out + at);
  if (at < tile.channels) float_slide_vector<STRIDE, false>(lines, tile, at, static_cast<int>(tile.channels - at), out + at);
}

}  // namespace
}  // namespace sq
