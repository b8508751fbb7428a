// Weights below 8 bits as bit planes: chunks of 512 values, stored as value + 2^(bits-1) in planes of 4, 2 and 1
// bits, so that decoding is a shift and a mask per vector whatever the width.

namespace sq {
namespace {

constexpr int CHUNK = 512, LINE = 64;

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
    for (int i = 0; i < CHUNK; i++) {
      const int line = i / LINE;
      p[line / parts * LINE + i % LINE] |= static_cast<uint8_t>((v[i] >> shift & mask) << (line % parts * width));
    }
    shift += width;
    p += CHUNK / parts;
  }
}

/** One plane merged into (or, as the first, written to) 512 values. */
template <int WIDTH, bool FIRST>
inline void decode_plane(const uint8_t* p, int shift, uint8_t* v) {
  constexpr int PARTS_PER_BYTE = 8 / WIDTH, MASK = (1 << WIDTH) - 1;
  for (int line = 0; line < CHUNK / LINE; line += PARTS_PER_BYTE)
    for (int part = 0; part < PARTS_PER_BYTE; part++)
      for (int i = 0; i < LINE; i++) {
        const uint8_t bits = static_cast<uint8_t>((p[line / PARTS_PER_BYTE * LINE + i] >> (part * WIDTH) & MASK) << shift);
        uint8_t& value = v[(line + part) * LINE + i];
        value = FIRST ? bits : static_cast<uint8_t>(value | bits);
      }
}

inline void decode_chunk(const uint8_t* p, int32_t bits, uint8_t* v) {
  int shift = 0;
  if (bits & 4) {
    decode_plane<4, true>(p, 0, v);
    p += CHUNK / 2;
    shift = 4;
  }
  if (bits & 2) {
    if (shift)
      decode_plane<2, false>(p, shift, v);
    else
      decode_plane<2, true>(p, 0, v);
    p += CHUNK / 4;
    shift += 2;
  }
  if (bits & 1) decode_plane<1, false>(p, shift, v);  // no width is 1, so it is never the first
  const uint8_t half = static_cast<uint8_t>(1 << (bits - 1));
  for (int i = 0; i < CHUNK; i++) v[i] = static_cast<uint8_t>(v[i] - half);
}

/** values [count] of `bits` signed bits -> planes_size bytes; missing values of the last chunk count as zeros. */
template <class Value>
inline void planes_encode(Value value, int64_t count, int32_t bits, uint8_t* packed) {
  if (bits == 8) {
    for (int64_t i = 0; i < count; i++) packed[i] = static_cast<uint8_t>(value(i));
    return;
  }
  const int half = 1 << (bits - 1);
  for (int64_t at = 0; at < count; at += CHUNK, packed += LINE * bits) {
    uint8_t chunk[CHUNK];
    for (int i = 0; i < CHUNK; i++) chunk[i] = static_cast<uint8_t>((at + i < count ? value(at + i) : 0) + half);
    encode_chunk(chunk, bits, packed);
  }
}

/** Widened to T, planes_values(count) of them (exactly count at 8 bits). */
template <class T>
inline void planes_decode(const uint8_t* packed, int64_t count, int32_t bits, T* values) {
  if (bits == 8) {
    for (int64_t i = 0; i < count; i++) values[i] = static_cast<T>(static_cast<int8_t>(packed[i]));
    return;
  }
  for (int64_t at = 0; at < count; at += CHUNK, packed += LINE * bits) {
    uint8_t chunk[CHUNK];
    decode_chunk(packed, bits, chunk);
    for (int i = 0; i < CHUNK; i++) values[at + i] = static_cast<T>(static_cast<int8_t>(chunk[i]));
  }
}

}  // namespace
}  // namespace sq
