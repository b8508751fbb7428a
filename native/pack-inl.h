// pack and unpack: the dense form, eight values at a time.

namespace sq {
namespace {

/** Eight values of `bits` bits make `bits` whole bytes. */
constexpr int GROUP = 8;
constexpr uint64_t EVERY_BYTE = 0x0101010101010101u;

/** The low `bits` bits of each of eight bytes, side by side. */
inline uint64_t gather_bits(uint64_t eight, int32_t bits) {
  eight &= EVERY_BYTE * ((1u << bits) - 1);
#if defined(__BMI2__)
  return _pext_u64(eight, EVERY_BYTE * ((1u << bits) - 1));
#else
  // Neighbours join: two of 8 bits, two of 16, two of 32.
  eight = (eight & 0x00ff00ff00ff00ffu) | (eight >> 8 & 0x00ff00ff00ff00ffu) << bits;
  eight = (eight & 0x0000ffff0000ffffu) | (eight >> 16 & 0x0000ffff0000ffffu) << (2 * bits);
  return (eight & 0x00000000ffffffffu) | (eight >> 32) << (4 * bits);
#endif
}

/** The inverse of gather_bits. */
inline uint64_t scatter_bits(uint64_t stream, int32_t bits) {
#if defined(__BMI2__)
  return _pdep_u64(stream, EVERY_BYTE * ((1u << bits) - 1));
#else
  const uint64_t mask = ~uint64_t(0);
  stream &= mask >> (64 - 8 * bits);
  stream = (stream & mask >> (64 - 4 * bits)) | stream >> (4 * bits) << 32;
  const uint64_t two = 0x0000000100000001u * ((1u << (2 * bits)) - 1), one = 0x0001000100010001u * ((1u << bits) - 1);
  stream = (stream & two) | (stream >> (2 * bits) & two) << 16;
  return (stream & one) | (stream >> bits & one) << 8;
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

/** Eight bytes at once; compilers do not always see it in the loops above. */
inline uint64_t read_eight(const uint8_t* p) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  return read_bytes(p, GROUP);
#else
  uint64_t value;
  memcpy(&value, p, GROUP);
  return value;
#endif
}

inline void write_eight(uint8_t* p, uint64_t value) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  write_bytes(p, value, GROUP);
#else
  memcpy(p, &value, GROUP);
#endif
}

/** n values from a whole byte of the packed form on. Eight bytes are written where `bits` are meant: later ones follow. */
inline void pack_range(const uint8_t* q, int64_t n, int32_t bits, uint8_t* packed) {
  const uint8_t* end = packed + (n * bits + 7) / 8;
  int64_t i = 0;
  for (; i + GROUP <= n && end - packed >= GROUP; i += GROUP, packed += bits)
    write_eight(packed, gather_bits(read_eight(q + i), bits));
  for (; i + GROUP <= n; i += GROUP, packed += bits) write_bytes(packed, gather_bits(read_eight(q + i), bits), bits);
  if (i < n) write_bytes(packed, gather_bits(read_bytes(q + i, n - i), bits), ((n - i) * bits + 7) / 8);
}

void pack(Pool& pool, const uint8_t* q, int64_t n, int32_t bits, uint8_t* packed) {
  if (bits == 8) return spread(pool, n, [=](int64_t first, int64_t last) { memcpy(packed + first, q + first, static_cast<size_t>(last - first)); });
  spread(pool, n, [=](int64_t first, int64_t last) {
    pack_range(q + first, last - first, bits, packed + first / GROUP * bits);
  });
}

template <bool SIGNED>
inline void unpack_range(const uint8_t* packed, int64_t n, int32_t bits, uint8_t* q) {
  // The bits above a sign are the sign times 2^8 - 2^bits, and no product reaches the next byte.
  const uint64_t sign = EVERY_BYTE << (bits - 1), above = (2u << (8 - bits)) - 2;
  const auto values = [=](uint64_t stream) {
    const uint64_t eight = scatter_bits(stream, bits);
    return SIGNED ? eight | (eight & sign) * above : eight;
  };
  const uint8_t* end = packed + (n * bits + 7) / 8;
  int64_t i = 0;
  for (; i + GROUP <= n && end - packed >= GROUP; i += GROUP, packed += bits) write_eight(q + i, values(read_eight(packed)));
  for (; i + GROUP <= n; i += GROUP, packed += bits) write_eight(q + i, values(read_bytes(packed, bits)));
  if (i < n) write_bytes(q + i, values(read_bytes(packed, ((n - i) * bits + 7) / 8)), n - i);
}

void unpack(Pool& pool, const uint8_t* packed, int32_t bits, Bytes q) {
  if (bits == 8)
    return spread(pool, q.length, [=](int64_t first, int64_t last) { memcpy(q.data + first, packed + first, static_cast<size_t>(last - first)); });
  spread(pool, q.length, [=](int64_t first, int64_t last) {
    const uint8_t* from = packed + first / GROUP * bits;
    q.is_signed ? unpack_range<true>(from, last - first, bits, q.data + first)
                : unpack_range<false>(from, last - first, bits, q.data + first);
  });
}

}  // namespace
}  // namespace sq
