// Second moments of patches and the rounding that uses them: exact.
#include "fuzz.h"

using namespace sq;
using namespace sq::fuzz;

namespace {

constexpr double WORK = 8'000;

void gram(Input& in) {
  ConvShape shape = convolution(in, false, WORK);
  const int64_t k = int64_t(shape.kernel_height) * shape.kernel_width * (shape.in_channels / shape.groups);
  constexpr int64_t MOST_DEPTH = 300;  // a matrix of k * k
  if (k > MOST_DEPTH) return;
  const Buffer<float> x(in, input_count(shape), [&] { return in.normal(); });
  const int64_t first = in.number(0, 5), step = in.once_in(2) ? 1 : in.number(1, 7), count = shape.groups * k * k;
  const double start = in.one_of({0.0, 0.5});
  const bool lopsided = in.once_in(8);
  const auto run = [&](const Tier& t, Buffer<double>& into) {
    for (int64_t i = 0; i < count; i++) into[i] = start + (lopsided ? static_cast<double>(i % 3) : 0);
    t.kernels.gram(t.pool, x.data(), shape, first, step, into.data());
  };
  Buffer<double> expected(in, count);
  run(scalar(), expected);
  for (const Tier& tier : tiers()) {
    Buffer<double> actual(in, count);
    run(tier, actual);
    exactly(tier, "gram of " + describe(shape), actual, expected);
  }
}

void round_with_hessian(Input& in) {
  const int64_t rows = in.number(1, 12), k = in.once_in(4) ? in.number(1, 150) : in.number(1, 40);
  const Buffer<double> w(in, rows * k, [&] { return in.normal(); });
  const Buffer<float> scales(in, rows, [&] { return static_cast<float>(0.01 + in.uniform() * 0.3); });
  const Buffer<double> u(in, k * k, [&] { return (in.uniform() - 0.5) * 0.2; });
  Buffer<double> upper(in, k * k);
  upper.copy(u);
  for (int64_t i = 0; i < k; i++) upper[i * (k + 1)] = 0.5 + in.uniform();
  const int64_t first = in.whole(0, rows), last = in.whole(first, rows);
  const int32_t bits = in.number(2, 8), high = (1 << (bits - 1)) - 1;
  const std::string what = describe("round_with_hessian of rows %d..%d of %d x %d, %d bits", int(first), int(last), int(rows), int(k), bits);
  const auto run = [&](const Tier& t, Buffer<double>& error, Buffer<int8_t>& q) {
    error.copy(w);
    t.kernels.round_with_hessian(t.pool, error.data(), scales.data(), upper.data(), k, first, last, -high - 1, high, q.data());
  };
  Buffer<double> error_expected(in, rows * k);
  Buffer<int8_t> expected(in, rows * k);
  run(scalar(), error_expected, expected);
  for (const Tier& tier : tiers()) {
    Buffer<double> error(in, rows * k);
    Buffer<int8_t> actual(in, rows * k);
    run(tier, error, actual);
    exactly(tier, what, actual, expected);
    exactly(tier, what, error, error_expected);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input in(data, size);
  if (in.once_in(2))
    gram(in);
  else
    round_with_hessian(in);
  return 0;
}
