// moments, histogram, divergence, squared error, quantize error: exact for finite floats.
#include "fuzz.h"

using namespace sq;
using namespace sq::fuzz;

namespace {

constexpr int64_t MOST = 3000, MOST_BINS = 3000;

float finite(Input& in) {
  const auto word = static_cast<uint32_t>(in.random());
  float x;
  memcpy(&x, &word, sizeof x);
  return isfinite(x) ? x : 0.0f;
}

/** Everything, the usual, or the half of it that a ReLU leaves. */
auto values(Input& in) {
  const int kind = in.number(0, 4);
  return [&in, kind] {
    if (kind == 0) return finite(in);
    const float x = in.normal();
    return kind == 1 && x < 0 ? 0.0f : x;
  };
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input in(data, size);
  const int64_t n = in.once_in(2) ? in.number(0, 100) : in.number(0, MOST);
  const int64_t bins = in.once_in(2) ? in.number(1, 300) : in.number(1, MOST_BINS);
  const Buffer<float> a(in, n, values(in)), b(in, n, values(in));
  const Buffer<float> importance(in, n, [&] { return static_cast<float>(in.uniform()); });
  const bool weighted = in.once_in(2), extreme = in.once_in(8);
  const float first = extreme ? finite(in) : in.normal() * 3, second = extreme ? finite(in) : in.normal() * 3;
  const float low = fminf(first, second), high = first == second ? nextafterf(low, INFINITY) : fmaxf(first, second);
  const Buffer<double> before(in, bins, [&] { return static_cast<double>(in.random() % 100); });
  const auto count = [&] { return in.random() % 4 ? static_cast<double>(in.random() % 1000) : 0.0; };
  const Buffer<double> p(in, bins, count), q(in, bins, count);
  const double smoothing = in.one_of({0.0, 1e-6, 0.5});
  const float scale = in.one_of({0.1f, 0.013f, 1e-6f, 1e-38f, 3e30f});
  const int32_t zero_point = in.number(-128, 255), least = in.number(-128, 255), most = in.number(least, 255);
  const std::string what = describe("%lld numbers, %lld bins, %g..%g, smoothing %g, scale %g, %d in %d..%d", static_cast<long long>(n),
                                    static_cast<long long>(bins), low, high, smoothing, scale, zero_point, least, most);

  const auto moments = [&](const Tier& t, Buffer<double>& into) { t.kernels.moments(a.data(), n, into.data()); };
  const auto histogram = [&](const Tier& t, Buffer<double>& into) {
    into.copy(before);
    t.kernels.histogram(t.pool, a.data(), n, low, high, into.data(), bins);
  };
  const auto divergence = [&](const Tier& t) { return t.kernels.divergence(p.data(), q.data(), bins, smoothing); };
  const auto error = [&](const Tier& t) { return t.kernels.squared_error(a.data(), b.data(), n); };
  const auto quantized = [&](const Tier& t) {
    return t.kernels.quantize_error(a.data(), weighted ? importance.data() : nullptr, n, scale, zero_point, least, most);
  };
  constexpr int64_t MOMENTS = 6;
  Buffer<double> moments_expected(in, MOMENTS), histogram_expected(in, bins);
  moments(scalar(), moments_expected);
  histogram(scalar(), histogram_expected);
  for (const Tier& tier : tiers()) {
    Buffer<double> actual(in, MOMENTS), counts(in, bins);
    moments(tier, actual);
    histogram(tier, counts);
    exactly(tier, "moments of " + what, actual, moments_expected);
    exactly(tier, "histogram of " + what, counts, histogram_expected);
    exactly(tier, "divergence of " + what, divergence(tier), divergence(scalar()));
    exactly(tier, "squared_error of " + what, error(tier), error(scalar()));
    exactly(tier, "quantize_error of " + what, quantized(tier), quantized(scalar()));
  }
  return 0;
}
