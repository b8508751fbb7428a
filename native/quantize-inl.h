// quantize and dequantize, per tensor and per channel.

namespace sq {
namespace {

/** 1.5 * 2^23: adding it to a float of magnitude below 2^22 leaves the nearest integer, ties to even. */
constexpr float ROUND = 12582912.0f;

/** Limits first, rounding after: the same for whole limits, and it keeps the sum in ROUND's range. */
inline int32_t round_between(float x, float low, float high) {
  x = x > low ? x : low;
  x = x < high ? x : high;
  return static_cast<int32_t>((x + ROUND) - ROUND);
}

/** Where products with the reciprocal and its error neither overflow nor lose bits that a level could see. */
constexpr float LEAST_SCALE = 0x1p-60f, MOST_SCALE = 0x1p60f;

/**
 * x / scale, limited to least..most, for one scale. With fused multiply-add not by a division, but to the same bit
 * for every quotient that does not round to 0: the product with the reciprocal in two parts is off by less than one
 * unit of the last place, and a remainder corrects it (Markstein, IBM J. Res. Dev. 34, 1990, theorem on q + r*y with y
 * the reciprocal rounded to nearest).
 */
struct Quotient {
  VF divisor, least, most, reciprocal, rest, negative, first, last;
  bool divides;

  Quotient(float scale, float low, float high)
      : divisor(vf_set(scale)),
        least(vf_set(low)),
        most(vf_set(high)),
        reciprocal(vf_set(1 / scale)),
        rest(vf_set(static_cast<float>(1 / static_cast<double>(scale) - static_cast<double>(1 / scale)))),
        negative(vf_set(-scale)),
        first(vf_set(low * scale)),
        last(vf_set(high * scale)),
        divides(!FUSED || scale < LEAST_SCALE || scale > MOST_SCALE) {}

  /** NaN stays NaN. */
  template <bool DIVIDES>
  inline VF of(VF x) const {
    if (DIVIDES) return vf_min(most, vf_max(least, vf_div(x, divisor)));
    // Limits of x rather than of the quotient: they keep infinities out, and whole limits are what they round to.
    x = vf_min(last, vf_max(first, x));
    const VF near = vf_muladd(x, reciprocal, vf_mul(x, rest));
    return vf_muladd(vf_muladd(near, negative, x), reciprocal, near);
  }
};

/** The plain form, for what no whole vector holds. */
inline void quantize_few(const float* x, int64_t n, float scale, int32_t zero_point, int32_t low, int32_t high, uint8_t* q) {
  const float least = static_cast<float>(low - zero_point), most = static_cast<float>(high - zero_point);
  for (int64_t i = 0; i < n; i++) {
    float value = x[i] / scale;
    value = value == value ? value : 0.0f;
    q[i] = static_cast<uint8_t>(round_between(value, least, most) + zero_point);
  }
}

template <bool DIVIDES, bool STREAMS>
inline void quantize_range(const Quotient& quotient, VB zero, const float* x, int64_t first, int64_t last, uint8_t* q) {
  const auto step = [=](int64_t i) {
    fetch_ahead<4 * WB>(x + i);
    VF levels[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) levels[j] = quotient.of<DIVIDES>(vf_load(x + i + j * W));
    return vb_add(vb_round(levels), zero);
  };
  const auto store = [=](int64_t i) { vb_store(q + i, step(i)); };
  if (STREAMS) {
    store(first);
    first += until_aligned(q + first, WB);
    for (; first + WB <= last; first += WB) vb_stream(q + first, step(first));
    stream_end();
    store(last - WB);
    return;
  }
  in_steps(first, last, WB, store);
}

/** One scale for [first, last). */
inline void quantize_span(const float* x, int64_t first, int64_t last, float scale, int32_t zero_point, int32_t low,
                          int32_t high, bool streams, uint8_t* q) {
  // A zero point outside the limits is seen by NaN alone, and only the plain form limits it.
  if (last - first < WB || zero_point < low || zero_point > high)
    return quantize_few(x + first, last - first, scale, zero_point, low, high, q + first);
  const Quotient quotient(scale, static_cast<float>(low - zero_point), static_cast<float>(high - zero_point));
  const VB zero = vb_set(static_cast<uint8_t>(zero_point));
  if (streams && last - first >= 2 * WB)
    quotient.divides ? quantize_range<true, true>(quotient, zero, x, first, last, q)
                     : quantize_range<false, true>(quotient, zero, x, first, last, q);
  else
    quotient.divides ? quantize_range<true, false>(quotient, zero, x, first, last, q)
                     : quantize_range<false, false>(quotient, zero, x, first, last, q);
}

void quantize(Pool& pool, const float* x, int64_t n, float scale, int32_t zero_point, int32_t low, int32_t high,
              uint8_t* q) {
  const bool streams = n > STREAM_BYTES;
  spread(pool, n, [=](int64_t first, int64_t last) {
    quantize_span(x, first, last, scale, zero_point, low, high, streams, q);
  });
}

/** span(first, last, channel) over the parts of [0, n) that share a channel, `inner` elements each. */
template <class Span>
inline void spread_channels(Pool& pool, int64_t n, int64_t channels, int64_t inner, const Span& span) {
  spread(pool, n, [&](int64_t first, int64_t last) {
    int64_t row = first / inner;
    for (int64_t at = first; at < last; row++) {
      const int64_t end = (row + 1) * inner < last ? (row + 1) * inner : last;
      span(at, end, row % channels);
      at = end;
    }
  });
}

/**
 * Parameters of channels that lie side by side, repeated behind the last by one step, so that a step that begins at
 * any element reads its own from element mod channels on.
 */
struct ChannelTable {
  float *scale, *least, *most;
  uint8_t* zero;
  int32_t* negative_zero;

