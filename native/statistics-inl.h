// Statistics in float64 over 16 lanes: element i belongs to lane i mod 16, folded by halves. Exact everywhere.

namespace sq {
namespace {

constexpr int LANES = 16, PARTS = LANES / WD;
/** Elements per step of the two-phase loops: a few vectors that stay in the first cache. */
constexpr int STRETCH = 256;

inline double fold(double* lanes) {
  for (int half = LANES / 2; half >= 1; half /= 2)
    for (int j = 0; j < half; j++) lanes[j] += lanes[j + half];
  return lanes[0];
}

/** Σ over 16 lanes, held in vectors. */
struct LaneSum {
  VD part[PARTS];
  inline LaneSum() {
    for (int j = 0; j < PARTS; j++) part[j] = vd_set(0);
  }
  /** The fold, after terms for the last `rest` elements that no whole vector holds. */
  inline double finish(const double* tail, int rest) {
    double lanes[LANES];
    for (int j = 0; j < PARTS; j++) vd_store(lanes + j * WD, part[j]);
    for (int i = 0; i < rest; i++) lanes[i] += tail[i];
    return fold(lanes);
  }
};

void moments(const float* x, int64_t n, double* into) {
  LaneSum s1, s2, s3, s4;
  VF least = vf_set(__builtin_inff()), most = vf_set(-__builtin_inff());
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES) {
    for (int j = 0; j < LANES; j += W) {
      const VF v = vf_load(x + i + j);
      least = vf_min(least, v);
      most = vf_max(most, v);
    }
    for (int j = 0; j < PARTS; j++) {
      const VD d = vd_widen(x + i + j * WD), d2 = vd_mul(d, d);
      s1.part[j] = vd_add(s1.part[j], d);
      s2.part[j] = vd_add(s2.part[j], d2);
      s3.part[j] = vd_add(s3.part[j], vd_mul(d2, d));
      s4.part[j] = vd_add(s4.part[j], vd_mul(d2, d2));
    }
  }
  float lows[W], highs[W];
  vf_store(lows, least);
  vf_store(highs, most);
  double tail[4][LANES];
  const int rest = static_cast<int>(n - i);
  double low = __builtin_inf(), high = -__builtin_inf();
  for (int j = 0; j < W; j++) {
    low = lows[j] < low ? lows[j] : low;
    high = highs[j] > high ? highs[j] : high;
  }
  for (int j = 0; j < rest; j++) {
    const double d = x[i + j], d2 = d * d;
    low = d < low ? d : low;
    high = d > high ? d : high;
    tail[0][j] = d;
    tail[1][j] = d2;
    tail[2][j] = d2 * d;
    tail[3][j] = d2 * d2;
  }
  into[0] = low;
  into[1] = high;
  into[2] = s1.finish(tail[0], rest);
  into[3] = s2.finish(tail[1], rest);
  into[4] = s3.finish(tail[2], rest);
  into[5] = s4.finish(tail[3], rest);
}

/** Neighbouring values often share a bin: four tables in turn keep their increments from waiting for each other. */
constexpr int TABLES = 4;

void histogram(Pool& pool, const float* x, int64_t n, float low, float high, double* counts, int64_t bins) {
  auto* tables = static_cast<uint32_t*>(pool.scratch(0, sizeof(uint32_t) * TABLES * static_cast<size_t>(bins)));
  if (!tables) return;
  memset(tables, 0, sizeof(uint32_t) * TABLES * static_cast<size_t>(bins));
  const float inverse = static_cast<float>(bins) / (high - low), last = static_cast<float>(bins - 1);
  uint32_t* table[TABLES] = {tables, tables + bins, tables + 2 * bins, tables + 3 * bins};
  for (int64_t at = 0; at < n; at += STRETCH) {
    const int count = static_cast<int>(n - at < STRETCH ? n - at : STRETCH);
    int32_t bin[STRETCH];
    for (int i = 0; i < count; i++) {
      float position = (x[at + i] - low) * inverse;
      position = position > 0 ? position : 0;
      bin[i] = static_cast<int32_t>(position < last ? position : last);
    }
    int i = 0;
    for (; i + TABLES <= count; i += TABLES)
      for (int j = 0; j < TABLES; j++) table[j][bin[i + j]]++;
    for (; i < count; i++) table[0][bin[i]]++;
  }
  for (int64_t b = 0; b < bins; b++)
    counts[b] += static_cast<double>(table[0][b]) + table[1][b] + table[2][b] + table[3][b];
}

double squared_error(const float* a, const float* b, int64_t n) {
  LaneSum sum;
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int j = 0; j < PARTS; j++) {
      const VD d = vd_sub(vd_widen(a + i + j * WD), vd_widen(b + i + j * WD));
      sum.part[j] = vd_add(sum.part[j], vd_mul(d, d));
    }
  double tail[LANES];
  for (int64_t j = i; j < n; j++) {
    const double d = static_cast<double>(a[j]) - static_cast<double>(b[j]);
    tail[j - i] = d * d;
  }
  return sum.finish(tail, static_cast<int>(n - i));
}

