// Tiles that decode as they go. Of few rows: a panel is multiplied as memory delivers it, never written decoded. Of many:
// the first tile decodes for those below it. What tiles share is in integer-tile-inl.h.

namespace sq {
namespace {

/** Dots that also multiply unsigned weights by signed activations: they take values as they are stored. */
template <class D>
constexpr bool TAKES_STORED = requires { D::stored_dot(VI{}, VB{}, VB{}); };

/**
 * Pieces can be multiplied where they lie in their bytes, without a shift: for every distance from there to their place
 * in the values there are sums of their own, 2^distance times too large. A mask and a dot per piece instead of decoding,
 * where there are registers enough.
 */
template <class D, int BITS, int R>
constexpr bool IN_PLACE = BITS < 8 && requires { D::without_low(VI{}, 0); } &&
                          (8 % BITS == 0 ? R * 2 * (8 / BITS) <= (WB == LINE ? 32 : 8) : R == 1 && WB == LINE);

/** Sums of the pieces of a panel's chunks, for V vectors of columns and R rows. */
template <class D, int BITS, int R, int V>
struct PieceSums {
  static constexpr int PER_LINE = LINE / WB, STEPS = VECTORS_PER_CHUNK / V, WHOLE = 8 / BITS;
  /** Copies hide the latency of dots where one distance has most of them: in turns, step by step or as distances come again. */
  static constexpr int COPIES = R == 1 && WB == LINE ? 2 : 1, TURN = WHOLE * PER_LINE > V ? WHOLE * PER_LINE / V : 1;
  VI sum[COPIES][8][R][V];
  VB line[PER_LINE];

  static constexpr int distance_of(int value_line, int n) { return PIECES<BITS>.piece[value_line][n].at - PIECES<BITS>.piece[value_line][n].to; }

  /** Whether column vector v has pieces at this distance in a step of this copy. */
  static constexpr bool has(int copy, int distance, int v) {
    for (int step = 0; step < STEPS; step++)
      for (int n = 0; n < PIECES<BITS>.count[(V * step + v) / PER_LINE]; n++)
        if (step / TURN % COPIES == copy && distance_of((V * step + v) / PER_LINE, n) == distance) return true;
    return false;
  }

  template <class Use>
  SQ_INLINE static void each(Use use) {
#pragma GCC unroll 2
    for (int copy = 0; copy < COPIES; copy++)
#pragma GCC unroll 8
      for (int distance = 0; distance < 8; distance++)
#pragma GCC unroll 2
        for (int v = 0; v < V; v++)
          if (has(copy, distance, v))
#pragma GCC unroll 4
            for (int r = 0; r < R; r++) use(copy, distance, r, v);
  }

  SQ_INLINE void clear() {
    each([&](int copy, int distance, int r, int v) SQ_INLINE_LAMBDA { sum[copy][distance][r][v] = vi_set(0); });
  }

  /** The pieces of step `step` of the chunk at p. A line of whole values is loaded once for all of them. */
  SQ_INLINE void mask(const uint8_t* p, int step, VB (&field)[V][MOST_PIECES]) {
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) {
      const int vector = V * step + v, value_line = vector / PER_LINE, part = vector % PER_LINE;
#pragma GCC unroll 7
      for (int n = 0; n < MOST_PIECES; n++) {
        if (n >= PIECES<BITS>.count[value_line]) continue;
        const Piece piece = PIECES<BITS>.piece[value_line][n];
        VB bytes = line[part];
        if (value_line % WHOLE == 0 || value_line >= WHOLE * BITS) bytes = D::held(vb_load(p + piece.line * LINE + part * WB));
        line[part] = bytes;
        field[v][n] = vb_and(bytes, vb_set(static_cast<uint8_t>(mask_of(piece.at, piece.width))));
      }
    }
  }

  /** Of the same step, whose activations x has. */
  SQ_INLINE void dots(int step, const VB (&field)[V][MOST_PIECES], const VI (&x)[R]) {
#pragma GCC unroll 7
    for (int n = 0; n < MOST_PIECES; n++)
#pragma GCC unroll 2
      for (int v = 0; v < V; v++) {
        const int value_line = (V * step + v) / PER_LINE;
        if (n >= PIECES<BITS>.count[value_line]) continue;
        const Piece piece = PIECES<BITS>.piece[value_line][n];
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) {
          VI& to = sum[step / TURN % COPIES][piece.at - piece.to][r][v];
          to = D::stored_dot(to, field[v][n], x[r]);
        }
      }
  }

