// NEON with dotprod and i8mm: unsigned times signed bytes, four deep, in one instruction.
#include "neon-inl.h"

namespace sq {
namespace {

constexpr int ROWS = 12, FEW_ROWS = 4;

struct Dot : BytesOfFour<uint8_t> {
  static uint8x8_t activations(const uint8_t* p) { return four_bytes(p); }
  static uint8x16_t column(const uint8_t* p) { return vld1q_u8(p); }
  static VI dot(VI sum, int8x16_t w, uint8x8_t a) { return vsudotq_lane_s32(sum, w, a, 0); }
  static VI dot(VI sum, int8x16_t w, uint8x16_t a) { return vusdotq_s32(sum, a, w); }
};

template <class Use>
inline auto with_dot(int32_t, Use use) {
  return use(Dot{});
}

}  // namespace
}  // namespace sq

#define SQ_KERNELS i8mm_kernels
#define SQ_NAME "i8mm"
#include "../all-inl.h"
