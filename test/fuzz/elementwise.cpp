// Additions, clamps, tables and pools: exact.
#include "fuzz.h"

using namespace sq;
using namespace sq::fuzz;

namespace {

constexpr double WORK = 20'000;
constexpr int64_t MOST = 1500;

void element_by_element(Input& in) {
  const int64_t n = in.number(0, MOST);
  const auto value = [&] { return in.random() % 16 ? in.normal() * 3 : in.random() % 2 ? -0.0f : 0.0f; };
  const Buffer<float> a(in, n, value), b(in, n, value);
  const Buffer<float> x(in, n, [&] { return in.random() % 32 ? value() : in.random() % 2 ? NAN : INFINITY; });
  const float low = in.one_of({-INFINITY, 0.0f, -1.5f}), high = in.one_of({INFINITY, 6.0f, 0.25f});
  const auto byte = [&] { return in.random(); };
  const Buffer<uint8_t> p(in, n, byte), q(in, n, byte), table(in, 256, byte);
  const auto scale = [&] { return static_cast<float>(pow(10, in.uniform() * 8 - 6)); };
  const float scale_p = scale(), scale_q = scale(), scale_out = scale();
  const int32_t zero_p = in.number(-128, 255), zero_q = in.number(-128, 255), zero_out = in.number(-128, 255);
  const int32_t least = in.number(0, 255), most = in.number(least, 255);
  const std::string what = describe("%lld elements, %g..%g; scales %.9g %.9g %.9g, zero points %d %d %d, %d..%d", static_cast<long long>(n),
                                    low, high, scale_p, scale_q, scale_out, zero_p, zero_q, zero_out, least, most);
  const auto add = [&](const Tier& t, Buffer<float>& out) {  // in place
    out.copy(a);
    t.kernels.add(t.pool, out.data(), b.data(), n, low, high, out.data());
  };
  const auto clamp = [&](const Tier& t, Buffer<float>& out) { t.kernels.clamp(t.pool, x.data(), n, low, high, out.data()); };
  const auto quantized_add = [&](const Tier& t, Buffer<uint8_t>& out) {
    t.kernels.quantized_add(t.pool, p.data(), scale_p, zero_p, q.data(), scale_q, zero_q, n, scale_out, zero_out, least, most, out.data());
  };
  const auto lookup = [&](const Tier& t, Buffer<uint8_t>& out) {
    out.copy(p);
    t.kernels.lookup(t.pool, out.data(), n, table.data(), out.data());
  };
  const auto compare = [&]<class T>(const char* verb, T, auto call) {
    Buffer<T> expected(in, n);
    call(scalar(), expected);
    for (const Tier& tier : tiers()) {
      Buffer<T> actual(in, n);
      call(tier, actual);
      exactly(tier, std::string(verb) + " of " + what, actual, expected);
    }
  };
  compare("add", float(), add);
  compare("clamp", float(), clamp);
  compare("quantized_add", uint8_t(), quantized_add);
  compare("lookup", uint8_t(), lookup);
}

void pools(Input& in) {
  const ConvShape shape = convolution(in, true, WORK);
  const Buffer<float> x(in, input_count(shape), [&] { return in.normal(); });
  const Buffer<uint8_t> q(in, input_count(shape), [&] { return in.random(); });
  const int64_t batch = in.number(0, 3), pixels = in.number(1, 100), channels = in.number(1, 150);
  const Buffer<uint8_t> picture(in, batch * pixels * channels, [&] { return in.random(); });
  const auto multiplier = static_cast<float>(in.uniform() * pow(10, in.whole(-4, 1)) + 1e-9);
  const int32_t zero = in.number(-128, 255), zero_out = in.number(-128, 255), least = in.number(0, 255), most = in.number(least, 255);
  const int64_t count = output_count(shape), means = batch * channels;

  const auto compare = [&]<class T>(const std::string& what, int64_t outputs, T, auto call) {
    Buffer<T> expected(in, outputs);
    call(scalar(), expected.data());
    for (const Tier& tier : tiers()) {
      Buffer<T> actual(in, outputs);
      call(tier, actual.data());
      exactly(tier, what, actual, expected);
    }
  };
  const std::string what = " of " + describe(shape);
  compare("max_pool" + what, count, float(), [&](const Tier& t, float* out) { t.kernels.max_pool(t.pool, x.data(), shape, out); });
  compare("quantized_max_pool" + what, count, uint8_t(), [&](const Tier& t, uint8_t* out) { t.kernels.quantized_max_pool(t.pool, q.data(), shape, out); });
  for (bool padding : {false, true})
    compare("average_pool" + what, count, float(), [&](const Tier& t, float* out) { t.kernels.average_pool(t.pool, x.data(), shape, padding, out); });
  compare(describe("quantized_global_average of [%d,%d,%d], zero points %d %d, %g, %d..%d", int(batch), int(pixels), int(channels), zero,
                   zero_out, multiplier, least, most),
          means, uint8_t(), [&](const Tier& t, uint8_t* out) {
            t.kernels.quantized_global_average(t.pool, picture.data(), batch, pixels, channels, zero, multiplier, zero_out, least, most, out);
          });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input in(data, size);
  if (in.once_in(2))
    element_by_element(in);
  else
    pools(in);
  return 0;
}
