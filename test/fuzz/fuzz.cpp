#include "fuzz.h"

#include "../../native/processor.h"

namespace sq::fuzz {
namespace {

Pool& pool(int threads) {
  static Pool one(1), two(2);
  return threads == 1 ? one : two;
}

/** Kernels, steps and paddings of networks and beyond. */
int32_t small(Input& in, int32_t low, int32_t usual, int32_t most) {
  return in.once_in(4) ? in.number(low, most) : in.number(low, usual);
}

/** Strides, dilations and paddings beyond every picture: served too. */
constexpr int32_t FAR = 1000;

int32_t step(Input& in) { return in.once_in(64) ? in.number(1, FAR) : small(in, 1, 2, 5); }
int32_t padding(Input& in) { return in.once_in(64) ? in.number(0, FAR) : small(in, 0, 2, 9); }

/** The usual extent, sometimes one that ends early or runs into nothing. */
int32_t outputs(Input& in, int32_t size, int32_t before, int32_t kernel, int32_t stride, int32_t dilation) {
  const int64_t after = small(in, 0, 2, 9);
  const int64_t usual = (int64_t(size) + before + after - int64_t(dilation) * (kernel - 1) - 1) / stride + 1;
  return static_cast<int32_t>(in.once_in(8) || usual < 1 || usual > 40 ? in.number(1, 12) : usual);
}

}  // namespace

Tier scalar() { return {scalar_kernels, pool(1)}; }

const std::vector<Tier>& tiers() {
  static const std::vector<Tier> all = [] {
    std::vector<Tier> list;
    const Processor processor = detect_processor();
    (void)processor;
#define SQ_ISA(name, condition)                             \
  if (condition)                                            \
    for (int threads : {1, 2})                              \
      if (&name##_kernels != &scalar_kernels || threads > 1) \
        list.push_back({name##_kernels, pool(threads)});
#include "../../native/isa.def"
#undef SQ_ISA
    return list;
  }();
  return all;
}

std::string describe(const char* format, ...) {
  char text[512];
  va_list values;
  va_start(values, format);
  vsnprintf(text, sizeof text, format, values);
  va_end(values);
  return text;
}

void differ(const Tier& tier, const std::string& what, int64_t index, double actual, double expected) {
  fprintf(stderr, "%s with %d threads differs: %s [%lld] is %.17g, expected %.17g\n", tier.kernels.isa,
          tier.pool.threads(), what.c_str(), static_cast<long long>(index), actual, expected);
  abort();
}

ConvShape convolution(Input& in, bool pool, double work) {
  ConvShape s{};
  s.batch = in.once_in(32) ? 0 : small(in, 1, 2, 3);
  s.in_height = small(in, 1, 9, 33);
  s.in_width = small(in, 1, 9, 33);
  s.kernel_height = small(in, 1, 3, 7);
  s.kernel_width = small(in, 1, 3, 7);
  s.stride_height = step(in);
  s.stride_width = step(in);
  s.dilation_height = in.once_in(2) ? 1 : step(in);
  s.dilation_width = in.once_in(2) ? 1 : step(in);
  s.pad_top = padding(in);
  s.pad_left = padding(in);
  if (in.once_in(4)) {  // pointwise: a path of its own
    s.kernel_height = s.kernel_width = 1;
    s.stride_height = s.stride_width = s.dilation_height = s.dilation_width = 1;
    s.pad_top = s.pad_left = 0;
    s.out_height = s.in_height;
    s.out_width = s.in_width;
  } else {
    s.out_height = outputs(in, s.in_height, s.pad_top, s.kernel_height, s.stride_height, s.dilation_height);
    s.out_width = outputs(in, s.in_width, s.pad_left, s.kernel_width, s.stride_width, s.dilation_width);
  }
  const double pixels = double(s.batch) * s.out_height * s.out_width * s.kernel_height * s.kernel_width;
  const double left = work / (pixels + 1);
  const auto at_most = [&](double most) { return static_cast<int32_t>(most < 1 ? 1 : most > 300 ? 300 : most); };
  if (pool || in.once_in(3)) {  // one channel per group
    s.in_channels = s.out_channels = s.groups = in.number(1, at_most(left));
    if (!pool && in.once_in(4)) s.out_channels *= in.number(1, 3);
    return s;
  }
  s.groups = in.once_in(4) ? in.number(1, 4) : 1;
  const int32_t channels = in.once_in(4) ? in.number(1, at_most(sqrt(left))) : in.number(1, at_most(left / 4));
  s.in_channels = s.groups * channels;
  s.out_channels = s.groups * in.number(1, at_most(left / channels / s.groups));
  return s;
}

ConvShape matrix(int32_t m, int32_t n, int32_t k) { return {1, 1, m, k, 1, m, n, 1, 1, 1, 1, 1, 1, 0, 0, 1}; }

WeightsShape weights_of(const ConvShape& s, int32_t bits) {
  return {s.out_channels, s.kernel_height * s.kernel_width, s.in_channels / s.groups, s.groups, bits};
}

std::string describe(const ConvShape& s) {
  return describe("[%d,%d,%d,%d] to [%d,%d,%d], kernel %dx%d stride %dx%d dilation %dx%d padding %d,%d, %d groups",
                  s.batch, s.in_height, s.in_width, s.in_channels, s.out_height, s.out_width, s.out_channels,
                  s.kernel_height, s.kernel_width, s.stride_height, s.stride_width, s.dilation_height,
                  s.dilation_width, s.pad_top, s.pad_left, s.groups);
}

}  // namespace sq::fuzz
