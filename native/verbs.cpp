// The verbs of lib/kernels/kernels.ts for JavaScript: each a function whose parameters say what is read, in the order
// of the interface. Shapes take no argument (see Backend::shapes).
#include "later.h"
#include "pages.h"

namespace sq {
namespace {

using Floats = In<float>;
using FloatsOrNull = InOrNull<float>;
using Doubles = In<double>;
using Integers = In<int32_t>;
using K = const Kernels&;

const int8_t* signed_of(const Bytes& bytes) { return reinterpret_cast<const int8_t*>(bytes.data); }

void quantize(K k, Pool& pool, Floats x, float scale, int32_t zero, int32_t low, int32_t high, OutBytes q) {
  k.quantize(pool, x.data, x.length, scale, zero, low, high, q.data);
}

void quantize_channels(K k, Pool& pool, Floats x, Floats scales, Integers zeros, int64_t inner, int32_t low, int32_t high,
                       OutBytes q) {
  k.quantize_channels(pool, x.data, x.length, scales.data, zeros.data, scales.length, inner, low, high, q.data);
}

void dequantize(K k, Pool& pool, Bytes q, float scale, int32_t zero, Out<float> x) { k.dequantize(pool, q, scale, zero, x.data); }

void dequantize_channels(K k, Pool& pool, Bytes q, Floats scales, Integers zeros, int64_t inner, Out<float> x) {
  k.dequantize_channels(pool, q, scales.data, zeros.data, scales.length, inner, x.data);
}

void pack(K k, Pool& pool, Bytes q, int32_t bits, OutBytes packed) { k.pack(pool, q.data, q.length, bits, packed.data); }

void unpack(K k, Pool& pool, Bytes packed, int32_t bits, OutBytes q) { k.unpack(pool, packed.data, bits, q); }

double weights_size(K k, Pool&, WeightsShape shape) { return static_cast<double>(k.weights_size(shape)); }

void pack_weights(K k, Pool&, Bytes q, WeightsShape shape, OutBytes packed) {
  ask_for_large_pages(packed.data, static_cast<size_t>(packed.length));
  k.pack_weights(signed_of(q), shape, packed.data);
}

void gemm(K k, Pool& pool, Bytes a, Bytes packed, WeightsShape weights, int32_t m, int32_t zero, Output out) {
  k.gemm(pool, a, packed.data, weights, m, zero, out);
}

void conv(K k, Pool& pool, Bytes a, Bytes packed, WeightsShape weights, ConvShape shape, int32_t zero, Output out) {
  k.conv(pool, a, packed.data, weights, shape, zero, out);
}

double float_weights_size(K k, Pool&, WeightsShape shape) { return static_cast<double>(k.float_weights_size(shape)); }

void pack_float_weights(K k, Pool&, Floats w, WeightsShape shape, OutBytes packed) {
  ask_for_large_pages(packed.data, static_cast<size_t>(packed.length));
  k.pack_float_weights(w.data, shape, packed.data);
}

void float_gemm(K k, Pool& pool, Floats a, Bytes packed, WeightsShape weights, int32_t m, FloatsOrNull bias, float low,
                float high, Out<float> out) {
  k.float_gemm(pool, a.data, packed.data, weights, m, bias.data, low, high, out.data);
}

void float_conv(K k, Pool& pool, Floats a, Bytes packed, WeightsShape weights, ConvShape shape, FloatsOrNull bias,
                float low, float high, Out<float> out) {
  k.float_conv(pool, a.data, packed.data, weights, shape, bias.data, low, high, out.data);
}

void float_conv_gradient(K k, Pool& pool, Floats x, Floats out_gradient, ConvShape shape, Out<float> gradient) {
  k.float_conv_gradient(pool, x.data, out_gradient.data, shape, gradient.data);
}

void sum_channels(K k, Pool& pool, Floats a, Floats b, int64_t channels, Out<double> sums) {
  k.sum_channels(pool, a.data, b.data, a.length, channels, sums.data);
}

void affine_channels(K k, Pool& pool, Floats x, Floats scales, Floats shifts, float low, float high, Out<float> out) {
  k.affine_channels(pool, x.data, x.length, scales.data, shifts.data, scales.length, low, high, out.data);
}

void combine_channels(K k, Pool& pool, Floats x, Floats y, Floats a, Floats b, Floats shifts, Out<float> out) {
  k.combine_channels(pool, x.data, y.data, x.length, a.data, b.data, shifts.data, a.length, out.data);
}

void clamp_gradient(K k, Pool& pool, Floats y, Floats gradient, float low, float high, Out<float> out) {
  k.clamp_gradient(pool, y.data, gradient.data, y.length, low, high, out.data);
}

double quantize_gradient(K k, Pool& pool, Floats x, Floats gradient, float scale, int32_t zero, int32_t low, int32_t high,
                         Out<float> out) {
  return k.quantize_gradient(pool, x.data, gradient.data, x.length, scale, zero, low, high, out.data);
}

void add(K k, Pool& pool, Floats a, Floats b, float low, float high, Out<float> out) {
  k.add(pool, a.data, b.data, a.length, low, high, out.data);
}

void clamp(K k, Pool& pool, Floats x, float low, float high, Out<float> out) {
  k.clamp(pool, x.data, x.length, low, high, out.data);
}

void quantized_add(K k, Pool& pool, Bytes a, float scale_a, int32_t zero_a, Bytes b, float scale_b, int32_t zero_b,
                   float scale_out, int32_t zero, int32_t low, int32_t high, OutBytes out) {
  k.quantized_add(pool, a.data, scale_a, zero_a, b.data, scale_b, zero_b, a.length, scale_out, zero, low, high, out.data);
}

void max_pool(K k, Pool& pool, Floats a, ConvShape shape, Out<float> out) { k.max_pool(pool, a.data, shape, out.data); }

void quantized_max_pool(K k, Pool& pool, Bytes a, ConvShape shape, OutBytes out) {
  k.quantized_max_pool(pool, a.data, shape, out.data);
}

void average_pool(K k, Pool& pool, Floats a, ConvShape shape, bool count_padding, Out<float> out) {
  k.average_pool(pool, a.data, shape, count_padding, out.data);
}

void quantized_global_average(K k, Pool& pool, Bytes a, int64_t batch, int64_t channels, int32_t zero, float multiplier,
                              int32_t zero_out, int32_t low, int32_t high, OutBytes out) {
  if (batch < 1 || channels < 1) return;
  const int64_t pixels = a.length / (batch * channels);
  k.quantized_global_average(pool, a.data, batch, pixels, channels, zero, multiplier, zero_out, low, high, out.data);
}

void lookup(K k, Pool& pool, Bytes a, Bytes table, OutBytes out) { k.lookup(pool, a.data, a.length, table.data, out.data); }

void copy_plane(K k, Pool& pool, Elements from, OutElements to, PlaneCopy plane) {
  k.copy_plane(pool, from.data, to.data, to.element_bytes, plane);
}

void moments(K k, Pool&, Floats x, Out<double> into) { k.moments(x.data, x.length, into.data); }

void histogram(K k, Pool& pool, Floats x, float low, float high, Out<double> counts) {
  k.histogram(pool, x.data, x.length, low, high, counts.data, counts.length);
}

double divergence(K k, Pool&, Doubles p, Doubles q, double smoothing) {
  return k.divergence(p.data, q.data, p.length, smoothing);
}

double squared_error(K k, Pool&, Floats a, Floats b) { return k.squared_error(a.data, b.data, a.length); }

double quantize_error(K k, Pool&, Floats x, FloatsOrNull importance, float scale, int32_t zero, int32_t low,
                      int32_t high) {
  return k.quantize_error(x.data, importance.data, x.length, scale, zero, low, high);
}

void gram(K k, Pool& pool, Floats x, ConvShape shape, int64_t first, int64_t step, Out<double> into) {
  k.gram(pool, x.data, shape, first, step, into.data);
}

void round_with_hessian(K k, Pool& pool, Out<double> w, Floats scales, Doubles u, int64_t first, int64_t last,
                        int32_t low, int32_t high, OutBytes q) {
  if (scales.length == 0) return;
  k.round_with_hessian(pool, w.data, scales.data, u.data, w.length / scales.length, first, last, low, high,
                       reinterpret_cast<int8_t*>(q.data));
}

double peak(K k, Pool& pool, int32_t bits, int64_t rounds) { return k.peak(pool, bits, rounds); }

double read(K k, Pool& pool, Integers x) { return k.read(pool, x.data, x.length); }

void copy(K k, Pool& pool, Floats x, Out<float> out, bool streaming) {
  k.copy(pool, x.data, x.length, out.data, streaming);
}

void play(K k, Pool& pool, const Tape* tape) { tape->run(k, pool); }

template <auto FUNCTION>
constexpr Export verb(const char* name) {
  return {name, Verb<FUNCTION>::now, Verb<FUNCTION>::later};
}

}  // namespace

const Export VERBS[] = {
    verb<quantize>("quantize"),
    verb<quantize_channels>("quantizeChannels"),
    verb<dequantize>("dequantize"),
    verb<dequantize_channels>("dequantizeChannels"),
    verb<pack>("pack"),
    verb<unpack>("unpack"),
    verb<weights_size>("weightsSize"),
    verb<pack_weights>("packWeights"),
    verb<gemm>("gemm"),
    verb<conv>("conv"),
    verb<float_weights_size>("floatWeightsSize"),
    verb<pack_float_weights>("packFloatWeights"),
    verb<float_gemm>("floatGemm"),
    verb<float_conv>("floatConv"),
    verb<float_conv_gradient>("floatConvGradient"),
    verb<sum_channels>("sumChannels"),
    verb<affine_channels>("affineChannels"),
    verb<combine_channels>("combineChannels"),
    verb<clamp_gradient>("clampGradient"),
    verb<quantize_gradient>("quantizeGradient"),
    verb<add>("add"),
    verb<clamp>("clamp"),
    verb<quantized_add>("quantizedAdd"),
    verb<max_pool>("maxPool"),
    verb<quantized_max_pool>("quantizedMaxPool"),
    verb<average_pool>("averagePool"),
    verb<quantized_global_average>("quantizedGlobalAverage"),
    verb<lookup>("lookup"),
    verb<copy_plane>("copyPlane"),
    verb<moments>("moments"),
    verb<histogram>("histogram"),
    verb<divergence>("divergence"),
    verb<squared_error>("squaredError"),
    verb<quantize_error>("quantizeError"),
    verb<gram>("gram"),
    verb<round_with_hessian>("roundWithHessian"),
    verb<peak>("peak"),
    verb<read>("read"),
    verb<copy>("copy"),
    verb<play>("play"),
};

const size_t VERB_COUNT = sizeof VERBS / sizeof *VERBS;

}  // namespace sq
