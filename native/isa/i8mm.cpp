// NEON with dotprod and i8mm: unsigned times signed bytes; two rows by two columns, eight deep, in one instruction.
#include "neon-inl.h"

namespace sq {
namespace {

constexpr int ROWS = 12, FEW_ROWS = 4;

struct ColumnDot : BytesOfFour<uint8_t> {
  static uint8x16_t column(const uint8_t* p) { return vld1q_u8(p); }
  static VI dot(VI sum, int8x16_t w, uint8x16_t a) { return vusdotq_s32(sum, a, w); }
};

/** Weights of two columns, activations of two rows. */
struct MatrixDot {
  using Activation = uint8_t;
  using Weights = int8x16_t;
  using Columns = ColumnDot;
  static constexpr int STEP = 8;
  static constexpr bool NARROW = false;
  static Weights weights(const uint8_t* p) { return vreinterpretq_s8_u8(vb_load(p)); }
  static Weights from_bytes(VB x) { return vreinterpretq_s8_u8(x); }
  static uint8x16_t activations(const uint8_t* p, const uint8_t* q) { return vcombine_u8(vld1_u8(p), vld1_u8(q)); }
  static VI dot(VI sum, int8x16_t w, uint8x16_t a) { return vusmmlaq_s32(sum, a, w); }
  static VI first_row(VI x, VI y) { return vcombine_s32(vget_low_s32(x), vget_low_s32(y)); }
  static VI second_row(VI x, VI y) { return vcombine_s32(vget_high_s32(x), vget_high_s32(y)); }
};

template <class Use>
inline auto with_dot(int32_t, Use use) {
  return use(MatrixDot{});
}

}  // namespace
}  // namespace sq

#define SQ_KERNELS i8mm_kernels
#define SQ_NAME "i8mm"
#include "../all-inl.h"
