// Tiles of integer products: R rows times V vectors of columns, sums in registers, one epilogue.

namespace sq {
namespace {

/** Dots with a second kind, which is faster and exact wherever weights can be split; see integer-split-inl.h. */
template <class D>
constexpr bool HAS_SPLIT = requires { typename D::Split; };
/** That second kind. */
template <class D>
constexpr bool IS_SPLIT = requires(VI x) { D::rest(x, x, x); };

/** Dots whose tiles change the signs of activations as they read them: nothing has to be copied for its signs. */
template <class D>
constexpr bool FLIPS = requires(VI x, VB signs) { D::flipped(x, signs); };

/** What the weights of one position of the depth have too much, for every column of a panel. */
struct Rest {
  uint8_t at[4];  // the position; packed weights may lie anywhere
  int8_t values[NR];
};

/** What the tiles of one panel share. A row is `lines` lines of `runs` runs of `steps` dots; skips in activations. */
struct IntegerTile {
  const uint8_t* weights;
  int64_t lines, runs, steps, run_skip, line_skip;
  int32_t drain;        // dots that a narrow sum can hold
  uint8_t signs;        // what activations are flipped by, where FLIPS
  const Rest* rests;    // of split weights
  const int64_t* rest_at;  // where their activations lie in a row
  int32_t rest_count;
  int32_t offset[NR];   // bias and what zero point and carrier add
  int32_t row_offset[FEW_ROWS];  // what stored weights add to each of few rows
  float multipliers[NR];
  Output::Kind kind;
  int32_t zero_point, low, high;
  bool shrinks;  // multipliers below 1: what they make of a sum is still an int32
  int columns;
};

inline int64_t output_bytes(const Output& out) { return out.kind == Output::BYTES ? 1 : 4; }

/** Dots that sums of 16 bits hold: pairs of products of 255 and 2^(bits-1), this many times, stay below 2^15. */
constexpr int32_t narrow_dots(int32_t bits) { return bits < 8 ? 1 << (7 - bits) : 1; }

inline IntegerTile tile_for(const Output& out) {
  IntegerTile tile;
  tile.kind = out.kind;
  tile.zero_point = out.zero_point;
  tile.low = out.low;
  tile.high = out.high;
  return tile;
}

/** Offsets and multipliers of `columns` columns from n on; zero is the carried zero point, `padded` have their sums. */
inline void set_columns(IntegerTile& tile, const Output& out, const uint8_t* sums, int64_t n, int columns, uint32_t zero,
                        int padded = NR) {
  tile.columns = columns;
  // Loops without conditions, which compilers make vectors of: a panel of one row takes little longer than this.
  int32_t some[NR] = {};
  memcpy(some, sums, sizeof(int32_t) * static_cast<size_t>(padded));
  for (int j = 0; j < padded; j++) some[j] = static_cast<int32_t>(0u - zero * static_cast<uint32_t>(some[j]));
  if (out.bias)
    for (int j = 0; j < columns; j++) some[j] = static_cast<int32_t>(static_cast<uint32_t>(some[j]) + static_cast<uint32_t>(out.bias[n + j]));
  memcpy(tile.offset, some, sizeof some);
  float multipliers[NR] = {};
  int large = 0;
  if (out.multipliers) {
    memcpy(multipliers, out.multipliers + n, sizeof(float) * static_cast<size_t>(columns));
    for (int j = 0; j < NR; j++) large |= !(multipliers[j] > -1) | !(multipliers[j] < 1);
  }
  memcpy(tile.multipliers, multipliers, sizeof multipliers);
  tile.shrinks = large == 0;
}

/**
 * min(max(rne(x) + zero_point, low), high) as bytes. Counted from low on, saturating is the lower limit; floats are
 * limited before only where they may lie beyond int32.
 */
struct Rounding {
  bool shrinks;
  VF low, high;
  VI zero_point;
  VB range, start;

  explicit Rounding(const IntegerTile& tile)
      : shrinks(tile.shrinks),
        low(vf_set(static_cast<float>(tile.low - tile.zero_point))),
        high(vf_set(static_cast<float>(tile.high - tile.zero_point))),
        zero_point(vi_set_words(static_cast<int16_t>(tile.zero_point - tile.low))),
        range(vb_set(static_cast<uint8_t>(tile.high - tile.low))),
        start(vb_set(static_cast<uint8_t>(tile.low))) {}

