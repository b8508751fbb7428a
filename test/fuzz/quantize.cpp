// quantize, dequantize, both per channel, pack, unpack: exact for any float, NaN and infinities too.
#include "fuzz.h"

using namespace sq;
using namespace sq::fuzz;

namespace {

constexpr int64_t MOST = 1500;

float from_bits(uint64_t bits) {
  const auto word = static_cast<uint32_t>(bits);
  float x;
  memcpy(&x, &word, sizeof x);
  return x;
}

/** Any bits, halves of the scale (ties), or what fills the range. */
float any_float(Input& in, float scale) {
  const uint64_t choice = in.random() % 16;
  if (choice == 0) return from_bits(in.random());
  const auto level = static_cast<float>(static_cast<int32_t>(in.random() % 1024) - 512);
  if (choice < 6) return level * 0.5f * scale;
  return in.normal() * 100 * scale;
}

float any_scale(Input& in) {
  if (in.once_in(2)) return in.one_of({1.0f, 0.037f, 3e-8f, 0.5f});
  const float x = fabsf(from_bits(in.random()));
  return x > 0 && x < INFINITY ? x : 1.0f;  // positive and finite, denormal too
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input in(data, size);
  const int64_t channels = in.number(1, 70), inner = in.once_in(2) ? 1 : in.number(1, 40);
  const int64_t outer = in.number(0, MOST / (channels * inner) + 1), n = channels * inner * outer;
  const bool is_signed = in.once_in(2);
  const int32_t least = is_signed ? -128 : 0;
  const int32_t low = in.once_in(2) ? least : in.number(least, least + 255);
  const int32_t high = in.once_in(2) ? least + 255 : in.number(low, least + 255);
  const int32_t zero_point = in.number(-128, 255), bits = in.number(2, 8);
  const float scale = any_scale(in);
  const Buffer<float> x(in, n, [&] { return any_float(in, scale); });
  const Buffer<float> scales(in, channels, [&] { return in.random() % 4 ? scale : any_scale(in); });
  const Buffer<int32_t> zeros(in, channels, [&] { return static_cast<int32_t>(in.random() % 384) - 128; });
  Buffer<uint8_t> q(in, n, [&] { return in.random(); });
  const int64_t packed_size = (n * bits + 7) / 8;
  const Buffer<uint8_t> dense(in, packed_size, [&] { return in.random(); });
  const Bytes bytes{q.data(), n, is_signed};
  const std::string what = describe("%lld x %lld x %lld, %d bits, %d..%d, zero point %d, scale %g", static_cast<long long>(outer),
                                    static_cast<long long>(channels), static_cast<long long>(inner), bits, low, high, zero_point, scale);

  const auto compare = [&]<class T>(const char* verb, int64_t count, T, auto call) {
    Buffer<T> expected(in, count);
    call(scalar(), expected.data());
    for (const Tier& tier : tiers()) {
      Buffer<T> actual(in, count);
      call(tier, actual.data());
      exactly(tier, std::string(verb) + " of " + what, actual, expected);
    }
  };
  compare("quantize", n, uint8_t(), [&](const Tier& t, uint8_t* out) { t.kernels.quantize(t.pool, x.data(), n, scale, zero_point, low, high, out); });
  compare("quantize_channels", n, uint8_t(), [&](const Tier& t, uint8_t* out) {
    t.kernels.quantize_channels(t.pool, x.data(), n, scales.data(), zeros.data(), channels, inner, low, high, out);
  });
  compare("dequantize", n, float(), [&](const Tier& t, float* out) { t.kernels.dequantize(t.pool, bytes, scale, zero_point, out); });
  compare("dequantize_channels", n, float(), [&](const Tier& t, float* out) {
    t.kernels.dequantize_channels(t.pool, bytes, scales.data(), zeros.data(), channels, inner, out);
  });
  compare("pack", packed_size, uint8_t(), [&](const Tier& t, uint8_t* out) { t.kernels.pack(t.pool, q.data(), n, bits, out); });
  compare("unpack", n, uint8_t(), [&](const Tier& t, uint8_t* out) { t.kernels.unpack(t.pool, dense.data(), bits, {out, n, is_signed}); });
  return 0;
}
