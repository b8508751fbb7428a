// The verbs of lib/kernels/kernels.ts for JavaScript: the backend first, then their arguments in the same order.
#include "call.h"

namespace sq {
namespace {

using V = napi_value;
using E = napi_env;
using I = napi_callback_info;

V quantize(E env, I info) {
  Call c(env, info);
  const auto x = c.floats(1);
  const float scale = c.single(2);
  const int32_t zero = c.whole(3), low = c.whole(4), high = c.whole(5);
  const Bytes q = c.bytes(6);
  if (c.fits()) c.kernels().quantize(x.data, x.length, scale, zero, low, high, q.data);
  return c.done();
}

V quantize_channels(E env, I info) {
  Call c(env, info);
  const auto x = c.floats(1), scales = c.floats(2);
  const auto zeros = c.integers(3);
  const int64_t inner = c.large(4);
  const int32_t low = c.whole(5), high = c.whole(6);
  const Bytes q = c.bytes(7);
  if (c.fits())
    c.kernels().quantize_channels(x.data, x.length, scales.data, zeros.data, scales.length, inner, low, high, q.data);
  return c.done();
}

V dequantize(E env, I info) {
  Call c(env, info);
  const Bytes q = c.bytes(1);
  const float scale = c.single(2);
  const int32_t zero = c.whole(3);
  const auto x = c.floats(4);
  if (c.fits()) c.kernels().dequantize(q, scale, zero, x.data);
  return c.done();
}

V dequantize_channels(E env, I info) {
  Call c(env, info);
  const Bytes q = c.bytes(1);
  const auto scales = c.floats(2);
  const auto zeros = c.integers(3);
  const int64_t inner = c.large(4);
  const auto x = c.floats(5);
  if (c.fits()) c.kernels().dequantize_channels(q, scales.data, zeros.data, scales.length, inner, x.data);
  return c.done();
}

V pack(E env, I info) {
  Call c(env, info);
  const Bytes q = c.bytes(1);
  const int32_t bits = c.whole(2);
  const Bytes packed = c.bytes(3);
  if (c.fits()) c.kernels().pack(q.data, q.length, bits, packed.data);
  return c.done();
}

V unpack(E env, I info) {
  Call c(env, info);
  const Bytes packed = c.bytes(1);
  const int32_t bits = c.whole(2);
  const Bytes q = c.bytes(3);
  if (c.fits()) c.kernels().unpack(packed.data, bits, q);
  return c.done();
}

V weights_size(E env, I info) {
  Call c(env, info);
  const auto shape = c.shape<WeightsShape>(1);
  return c.done(c.fits() ? static_cast<double>(c.kernels().weights_size(shape)) : 0);
}

V pack_weights(E env, I info) {
  Call c(env, info);
  const Bytes q = c.bytes(1);
  const auto shape = c.shape<WeightsShape>(2);
  const Bytes packed = c.bytes(3);
  if (c.fits()) c.kernels().pack_weights(reinterpret_cast<const int8_t*>(q.data), shape, packed.data);
  return c.done();
}

V gemm(E env, I info) {
  Call c(env, info);
  const Bytes a = c.bytes(1), packed = c.bytes(2);
  const auto weights = c.shape<WeightsShape>(3);
  const int32_t m = c.whole(4), zero = c.whole(5);
  const Output out = c.output(6);
  if (c.fits()) c.kernels().gemm(c.pool(), a, packed.data, weights, m, zero, out);
  return c.done();
}

V conv(E env, I info) {
  Call c(env, info);
  const Bytes a = c.bytes(1), packed = c.bytes(2);
  const auto weights = c.shape<WeightsShape>(3);
  const auto shape = c.shape<ConvShape>(4);
  const int32_t zero = c.whole(5);
  const Output out = c.output(6);
  if (c.fits()) c.kernels().conv(c.pool(), a, packed.data, weights, shape, zero, out);
  return c.done();
}

V float_weights_size(E env, I info) {
  Call c(env, info);
  const auto shape = c.shape<WeightsShape>(1);
  return c.done(c.fits() ? static_cast<double>(c.kernels().float_weights_size(shape)) : 0);
}

V pack_float_weights(E env, I info) {
  Call c(env, info);
  const auto w = c.floats(1);
  const auto shape = c.shape<WeightsShape>(2);
  const Bytes packed = c.bytes(3);
  if (c.fits()) c.kernels().pack_float_weights(w.data, shape, packed.data);
  return c.done();
}

V float_gemm(E env, I info) {
  Call c(env, info);
  const auto a = c.floats(1);
  const Bytes packed = c.bytes(2);
  const auto weights = c.shape<WeightsShape>(3);
  const int32_t m = c.whole(4);
  const auto bias = c.floats_or_null(5);
  const float low = c.single(6), high = c.single(7);
  const auto out = c.floats(8);
  if (c.fits()) c.kernels().float_gemm(c.pool(), a.data, packed.data, weights, m, bias.data, low, high, out.data);
  return c.done();
}

V float_conv(E env, I info) {
  Call c(env, info);
  const auto a = c.floats(1);
  const Bytes packed = c.bytes(2);
  const auto weights = c.shape<WeightsShape>(3);
  const auto shape = c.shape<ConvShape>(4);
  const auto bias = c.floats_or_null(5);
  const float low = c.single(6), high = c.single(7);
  const auto out = c.floats(8);
  if (c.fits()) c.kernels().float_conv(c.pool(), a.data, packed.data, weights, shape, bias.data, low, high, out.data);
  return c.done();
}

V add(E env, I info) {
  Call c(env, info);
  const auto a = c.floats(1), b = c.floats(2);
  const float low = c.single(3), high = c.single(4);
  const auto out = c.floats(5);
  if (c.fits()) c.kernels().add(a.data, b.data, a.length, low, high, out.data);
  return c.done();
}

V clamp(E env, I info) {
  Call c(env, info);
  const auto x = c.floats(1);
  const float low = c.single(2), high = c.single(3);
  const auto out = c.floats(4);
  if (c.fits()) c.kernels().clamp(x.data, x.length, low, high, out.data);
  return c.done();
}

V quantized_add(E env, I info) {
  Call c(env, info);
  const Bytes a = c.bytes(1);
  const float scale_a = c.single(2);
  const int32_t zero_a = c.whole(3);
  const Bytes b = c.bytes(4);
  const float scale_b = c.single(5);
  const int32_t zero_b = c.whole(6);
  const float scale_out = c.single(7);
  const int32_t zero = c.whole(8), low = c.whole(9), high = c.whole(10);
  const Bytes out = c.bytes(11);
  if (c.fits())
    c.kernels().quantized_add(a.data, scale_a, zero_a, b.data, scale_b, zero_b, a.length, scale_out, zero, low, high,
                              out.data);
  return c.done();
}

V max_pool(E env, I info) {
  Call c(env, info);
  const auto a = c.floats(1);
  const auto shape = c.shape<ConvShape>(2);
  const auto out = c.floats(3);
  if (c.fits()) c.kernels().max_pool(a.data, shape, out.data);
  return c.done();
}

V quantized_max_pool(E env, I info) {
  Call c(env, info);
  const Bytes a = c.bytes(1);
  const auto shape = c.shape<ConvShape>(2);
  const Bytes out = c.bytes(3);
  if (c.fits()) c.kernels().quantized_max_pool(a.data, shape, out.data);
  return c.done();
}

V average_pool(E env, I info) {
  Call c(env, info);
  const auto a = c.floats(1);
  const auto shape = c.shape<ConvShape>(2);
  const bool count_padding = c.boolean(3);
  const auto out = c.floats(4);
  if (c.fits()) c.kernels().average_pool(a.data, shape, count_padding, out.data);
  return c.done();
}

V quantized_global_average(E env, I info) {
  Call c(env, info);
  const Bytes a = c.bytes(1);
  const int64_t batch = c.large(2), channels = c.large(3);
  const int32_t zero = c.whole(4);
  const float multiplier = c.single(5);
  const int32_t zero_out = c.whole(6), low = c.whole(7), high = c.whole(8);
  const Bytes out = c.bytes(9);
  if (c.fits() && batch * channels > 0)
    c.kernels().quantized_global_average(a.data, batch, a.length / (batch * channels), channels, zero, multiplier,
                                         zero_out, low, high, out.data);
  return c.done();
}

V copy_plane(E env, I info) {
  Call c(env, info);
  const auto from = c.elements(1), to = c.elements(2);
  const PlaneCopy plane = {c.large(3), c.large(4), c.large(5), c.large(6), c.large(7), c.large(8), c.large(9), c.large(10)};
  if (c.fits()) c.kernels().copy_plane(from.data, to.data, to.element_bytes, plane);
  return c.done();
}

V lookup(E env, I info) {
  Call c(env, info);
  const Bytes a = c.bytes(1), table = c.bytes(2), out = c.bytes(3);
  if (c.fits()) c.kernels().lookup(a.data, a.length, table.data, out.data);
  return c.done();
}

V moments(E env, I info) {
  Call c(env, info);
  const auto x = c.floats(1);
  const auto into = c.doubles(2);
  if (c.fits()) c.kernels().moments(x.data, x.length, into.data);
  return c.done();
}

V histogram(E env, I info) {
  Call c(env, info);
  const auto x = c.floats(1);
  const float low = c.single(2), high = c.single(3);
  const auto counts = c.doubles(4);
  if (c.fits()) c.kernels().histogram(c.pool(), x.data, x.length, low, high, counts.data, counts.length);
  return c.done();
}

V divergence(E env, I info) {
  Call c(env, info);
  const auto p = c.doubles(1), q = c.doubles(2);
  const double smoothing = c.number(3);
  return c.done(c.fits() ? c.kernels().divergence(p.data, q.data, p.length, smoothing) : 0);
}

V squared_error(E env, I info) {
  Call c(env, info);
  const auto a = c.floats(1), b = c.floats(2);
  return c.done(c.fits() ? c.kernels().squared_error(a.data, b.data, a.length) : 0);
}

V quantize_error(E env, I info) {
  Call c(env, info);
  const auto x = c.floats(1), importance = c.floats_or_null(2);
  const float scale = c.single(3);
  const int32_t zero = c.whole(4), low = c.whole(5), high = c.whole(6);
  return c.done(
      c.fits() ? c.kernels().quantize_error(x.data, importance.data, x.length, scale, zero, low, high) : 0);
}

V gram(E env, I info) {
  Call c(env, info);
  const auto x = c.floats(1);
  const auto shape = c.shape<ConvShape>(2);
  const int64_t first = c.large(3), step = c.large(4);
  const auto into = c.doubles(5);
  if (c.fits()) c.kernels().gram(c.pool(), x.data, shape, first, step, into.data);
  return c.done();
}

V round_with_hessian(E env, I info) {
  Call c(env, info);
  const auto w = c.doubles(1);
  const auto scales = c.floats(2);
  const auto u = c.doubles(3);
  const int64_t first = c.large(4), last = c.large(5);
  const int32_t low = c.whole(6), high = c.whole(7);
  const Bytes q = c.bytes(8);
  if (c.fits() && scales.length > 0)
    c.kernels().round_with_hessian(c.pool(), w.data, scales.data, u.data, w.length / scales.length, first, last, low,
                                   high, reinterpret_cast<int8_t*>(q.data));
  return c.done();
}

}  // namespace

const Export VERBS[] = {
    {"quantize", quantize},
    {"quantizeChannels", quantize_channels},
    {"dequantize", dequantize},
    {"dequantizeChannels", dequantize_channels},
    {"pack", pack},
    {"unpack", unpack},
    {"weightsSize", weights_size},
    {"packWeights", pack_weights},
    {"gemm", gemm},
    {"conv", conv},
    {"floatWeightsSize", float_weights_size},
    {"packFloatWeights", pack_float_weights},
    {"floatGemm", float_gemm},
    {"floatConv", float_conv},
    {"add", add},
    {"clamp", clamp},
    {"quantizedAdd", quantized_add},
    {"maxPool", max_pool},
    {"quantizedMaxPool", quantized_max_pool},
    {"averagePool", average_pool},
    {"quantizedGlobalAverage", quantized_global_average},
    {"lookup", lookup},
    {"copyPlane", copy_plane},
    {"moments", moments},
    {"histogram", histogram},
    {"divergence", divergence},
    {"squaredError", squared_error},
    {"quantizeError", quantize_error},
    {"gram", gram},
    {"roundWithHessian", round_with_hessian},
};

const size_t VERB_COUNT = sizeof VERBS / sizeof *VERBS;

}  // namespace sq
