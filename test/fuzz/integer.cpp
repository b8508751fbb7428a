// Integer GEMM and convolution: exact, every width, sign, output and padding.
#include "fuzz.h"

using namespace sq;
using namespace sq::fuzz;

namespace {

/** As many multiply-adds as keep a sanitized case to a few milliseconds. */
constexpr double WORK = 40'000;

/** Bytes of `bits` bits: all kinds, all near zero, or at their ends so that sums saturate what can. */
template <class Value>
auto values(Input& in, int32_t low, int32_t high) {
  const int kind = in.number(0, 3);
  return [&in, low, high, kind]() -> Value {
    const auto span = static_cast<uint64_t>(high - low) + 1;
    const auto any = static_cast<int32_t>(low + static_cast<int32_t>(in.random() % span));
    const bool end = in.random() % 8 == 0;
    if (kind == 0) return static_cast<Value>(end ? low : high);
    if (kind == 1) return static_cast<Value>(end ? high : low);
    return static_cast<Value>(any);
  };
}

struct Run {
  bool gemm;
  ConvShape shape;
  WeightsShape weights;
  Bytes a;
  const int8_t* q;
  int32_t zero_point;
  Output out;
};

/** Packs and multiplies; the output buffer is the tier's own. */
void run(Input& in, const Tier& tier, const Run& r, void* data) {
  Buffer<uint8_t> packed(in, tier.kernels.weights_size(r.weights));
  tier.kernels.pack_weights(r.q, r.weights, packed.data());
  Output out = r.out;
  out.data = data;
  if (r.gemm)
    tier.kernels.gemm(tier.pool, r.a, packed.data(), r.weights, r.shape.in_width, r.zero_point, out);
  else
    tier.kernels.conv(tier.pool, r.a, packed.data(), r.weights, r.shape, r.zero_point, out);
}

template <class T>
void compare(Input& in, const Run& r, const std::string& what) {
  Buffer<T> expected(in, output_count(r.shape));
  run(in, scalar(), r, expected.data());
  for (const Tier& tier : tiers()) {
    Buffer<T> actual(in, output_count(r.shape));
    run(in, tier, r, actual.data());
    exactly(tier, what, actual, expected);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input in(data, size);
  Run r{};
  r.gemm = in.once_in(2);
  const int32_t bits = in.number(2, 8);
  if (r.gemm) {
    const int32_t k = in.once_in(8) ? in.number(1, 4000) : in.number(1, 200);
    const int32_t n = in.number(1, fmin(150, WORK / k));
    const int32_t m = in.number(in.once_in(16) ? 0 : 1, fmin(60, WORK / k / n));
    r.shape = matrix(m, n, k);
    r.weights = {n, 1, k, 1, bits};
  } else {
    r.shape = convolution(in, false, WORK);
    r.weights = weights_of(r.shape, bits);
  }
  const bool is_signed = in.once_in(2);
  const int32_t least = is_signed ? -128 : 0, most = is_signed ? 127 : 255, half = 1 << (bits - 1);
  const int64_t n = r.weights.out_channels;
  const Buffer<uint8_t> a(in, input_count(r.shape), values<uint8_t>(in, least, most));
  const Buffer<int8_t> q(in, n * r.weights.taps * r.weights.channels, values<int8_t>(in, -half, half - 1));
  const bool large = in.once_in(4);
  const Buffer<int32_t> bias(in, n, [&] { return static_cast<int32_t>(large ? in.random() : in.random() % 10001 - 5000); });
  const double scale = pow(10, in.whole(-9, 1));
  const Buffer<float> multipliers(in, n, [&] { return static_cast<float>((in.uniform() - (large ? 0.5 : 0)) * scale); });
  r.a = {const_cast<uint8_t*>(a.data()), a.count(), is_signed};
  r.q = q.data();
  r.zero_point = in.one_of<int32_t>({0, least, most, in.number(least, most)});
  r.out.kind = in.one_of({Output::INT32, Output::FLOAT32, Output::BYTES});
  r.out.bias = in.once_in(3) ? nullptr : bias.data();
  r.out.multipliers = r.out.kind == Output::INT32 && in.once_in(2) ? nullptr : multipliers.data();
  r.out.zero_point = in.number(-128, 255);
  const int32_t floor = in.once_in(2) ? -128 : 0;
  r.out.low = in.once_in(2) ? floor : in.number(floor, floor + 255);
  r.out.high = in.once_in(2) ? floor + 255 : in.number(r.out.low, floor + 255);
  const std::string what = (r.gemm ? "gemm of " : "conv of ") + describe(r.shape) +
                           describe(", %s activations, %d bits, zero point %d, output %d in %d..%d",
                                    is_signed ? "signed" : "unsigned", bits, r.zero_point, r.out.kind, r.out.low, r.out.high);
  if (r.out.kind == Output::INT32)
    compare<int32_t>(in, r, what);
  else if (r.out.kind == Output::FLOAT32)
    compare<float>(in, r, what);
  else
    compare<uint8_t>(in, r, what);
  return 0;
}