double quantize_error(const float* x, const float* importance, int64_t n, float scale, int32_t zero_point, int32_t low,
                      int32_t high) {
  const float least = static_cast<float>(low - zero_point), most = static_cast<float>(high - zero_point);
  LaneSum sum;
  double tail[LANES];
  int rest = 0;
  for (int64_t at = 0; at < n; at += STRETCH) {
    const int count = static_cast<int>(n - at < STRETCH ? n - at : STRETCH);
    float nearest[STRETCH];
    for (int i = 0; i < count; i++) nearest[i] = static_cast<float>(round_between(x[at + i] / scale, least, most)) * scale;
    int i = 0;
    for (; i + LANES <= count; i += LANES)
      for (int j = 0; j < PARTS; j++) {
        const VD d = vd_sub(vd_widen(x + at + i + j * WD), vd_widen(nearest + i + j * WD));
        VD term = vd_mul(d, d);
        if (importance) term = vd_mul(term, vd_widen(importance + at + i + j * WD));
        sum.part[j] = vd_add(sum.part[j], term);
      }
    for (; i < count; i++) {  // only in the last stretch: STRETCH is a multiple of LANES
      const double d = static_cast<double>(x[at + i]) - static_cast<double>(nearest[i]);
      tail[rest++] = importance ? d * d * importance[at + i] : d * d;
    }
  }
  return sum.finish(tail, rest);
}

/** Natural logarithm of lib/kernels/math.ts, line by line: the same bits on every backend. x >= 0. */
inline double logarithm(double x) {
  constexpr double LN2_HIGH = 0.6931471803691238, LN2_LOW = 1.9082149292705877e-10, TWO_54 = 18014398509481984.0;
  constexpr uint32_t SQRT_HALF_HIGH = 0x3fe6a09e;
  if (!(x > 0)) return x == 0 ? -__builtin_inf() : __builtin_nan("");
  if (x == __builtin_inf()) return x;
  int32_t exponent = 0;
  if (x < 2.2250738585072014e-308) {
    exponent = -54;
    x *= TWO_54;
  }
  uint64_t word;
  memcpy(&word, &x, sizeof word);
  const uint32_t high = static_cast<uint32_t>(word >> 32) + (0x3ff00000 - SQRT_HALF_HIGH);
  exponent += static_cast<int32_t>(high >> 20) - 0x3ff;
  word = (word & 0xffffffffu) | static_cast<uint64_t>((high & 0x000fffff) + SQRT_HALF_HIGH) << 32;
  memcpy(&x, &word, sizeof x);
  const double f = x - 1, half = 0.5 * f * f, s = f / (2 + f), z = s * s, w = z * z;
  const double t1 = w * (0.3999999999940942 + w * (0.22222198432149784 + w * 0.15313837699209373));
  const double t2 =
      z * (0.6666666666666735 + w * (0.2857142874366239 + w * (0.1818357216161805 + w * 0.14798198605116586)));
  return s * (half + (t2 + t1)) + exponent * LN2_LOW - half + f + exponent * LN2_HIGH;
}

/** Σ term(i) in the contract's order. */
template <class Term>
inline double lane_sum(int64_t n, Term term) {
  double lanes[LANES] = {0};
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int j = 0; j < LANES; j++) lanes[j] += term(i + j);
  for (int j = 0; i + j < n; j++) lanes[j] += term(i + j);
  return fold(lanes);
}

double divergence(const double* p, const double* q, int64_t n, double smoothing) {
  const double total_p = lane_sum(n, [=](int64_t i) { return p[i] + smoothing; });
  const double total_q = lane_sum(n, [=](int64_t i) { return q[i] + smoothing; });
  return lane_sum(n, [=](int64_t i) {
    const double share = (p[i] + smoothing) / total_p;
    return share == 0 ? 0 : share * (logarithm(share) - logarithm((q[i] + smoothing) / total_q));
  });
}

}  // namespace
}  // namespace sq
