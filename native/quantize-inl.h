// quantize, dequantize, pack, unpack. Plain loops that the compiler vectorizes.

namespace sq {
namespace {

/** 1.5 * 2^23: adding it to a float of magnitude below 2^22 leaves the nearest integer, ties to even. */
constexpr float ROUND = 12582912.0f;

/** Limits first, rounding after: the same for whole limits, and it keeps the sum in ROUND's range. */
inline int32_t round_between(float x, float low, float high) {
  x = x > low ? x : low;
  x = x < high ? x : high;
  return static_cast<int32_t>((x + ROUND) - ROUND);
}

inline uint8_t quantize_one(float x, float scale, int32_t zero_point, float low, float high) {
  float value = x / scale;
  value = value == value ? value : 0.0f;
  return static_cast<uint8_t>(round_between(value, low, high) + zero_point);
}

void quantize(const float* x, int64_t n, float scale, int32_t zero_point, int32_t low, int32_t high, uint8_t* q) {
  const float least = static_cast<float>(low - zero_point), most = static_cast<float>(high - zero_point);
  for (int64_t i = 0; i < n; i++) q[i] = quantize_one(x[i], scale, zero_point, least, most);
}

void quantize_channels(const float* x, int64_t n, const float* scales, const int32_t* zero_points, int64_t channels,
                       int64_t inner, int32_t low, int32_t high, uint8_t* q) {
  if (inner == 1) {
    for (int64_t at = 0; at < n; at += channels)
      for (int64_t c = 0; c < channels; c++) {
        const float least = static_cast<float>(low - zero_points[c]);
        const float most = static_cast<float>(high - zero_points[c]);
        q[at + c] = quantize_one(x[at + c], scales[c], zero_points[c], least, most);
      }
    return;
  }
  for (int64_t at = 0, c = 0; at < n; at += inner, c = c + 1 == channels ? 0 : c + 1)
    quantize(x + at, inner, scales[c], zero_points[c], low, high, q + at);
}

template <class Byte>
void dequantize_bytes(const Byte* q, int64_t n, float scale, int32_t zero_point, float* x) {
  for (int64_t i = 0; i < n; i++) x[i] = static_cast<float>(q[i] - zero_point) * scale;
}

void dequantize(Bytes q, float scale, int32_t zero_point, float* x) {
  if (q.is_signed)
    dequantize_bytes(reinterpret_cast<const int8_t*>(q.data), q.length, scale, zero_point, x);
  else
    dequantize_bytes(q.data, q.length, scale, zero_point, x);
}

template <class Byte>
void dequantize_rows(const Byte* q, int64_t n, const float* scales, const int32_t* zero_points, int64_t channels,
                     float* x) {
  for (int64_t at = 0; at < n; at += channels)
    for (int64_t c = 0; c < channels; c++)
      x[at + c] = static_cast<float>(q[at + c] - zero_points[c]) * scales[c];
}

void dequantize_channels(Bytes q, const float* scales, const int32_t* zero_points, int64_t channels, int64_t inner,
                         float* x) {
  if (inner == 1) {
    if (q.is_signed)
      dequantize_rows(reinterpret_cast<const int8_t*>(q.data), q.length, scales, zero_points, channels, x);
    else
      dequantize_rows(q.data, q.length, scales, zero_points, channels, x);
    return;
  }
  for (int64_t at = 0, c = 0; at < q.length; at += inner, c = c + 1 == channels ? 0 : c + 1)
    dequantize({q.data + at, inner, q.is_signed}, scales[c], zero_points[c], x + at);
}

/** Eight values of `bits` bits make `bits` whole bytes. */
constexpr int GROUP = 8;

inline uint64_t gather_bits(uint64_t eight, int32_t bits) {
#if defined(__BMI2__)
  return _pext_u64(eight, 0x0101010101010101u * ((1u << bits) - 1));
#else
  uint64_t stream = 0;
  for (int i = 0; i < GROUP; i++) stream |= (eight >> (8 * i) & ((1u << bits) - 1)) << (i * bits);
  return stream;
#endif
}

inline uint64_t scatter_bits(uint64_t stream, int32_t bits) {
#if defined(__BMI2__)
  return _pdep_u64(stream, 0x0101010101010101u * ((1u << bits) - 1));
#else
  uint64_t eight = 0;
  for (int i = 0; i < GROUP; i++) eight |= (stream >> (i * bits) & ((1u << bits) - 1)) << (8 * i);
  return eight;
#endif
}

/** Bytes are put together by shifts, so that the order of the processor's bytes does not matter. */
inline uint64_t read_bytes(const uint8_t* p, int64_t n) {
  uint64_t value = 0;
  for (int64_t i = 0; i < n; i++) value |= static_cast<uint64_t>(p[i]) << (8 * i);
  return value;
}

inline void write_bytes(uint8_t* p, uint64_t value, int64_t n) {
  for (int64_t i = 0; i < n; i++) p[i] = static_cast<uint8_t>(value >> (8 * i));
}

void pack(const uint8_t* q, int64_t n, int32_t bits, uint8_t* packed) {
  int64_t i = 0;
  for (; i + GROUP <= n; i += GROUP, packed += bits) write_bytes(packed, gather_bits(read_bytes(q + i, GROUP), bits), bits);
  if (i < n) write_bytes(packed, gather_bits(read_bytes(q + i, n - i), bits), ((n - i) * bits + 7) / 8);
}

void unpack(const uint8_t* packed, int32_t bits, Bytes q) {
  // (x ^ sign) - sign extends the sign, byte by byte; the subtraction is done as additions that carry nowhere.
  const uint64_t sign = q.is_signed ? 0x0101010101010101u << (bits - 1) : 0;
  const uint64_t top = 0x8080808080808080u;
  const auto extend = [&](uint64_t x) { return (((x ^ sign) | top) - sign) ^ top; };
  int64_t i = 0;
  for (; i + GROUP <= q.length; i += GROUP, packed += bits)
    write_bytes(q.data + i, q.is_signed && bits < 8 ? extend(scatter_bits(read_bytes(packed, bits), bits))
                                                    : scatter_bits(read_bytes(packed, bits), bits), GROUP);
  if (i == q.length) return;
  const int64_t rest = q.length - i;
  const uint64_t eight = scatter_bits(read_bytes(packed, (rest * bits + 7) / 8), bits);
  write_bytes(q.data + i, q.is_signed && bits < 8 ? extend(eight) : eight, rest);
}

}  // namespace
}  // namespace sq
