// oneDNN beside our GEMM and convolution: weights in the layout that it asks for, reordered once.
#include <dnnl.hpp>

#include <memory>
#include <unordered_map>

#include "protocol.h"

namespace {

using dnnl::memory;
using Dims = memory::dims;
using Type = memory::data_type;

const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
dnnl::stream stream(engine);

Type type_of(const std::string& name) {
  if (name == "u8") return Type::u8;
  if (name == "s8") return Type::s8;
  return name == "s32" ? Type::s32 : Type::f32;
}

/** Dense, its dimensions stored in `order`, outermost first. */
memory::desc dense(const Dims& dims, Type type, const std::vector<int>& order) {
  Dims strides(dims.size());
  memory::dim stride = 1;
  for (size_t i = order.size(); i-- > 0;) {
    strides[size_t(order[i])] = stride;
    stride *= dims[size_t(order[i])];
  }
  return {dims, type, strides};
}

memory::desc any(const Dims& dims, Type type) { return {dims, type, memory::format_tag::any}; }

memory load(const Options& options, const std::string& key, const memory::desc& desc) {
  const auto bytes = read<char>(options, key);
  memory out(desc, engine);
  if (bytes.size() != desc.get_size()) throw std::runtime_error("unexpected size of " + options.at(key));
  std::copy(bytes.begin(), bytes.end(), static_cast<char*>(out.get_data_handle()));
  return out;
}

memory reordered(memory from, const memory::desc& to) {
  if (from.get_desc() == to) return from;
  memory out(to, engine);
  dnnl::reorder(from, out).execute(stream, from, out);
  stream.wait();
  return out;
}

/** `plain` is the layout in which outputs are saved. */
Contender contender(const std::string& name, dnnl::primitive primitive, std::unordered_map<int, memory> args,
                    const memory::desc& plain) {
  return {name,
          [primitive, args] {
            primitive.execute(stream, args);
            stream.wait();
          },
          [args, plain](const std::string& path) {
            write(path, reordered(args.at(DNNL_ARG_DST), plain).get_data_handle(), plain.get_size());
          }};
}

/** Outputs are requantized by one factor per output channel; sums and floats are left as they are. */
dnnl::primitive_attr requantize(const Options& options, Type dst, int channel) {
  dnnl::primitive_attr attr;
  if (dst == Type::u8 || dst == Type::s8) attr.set_output_scales(1 << channel, read<float>(options, "factors"));
  return attr;
}

Contender matmul(const Options& options) {
  const memory::dim m = number(options, "m"), n = number(options, "n"), k = number(options, "k");
  const Type src = type_of(options.at("src")), dst = type_of(options.at("dst"));
  const Type weights = src == Type::f32 ? Type::f32 : Type::s8;
  const auto a = dense({m, k}, src, {0, 1}), out = dense({m, n}, dst, {0, 1});
  const memory a_data = load(options, "a", a), w_data = load(options, "w", dense({k, n}, weights, {1, 0}));
  std::vector<Contender> ways;
  // The layout that it chooses, and the two plain ones: it does not always choose its best.
  for (const auto& layout : {any({k, n}, weights), dense({k, n}, weights, {0, 1}), dense({k, n}, weights, {1, 0})}) {
    const dnnl::matmul::primitive_desc chosen(dnnl::matmul::desc(a, layout, out), requantize(options, dst, 1), engine);
    ways.push_back(contender(chosen.impl_info_str(), dnnl::matmul(chosen),
                             {{DNNL_ARG_SRC, a_data},
                              {DNNL_ARG_WEIGHTS, reordered(w_data, chosen.weights_desc())},
                              {DNNL_ARG_DST, memory(out, engine)}},
                             out));
  }
  return fastest(std::move(ways));
}

Contender conv(const Options& options) {
  const auto get = [&](const char* key) { return memory::dim(number(options, key)); };
  const memory::dim groups = get("groups"), batch = get("batch");
  const memory::dim channels = get("inChannels"), out_channels = get("outChannels");
  const memory::dim rows = get("kernelHeight"), columns = get("kernelWidth");
  const Type src = type_of(options.at("src")), dst = type_of(options.at("dst"));
  const bool quantized = src != Type::f32;
  const Type weights = quantized ? Type::s8 : Type::f32, bias = quantized ? Type::s32 : Type::f32;
  const Dims in_dims{batch, channels, get("inHeight"), get("inWidth")};
  const Dims out_dims{batch, out_channels, get("outHeight"), get("outWidth")};
  const Dims w_dims = groups > 1 ? Dims{groups, out_channels / groups, channels / groups, rows, columns}
                                 : Dims{out_channels, channels, rows, columns};
  const auto plain_in = dense(in_dims, src, {0, 2, 3, 1}), plain_out = dense(out_dims, dst, {0, 2, 3, 1});
  const auto plain_w = groups > 1 ? dense(w_dims, weights, {0, 1, 3, 4, 2}) : dense(w_dims, weights, {0, 2, 3, 1});
  const memory a = load(options, "a", plain_in), w = load(options, "w", plain_w);
  const memory b = load(options, "bias", dense({out_channels}, bias, {0}));
  const Dims strides{get("strideHeight"), get("strideWidth")}, pads{get("padTop"), get("padLeft")};
  std::vector<Contender> ways;
  // Channels last as ours, and the layout of its own liking, whose reorders are then not charged.
  for (const bool own : {false, true}) {
    const dnnl::convolution_forward::desc desc(dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct,
                                               own ? any(in_dims, src) : plain_in, any(w_dims, weights),
                                               b.get_desc(), own ? any(out_dims, dst) : plain_out, strides, pads, pads);
    const dnnl::convolution_forward::primitive_desc chosen(desc, requantize(options, dst, 1), engine);
    const std::string layout = chosen.src_desc() == plain_in ? " channels last" : " its own layout";
    ways.push_back(contender(chosen.impl_info_str() + layout, dnnl::convolution_forward(chosen),
                             {{DNNL_ARG_SRC, reordered(a, chosen.src_desc())},
                              {DNNL_ARG_WEIGHTS, reordered(w, chosen.weights_desc())},
                              {DNNL_ARG_BIAS, b},
                              {DNNL_ARG_DST, memory(chosen.dst_desc(), engine)}},
                             plain_out));
  }
  return fastest(std::move(ways));
}

std::string isa() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::sse41: return "sse4.1";
    case dnnl::cpu_isa::avx: return "avx";
    case dnnl::cpu_isa::avx2: return "avx2";
    case dnnl::cpu_isa::avx2_vnni: return "avxvnni";
    case dnnl::cpu_isa::avx512_core: return "avx512";
    case dnnl::cpu_isa::avx512_core_vnni: return "avx512vnni";
    case dnnl::cpu_isa::avx512_core_bf16: return "avx512vnni+bf16";
    default: return "isa " + std::to_string(static_cast<int>(dnnl::get_effective_cpu_isa()));
  }
}

}  // namespace

int main() {
  const dnnl_version_t& v = *dnnl_version();
  std::ostringstream version;
  version << v.major << '.' << v.minor << '.' << v.patch << " (" << isa() << ')';
  serve(version.str(), [](const Options& options) {
    return options.at("op") == "matmul" ? matmul(options) : conv(options);
  });
}
