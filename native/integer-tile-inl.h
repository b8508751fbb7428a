// Tiles of integer products: R rows times V vectors of columns, sums in registers, one epilogue.

namespace sq {
namespace {

/** Dots with a second kind, which is faster and exact wherever weights can be split; see integer-split-inl.h. */
template <class D>
constexpr bool HAS_SPLIT = requires { typename D::Split; };
/** That second kind. */
template <class D>
constexpr bool IS_SPLIT = requires(VI x) { D::rest(x, x, x); };

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
  tile.shrinks = true;
  for (int j = 0; j < padded; j++) {
    const bool real = j < columns;
    int32_t sum;
    memcpy(&sum, sums + 4 * j, 4);
    const uint32_t bias = real && out.bias ? static_cast<uint32_t>(out.bias[n + j]) : 0;
    tile.offset[j] = static_cast<int32_t>(bias - zero * static_cast<uint32_t>(sum));
    const float multiplier = real && out.multipliers ? out.multipliers[n + j] : 0;
    tile.multipliers[j] = multiplier;
    tile.shrinks &= multiplier > -1 && multiplier < 1;
  }
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

/** The sums of a tile to their places, ldc bytes from row to row. */
template <int R, int V>
SQ_INLINE void integer_store_rows(const VI (&sum)[R][V], const IntegerTile& tile, uint8_t* out, int64_t ldc) {
  constexpr int TOGETHER = 4 / V;  // rows that fill a vector of bytes
  if (tile.kind != Output::BYTES || R < TOGETHER) {
#pragma GCC unroll 12
    for (int r = 0; r < R; r++) integer_store<V>(sum[r], tile, out + r * ldc);
    return;
  }
  const Rounding rounding(tile);
  // Where columns are missing, rows go by memory: a call between them would send the sums that are left there too.
  uint8_t some[R * V * W];
  const bool whole = tile.columns == V * W;
  uint8_t* const to = whole ? out : some;
  const int64_t step = whole ? ldc : V * W;
  const VF first = vf_load(tile.multipliers), last = vf_load(tile.multipliers + (V - 1) * W);
#pragma GCC unroll 6
  for (int i = 0; i < R; i += TOGETHER) {
    const int r = i + TOGETHER <= R ? i : R - TOGETHER;  // the last ones again rather than fewer
    const VI* four = sum[r];
    const VB bytes = rounding.bytes(vf_mul(vi_float(four[0]), first), vf_mul(vi_float(four[1]), last),
                                    vf_mul(vi_float(four[2]), first), vf_mul(vi_float(four[3]), last));
#pragma GCC unroll 4
    for (int j = 0; j < TOGETHER; j++)
      if (V == 2)
        vb_store_half(to + (r + j) * step, bytes, j);
      else
        vb_store_quarter(to + (r + j) * step, bytes, j);
  }
  if (!whole) store_columns(some, V * W, R, tile.columns, out, ldc);
}

/** Three rows per pointer: base, base + lda, base + 2 * lda are addresses of one instruction. */
constexpr int ROWS_PER_POINTER = 3;

template <class D, int R, int V>
struct IntegerSums {
  using Activation = typename D::Activation;
  static constexpr int POINTERS = (R + ROWS_PER_POINTER - 1) / ROWS_PER_POINTER;

  VI sum[R][V];
  const Activation* row[POINTERS];

