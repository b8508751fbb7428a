// NEON as every arm64 processor has it: products of signed bytes in 16 bits, pairs of which are added in 32. Up to 4 bits
// many fit 16 bits, up to 7 bits two; 8 bits widen every one. Multiplying is the limit, 8 products in an instruction.
#include "neon-inl.h"

namespace sq {
namespace {

constexpr int ROWS = 8, FEW_ROWS = 2;

/** sum (of 16 bits) + the products of the lower halves, then of the upper ones. */
#if defined(__GNUC__) && !defined(__clang__)
// Not the intrinsics: g++ 12 copies and spills their sums.
inline VI add_lower(VI sum, int8x16_t w, int8x16_t a) {
  __asm__("smlal %0.8h, %1.8b, %2.8b" : "+w"(sum) : "w"(w), "w"(a));
  return sum;
}
inline VI add_upper(VI sum, int8x16_t w, int8x16_t a) {
  __asm__("smlal2 %0.8h, %1.16b, %2.16b" : "+w"(sum) : "w"(w), "w"(a));
  return sum;
}
/** Bytes of `four` at `places` < 4. Not the intrinsic: it would clear the upper half of its table first. */
inline int8x16_t spread(uint8x8_t four, VB places) {
  int8x16_t bytes;
  __asm__("tbl %0.16b, {%1.16b}, %2.16b" : "=w"(bytes) : "w"(four), "w"(places));
  return bytes;
}
#else
inline int8x16_t spread(uint8x8_t four, VB places) {
  return vreinterpretq_s8_u8(vqtbl1q_u8(vcombine_u8(four, four), places));
}
inline VI add_lower(VI sum, int8x16_t w, int8x16_t a) {
  return vreinterpretq_s32_s16(vmlal_s8(vreinterpretq_s16_s32(sum), vget_low_s8(w), vget_low_s8(a)));
}
inline VI add_upper(VI sum, int8x16_t w, int8x16_t a) {
  return vreinterpretq_s32_s16(vmlal_high_s8(vreinterpretq_s16_s32(sum), w, a));
}
#endif
inline VI lower(int8x16_t w, int8x16_t a) { return vreinterpretq_s32_s16(vmull_s8(vget_low_s8(w), vget_low_s8(a))); }
inline VI upper(int8x16_t w, int8x16_t a) { return vreinterpretq_s32_s16(vmull_high_s8(w, a)); }
inline VI add_pairs(VI sum, VI products) { return vpadalq_s16(sum, vreinterpretq_s16_s32(products)); }

/** Of four columns, four deep: bytes 0 and 1 of each in the lower half, 2 and 3 in the upper one. */
struct PairsOfFour : BytesOfFour<int8_t> {
  static constexpr uint8_t PAIRS[16] = {0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15};
  static constexpr uint8_t SPREAD[16] = {0, 1, 0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3, 2, 3};
  static Weights from_bytes(VB x) { return vreinterpretq_s8_u8(vqtbl1q_u8(x, vld1q_u8(PAIRS))); }
  static Weights weights(const uint8_t* p) { return from_bytes(vb_load(p)); }
  static int8x16_t activations(const int8_t* p) {
    return spread(four_bytes(reinterpret_cast<const uint8_t*>(p)), vld1q_u8(SPREAD));
  }
  static int8x16_t column(const int8_t* p) { return vld1q_s8(p); }
  template <bool SIGNED, int V>
  static void interleave(const uint8_t* const (&line)[STEP], int64_t at, int8_t* to) {
    auto* bytes = reinterpret_cast<uint8_t*>(to);
    const uint64x2_t upper = vreinterpretq_u64_u8(side_by_side<V>(line[0] + at, line[1] + at, flip(SIGNED)));
    const uint64x2_t lower = vreinterpretq_u64_u8(side_by_side<V>(line[2] + at, line[3] + at, flip(SIGNED)));
    vb_store(bytes, vreinterpretq_u8_u64(vzip1q_u64(upper, lower)));
    if (V == 2) vb_store(bytes + WB, vreinterpretq_u8_u64(vzip2q_u64(upper, lower)));
  }
};

/** 8 bits. */
struct WideDot : PairsOfFour {
  static VI dot(VI sum, int8x16_t w, int8x16_t a) { return add_pairs(add_pairs(sum, lower(w, a)), upper(w, a)); }
};

/** Up to 7 bits: two products of -128 and -64 fit. */
struct PairedDot : PairsOfFour {
  static VI dot(VI sum, int8x16_t w, int8x16_t a) { return add_pairs(sum, add_upper(lower(w, a), w, a)); }
};

struct NarrowDot : PairsOfFour {
  using Wide = PairedDot;
  static constexpr bool NARROW = true;
  static VI widen(VI x) { return vpaddlq_s16(vreinterpretq_s16_s32(x)); }
  static VI dot(VI sum, int8x16_t w, int8x16_t a) { return add_upper(add_lower(sum, w, a), w, a); }
};

template <class Use>
inline auto with_dot(int32_t bits, Use use) {
  return bits <= 4 ? use(NarrowDot{}) : bits <= 7 ? use(PairedDot{}) : use(WideDot{});
}

}  // namespace
}  // namespace sq

#define SQ_KERNELS neon_kernels
#define SQ_NAME "neon"
#include "../all-inl.h"
