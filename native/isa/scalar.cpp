// Portable C++: what the compiler makes of it. Vectors are four lanes of plain arrays.
#include <string.h>

#include "../kernels.h"
#include "../pool.h"

namespace sq {
namespace {

constexpr bool FUSED = false;
constexpr int W = 4, WD = 2, ROWS = 4;

struct VF { float v[W]; };
struct VI { int32_t v[W]; };
struct VD { double v[WD]; };

#define SQ_LANES(type, count, expression) \
  type r;                                 \
  for (int i = 0; i < count; i++) r.v[i] = expression; \
  return r

inline VF vf_set(float x) { SQ_LANES(VF, W, x); }
inline VF vf_load(const float* p) { SQ_LANES(VF, W, p[i]); }
inline VF vf_load_n(const float* p, int n) { SQ_LANES(VF, W, i < n ? p[i] : 0.0f); }
inline void vf_store(float* p, VF x) { for (int i = 0; i < W; i++) p[i] = x.v[i]; }
inline void vf_store_n(float* p, VF x, int n) { for (int i = 0; i < n; i++) p[i] = x.v[i]; }
inline void vf_stream(float* p, VF x) { vf_store(p, x); }
inline void stream_end() {}
inline VF vf_add(VF a, VF b) { SQ_LANES(VF, W, a.v[i] + b.v[i]); }
inline VF vf_mul(VF a, VF b) { SQ_LANES(VF, W, a.v[i] * b.v[i]); }
inline VF vf_muladd(VF a, VF b, VF c) { SQ_LANES(VF, W, c.v[i] + a.v[i] * b.v[i]); }
inline VF vf_min(VF a, VF b) { SQ_LANES(VF, W, a.v[i] < b.v[i] ? a.v[i] : b.v[i]); }
inline VF vf_max(VF a, VF b) { SQ_LANES(VF, W, a.v[i] > b.v[i] ? a.v[i] : b.v[i]); }

inline void prefetch(const void*) {}

inline VD vd_set(double x) { SQ_LANES(VD, WD, x); }
inline VD vd_load(const double* p) { SQ_LANES(VD, WD, p[i]); }
inline VD vd_widen(const float* p) { SQ_LANES(VD, WD, p[i]); }
inline void vd_store(double* p, VD x) { for (int i = 0; i < WD; i++) p[i] = x.v[i]; }
inline VD vd_add(VD a, VD b) { SQ_LANES(VD, WD, a.v[i] + b.v[i]); }
inline VD vd_sub(VD a, VD b) { SQ_LANES(VD, WD, a.v[i] - b.v[i]); }
inline VD vd_mul(VD a, VD b) { SQ_LANES(VD, WD, a.v[i] * b.v[i]); }
/** For exact products only, where fusing changes nothing. */
inline VD vd_exact_muladd(VD a, VD b, VD c) { SQ_LANES(VD, WD, c.v[i] + a.v[i] * b.v[i]); }

// Integer products: int16 pairs, the zero point taken away beforehand.
using Activation = int16_t;
using Weight = int16_t;
constexpr int STEP = 2;
constexpr bool SHIFTED = false;

inline VI vi_set(int32_t x) { SQ_LANES(VI, W, x); }
inline VI vi_load(const int32_t* p) { SQ_LANES(VI, W, p[i]); }
inline void vi_store_n(int32_t* p, VI x, int n) { for (int i = 0; i < n; i++) p[i] = x.v[i]; }
inline VI vi_add(VI a, VI b) { SQ_LANES(VI, W, int32_t(uint32_t(a.v[i]) + uint32_t(b.v[i]))); }
inline VF vi_float(VI a) { SQ_LANES(VF, W, float(a.v[i])); }

struct WeightVector { Weight v[W * STEP]; };
struct ActivationPair { int32_t first, second; };
inline WeightVector weights_load(const Weight* p) { SQ_LANES(WeightVector, W * STEP, p[i]); }
inline ActivationPair activations_broadcast(const Activation* p) { return {p[0], p[1]}; }
inline VI vi_dot(VI acc, WeightVector w, ActivationPair a) {
  SQ_LANES(VI, W, int32_t(uint32_t(acc.v[i]) + uint32_t(a.first * w.v[2 * i] + a.second * w.v[2 * i + 1])));
}

/** One activation from its byte, less the zero point. */
constexpr int ACTIVATIONS = 1;
inline void activations_copy(const uint8_t* from, Activation* to, int32_t zero_point, bool is_signed) {
  *to = static_cast<Activation>((is_signed ? int32_t(int8_t(*from)) : int32_t(*from)) - zero_point);
}
inline void activations_copy_n(const uint8_t*, Activation*, int32_t, bool, int) {}

/** n (<= W) bytes as int32 lanes, the rest zero. */
inline VI bytes_widen(const uint8_t* p, int n, bool is_signed) {
  SQ_LANES(VI, W, i < n ? (is_signed ? int32_t(int8_t(p[i])) : int32_t(p[i])) : 0);
}
/** acc + a*w where both fit 16 bits. */
inline VI vi_short_muladd(VI a, VI w, VI acc) {
  SQ_LANES(VI, W, int32_t(uint32_t(acc.v[i]) + uint32_t(a.v[i] * int16_t(w.v[i]))));
}
/** n bytes of rne(min(max(x, low), high)) + zero_point; the limits are already less the zero point. */
inline void bytes_round_n(uint8_t* p, VF x, VF low, VF high, VI zero_point, int n) {
  const VF limited = vf_min(vf_max(x, low), high);
  for (int i = 0; i < n; i++) {
    const float magic = 12582912.0f;  // 1.5 * 2^23: adding it rounds small numbers half to even
    p[i] = uint8_t(int32_t((limited.v[i] + magic) - magic) + zero_point.v[i]);
  }
}

/** No limit is stated for what the compiler makes of portable code (peak-inl.h). */
template <class Loop>
int64_t dot_steps(int32_t, Loop) {
  return 0;
}

}  // namespace
}  // namespace sq

#define SQ_KERNELS scalar_kernels
#define SQ_NAME "scalar"
#include "../all-inl.h"
