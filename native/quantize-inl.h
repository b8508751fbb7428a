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

/** Where a reciprocal and its error neither overflow nor lose bits that a level could see. */
constexpr float LEAST_SCALE = 0x1p-60f, MOST_SCALE = 0x1p60f;

/**
 * x / scale for one scale and levels low..high, 384 in size at most. With fused multiply-add not by a division, but to
 * the same level for every finite x: the reciprocal in two parts leaves the product so little off that only the x
 * beside halves could tell, and for those test/proofs/quotients.cpp tries every significand.
 */
struct Quotient {
  VF divisor, least, most, reciprocal, rest, first, last;
  bool divides;

  Quotient(float scale, int32_t low, int32_t high)
      : divisor(vf_set(scale)),
        least(vf_set(static_cast<float>(low))),
        most(vf_set(static_cast<float>(high))),
        reciprocal(vf_set(1 / scale)),
        rest(vf_set(static_cast<float>(1 / static_cast<double>(scale) - static_cast<double>(1 / scale)))),
        first(vf_set(static_cast<float>(low) * scale)),
        last(vf_set(static_cast<float>(high) * scale)),
        divides(!FUSED || scale < LEAST_SCALE || scale > MOST_SCALE) {}

  /** Of a finite x, not limited. */
  inline VF product(VF x) const { return vf_muladd(x, reciprocal, vf_mul(x, rest)); }
  /** Within the levels; NaN stays NaN. */
  template <bool DIVIDES>
  inline VF limited(VF x) const {
    if (DIVIDES) return vf_min(most, vf_max(least, vf_div(x, divisor)));
    // Limits of x rather than of the quotient: they keep infinities out, and whole limits are what they round to.
    return product(vf_min(last, vf_max(first, x)));
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

/** What quantizes by one scale. */
struct Levels {
  float scale;
  int32_t zero_point, low, high;
  Quotient quotient;
  VI from_low;
  VB range, start, negative_zero;

  Levels(float scale, int32_t zero_point, int32_t low, int32_t high)
      : scale(scale),
        zero_point(zero_point),
        low(low),
        high(high),
        quotient(scale, low - zero_point, high - zero_point),
        from_low(vi_set_words(static_cast<int16_t>(zero_point - low))),
        range(vb_set(static_cast<uint8_t>(high - low))),
        start(vb_set(static_cast<uint8_t>(low))),
        negative_zero(vb_set(static_cast<uint8_t>(-zero_point))) {}

  /** Of WB elements. */
  template <bool DIVIDES>
  inline VB bytes(const float* x) const {
    VF levels[4];
    if (!DIVIDES) {
#pragma GCC unroll 4
      for (int j = 0; j < 4; j++) levels[j] = quotient.product(vf_load(x + j * W));
      bool far;
      const VB counted = vb_round_from(levels, from_low, far);
      if (__builtin_expect(!far, 1)) return vb_add(vb_min(counted, range), start);
    }
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) levels[j] = quotient.limited<true>(vf_load(x + j * W));
    return vb_sub(vb_round(levels), negative_zero);
  }
};

template <bool DIVIDES, bool STREAMS>
inline void quantize_range(const Levels& levels, const float* x, int64_t first, int64_t last, uint8_t* q) {
  const auto step = [&levels, x](int64_t i) {
    return levels.bytes<DIVIDES>(x + i);
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

/** [first, last). */
inline void quantize_span(const Levels& levels, const float* x, int64_t first, int64_t last, bool streams, uint8_t* q) {
  // A zero point outside the limits is seen by NaN alone, and only the plain form limits it.
  if (last - first < WB || levels.zero_point < levels.low || levels.zero_point > levels.high)
    return quantize_few(x + first, last - first, levels.scale, levels.zero_point, levels.low, levels.high, q + first);
  const bool divides = levels.quotient.divides;
  if (streams && last - first >= 2 * WB)
    divides ? quantize_range<true, true>(levels, x, first, last, q) : quantize_range<false, true>(levels, x, first, last, q);
  else
    divides ? quantize_range<true, false>(levels, x, first, last, q) : quantize_range<false, false>(levels, x, first, last, q);
}

void quantize(Pool& pool, const float* x, int64_t n, float scale, int32_t zero_point, int32_t low, int32_t high,
              uint8_t* q) {
  const bool streams = n >= STREAM_BYTES;
  const Levels levels(scale, zero_point, low, high);
  spread(pool, n, [&](int64_t first, int64_t last) { quantize_span(levels, x, first, last, streams, q); });
}

/** Shorter rows are not worth the lines that streams leave half written at both ends. */
constexpr int64_t LONG_ROW = 4096;

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
  uint8_t* negative_byte;
  int32_t* negative_zero;

  ChannelTable(Pool& pool, const float* scales, const int32_t* zero_points, int64_t channels, int32_t low, int32_t high) {
    const int64_t length = channels + WB;
    scale = static_cast<float*>(pool.scratch(0, static_cast<size_t>(length) * (4 * sizeof(float) + 1)));
    if (!scale) return;
    least = scale + length;
    most = least + length;
    negative_zero = reinterpret_cast<int32_t*>(most + length);
    negative_byte = reinterpret_cast<uint8_t*>(negative_zero + length);
    for (int64_t i = 0, c = 0; i < length; i++, c = c + 1 == channels ? 0 : c + 1) {
      scale[i] = scales[c];
      least[i] = static_cast<float>(low - zero_points[c]);
      most[i] = static_cast<float>(high - zero_points[c]);
      negative_byte[i] = static_cast<uint8_t>(-zero_points[c]);
      negative_zero[i] = -zero_points[c];
    }
  }
};

void quantize_channels(Pool& pool, const float* x, int64_t n, const float* scales, const int32_t* zero_points,
                       int64_t channels, int64_t inner, int32_t low, int32_t high, uint8_t* q) {
  const bool streams = n >= STREAM_BYTES && inner >= LONG_ROW;
  bool inside = true;
  for (int64_t c = 0; c < channels; c++) inside = inside && zero_points[c] >= low && zero_points[c] <= high;
  if (inner > 1 || n < WB || !inside)
    return spread_channels(pool, n, channels, inner, [=](int64_t first, int64_t last, int64_t c) {
      quantize_span(Levels(scales[c], zero_points[c], low, high), x, first, last, streams, q);
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
      vb_store(q + i, vb_sub(vb_round(levels), vb_load(table.negative_byte + c)));
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

void dequantize(Pool& pool, Bytes q, float scale, int32_t zero_point, float* x) {
  const bool streams = q.length * 4 >= STREAM_BYTES;
  spread(pool, q.length, [=](int64_t first, int64_t last) {
    dequantize_span(q, first, last, scale, zero_point, streams, x);
  });
}

void dequantize_channels(Pool& pool, Bytes q, const float* scales, const int32_t* zero_points, int64_t channels,
                         int64_t inner, float* x) {
  const bool streams = q.length * 4 >= STREAM_BYTES && inner >= LONG_ROW;
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
