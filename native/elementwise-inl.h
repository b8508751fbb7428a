// add, clamp, quantized add, lookup.

namespace sq {
namespace {

void add(Pool& pool, const float* a, const float* b, int64_t n, float low, float high, float* out) {
  const VF least = vf_set(low), most = vf_set(high);
  const bool streams = n * 4 >= STREAM_BYTES && out != a && out != b;  // in place, its lines are there already
  spread(pool, n, [=](int64_t first, int64_t last) {
    fill(out, first, last, streams, [=](int64_t i, int lanes) {
      return vf_min(vf_max(vf_add(load(a + i, lanes), load(b + i, lanes)), least), most);
    });
  });
}

void clamp(Pool& pool, const float* x, int64_t n, float low, float high, float* out) {
  const VF least = vf_set(low), most = vf_set(high);
  const bool streams = n * 4 >= STREAM_BYTES && out != x;
  spread(pool, n, [=](int64_t first, int64_t last) {
    fill(out, first, last, streams, [=](int64_t i, int lanes) {
      return vf_min(vf_max(load(x + i, lanes), least), most);
    });
  });
}

void quantized_add(Pool& pool, const uint8_t* a, float scale_a, int32_t zero_a, const uint8_t* b, float scale_b,
                   int32_t zero_b, int64_t n, float scale_out, int32_t zero_out, int32_t low, int32_t high, uint8_t* out) {
  const float ra = scale_a / scale_out, rb = scale_b / scale_out;
  const float zeros =
      static_cast<float>(static_cast<double>(zero_a) * ra + rb * static_cast<float>(zero_b));
  const float fixed = static_cast<float>(zero_out) - zeros;
  const float least = static_cast<float>(low), most = static_cast<float>(high);
  const auto plain = [=](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i++) {
      // Both products are exact in float64: the roundings of two fused multiply-adds, on every instruction set.
      const float one = static_cast<float>(static_cast<double>(b[i]) * rb + fixed);
      const float sum = static_cast<float>(static_cast<double>(a[i]) * ra + one);
      out[i] = static_cast<uint8_t>(round_between(sum, least, most));
    }
  };
  // Those are the roundings of float32's own only where the float64 sums are exact too: every term is a multiple of
  // 2^-24 of the least factor, so a sum below 2^29 of them has at most 53 bits.
  const float small_a = ra < rb ? ra : rb, size = fixed < 0 ? -fixed : fixed;
  const float smallest = size > 0 && size < small_a ? size : small_a;
  const bool exact = FUSED && 256 * (ra + rb) + size < 0x1p29f * smallest;
  spread(pool, n, [=](int64_t first, int64_t last) {
    const VF va = vf_set(ra), vb = vf_set(rb), start = vf_set(fixed), bottom = vf_set(least), top = vf_set(most);
    const bool done = exact && in_steps(first, last, WB, [=](int64_t i) {
      VF sums[4];
#pragma GCC unroll 4
      for (int j = 0; j < 4; j++) {
        const VF one = vf_muladd(vi_float(bytes_widen(b + i + j * W, W, false)), vb, start);
        const VF sum = vf_muladd(vi_float(bytes_widen(a + i + j * W, W, false)), va, one);
        sums[j] = vf_min(vf_max(sum, bottom), top);
      }
      vb_store(out + i, vb_round(sums));
    });
    if (!done) plain(first, last);
  });
}

void lookup(Pool& pool, const uint8_t* a, int64_t n, const uint8_t* table, uint8_t* out) {
  spread(pool, n, [=](int64_t first, int64_t last) {
    int64_t i = first + lookup_vectors(a + first, last - first, table, out + first);
    for (; i < last; i++) out[i] = table[a[i]];
  });
}

}  // namespace
}  // namespace sq
