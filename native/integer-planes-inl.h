// Tiles that decode as they go. Of few rows: the bit planes of a panel are multiplied as memory delivers them, never written
// decoded. Of many: the first tile decodes for those below it. What tiles share is in integer-tile-inl.h.

namespace sq {
namespace {

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

/** Steps of a tile of two vectors per chunk. */
template <class D>
constexpr int STEPS_PER_CHUNK = CHUNK / (2 * W * D::STEP);

/** Few rows, one run: the planes of a full panel are decoded in registers and used at once, as memory delivers them. */
template <class D, int BITS, int R>
void planes_tile(const typename D::Activation* a, int64_t lda, const IntegerTile& tile, uint8_t* out, int64_t ldc) {
  constexpr bool STORED = TAKES_STORED<D> && BITS < 8;
  constexpr int V = 2, WEIGHTS = W * D::STEP, STEPS = STEPS_PER_CHUNK<D>, BYTES = LINE * BITS;
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

/** Whether the first tile of a panel decodes it for the others: beside that many dots, decoding costs next to nothing. */
template <class D>
constexpr bool DECODES_FIRST = WB == LINE && D::STEP == 4;

/** As integer_tile, of a full panel in planes: what it decodes is left in `decoded`. Runs are whole chunks, or there is one. */
template <class D, int BITS>
void decoding_tile(const typename D::Activation* a, int64_t lda, const IntegerTile& tile, uint8_t* decoded, uint8_t* out, int64_t ldc) {
  constexpr int V = 2, STEPS = STEPS_PER_CHUNK<D>;
  IntegerSums<D, ROWS, V> s(a, lda);
  s.set(tile.offset);
  const uint8_t* p = tile.weights;
  for (int64_t line = 0; line < tile.lines; line++, s.move(tile.line_skip))
    for (int64_t run = 0; run < tile.runs; run++, s.move(tile.run_skip)) {
      int64_t left = tile.steps;
      for (; left >= STEPS; left -= STEPS, p += LINE * BITS, decoded += CHUNK) {
#pragma GCC unroll 4
        for (int i = 0; i < STEPS; i++) {
          typename D::Weights weights[V];
#pragma GCC unroll 2
          for (int v = 0; v < V; v++) {
            weights[v] = D::from_bytes(planes_vector<BITS>(p, V * i + v));
            vb_store(decoded + (V * i + v) * WB, weights[v]);
          }
          s.step(weights, lda);
        }
      }
      if (left == 0) continue;
      decode_chunks<BITS>(p, 1, decoded);
      const uint8_t* w = decoded;
      s.dots(left, w, lda);
    }
  integer_store_rows(s.sum, tile, out, ldc);
}

}  // namespace
}  // namespace sq