  SQ_INLINE void add_to(VI (&wide)[R][V]) const {
    each([&](int copy, int distance, int r, int v) SQ_INLINE_LAMBDA {
      wide[r][v] = vi_add(wide[r][v], D::without_low(sum[copy][distance][r][v], distance));
    });
  }
};

/** As fields_tile: whole chunks of a panel into `wide`; p and a go on behind them, `left` steps remain. */
template <class D, int BITS, int R, int V>
SQ_INLINE void dots_in_place(const uint8_t*& p, const typename D::Activation*& a, int64_t lda, int64_t& left, VI (&wide)[R][V]) {
  using Sums = PieceSums<D, BITS, R, V>;
  /** Steps whose masks come before all of their dots. */
  constexpr int TOGETHER = R == 1 && BITS <= 4 && WB == LINE ? 2 : 1;
  Sums sums;
  sums.clear();
  // Pieces are at most 255: no depth that int32 holds with weights of 8 bits is too deep for their sums.
  for (; left >= Sums::STEPS; left -= Sums::STEPS, p += LINE * BITS, a += Sums::STEPS * D::STEP) {
#pragma GCC unroll 8
    for (int i = 0; i < Sums::STEPS; i += TOGETHER) {
      VB field[TOGETHER][V][MOST_PIECES];
#pragma GCC unroll 2
      for (int j = 0; j < TOGETHER; j++) sums.mask(p, i + j, field[j]);
      // In pairs, so that the first pieces of all these steps are ready before a dot has one.
      for (int j = 0; j < TOGETHER; j++) D::together(field[0][0][0], field[j][V - 1][0]);
      if (TOGETHER == 2) D::together(field[0][V - 1][0], field[1][0][0]);
#pragma GCC unroll 2
      for (int j = 0; j < TOGETHER; j++) {
        VI rows[R];
#pragma GCC unroll 4
        for (int r = 0; r < R; r++) rows[r] = D::activations(a + r * lda + (i + j) * D::STEP);
        sums.dots(i + j, field[j], rows);
      }
    }
  }
  sums.add_to(wide);
}

/** Steps of a tile of two vectors per chunk. */
template <class D>
constexpr int STEPS_PER_CHUNK = CHUNK / (2 * W * D::STEP);

/**
 * Few rows, one run: a full panel is decoded in registers and used at once, as memory delivers it. Nothing is fetched
 * ahead: the processor follows one stream better by itself.
 */
template <class D, int BITS, int R>
void fields_tile(const typename D::Activation* a, int64_t lda, const IntegerTile& tile, uint8_t* out, int64_t ldc) {
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
    const auto each = [&](auto use) SQ_INLINE_LAMBDA {
#pragma GCC unroll 2
      for (int u = 0; u < U; u++)
#pragma GCC unroll 4
        for (int r = 0; r < R; r++)
#pragma GCC unroll 2
          for (int v = 0; v < V; v++) use(sum[u][r][v], wide[r][v]);
    };
    const auto drain = [&]() SQ_INLINE_LAMBDA {
      each([](VI& some, VI& all) SQ_INLINE_LAMBDA {
        all = vi_add(all, D::widen(some));
        some = vi_set(0);
      });
    };
    const auto weights = [&](int i) SQ_INLINE_LAMBDA {
      if constexpr (BITS == 8)
        return D::weights(p + i * WEIGHTS);
      else if constexpr (STORED)
        return fields_stored<BITS>(p, i);
      else
        return D::from_bytes(fields_vector<BITS>(p, i));
    };
    each([](VI& some, VI&) SQ_INLINE_LAMBDA { some = vi_set(0); });
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
  // The last, partial chunk. Below 8 bits chunks are whole, bytes (8 bits) end where the panel ends.
  uint8_t chunk[CHUNK];
  if (left > 0 && BITS < 8)
    for (int i = 0; i < VECTORS_PER_CHUNK; i++)
      vb_store(chunk + i * WB, STORED ? fields_stored<BITS>(p, i) : fields_vector<BITS>(p, i));
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

/** As integer_tile, of a full panel: what it decodes is left in `decoded`. Runs are whole chunks, or there is one. */
template <class D, int BITS>
void decoding_tile(const typename D::Activation* a, int64_t lda, const IntegerTile& tile, uint8_t* decoded, uint8_t* out, int64_t ldc) {
  constexpr int V = 2, STEPS = STEPS_PER_CHUNK<D>;
  IntegerSums<D, ROWS, V> s(a, lda, tile);
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
            weights[v] = D::from_bytes(fields_vector<BITS>(p, V * i + v));
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
