// Portable C++: what the compiler makes of it. Vectors are four lanes of plain arrays.
#include <string.h>

#include "../kernels.h"
#include "../pool.h"

namespace sq {
namespace {

constexpr bool FUSED = false;
constexpr int W = 4, WD = 2, ROWS = 4, REGISTERS = 16;

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
inline VF vf_sub(VF a, VF b) { SQ_LANES(VF, W, a.v[i] - b.v[i]); }
/** The greater size of the two, a being one already; NaN counts as nothing. */
inline VF vf_max_size(VF a, VF b) { SQ_LANES(VF, W, __builtin_fabsf(b.v[i]) > a.v[i] ? __builtin_fabsf(b.v[i]) : a.v[i]); }
inline bool vf_all_below(VF a, VF b) {
  for (int i = 0; i < W; i++)
    if (!(a.v[i] < b.v[i])) return false;
  return true;
}
inline VF vf_mul(VF a, VF b) { SQ_LANES(VF, W, a.v[i] * b.v[i]); }
inline VF vf_muladd(VF a, VF b, VF c) { SQ_LANES(VF, W, c.v[i] + a.v[i] * b.v[i]); }
/** min and max are b where a or b is NaN. */
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

inline VI vi_set(int32_t x) { SQ_LANES(VI, W, x); }
inline VI vi_load(const int32_t* p) { SQ_LANES(VI, W, p[i]); }
inline void vi_store_n(int32_t* p, VI x, int n) { for (int i = 0; i < n; i++) p[i] = x.v[i]; }
inline VI vi_add(VI a, VI b) { SQ_LANES(VI, W, int32_t(uint32_t(a.v[i]) + uint32_t(b.v[i]))); }
inline VF vi_float(VI a) { SQ_LANES(VF, W, float(a.v[i])); }

// Four vectors of floats beside one of bytes.
constexpr int WB = 4 * W;
struct VB { uint8_t v[WB]; };

inline VF vf_div(VF a, VF b) { SQ_LANES(VF, W, a.v[i] / b.v[i]); }
constexpr float MAGIC = 12582912.0f;  // 1.5 * 2^23: adding it rounds small numbers half to even
/** rne, |x| < 2^22. */
inline VF vf_round(VF x) { SQ_LANES(VF, W, (x.v[i] + MAGIC) - MAGIC); }

inline VB vb_set(uint8_t x) { SQ_LANES(VB, WB, x); }
inline VB vb_load(const uint8_t* p) { SQ_LANES(VB, WB, p[i]); }
inline void vb_store(uint8_t* p, VB x) { memcpy(p, x.v, WB); }
inline void vb_stream(uint8_t* p, VB x) { vb_store(p, x); }
/** Modulo 256. */
inline VB vb_add(VB a, VB b) { SQ_LANES(VB, WB, uint8_t(a.v[i] + b.v[i])); }
/** Of unsigned bytes. */
inline VB vb_max(VB a, VB b) { SQ_LANES(VB, WB, a.v[i] > b.v[i] ? a.v[i] : b.v[i]); }
/** As far as whole vectors reach: out[i] = table[a[i]]; returns how many were done. out may be a. */
inline int64_t lookup_vectors(const uint8_t* a, int64_t n, const uint8_t* table, uint8_t* out) {
  int64_t done = 0;
  for (; done + 8 <= n; done += 8) {
    uint8_t found[8];
    for (int i = 0; i < 8; i++) found[i] = table[a[done + i]];
    memcpy(out + done, found, 8);
  }
  return done;
}

inline VB vb_min(VB a, VB b) { SQ_LANES(VB, WB, a.v[i] < b.v[i] ? a.v[i] : b.v[i]); }
/** The low bytes of rne(x) for |x| < 2^15, in order; NaN gives 0. */
inline VB vb_round(const VF (&x)[4]) {
  VB r;
  for (int i = 0; i < WB; i++) {
    const float value = x[i / W].v[i % W];
    r.v[i] = uint8_t(int32_t(((value == value ? value : 0.0f) + MAGIC) - MAGIC));
  }
  return r;
}
inline VB vb_and(VB a, VB b) { SQ_LANES(VB, 4 * W, a.v[i] & b.v[i]); }
inline VB vb_or(VB a, VB b) { SQ_LANES(VB, 4 * W, a.v[i] | b.v[i]); }
inline VB vb_xor(VB a, VB b) { SQ_LANES(VB, 4 * W, a.v[i] ^ b.v[i]); }
inline VB vb_sub(VB a, VB b) { SQ_LANES(VB, 4 * W, uint8_t(a.v[i] - b.v[i])); }
inline VB vb_right(VB x, int by) { SQ_LANES(VB, 4 * W, uint8_t(x.v[i] >> by)); }
inline VB vb_left(VB x, int by) { SQ_LANES(VB, 4 * W, uint8_t(x.v[i] << by)); }

inline VI vi_set_words(int16_t x) { return vi_set(x); }
/** rne(x) + zero, saturated to unsigned bytes, in order; |x| < 2^31. */
inline VB vb_round_from(const VF (&x)[4], VI zero) {
  constexpr float FAR = 4096;  // beyond it every byte saturates, and it is small enough to be rounded by adding
  VB r;
  for (int i = 0; i < WB; i++) {
    const float value = x[i / W].v[i % W];
    const float near = value > FAR ? FAR : value < -FAR ? -FAR : value;
    const int32_t level = int32_t((near + MAGIC) - MAGIC) + zero.v[0];
    r.v[i] = uint8_t(level < 0 ? 0 : level > 255 ? 255 : level);
  }
  return r;
}
/**
 * The same of any x. `far` where one is NaN or beyond int32, perhaps also where it is beyond 2^15: then the bytes mean
 * nothing.
 */
inline VB vb_round_from(const VF (&x)[4], VI zero, bool& far) {
  far = false;
  for (int i = 0; i < WB; i++) far |= !(x[i / W].v[i % W] > -0x1p15f && x[i / W].v[i % W] < 0x1p15f);
  return vb_round_from(x, zero);
}
/** 2 * W of the bytes: the first or the second half. */
inline void vb_store_half(uint8_t* p, VB x, int half) { memcpy(p, x.v + 2 * W * half, 2 * W); }
/** W of the bytes. */
inline void vb_store_quarter(uint8_t* p, VB x, int quarter) { memcpy(p, x.v + W * quarter, W); }
/** n (<= W) bytes as int32 lanes, the rest zero. */
inline VI bytes_widen(const uint8_t* p, int n, bool is_signed) {
  SQ_LANES(VI, W, i < n ? (is_signed ? int32_t(int8_t(p[i])) : int32_t(p[i])) : 0);
}

/** Pairs of products in 16 bits: what compilers make pmaddwd of. */
struct Dot {
  using Activation = int16_t;
  static constexpr int STEP = 2;
  static constexpr bool NARROW = false;
  struct Weights { int16_t v[W * STEP]; };
  static VI widen(VI x) { return x; }
  static Weights weights(const uint8_t* p) { SQ_LANES(Weights, W * STEP, int8_t(p[i])); }
  static Weights column(const int16_t* p) { SQ_LANES(Weights, W * STEP, p[i]); }
  static Weights activations(const int16_t* p) { SQ_LANES(Weights, W * STEP, p[i % STEP]); }
  static VI dot(VI sum, Weights w, Weights a) {
    SQ_LANES(VI, W, int32_t(uint32_t(sum.v[i]) + uint32_t(a.v[2 * i] * w.v[2 * i] + a.v[2 * i + 1] * w.v[2 * i + 1])));
  }
  /** V * W bytes of each of two lines, side by side. */
  template <bool SIGNED, int V>
  static void interleave(const uint8_t* const (&line)[STEP], int64_t at, int16_t* to) {
    for (int i = 0; i < V * W * STEP; i++) {
      const uint8_t byte = line[i % STEP][at + i / STEP];
      to[i] = SIGNED ? int16_t(int8_t(byte)) : int16_t(byte);
    }
  }
};

constexpr int FEW_ROWS = 1;

template <class Use>
inline auto with_dot(int32_t, Use use) {
  return use(Dot{});
}

}  // namespace
}  // namespace sq

#define SQ_KERNELS scalar_kernels
#define SQ_NAME "scalar"
#include "../all-inl.h"
