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

/** Lanes of one pass over a stretch: the sums of four powers, the extremes and the power at hand fill the registers. */
constexpr int PASS = 2 * WD;

void moments(const float* x, int64_t n, double* into) {
  LaneSum sums[4];
  VF least = vf_set(__builtin_inff()), most = vf_set(-__builtin_inff());
  const int64_t whole = n / LANES * LANES;
  for (int64_t at = 0; at < whole; at += STRETCH) {
    const float* end = x + (whole - at < STRETCH ? whole : at + STRETCH);
    for (int lane = 0; lane < LANES; lane += PASS) {
      VD acc[4][2];
#pragma GCC unroll 4
      for (int p = 0; p < 4; p++)
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) acc[p][j] = sums[p].part[lane / WD + j];
      for (const float* from = x + at + lane; from < end; from += LANES) {
        if (lane == 0) fetch_ahead<4 * LANES>(from);
#pragma GCC unroll 2
        for (int j = 0; j < PASS; j += W) {
          const VF v = vf_load(from + j);
          least = vf_min(least, v);
          most = vf_max(most, v);
        }
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) {
          const VD d = vd_widen(from + j * WD), d2 = vd_mul(d, d);
          acc[0][j] = vd_add(acc[0][j], d);
          acc[1][j] = vd_exact_muladd(d, d, acc[1][j]);  // a square of 24 bits is exact
          acc[2][j] = vd_add(acc[2][j], vd_mul(d2, d));
          acc[3][j] = vd_add(acc[3][j], vd_mul(d2, d2));
        }
      }
#pragma GCC unroll 4
      for (int p = 0; p < 4; p++)
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) sums[p].part[lane / WD + j] = acc[p][j];
    }
  }
  float lows[W], highs[W];
  vf_store(lows, least);
  vf_store(highs, most);
  double tail[4][LANES];
  const int rest = static_cast<int>(n - whole);
  double low = __builtin_inf(), high = -__builtin_inf();
  for (int j = 0; j < W; j++) {
    low = lows[j] < low ? lows[j] : low;
    high = highs[j] > high ? highs[j] : high;
  }
  for (int j = 0; j < rest; j++) {
    const double d = x[whole + j], d2 = d * d;
    low = d < low ? d : low;
    high = d > high ? d : high;
    tail[0][j] = d;
    tail[1][j] = d2;
    tail[2][j] = d2 * d;
    tail[3][j] = d2 * d2;
  }
  into[0] = low;
  into[1] = high;
  for (int p = 0; p < 4; p++) into[2 + p] = sums[p].finish(tail[p], rest);
}

/**
 * Neighbouring values often share a bin, half of them after a ReLU: tables in turn keep their increments from waiting
 * for each other. More than four of 2,048 bins, or wider ones, would not stay in the first cache beside what is read.
 */
constexpr int TABLES = 4;
/** So many elements cannot overflow 16 bits: each table has every fourth, the first also what a stretch leaves. */
constexpr int64_t MOST_COUNTED = (65535 - STRETCH) * TABLES / STRETCH * STRETCH;

struct HistogramJob {
  const float* x;
  int64_t n, share;  // share: elements of a task, a multiple of STRETCH
  float low, inverse, last;
  int64_t bins;
  uint32_t* totals;  // [task][bins]
  uint16_t* tables;  // [task][bins][TABLES]
};

/** The bins of count <= STRETCH elements from x on. */
inline void find_bins(const HistogramJob& job, const float* x, int64_t count, int32_t* bin) {
  for (int64_t i = 0; i < count; i++) {
    float position = (x[i] - job.low) * job.inverse;
    position = position > 0 ? position : 0;
    bin[i] = static_cast<int32_t>(position < job.last ? position : job.last);
  }
}

/** Counts elements first..last, at most MOST_COUNTED. */
inline void count_bins(const HistogramJob& job, int64_t first, int64_t last, uint16_t* table) {
  int32_t bin[STRETCH];
  int64_t at = first;
  for (; at + STRETCH <= last; at += STRETCH) {
    find_bins(job, job.x + at, STRETCH, bin);
    for (int i = 0; i < STRETCH; i += LANES) {
      fetch_ahead<4 * LANES>(job.x + at + i);
#pragma GCC unroll 16
      for (int j = 0; j < LANES; j++) table[int64_t(bin[i + j]) * TABLES + j % TABLES]++;
    }
  }
  find_bins(job, job.x + at, last - at, bin);
  for (int64_t i = 0; i < last - at; i++) table[int64_t(bin[i]) * TABLES]++;
}

void histogram_task(const void* context, int64_t task, int) {
  const HistogramJob& job = *static_cast<const HistogramJob*>(context);
  const int64_t first = task * job.share, last = job.n - first < job.share ? job.n : first + job.share;
  uint32_t* totals = job.totals + task * job.bins;
  uint16_t* table = job.tables + task * job.bins * TABLES;
  memset(totals, 0, sizeof *totals * static_cast<size_t>(job.bins));
  for (int64_t at = first; at < last; at += MOST_COUNTED) {
    memset(table, 0, sizeof *table * TABLES * static_cast<size_t>(job.bins));
    count_bins(job, at, last - at < MOST_COUNTED ? last : at + MOST_COUNTED, table);
    for (int64_t b = 0; b < job.bins; b++)
      for (int j = 0; j < TABLES; j++) totals[b] += table[b * TABLES + j];
  }
}

