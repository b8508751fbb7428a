// The verbs of lib/kernels/kernels.ts as one table of function pointers per instruction set, line by line; its
// comments are the contract. Nothing here may need the standard library: instruction-set files include it, and
// an inline function of theirs that the linker shared would run on processors that lack the instructions.
#pragma once
#include <stddef.h>
#include <stdint.h>

/** Inner loops keep their sums in registers only where everything inside them is inlined, and what is rare is not. */
#if defined(_MSC_VER)
#define SQ_INLINE __forceinline
#define SQ_APART __declspec(noinline)
#define SQ_INLINE_LAMBDA
#else
#define SQ_INLINE inline __attribute__((always_inline))
#define SQ_APART __attribute__((noinline))
#define SQ_INLINE_LAMBDA __attribute__((always_inline))
#endif

namespace sq {

class Pool;

/** Same fields and order as in lib/kernels/native.ts, which fills them as Int32Arrays. */
struct WeightsShape {
  int32_t out_channels, taps, channels, groups, bits;
};

struct ConvShape {
  int32_t batch, in_height, in_width, in_channels, out_height, out_width, out_channels;
  int32_t kernel_height, kernel_width, stride_height, stride_width, dilation_height, dilation_width;
  int32_t pad_top, pad_left, groups;
};

/** A byte array and its signedness: Int8Array or Uint8Array. */
struct Bytes {
  uint8_t* data;
  int64_t length;
  bool is_signed;
};

/** Where integer sums go; the epilogue of `gemm` and `conv`. */
struct Output {
  enum Kind { INT32, FLOAT32, BYTES } kind;
  void* data;
  const int32_t* bias;
  const float* multipliers;
  int32_t zero_point, low, high;
};

/** Counts, offsets and strides in elements. */
struct PlaneCopy {
  int64_t rows, columns, from, from_row, from_column, to, to_row, to_column;
};

struct Kernels {
  const char* isa;
  bool fused;

  void (*quantize)(Pool& pool, const float* x, int64_t n, float scale, int32_t zero_point, int32_t low, int32_t high,
                   uint8_t* q);
  void (*quantize_channels)(Pool& pool, const float* x, int64_t n, const float* scales, const int32_t* zero_points,
                            int64_t channels, int64_t inner, int32_t low, int32_t high, uint8_t* q);
  void (*dequantize)(Pool& pool, Bytes q, float scale, int32_t zero_point, float* x);
  void (*dequantize_channels)(Pool& pool, Bytes q, const float* scales, const int32_t* zero_points, int64_t channels,
                              int64_t inner, float* x);
  void (*pack)(Pool& pool, const uint8_t* q, int64_t n, int32_t bits, uint8_t* packed);
  void (*unpack)(Pool& pool, const uint8_t* packed, int32_t bits, Bytes q);

  int64_t (*weights_size)(const WeightsShape& shape);
  void (*pack_weights)(const int8_t* q, const WeightsShape& shape, uint8_t* packed);
  void (*gemm)(Pool& pool, Bytes a, const uint8_t* packed, const WeightsShape& weights, int32_t m,
               int32_t zero_point, const Output& out);
  void (*conv)(Pool& pool, Bytes a, const uint8_t* packed, const WeightsShape& weights, const ConvShape& shape,
               int32_t zero_point, const Output& out);

  int64_t (*float_weights_size)(const WeightsShape& shape);
  void (*pack_float_weights)(const float* w, const WeightsShape& shape, uint8_t* packed);
  void (*float_gemm)(Pool& pool, const float* a, const uint8_t* packed, const WeightsShape& weights, int32_t m,
                     const float* bias, float low, float high, float* out);
  void (*float_conv)(Pool& pool, const float* a, const uint8_t* packed, const WeightsShape& weights,
                     const ConvShape& shape, const float* bias, float low, float high, float* out);

  void (*float_conv_gradient)(Pool& pool, const float* x, const float* out_gradient, const ConvShape& shape, float* gradient);
  void (*sum_channels)(Pool& pool, const float* a, const float* b, int64_t n, int64_t channels, double* sums);
  void (*affine_channels)(Pool& pool, const float* x, int64_t n, const float* scales, const float* shifts, int64_t channels,
                          float low, float high, float* out);
  void (*combine_channels)(Pool& pool, const float* x, const float* y, int64_t n, const float* a, const float* b,
                           const float* shifts, int64_t channels, float* out);
  void (*clamp_gradient)(Pool& pool, const float* y, const float* gradient, int64_t n, float low, float high, float* out);
  double (*quantize_gradient)(Pool& pool, const float* x, const float* gradient, int64_t n, float scale, int32_t zero_point,
                              int32_t low, int32_t high, float* out);

  void (*add)(Pool& pool, const float* a, const float* b, int64_t n, float low, float high, float* out);
  void (*clamp)(Pool& pool, const float* x, int64_t n, float low, float high, float* out);
  void (*quantized_add)(Pool& pool, const uint8_t* a, float scale_a, int32_t zero_a, const uint8_t* b, float scale_b,
                        int32_t zero_b, int64_t n, float scale_out, int32_t zero_out, int32_t low, int32_t high,
                        uint8_t* out);
  void (*max_pool)(Pool& pool, const float* a, const ConvShape& shape, float* out);
  void (*quantized_max_pool)(Pool& pool, const uint8_t* a, const ConvShape& shape, uint8_t* out);
  void (*average_pool)(Pool& pool, const float* a, const ConvShape& shape, bool count_padding, float* out);
  void (*quantized_global_average)(Pool& pool, const uint8_t* a, int64_t batch, int64_t pixels, int64_t channels,
                                   int32_t zero_point, float multiplier, int32_t zero_out, int32_t low,
                                   int32_t high, uint8_t* out);
  void (*lookup)(Pool& pool, const uint8_t* a, int64_t n, const uint8_t* table, uint8_t* out);
  void (*copy_plane)(Pool& pool, const void* from, void* to, int64_t element_bytes, const PlaneCopy& plane);

  void (*moments)(const float* x, int64_t n, double* into);
  void (*histogram)(Pool& pool, const float* x, int64_t n, float low, float high, double* counts, int64_t bins);
  double (*divergence)(const double* p, const double* q, int64_t n, double smoothing);
  double (*squared_error)(const float* a, const float* b, int64_t n);
  double (*quantize_error)(const float* x, const float* importance, int64_t n, float scale, int32_t zero_point,
                           int32_t low, int32_t high);

  void (*gram)(Pool& pool, const float* x, const ConvShape& shape, int64_t first, int64_t step, double* gram);
  void (*round_with_hessian)(Pool& pool, double* w, const float* scales, const double* u, int64_t k,
                             int64_t first, int64_t last, int32_t low, int32_t high, int8_t* q);

  double (*peak)(Pool& pool, int32_t bits, int64_t rounds);
  double (*read)(Pool& pool, const int32_t* x, int64_t n);
  void (*copy)(Pool& pool, const float* x, int64_t n, float* out, bool streaming);
};

#define SQ_ISA(name, condition) extern const Kernels name##_kernels;
#include "isa.def"
#undef SQ_ISA

}  // namespace sq