  /** Four vectors of scaled sums, one after the other. */
  SQ_INLINE VB bytes(VF a, VF b, VF c, VF d) const {
    VF x[4] = {a, b, c, d};
    if (!shrinks) {
#pragma GCC unroll 4
      for (int i = 0; i < 4; i++) x[i] = vf_min(vf_max(x[i], low), high);
    }
    return vb_add(vb_min(vb_round_from(x, zero_point), range), start);
  }
};

/** The first `columns` bytes of rows `width` apart to places ldc apart. */
SQ_APART void store_columns(const uint8_t* from, int64_t width, int rows, int columns, uint8_t* out, int64_t ldc) {
  for (int r = 0; r < rows; r++) copy_bytes(from + r * width, out + r * ldc, columns);
}

/** V vectors of sums of one row, some of whose columns may not exist, to their place. */
template <int V>
SQ_INLINE void integer_store(const VI* sum, const IntegerTile& tile, uint8_t* out) {
#pragma GCC unroll 2
  for (int v = 0; v < V; v++) {
    const int n = tile.columns - v * W < W ? tile.columns - v * W : W;
    if (tile.kind == Output::INT32) {
      vi_store_n(reinterpret_cast<int32_t*>(out) + v * W, sum[v], n);
      continue;
    }
    const VF scaled = vf_mul(vi_float(sum[v]), vf_load(tile.multipliers + v * W));
    if (tile.kind == Output::FLOAT32) {
      vf_store_n(reinterpret_cast<float*>(out) + v * W, scaled, n);
      continue;
    }
    uint8_t bytes[WB];
    vb_store(bytes, Rounding(tile).bytes(scaled, scaled, scaled, scaled));
    if (n > 0) store_columns(bytes, W, 1, n, out + v * W, 0);
  }
}

/** What a tile of V vectors of columns needs to make bytes of its sums. */
template <int V>
struct Requantizing {
  Rounding rounding;
  VF first, last;  // multipliers

  explicit Requantizing(const IntegerTile& tile)
      : rounding(tile), first(vf_load(tile.multipliers)), last(vf_load(tile.multipliers + (V - 1) * W)) {}
};

/** Rows that fill a vector of bytes. */
template <int V>
constexpr int ROWS_OF_BYTES = 4 / V;

/** The sums of ROWS_OF_BYTES rows or more as bytes of whole vectors, `step` bytes from row to row. */
template <int R, int V>
SQ_INLINE void integer_store_bytes(const VI (&sum)[R][V], const Requantizing<V>& by, uint8_t* to, int64_t step) {
  constexpr int TOGETHER = ROWS_OF_BYTES<V>;
#pragma GCC unroll 6
  for (int i = 0; i < R; i += TOGETHER) {
    const int r = i + TOGETHER <= R ? i : R - TOGETHER;  // the last ones again rather than fewer
    const VI* four = sum[r];
    const VB bytes = by.rounding.bytes(vf_mul(vi_float(four[0]), by.first), vf_mul(vi_float(four[1]), by.last),
                                       vf_mul(vi_float(four[2]), by.first), vf_mul(vi_float(four[3]), by.last));
#pragma GCC unroll 4
    for (int j = 0; j < TOGETHER; j++)
      if (V == 2)
        vb_store_half(to + (r + j) * step, bytes, j);
      else
        vb_store_quarter(to + (r + j) * step, bytes, j);
  }
}

/** The sums of a tile to their places, ldc bytes from row to row. */
template <int R, int V>
SQ_INLINE void integer_store_rows(const VI (&sum)[R][V], const IntegerTile& tile, uint8_t* out, int64_t ldc) {
  if (tile.kind != Output::BYTES || R < ROWS_OF_BYTES<V>) {
#pragma GCC unroll 12
    for (int r = 0; r < R; r++) integer_store<V>(sum[r], tile, out + r * ldc);
    return;
  }
  if constexpr (R >= ROWS_OF_BYTES<V>) {
    // Where columns are missing, rows go by memory: a call between them would send the sums that are left there too.
    uint8_t some[R * V * W];
    const bool whole = tile.columns == V * W;
    integer_store_bytes(sum, Requantizing<V>(tile), whole ? out : some, whole ? ldc : V * W);
    if (!whole) store_columns(some, V * W, R, tile.columns, out, ldc);
  }
}

/** Three rows per pointer: base, base + lda, base + 2 * lda are addresses of one instruction. */
constexpr int ROWS_PER_POINTER = 3;

template <class D, int R, int V>
struct IntegerSums {
  using Activation = typename D::Activation;
  static constexpr int POINTERS = (R + ROWS_PER_POINTER - 1) / ROWS_PER_POINTER;

