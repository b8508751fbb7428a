// Weights below 8 bits as bit planes: chunks of 512 values, stored as value + 2^(bits-1) in planes of 4, 2 and 1
// bits, so that decoding is a shift and a mask per vector whatever the width.

namespace sq {
namespace {

constexpr int CHUNK = 512, LINE = 64;

constexpr int VECTORS_PER_CHUNK = CHUNK / WB;

/** Bytes that `count` values take. */
constexpr int64_t planes_size(int64_t count, int32_t bits) {
  return bits == 8 ? count : (count + CHUNK - 1) / CHUNK * LINE * bits;
}

/** Values that `planes_decode` writes for `count`: whole chunks. */
constexpr int64_t planes_values(int64_t count) { return (count + CHUNK - 1) / CHUNK * CHUNK; }

inline void encode_chunk(const uint8_t* v, int32_t bits, uint8_t* p) {
  memset(p, 0, static_cast<size_t>(LINE) * bits);
  int shift = 0;
  for (int width = 4; width >= 1; width /= 2) {
    if (!(bits & width)) continue;
    const int parts = 8 / width, mask = (1 << width) - 1;
    for (int line = 0; line < CHUNK / LINE; line++) {
      uint8_t* to = p + line / parts * LINE;
      const int up = line % parts * width;
      for (int i = 0; i < LINE; i++) to[i] |= static_cast<uint8_t>((v[line * LINE + i] >> shift & mask) << up);
    }
    shift += width;
    p += CHUNK / parts;
  }
}

/**
 * `count` values of `bits` signed bits -> planes_size bytes: some(at, n, to) writes n values from value `at` on, at most
 * CHUNK. Missing values of the last chunk count as zeros.
 */
template <class Some>
inline void planes_encode(Some some, int64_t count, int32_t bits, uint8_t* packed) {
  for (int64_t at = 0; at < count; at += CHUNK) {
    const int64_t n = count - at < CHUNK ? count - at : CHUNK;
    if (bits == 8) {
      some(at, n, reinterpret_cast<int8_t*>(packed + at));
      continue;
    }
    int8_t chunk[CHUNK];
    some(at, n, chunk);
    uint8_t stored[CHUNK];
    const int half = 1 << (bits - 1);
    for (int i = 0; i < n; i++) stored[i] = static_cast<uint8_t>(chunk[i] + half);
    for (int64_t i = n; i < CHUNK; i++) stored[i] = static_cast<uint8_t>(half);
    encode_chunk(stored, bits, packed);
    packed += LINE * bits;
  }
}

/** Field `part` of `width` bits of every byte, moved to bit `to`. Bits that cross bytes are masked away. */
template <int WIDTH>
SQ_INLINE VB plane_field(VB plane, int part, int to) {
  const int by = part * WIDTH - to;
  const VB moved = by > 0 ? vb_right(plane, by) : by < 0 ? vb_left(plane, -by) : plane;
  return vb_and(moved, vb_set(static_cast<uint8_t>(((1 << WIDTH) - 1) << to)));
}

/** Vector i of a chunk, as stored: value + 2^(BITS-1). With constant i and BITS, a few shifts and masks. */
template <int BITS>
SQ_INLINE VB planes_stored(const uint8_t* p, int i) {
  if constexpr (BITS == 8) {
    return vb_load(p + i * WB);
  } else {
    const int line = i * WB / LINE, at = i * WB % LINE;
    constexpr bool four = BITS & 4, two = BITS & 2, one = BITS & 1;
    constexpr int shift2 = four ? 4 : 0, shift1 = shift2 + (two ? 2 : 0);
    VB value{};
    if constexpr (four) value = plane_field<4>(vb_load(p + line / 2 * LINE + at), line % 2, 0);
    p += four ? CHUNK / 2 : 0;
    if constexpr (two) {
      const VB field = plane_field<2>(vb_load(p + line / 4 * LINE + at), line % 4, shift2);
      value = four ? vb_or(value, field) : field;
    }
    p += two ? CHUNK / 4 : 0;
    if constexpr (one) value = vb_or(value, plane_field<1>(vb_load(p + at), line, shift1));
    return value;
  }
}

/** Vector i of a chunk: signed bytes. */
template <int BITS>
SQ_INLINE VB planes_vector(const uint8_t* p, int i) {
  const VB stored = planes_stored<BITS>(p, i);
  return BITS == 8 ? stored : vb_sub(stored, vb_set(1 << (BITS - 1)));
}

template <int BITS>
inline void decode_chunks(const uint8_t* packed, int64_t chunks, uint8_t* values) {
  for (int64_t c = 0; c < chunks; c++, packed += LINE * BITS, values += CHUNK)
#pragma GCC unroll 32
    for (int i = 0; i < VECTORS_PER_CHUNK; i++) vb_store(values + i * WB, planes_vector<BITS>(packed, i));
}

/** Signed bytes, planes_values(count) of them. bits < 8. */
inline void planes_decode(const uint8_t* packed, int64_t count, int32_t bits, uint8_t* values) {
  const int64_t chunks = (count + CHUNK - 1) / CHUNK;
  switch (bits) {
    case 2: return decode_chunks<2>(packed, chunks, values);
    case 3: return decode_chunks<3>(packed, chunks, values);
    case 4: return decode_chunks<4>(packed, chunks, values);
    case 5: return decode_chunks<5>(packed, chunks, values);
    case 6: return decode_chunks<6>(packed, chunks, values);
    default: return decode_chunks<7>(packed, chunks, values);
  }
}

}  // namespace
}  // namespace sq
