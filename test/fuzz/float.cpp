// Float GEMM and convolution: the same bits on all tiers with fused multiply-add and any threads, scalar within the
// contract's bound of them.
#include "fuzz.h"

using namespace sq;
using namespace sq::fuzz;

namespace {

constexpr double WORK = 40'000;

struct Run {
  bool gemm;
  ConvShape shape;
  WeightsShape weights;
  const Buffer<float>&a, &w, &bias;
  bool with_bias;
  float low, high;
};

void run(Input& in, const Tier& tier, const Run& r, float* out) {
  Buffer<uint8_t> packed(in, tier.kernels.float_weights_size(r.weights), sizeof(float));
  tier.kernels.pack_float_weights(r.w.data(), r.weights, packed.data());
  const float* bias = r.with_bias ? r.bias.data() : nullptr;
  if (r.gemm)
    tier.kernels.float_gemm(tier.pool, r.a.data(), packed.data(), r.weights, r.shape.in_width, bias, r.low, r.high, out);
  else
    tier.kernels.float_conv(tier.pool, r.a.data(), packed.data(), r.weights, r.shape, bias, r.low, r.high, out);
}

/** Σ|a*w| + |bias| of every output. */
void magnitudes(Input& in, const Run& r, float* out) {
  const auto absolute = [&](const Buffer<float>& x) {
    int64_t i = 0;
    return [&x, i]() mutable { return fabsf(x.data()[i++]); };
  };
  const Buffer<float> a(in, r.a.count(), absolute(r.a)), w(in, r.w.count(), absolute(r.w)), bias(in, r.bias.count(), absolute(r.bias));
  run(in, scalar(), {r.gemm, r.shape, r.weights, a, w, bias, r.with_bias, 0, INFINITY}, out);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input in(data, size);
  const bool gemm = in.once_in(2);
  ConvShape shape;
  if (gemm) {
    const int32_t k = in.once_in(8) ? in.number(1, 4000) : in.number(1, 200);
    const int32_t n = in.number(1, fmin(150, WORK / k));
    shape = matrix(in.number(in.once_in(16) ? 0 : 1, fmin(60, WORK / k / n)), n, k);
  } else {
    shape = convolution(in, false, WORK);
  }
  const WeightsShape weights = weights_of(shape, 8);
  const bool sparse = in.once_in(4);
  const auto value = [&] { return sparse && in.random() % 2 ? 0.0f : in.normal(); };
  const Buffer<float> a(in, input_count(shape), value), bias(in, weights.out_channels, value);
  const Buffer<float> w(in, int64_t(weights.out_channels) * weights.taps * weights.channels, value);
  const float low = in.one_of({-INFINITY, 0.0f, -1.5f}), high = in.one_of({INFINITY, 6.0f, 0.25f});
  const Run r{gemm, shape, weights, a, w, bias, !in.once_in(3), low, high};
  const std::string what = (gemm ? "float gemm of " : "float conv of ") + describe(shape);

  const int64_t count = output_count(shape);
  Buffer<float> plain(in, count), fused(in, count), magnitude(in, count);
  run(in, scalar(), r, plain.data());
  bool known = false;
  for (const Tier& tier : tiers()) {
    Buffer<float> actual(in, count);
    run(in, tier, r, actual.data());
    if (!tier.kernels.fused) {
      exactly(tier, what, actual, plain);
    } else if (known) {
      exactly(tier, what + " (fused)", actual, fused);
    } else {
      known = true;
      fused.copy(actual);
      magnitudes(in, r, magnitude.data());
      const double depth = double(weights.taps) * weights.channels + 2;
      for (int64_t i = 0; i < count; i++)
        if (!(fabs(double(actual[i]) - plain[i]) <= depth * 0x1p-24 * magnitude[i]))
          differ(tier, what + " (beyond the bound)", i, actual[i], plain[i]);
    }
  }
  return 0;
}