  ChannelTable(Pool& pool, const float* scales, const int32_t* zero_points, int64_t channels, int32_t low, int32_t high) {
    const int64_t length = channels + WB;
    scale = static_cast<float*>(pool.scratch(0, static_cast<size_t>(length) * (4 * sizeof(float) + 1)));
    if (!scale) return;
    least = scale + length;
    most = least + length;
    negative_zero = reinterpret_cast<int32_t*>(most + length);
    zero = reinterpret_cast<uint8_t*>(negative_zero + length);
    for (int64_t i = 0, c = 0; i < length; i++, c = c + 1 == channels ? 0 : c + 1) {
      scale[i] = scales[c];
      least[i] = static_cast<float>(low - zero_points[c]);
      most[i] = static_cast<float>(high - zero_points[c]);
      zero[i] = static_cast<uint8_t>(zero_points[c]);
      negative_zero[i] = -zero_points[c];
    }
  }
};

void quantize_channels(Pool& pool, const float* x, int64_t n, const float* scales, const int32_t* zero_points,
                       int64_t channels, int64_t inner, int32_t low, int32_t high, uint8_t* q) {
  const bool streams = n > STREAM_BYTES;
  bool inside = true;
  for (int64_t c = 0; c < channels; c++) inside = inside && zero_points[c] >= low && zero_points[c] <= high;
  if (inner > 1 || n < WB || !inside)
    return spread_channels(pool, n, channels, inner, [=](int64_t first, int64_t last, int64_t c) {
      quantize_span(x, first, last, scales[c], zero_points[c], low, high, streams, q);
    });
  const ChannelTable table(pool, scales, zero_points, channels, low, high);
  if (!table.scale) return;
  spread(pool, n, [=](int64_t begin, int64_t end) {
    in_steps(begin, end, WB, [=](int64_t i) {
      const int64_t c = i % channels;
      VF levels[4];
#pragma GCC unroll 4
      for (int j = 0; j < 4; j++) {
        const VF quotient = vf_div(vf_load(x + i + j * W), vf_load(table.scale + c + j * W));
        levels[j] = vf_min(vf_load(table.most + c + j * W), vf_max(vf_load(table.least + c + j * W), quotient));
      }
      vb_store(q + i, vb_add(vb_round(levels), vb_load(table.zero + c)));
    });
  });
}

/** x = fl((q - zero_point) * scale) for one scale and [first, last). */
inline void dequantize_span(Bytes q, int64_t first, int64_t last, float scale, int32_t zero_point, bool streams, float* x) {
  const VI zero = vi_set(-zero_point);
  const VF factor = vf_set(scale);
  const auto values = [=](const uint8_t* p, int n, bool is_signed) {
    return vf_mul(vi_float(vi_add(bytes_widen(p, n, is_signed), zero)), factor);
  };
  if (q.is_signed)
    fill(x, first, last, streams, [=](int64_t i, int n) { return values(q.data + i, n, true); });
  else
    fill(x, first, last, streams, [=](int64_t i, int n) { return values(q.data + i, n, false); });
}

/** Vectors of x must be able to lie at whole vectors. */
inline bool dequantizes_past_cache(Bytes q, const float* x) {
  return q.length * 4 > STREAM_BYTES && reinterpret_cast<uintptr_t>(x) % 4 == 0;
}

void dequantize(Pool& pool, Bytes q, float scale, int32_t zero_point, float* x) {
  const bool streams = dequantizes_past_cache(q, x);
  spread(pool, q.length, [=](int64_t first, int64_t last) {
    dequantize_span(q, first, last, scale, zero_point, streams, x);
  });
}

void dequantize_channels(Pool& pool, Bytes q, const float* scales, const int32_t* zero_points, int64_t channels,
                         int64_t inner, float* x) {
  const bool streams = dequantizes_past_cache(q, x);
  if (inner > 1 || q.length < WB)
    return spread_channels(pool, q.length, channels, inner, [=](int64_t first, int64_t last, int64_t c) {
      dequantize_span(q, first, last, scales[c], zero_points[c], streams, x);
    });
  const ChannelTable table(pool, scales, zero_points, channels, 0, 0);
  if (!table.scale) return;
  spread(pool, q.length, [=](int64_t begin, int64_t end) {
    in_steps(begin, end, WB, [=](int64_t i) {
      const int64_t c = i % channels;
#pragma GCC unroll 4
      for (int j = 0; j < WB; j += W) {
        const VI level = vi_add(bytes_widen(q.data + i + j, W, q.is_signed), vi_load(table.negative_zero + c + j));
        vf_store(x + i + j, vf_mul(vi_float(level), vf_load(table.scale + c + j)));
      }
    });
  });
}

}  // namespace
}  // namespace sq