  VI sum[R][V];
  const Activation* row[POINTERS];
  VB signs;

  SQ_INLINE IntegerSums(const Activation* a, int64_t lda, const IntegerTile& tile) {
    if constexpr (FLIPS<D>) signs = vb_set(tile.signs);
#pragma GCC unroll 4
    for (int i = 0; i < POINTERS; i++) row[i] = a + ROWS_PER_POINTER * i * lda;
  }

  SQ_INLINE void set(const int32_t* values) {
#pragma GCC unroll 12
    for (int r = 0; r < R; r++)
#pragma GCC unroll 2
      for (int v = 0; v < V; v++) sum[r][v] = values ? vi_load(values + v * W) : vi_set(0);
  }

  SQ_INLINE void move(int64_t by) {
#pragma GCC unroll 4
    for (int i = 0; i < POINTERS; i++) row[i] += by;
  }

  SQ_INLINE void step(const typename D::Weights* weights, int64_t lda) {
#pragma GCC unroll 12
    for (int r = 0; r < R; r++) {
      auto x = D::activations(row[r / ROWS_PER_POINTER] + (r % ROWS_PER_POINTER) * lda);
      if constexpr (FLIPS<D>) x = D::flipped(x, signs);
#pragma GCC unroll 2
      for (int v = 0; v < V; v++) sum[r][v] = D::dot(sum[r][v], weights[v], x);
    }
    move(D::STEP);
  }

  SQ_INLINE void dots(int64_t n, const uint8_t*& w, int64_t lda) {
    for (int64_t i = 0; i < n; i++, w += V * D::STEP * W) {
      typename D::Weights weights[V];
#pragma GCC unroll 2
      for (int v = 0; v < V; v++) weights[v] = D::weights(w + v * D::STEP * W);
      step(weights, lda);
    }
  }
};

/** What was split off the weights of a panel. */
template <class D, int R, int V>
SQ_INLINE void add_rests(VI (&sum)[R][V], const typename D::Activation* a, int64_t lda, const IntegerTile& tile) {
  for (int32_t i = 0; i < tile.rest_count; i++) {
    const typename D::Activation* x = a + tile.rest_at[i];
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) {
      const VI rest = bytes_widen(reinterpret_cast<const uint8_t*>(tile.rests[i].values) + v * W, W, true);
#pragma GCC unroll 12
      for (int r = 0; r < R; r++) sum[r][v] = D::rest(sum[r][v], rest, vi_set(x[r * lda]));
    }
  }
}

/** lda in activations, ldc in bytes. */
template <class D, int R, int V>
void integer_tile(const typename D::Activation* a, int64_t lda, const IntegerTile& tile, uint8_t* out, int64_t ldc) {
  IntegerSums<D, R, V> s(a, lda, tile);
  const uint8_t* w = tile.weights;
  if constexpr (!D::NARROW) {
    s.set(tile.offset);
    for (int64_t line = 0; line < tile.lines; line++, s.move(tile.line_skip))
      for (int64_t run = 0; run < tile.runs; run++, s.move(tile.run_skip)) s.dots(tile.steps, w, lda);
    if constexpr (IS_SPLIT<D>) add_rests<D, R, V>(s.sum, a, lda, tile);
    integer_store_rows(s.sum, tile, out, ldc);
  } else {
    // Narrow sums are drained into wide ones in memory before they could overflow.
    VI wide[R][V];
    for (int r = 0; r < R; r++)
      for (int v = 0; v < V; v++) wide[r][v] = vi_load(tile.offset + v * W);
    s.set(nullptr);
    const auto drain = [&]() SQ_INLINE_LAMBDA {
#pragma GCC unroll 12
      for (int r = 0; r < R; r++)
#pragma GCC unroll 2
        for (int v = 0; v < V; v++) wide[r][v] = vi_add(wide[r][v], D::widen(s.sum[r][v]));
      s.set(nullptr);
    };
    int64_t left = tile.drain;
    for (int64_t line = 0; line < tile.lines; line++, s.move(tile.line_skip))
      for (int64_t run = 0; run < tile.runs; run++, s.move(tile.run_skip))
        for (int64_t at = 0; at < tile.steps;) {
          const int64_t n = left < tile.steps - at ? left : tile.steps - at;
          s.dots(n, w, lda);
          at += n;
          left -= n;
          if (left > 0) continue;
          drain();
          left = tile.drain;
        }
    drain();
    integer_store_rows(wide, tile, out, ldc);
  }
}

}  // namespace
}  // namespace sq
