// NEON with dotprod: signed times signed bytes, four deep, in one instruction.
#include "neon-inl.h"

namespace sq {
namespace {

constexpr int ROWS = 12, FEW_ROWS = 4;

struct Dot : BytesOfFour<int8_t> {
  static int8x8_t activations(const int8_t* p) {
    return vreinterpret_s8_u8(four_bytes(reinterpret_cast<const uint8_t*>(p)));
  }
  static int8x16_t column(const int8_t* p) { return vld1q_s8(p); }
  static VI dot(VI sum, int8x16_t w, int8x8_t a) { return vdotq_lane_s32(sum, w, a, 0); }
  static VI dot(VI sum, int8x16_t w, int8x16_t a) { return vdotq_s32(sum, w, a); }
};

template <class Use>
inline auto with_dot(int32_t, Use use) {
  return use(Dot{});
}

}  // namespace
}  // namespace sq

#define SQ_KERNELS neondot_kernels
#define SQ_NAME "neondot"
#include "../all-inl.h"