void histogram(Pool& pool, const float* x, int64_t n, float low, float high, double* counts, int64_t bins) {
  HistogramJob job{x, n, n, low, static_cast<float>(bins) / (high - low), static_cast<float>(bins - 1), bins, nullptr, nullptr};
  const int64_t stretches = (n + STRETCH - 1) / STRETCH, most = n < 2 * SPREAD || n < bins ? 1 : pool.threads();
  job.share = (stretches + most - 1) / most * STRETCH;
  const int64_t tasks = n == 0 ? 0 : (n + job.share - 1) / job.share;
  job.totals = static_cast<uint32_t*>(pool.scratch(0, (sizeof(uint32_t) + sizeof(uint16_t) * TABLES) * static_cast<size_t>(bins * tasks)));
  if (!job.totals) return;
  job.tables = reinterpret_cast<uint16_t*>(job.totals + bins * tasks);
  pool.run(tasks, double(n) * ELEMENT_WORK, histogram_task, &job);
  for (int64_t task = 0; task < tasks; task++)
    for (int64_t b = 0; b < bins; b++) counts[b] += static_cast<double>(job.totals[task * bins + b]);
}

double squared_error(const float* a, const float* b, int64_t n) {
  LaneSum sum;
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES)
#pragma GCC unroll 8
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

/** fl(q * scale) of the nearest level q. */
template <bool DIVIDES>
inline VF nearest(const Quotient& quotient, VF x) {
  return vf_mul(vf_round(quotient.limited<DIVIDES>(x)), quotient.divisor);
}

/** out[i] = the nearest level of each of count <= STRETCH elements. */
template <bool DIVIDES>
inline void nearest_levels(const Quotient& quotient, const float* x, int64_t count, float* out) {
  fill(out, 0, count, false, [&](int64_t i, int lanes) { return nearest<DIVIDES>(quotient, load(x + i, lanes)); });
}

/** out[i] = x[i] - its nearest level, in float32. False where one of them reaches the limit in size. */
template <bool DIVIDES>
inline bool level_errors(const Quotient& quotient, const float* x, int64_t count, VF limit, float* out) {
  VF greatest = vf_set(0);
  fill(out, 0, count, false, [&](int64_t i, int lanes) {
    const VF value = load(x + i, lanes), error = vf_sub(value, nearest<DIVIDES>(quotient, value));
    greatest = vf_max_size(greatest, error);
    return error;
  });
  return vf_all_below(greatest, limit);
}

/**
 * Of levels first..last: below this size every difference of an x and its nearest level is exact in float32. Such an
 * x lies between half and twice its level (Sterbenz), and a level of 0 takes nothing away. Where 0 is left out, an x
 * near it is less than half its level: none is.
 */
inline float exact_below(float first, float last) {
  if (first > 0 || last < 0) return 0;
  const float less = -first < last ? -first : last, more = -first < last ? last : -first;
  return less > 0 ? less : more > 0 ? more : __builtin_inff();
}

/** `exact`: what exact_below says of the levels. */
template <bool DIVIDES>
double quantize_error_by(const Quotient& quotient, const float* x, const float* importance, int64_t n, float scale,
                         float exact) {
  LaneSum sum;
  double tail[LANES];
  int rest = 0;
  for (int64_t at = 0; at < n; at += STRETCH) {
    const int count = static_cast<int>(n - at < STRETCH ? n - at : STRETCH);
    const float* values = x + at;
    float part[STRETCH];
    // Of outermost levels so near to 0, many values lie at more than twice.
    const bool errors = exact > 2 * scale && level_errors<DIVIDES>(quotient, values, count, vf_set(exact), part);
    if (!errors) nearest_levels<DIVIDES>(quotient, values, count, part);
    const int whole = count / LANES * LANES;
    if (errors && !importance)
      for (int i = 0; i < whole; i += LANES)
#pragma GCC unroll 8
        for (int j = 0; j < PARTS; j++) {
          const VD d = vd_widen(part + i + j * WD);
          sum.part[j] = vd_exact_muladd(d, d, sum.part[j]);
        }
    else
      for (int i = 0; i < whole; i += LANES)
#pragma GCC unroll 8
        for (int j = 0; j < PARTS; j++) {
          VD d = vd_widen(part + i + j * WD);
          if (!errors) d = vd_sub(vd_widen(values + i + j * WD), d);
          VD term = vd_mul(d, d);
          if (importance) term = vd_mul(term, vd_widen(importance + at + i + j * WD));
          sum.part[j] = vd_add(sum.part[j], term);
        }
    for (int i = whole; i < count; i++) {  // only in the last stretch: STRETCH is a multiple of LANES
      const double d = static_cast<double>(part[i]) - (errors ? 0 : static_cast<double>(values[i]));
      tail[rest++] = importance ? d * d * importance[at + i] : d * d;
    }
  }
  return sum.finish(tail, rest);
}

double quantize_error(const float* x, const float* importance, int64_t n, float scale, int32_t zero_point, int32_t low,
                      int32_t high) {
  const Quotient quotient(scale, low - zero_point, high - zero_point);
  const float exact = exact_below(static_cast<float>(low - zero_point) * scale, static_cast<float>(high - zero_point) * scale);
  return quotient.divides ? quantize_error_by<true>(quotient, x, importance, n, scale, exact)
                          : quantize_error_by<false>(quotient, x, importance, n, scale, exact);
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
