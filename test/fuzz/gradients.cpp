// Gradients: of weights the same bits on all tiers with fused multiply-add and any threads, scalar within the contract's
// bound of them; sums and products per channel, masks of clamps and quantizers: exact.
#include "fuzz.h"

using namespace sq;
using namespace sq::fuzz;

namespace {

constexpr double WORK = 40'000;
constexpr int64_t MOST = 3000, MOST_CHANNELS = 70;
/** Additions behind a run's: sums of its lanes, and of at most 16 runs. */
constexpr double MORE_SUMS = 18;

void weights(Input& in) {
  const ConvShape shape = convolution(in, false, WORK);
  const bool sparse = in.once_in(4);
  const auto value = [&] { return sparse && in.random() % 2 ? 0.0f : in.normal(); };
  const Buffer<float> x(in, input_count(shape), value), g(in, output_count(shape), value);
  const auto absolute = [&](const Buffer<float>& from) {
    return [&from, i = int64_t(0)]() mutable { return fabsf(from.data()[i++]); };
  };
  const Buffer<float> x_size(in, x.count(), absolute(x)), g_size(in, g.count(), absolute(g));
  const int64_t depth = int64_t(shape.kernel_height) * shape.kernel_width * (shape.in_channels / shape.groups);
  const int64_t count = shape.out_channels * depth;
  Buffer<float> expected(in, count), magnitude(in, count), fused(in, count);
  scalar().kernels.float_conv_gradient(scalar().pool, x.data(), g.data(), shape, expected.data());
  scalar().kernels.float_conv_gradient(scalar().pool, x_size.data(), g_size.data(), shape, magnitude.data());
  const double positions = double(shape.batch) * shape.out_height * shape.out_width;
  const double bound = 2 * (positions + MORE_SUMS) * 0x1p-24;
  const std::string what = "float_conv_gradient of " + describe(shape);
  bool first = true;
  for (const Tier& tier : tiers()) {
    Buffer<float> actual(in, count);
    tier.kernels.float_conv_gradient(tier.pool, x.data(), g.data(), shape, actual.data());
    if (&tier.kernels == &scalar_kernels) {
      exactly(tier, what, actual, expected);
      continue;
    }
    if (first) fused.copy(actual);
    first = false;
    exactly(tier, what, actual, fused);
    for (int64_t i = 0; i < count; i++)
      if (!(fabs(double(actual[i]) - double(expected[i])) <= bound * double(magnitude[i])))
        differ(tier, what + ", from scalar", i, actual[i], expected[i]);
  }
}

void channels(Input& in) {
  const int64_t channels = in.number(1, MOST_CHANNELS), rows = in.once_in(8) ? in.number(1000, 2100) : in.number(0, MOST / channels);
  const int64_t n = rows * channels;
  const auto value = [&] { return in.normal(); };
  const Buffer<float> x(in, n, value), y(in, n, value), a(in, channels, value), b(in, channels, value), c(in, channels, value);
  const float low = in.one_of({-INFINITY, 0.0f, -1.5f}), high = in.one_of({INFINITY, 6.0f, 0.25f});
  const bool in_place = in.once_in(2);
  const std::string what = describe("%lld rows of %lld channels, %g..%g", static_cast<long long>(rows), static_cast<long long>(channels), low, high);
  const auto sums = [&](const Tier& t, Buffer<double>& into) { t.kernels.sum_channels(t.pool, x.data(), y.data(), n, channels, into.data()); };
  const auto affine = [&](const Tier& t, Buffer<float>& into) {
    if (in_place) into.copy(x);
    t.kernels.affine_channels(t.pool, in_place ? into.data() : x.data(), n, a.data(), b.data(), channels, low, high, into.data());
  };
  const auto combined = [&](const Tier& t, Buffer<float>& into) {
    if (in_place) into.copy(x);
    t.kernels.combine_channels(t.pool, in_place ? into.data() : x.data(), y.data(), n, a.data(), b.data(), c.data(), channels, into.data());
  };
  Buffer<double> sums_expected(in, 2 * channels);
  Buffer<float> affine_expected(in, n), combined_expected(in, n);
  sums(scalar(), sums_expected);
  affine(scalar(), affine_expected);
  combined(scalar(), combined_expected);
  for (const Tier& tier : tiers()) {
    Buffer<double> actual(in, 2 * channels);
    Buffer<float> scaled(in, n), both(in, n);
    sums(tier, actual);
    affine(tier, scaled);
    combined(tier, both);
    exactly(tier, "sum_channels of " + what, actual, sums_expected);
    exactly(tier, "affine_channels of " + what, scaled, affine_expected);
    exactly(tier, "combine_channels of " + what, both, combined_expected);
  }
}

void masks(Input& in) {
  const int64_t n = in.once_in(16) ? in.number(65'000, 66'000) : in.number(0, MOST);
  const float scale = in.one_of({0.1f, 0.013f, 1e-6f, 3e30f});
  const bool ties = in.once_in(2);
  // Halves of steps are where rounding is decided.
  const auto value = [&] { return ties && in.random() % 2 ? static_cast<float>(int64_t(in.random() % 64) - 32) * scale / 2 : in.normal(); };
  const Buffer<float> x(in, n, value), g(in, n, [&] { return in.normal(); });
  const float first = in.normal(), second = in.normal(), low = fminf(first, second), high = fmaxf(first, second);
  const int32_t zero_point = in.number(-128, 255), least = in.number(-128, 255), most = in.number(least, 255);
  const bool in_place = in.once_in(2);
  const std::string what = describe("%lld numbers, %g..%g, scale %g, %d in %d..%d", static_cast<long long>(n), low, high, scale, zero_point, least, most);
  const auto clamp = [&](const Tier& t, Buffer<float>& into) {
    if (in_place) into.copy(g);
    t.kernels.clamp_gradient(t.pool, x.data(), in_place ? into.data() : g.data(), n, low, high, into.data());
  };
  const auto quantize = [&](const Tier& t, Buffer<float>& into) {
    if (in_place) into.copy(g);
    return t.kernels.quantize_gradient(t.pool, x.data(), in_place ? into.data() : g.data(), n, scale, zero_point, least, most, into.data());
  };
  Buffer<float> clamp_expected(in, n), quantize_expected(in, n);
  clamp(scalar(), clamp_expected);
  const double slope = quantize(scalar(), quantize_expected);
  for (const Tier& tier : tiers()) {
    Buffer<float> clamped(in, n), quantized(in, n);
    clamp(tier, clamped);
    exactly(tier, "clamp_gradient of " + what, clamped, clamp_expected);
    exactly(tier, "quantize_gradient's scale of " + what, quantize(tier, quantized), slope);
    exactly(tier, "quantize_gradient of " + what, quantized, quantize_expected);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input in(data, size);
  switch (in.number(0, 2)) {
    case 0: weights(in); break;
    case 1: channels(in); break;
    default: masks(in);
  }
  return 0;
}
