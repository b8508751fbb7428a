// Weights below 8 bits. A chunk is eight lines of 64 values, stored as value + 2^(bits-1), in `bits` lines of bytes: as
// many whole values in every byte as fit, which hold the first lines; the bits that are left above them hold the last
// lines, in pieces. So a vector of values is a mask and a shift of one vector of bytes, or a few of them.

namespace sq {
namespace {

constexpr int CHUNK = 512, LINE = 64, LINES = CHUNK / LINE;

constexpr int VECTORS_PER_CHUNK = CHUNK / WB;

/** Bytes that `count` values take. */
constexpr int64_t fields_size(int64_t count, int32_t bits) {
  return bits == 8 ? count : (count + CHUNK - 1) / CHUNK * LINE * bits;
}

/** Values that `fields_decode` writes for `count`: whole chunks. */
constexpr int64_t fields_values(int64_t count) { return (count + CHUNK - 1) / CHUNK * CHUNK; }

/** `width` bits from bit `at` of the bytes of a packed line on are those from bit `to` of the values on. */
struct Piece {
  int line, at, width, to;
};

constexpr int MOST_PIECES = 7;

/** The pieces of each line of values. */
struct Pieces {
  int count[LINES];
  Piece piece[LINES][MOST_PIECES];
};

constexpr Pieces pieces_of(int bits) {
  Pieces all{};
  const int whole = 8 / bits, above = whole * bits, spare = 8 - above;
  for (int line = 0; line < LINES; line++) {
    if (line < above) {
      all.piece[line][all.count[line]++] = {line / whole, line % whole * bits, bits, 0};
      continue;
    }
    // The bits above, line after line, are a row of bits; each line left has the next `bits` of them.
    for (int to = 0; to < bits;) {
      const int place = (line - above) * bits + to, from = place % spare;
      const int width = spare - from < bits - to ? spare - from : bits - to;
      all.piece[line][all.count[line]++] = {place / spare, above + from, width, to};
      to += width;
    }
  }
  return all;
}

template <int BITS>
constexpr Pieces PIECES = pieces_of(BITS);

constexpr int mask_of(int at, int width) { return ((1 << width) - 1) << at; }

inline void encode_chunk(const uint8_t* v, int32_t bits, uint8_t* p) {
  memset(p, 0, static_cast<size_t>(LINE) * bits);
  const Pieces pieces = pieces_of(bits);
  for (int line = 0; line < LINES; line++)
    for (int n = 0; n < pieces.count[line]; n++) {
      const Piece piece = pieces.piece[line][n];
      for (int i = 0; i < LINE; i++)
        p[piece.line * LINE + i] |= static_cast<uint8_t>((v[line * LINE + i] >> piece.to & mask_of(0, piece.width)) << piece.at);
    }
}

/**
 * `count` values of `bits` signed bits -> fields_size bytes: some(at, n, to) writes n values from value `at` on, at most
 * CHUNK. Missing values of the last chunk count as zeros.
 */
template <class Some>
inline void fields_encode(Some some, int64_t count, int32_t bits, uint8_t* packed) {
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

/** The bits of a piece where they belong in the values. */
SQ_INLINE VB piece_bits(VB bytes, const Piece& piece) {
  const VB bits = vb_and(bytes, vb_set(static_cast<uint8_t>(mask_of(piece.at, piece.width))));
  return piece.at > piece.to ? vb_right(bits, piece.at - piece.to) : bits;
}

/** Vector i of a chunk, as stored: value + 2^(BITS-1). With constant i and BITS, a few shifts and masks. */
template <int BITS>
SQ_INLINE VB fields_stored(const uint8_t* p, int i) {
  if constexpr (BITS == 8) {
    return vb_load(p + i * WB);
  } else {
    constexpr const Pieces& all = PIECES<BITS>;
    const int line = i * WB / LINE;
    const Piece& first = all.piece[line][0];
    p += i * WB % LINE;
    VB value = vb_load(p + first.line * LINE);
    // Whole values share their mask: it comes after the shift, and with it what the shift carried across bytes goes.
    if (first.width == BITS) return vb_and(first.at > 0 ? vb_right(value, first.at) : value, vb_set((1 << BITS) - 1));
    value = piece_bits(value, first);
#pragma GCC unroll 6
    for (int n = 1; n < MOST_PIECES; n++)
      if (n < all.count[line]) value = vb_or(value, piece_bits(vb_load(p + all.piece[line][n].line * LINE), all.piece[line][n]));
    return value;
  }
}

/** Vector i of a chunk: signed bytes. */
template <int BITS>
SQ_INLINE VB fields_vector(const uint8_t* p, int i) {
  const VB stored = fields_stored<BITS>(p, i);
  return BITS == 8 ? stored : vb_sub(stored, vb_set(1 << (BITS - 1)));
}

template <int BITS>
inline void decode_chunks(const uint8_t* packed, int64_t chunks, uint8_t* values) {
  for (int64_t c = 0; c < chunks; c++, packed += LINE * BITS, values += CHUNK)
#pragma GCC unroll 32
    for (int i = 0; i < VECTORS_PER_CHUNK; i++) vb_store(values + i * WB, fields_vector<BITS>(packed, i));
}

/** Signed bytes, fields_values(count) of them. bits < 8. */
inline void fields_decode(const uint8_t* packed, int64_t count, int32_t bits, uint8_t* values) {
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
