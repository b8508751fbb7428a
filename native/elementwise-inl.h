// add, clamp, quantized add, lookup. Plain loops that the compiler vectorizes.

namespace sq {
namespace {

void add(const float* a, const float* b, int64_t n, float low, float high, float* out) {
  for (int64_t i = 0; i < n; i++) {
    float x = a[i] + b[i];
    x = x > low ? x : low;
    out[i] = x < high ? x : high;
  }
}

void clamp(const float* x, int64_t n, float low, float high, float* out) {
  for (int64_t i = 0; i < n; i++) {
    const float raised = x[i] > low ? x[i] : low;
    out[i] = raised < high ? raised : high;
  }
}

void quantized_add(const uint8_t* a, float scale_a, int32_t zero_a, const uint8_t* b, float scale_b, int32_t zero_b,
                   int64_t n, float scale_out, int32_t zero_out, int32_t low, int32_t high, uint8_t* out) {
  const float ra = scale_a / scale_out, rb = scale_b / scale_out;
  const float zeros =
      static_cast<float>(static_cast<double>(zero_a) * ra + rb * static_cast<float>(zero_b));
  const float fixed = static_cast<float>(zero_out) - zeros;
  const float least = static_cast<float>(low), most = static_cast<float>(high);
  for (int64_t i = 0; i < n; i++) {
    // Both products are exact in float64: the roundings of two fused multiply-adds, on every instruction set.
    const float first = static_cast<float>(static_cast<double>(b[i]) * rb + fixed);
    const float sum = static_cast<float>(static_cast<double>(a[i]) * ra + first);
    out[i] = static_cast<uint8_t>(round_between(sum, least, most));
  }
}

void lookup(const uint8_t* a, int64_t n, const uint8_t* table, uint8_t* out) {
  for (int64_t i = 0; i < n; i++) out[i] = table[a[i]];
}

}  // namespace
}  // namespace sq