  SQ_INLINE IntegerSums(const Activation* a, int64_t lda) {
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

  SQ_INLINE void dots(int64_t n, const uint8_t*& w, int64_t lda) {
    for (int64_t i = 0; i < n; i++, w += V * D::STEP * W) {
      typename D::Weights weights[V];
#pragma GCC unroll 2
      for (int v = 0; v < V; v++) weights[v] = D::weights(w + v * D::STEP * W);
#pragma GCC unroll 12
      for (int r = 0; r < R; r++) {
        const auto x = D::activations(row[r / ROWS_PER_POINTER] + (r % ROWS_PER_POINTER) * lda);
#pragma GCC unroll 2
        for (int v = 0; v < V; v++) sum[r][v] = D::dot(sum[r][v], weights[v], x);
      }
      move(D::STEP);
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
  IntegerSums<D, R, V> s(a, lda);
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

/** Dots that also multiply unsigned weights by signed activations: they take planes as they are stored. */
template <class D>
constexpr bool TAKES_STORED = requires { D::stored_dot(VI{}, VB{}, VB{}); };

/**
 * Fields of planes can be multiplied where they lie in their bytes, without a shift: every place of a field has sums of
 * its own, 2^(width * place) times too large. One dot per plane instead of decoding: for all widths with one plane, and
 * for one row where there are registers enough.
 */
template <class D, int BITS, int R>
constexpr bool IN_PLACE = BITS < 8 && requires { D::without_low(VI{}, 0); } &&
                          (BITS == 2 || BITS == 4 ? R * 2 * (8 / BITS) <= (WB == LINE ? 32 : 8) : R == 1 && WB == LINE);

/** Sums of one plane of a chunk, for V vectors of columns and R rows; SHIFT is where its bits belong in a value. */
template <class D, int WIDTH, int SHIFT, int COPIES, int R, int V>
struct PlaneSums {
  static constexpr int PARTS = 8 / WIDTH, PER_LINE = LINE / WB;
  /** A step goes through V vectors: so many places apart. */
  static constexpr int PER_STEP = V / PER_LINE, PLACES = PARTS / PER_STEP;
  VI sum[COPIES][PLACES][R][V];
  VB line[PER_LINE];

  template <class Use>
  SQ_INLINE static void each(Use use) {
#pragma GCC unroll 4
    for (int c = 0; c < COPIES; c++)
#pragma GCC unroll 8
      for (int i = 0; i < PLACES; i++)
#pragma GCC unroll 4
        for (int r = 0; r < R; r++)
#pragma GCC unroll 2
          for (int v = 0; v < V; v++) use(c, i, r, v);
  }

  SQ_INLINE void clear() {
    each([&](int c, int i, int r, int v) SQ_INLINE_LAMBDA { sum[c][i][r][v] = vi_set(0); });
  }

  static constexpr int place_of(int vector) { return vector / PER_LINE % PARTS; }

  /** Step `step` of a chunk, which x(r) has the activations of. A line is loaded once for all its fields. */
  template <class X>
  SQ_INLINE void dots(const uint8_t* plane, int step, X x) {
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) {
      const int vector = V * step + v, place = place_of(vector);
      VB& bytes = line[vector % PER_LINE];
      if (place == 0) bytes = D::held(vb_load(plane + vector / PER_LINE / PARTS * LINE + vector % PER_LINE * WB));
      const VB field = vb_and(bytes, vb_set(static_cast<uint8_t>(((1 << WIDTH) - 1) << (WIDTH * place))));
#pragma GCC unroll 4
      for (int r = 0; r < R; r++) {
        VI& to = sum[step / PLACES % COPIES][place / PER_STEP][r][v];
        to = D::stored_dot(to, field, x(r));
      }
    }
  }

  SQ_INLINE void add_to(VI (&wide)[R][V]) const {
    each([&](int c, int i, int r, int v) SQ_INLINE_LAMBDA {
      const int place = i * PER_STEP + v / PER_LINE;
      wide[r][v] = vi_add(wide[r][v], D::without_low(sum[c][i][r][v], WIDTH * place - SHIFT));
    });
  }
};

/** As planes_tile: whole chunks of a panel into `wide`; p and a go on behind them, `left` steps remain. No prefetching: the
 * processor follows one stream better by itself. */
template <class D, int BITS, int R, int V>
SQ_INLINE void dots_in_place(const uint8_t*& p, const typename D::Activation*& a, int64_t lda, int64_t& left, VI (&wide)[R][V]) {
  constexpr bool FOUR = BITS & 4, TWO = BITS & 2, ONE = BITS & 1, ALONE = BITS == 4 || BITS == 2;
  constexpr int STEPS = VECTORS_PER_CHUNK / V, BYTES = LINE * BITS;
  // Copies hide the latency of dots: a plane alone has few sums.
  PlaneSums<D, 4, 0, FOUR && R == 1 ? ALONE && WB == LINE ? 4 : 2 : 1, FOUR ? R : 1, V> fours;
  PlaneSums<D, 2, FOUR ? 4 : 0, TWO && R == 1 && ALONE && WB == LINE ? 2 : 1, TWO ? R : 1, V> twos;
  PlaneSums<D, 1, (FOUR ? 4 : 0) + (TWO ? 2 : 0), 1, ONE ? R : 1, V> ones;
  constexpr int TWOS_AT = FOUR ? CHUNK / 2 : 0, ONES_AT = TWOS_AT + (TWO ? CHUNK / 4 : 0);
  if constexpr (FOUR) fours.clear();
  if constexpr (TWO) twos.clear();
  if constexpr (ONE) ones.clear();
  // Fields are at most 240: no depth that int32 holds with weights of 8 bits is too deep for their sums.
  for (; left >= STEPS; left -= STEPS, p += BYTES, a += STEPS * D::STEP) {
#pragma GCC unroll 8
    for (int i = 0; i < STEPS; i++) {
      VI rows[R];
#pragma GCC unroll 4
      for (int r = 0; r < R; r++) rows[r] = D::activations(a + r * lda + i * D::STEP);
      const auto x = [&](int r) SQ_INLINE_LAMBDA { return rows[r]; };
      if constexpr (FOUR) fours.dots(p, i, x);
      if constexpr (TWO) twos.dots(p + TWOS_AT, i, x);
      if constexpr (ONE) ones.dots(p + ONES_AT, i, x);
    }
  }
  if constexpr (FOUR) fours.add_to(wide);
  if constexpr (TWO) twos.add_to(wide);
  if constexpr (ONE) ones.add_to(wide);
}

/** Few rows, one run: the planes of a full panel are decoded in registers and used at once, as memory delivers them. */
template <class D, int BITS, int R>
void planes_tile(const typename D::Activation* a, int64_t lda, const IntegerTile& tile, uint8_t* out, int64_t ldc) {
  constexpr bool STORED = TAKES_STORED<D> && BITS < 8;
  constexpr int V = 2, WEIGHTS = W * D::STEP, STEPS = CHUNK / (V * WEIGHTS), BYTES = LINE * BITS;
  static_assert(D::STEP == 4 || BITS == 8, "a vector of bytes holds four weights of each column");
  VI wide[R][V];
#pragma GCC unroll 4
  for (int r = 0; r < R; r++)
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) wide[r][v] = vi_add(vi_load(tile.offset + v * W), vi_set(tile.row_offset[r]));
  const uint8_t* p = tile.weights;
  [[maybe_unused]] const auto* const rows = a;
  int64_t left = tile.steps;
  const auto dot = [](VI to, auto w, auto x) SQ_INLINE_LAMBDA {
    if constexpr (STORED)
      return D::stored_dot(to, w, x);
    else
      return D::dot(to, w, x);
  };
  if constexpr (IN_PLACE<D, BITS, R>) {
    dots_in_place<D, BITS>(p, a, lda, left, wide);
  } else {
    // One row has too few sums to hide the latency of a wide dot: even and odd steps sum apart.
    constexpr int U = R == 1 && !D::NARROW ? 2 : 1, DRAIN = D::NARROW ? 1 << (7 - BITS) : STEPS;
    constexpr int CHUNKS_AHEAD = 8;  // chunks; what a core has under way towards the third cache
    VI sum[U][R][V];
    const auto clear = [&]() SQ_INLINE_LAMBDA {
#pragma GCC unroll 2
      for (int u = 0; u < U; u++)
#pragma GCC unroll 4
        for (int r = 0; r < R; r++)
#pragma GCC unroll 2
          for (int v = 0; v < V; v++) sum[u][r][v] = vi_set(0);
    };
    const auto drain = [&]() SQ_INLINE_LAMBDA {
#pragma GCC unroll 2
      for (int u = 0; u < U; u++)
#pragma GCC unroll 4
        for (int r = 0; r < R; r++)
#pragma GCC unroll 2
          for (int v = 0; v < V; v++) wide[r][v] = vi_add(wide[r][v], D::widen(sum[u][r][v]));
      clear();
    };
    const auto weights = [&](int i) SQ_INLINE_LAMBDA {
      if constexpr (BITS == 8)
        return D::weights(p + i * WEIGHTS);
      else if constexpr (STORED)
        return planes_stored<BITS>(p, i);
      else
        return D::from_bytes(planes_vector<BITS>(p, i));
    };
    clear();
    int held = 0;
    for (; left >= STEPS; left -= STEPS, p += BYTES, a += STEPS * D::STEP) {
#pragma GCC unroll 8
      for (int i = 0; i < BITS; i++) prefetch(p + CHUNKS_AHEAD * BYTES + i * LINE);
#pragma GCC unroll 32
      for (int i = 0; i < STEPS; i++) {
        const auto w0 = weights(V * i), w1 = weights(V * i + 1);
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
          const auto x = D::activations(a + r * lda + i * D::STEP);
          VI* to = sum[i % U][r];
          to[0] = dot(to[0], w0, x);
          to[1] = dot(to[1], w1, x);
        }
        if (D::NARROW && DRAIN < STEPS && (i + 1) % DRAIN == 0) drain();
      }
      if (D::NARROW && DRAIN >= STEPS && ++held * STEPS >= DRAIN) {
        drain();
        held = 0;
      }
    }
    drain();
  }
  // The last, partial chunk. Planes are whole chunks, bytes (8 bits) end where the panel ends.
  uint8_t chunk[CHUNK];
  if (left > 0 && BITS < 8)
    for (int i = 0; i < VECTORS_PER_CHUNK; i++)
      vb_store(chunk + i * WB, STORED ? planes_stored<BITS>(p, i) : planes_vector<BITS>(p, i));
  const uint8_t* w = BITS < 8 ? chunk : p;
  const auto from = [](const uint8_t* at) SQ_INLINE_LAMBDA {
    if constexpr (STORED)
      return vb_load(at);
    else
      return D::weights(at);
  };
  for (; left > 0; left--, a += D::STEP, w += V * WEIGHTS)
    for (int v = 0; v < V; v++) {
      const auto some = from(w + v * WEIGHTS);
      for (int r = 0; r < R; r++)
        wide[r][v] = vi_add(wide[r][v], D::widen(dot(vi_set(0), some, D::activations(a + r * lda))));
    }
  if constexpr (IS_SPLIT<D>) add_rests<D, R, V>(wide, rows, lda, tile);
  integer_store_rows(wide, tile, out, ldc);
}

}  // namespace
}  // namespace sq
