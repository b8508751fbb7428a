// Node-API over the tables of kernels.h: reads typed arrays, calls one row, throws nothing itself. Every verb takes
// the backend first and its arguments in the order of lib/kernels/kernels.ts; shapes come as Int32Arrays.
#include "call.h"
#include "processor.h"

#include <new>
#include <string>

namespace sq {

void refuse_call(napi_env env, const char* code, const char* message) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  napi_value constructor = nullptr, arguments[2], error;
  if (data) napi_get_reference_value(env, static_cast<napi_ref>(data), &constructor);
  if (constructor && napi_create_string_utf8(env, code, NAPI_AUTO_LENGTH, &arguments[0]) == napi_ok &&
      napi_create_string_utf8(env, message, NAPI_AUTO_LENGTH, &arguments[1]) == napi_ok &&
      napi_new_instance(env, constructor, 2, arguments, &error) == napi_ok)
    napi_throw(env, error);
  else
    napi_throw_error(env, code, message);
}

namespace {

/** The tables this processor can run, best first. */
template <class Visit>
void for_each_isa(Visit visit) {
  const Processor processor = detect_processor();
  (void)processor;
#define SQ_ISA(name, condition) \
  if (condition) visit(name##_kernels);
#include "isa.def"
#undef SQ_ISA
}

napi_value isas(napi_env env, napi_callback_info) {
  napi_value list = nullptr;
  napi_create_array(env, &list);
  uint32_t index = 0;
  for_each_isa([&](const Kernels& kernels) {
    napi_value name = nullptr;
    napi_create_string_utf8(env, kernels.isa, NAPI_AUTO_LENGTH, &name);
    napi_set_element(env, list, index++, name);
  });
  return list;
}

void release(napi_env, void* data, void*) {
  auto* backend = static_cast<Backend*>(data);
  delete backend->pool;
  delete backend;
}

/** create(isa, threads): a backend, or null where this processor has no such instruction set. */
napi_value create(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value values[2] = {}, result = nullptr;
  napi_get_cb_info(env, info, &count, values, nullptr, nullptr);
  char name[32] = "";
  size_t length = 0;
  int32_t threads = 1;
  napi_get_value_string_utf8(env, values[0], name, sizeof name, &length);
  napi_get_value_int32(env, values[1], &threads);
  const Kernels* found = nullptr;
  for_each_isa([&](const Kernels& kernels) {
    if (std::string(kernels.isa) == name) found = &kernels;
  });
  napi_get_null(env, &result);
  if (!found) return result;
  auto* backend = new (std::nothrow) Backend{found, new (std::nothrow) Pool(threads)};
  if (backend && backend->pool && napi_create_external(env, backend, release, nullptr, &result) == napi_ok) return result;
  refuse_call(env, "OUT_OF_MEMORY", "Expected memory for a backend but none is left.");
  return nullptr;
}

/** Ends the threads; what is called afterwards runs on the caller's. */
napi_value dispose(napi_env env, napi_callback_info info) {
  Call c(env, info);
  if (!c.fits()) return nullptr;
  Pool* rest = new (std::nothrow) Pool(1);
  if (!rest) return nullptr;
  delete c.backend().pool;
  c.backend().pool = rest;
  return nullptr;
}

napi_value fused(napi_env env, napi_callback_info info) {
  Call c(env, info);
  napi_value value = nullptr;
  if (c.fits()) napi_get_boolean(env, c.kernels().fused, &value);
  return value;
}

/** address(bytes): how far its first byte lies behind a multiple of 64. */
napi_value misalignment(napi_env env, napi_callback_info info) {
  Call c(env, info);
  const Bytes bytes = c.bytes(1);
  return c.done(static_cast<double>(reinterpret_cast<uintptr_t>(bytes.data) % 64));
}

napi_value take_errors(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value constructor = nullptr;
  napi_ref reference = nullptr;
  napi_get_cb_info(env, info, &count, &constructor, nullptr, nullptr);
  if (napi_create_reference(env, constructor, 1, &reference) == napi_ok)
    napi_set_instance_data(env, reference, [](napi_env e, void* data, void*) { napi_delete_reference(e, static_cast<napi_ref>(data)); }, nullptr);
  return nullptr;
}

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

const struct {
  const char* name;
  napi_callback function;
} EXPORTS[] = {
    {"isas", isas},
    {"create", create},
    {"dispose", dispose},
    {"fused", fused},
    {"misalignment", misalignment},
    {"takeErrors", take_errors},
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
    {"moments", moments},
    {"histogram", histogram},
    {"divergence", divergence},
    {"squaredError", squared_error},
    {"quantizeError", quantize_error},
    {"gram", gram},
    {"roundWithHessian", round_with_hessian},
};

}  // namespace
}  // namespace sq

NAPI_MODULE_INIT() {
  for (const auto& entry : sq::EXPORTS) {
    napi_value function = nullptr;
    if (napi_create_function(env, entry.name, NAPI_AUTO_LENGTH, entry.function, nullptr, &function) == napi_ok)
      napi_set_named_property(env, exports, entry.name, function);
  }
  return exports;
}
