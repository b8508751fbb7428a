// Tiles for instructions that multiply two rows by two columns, eight deep. What a tile is given, which panels it reads
// and where its sums go are those of integer-tile-inl.h; a sum holds two columns of one row, then of the next.

namespace sq {
namespace {

/** Dots of D that also have first_row and second_row take rows in pairs. */
template <class D>
constexpr bool IN_PAIRS = requires { D::first_row(VI{}, VI{}); };

/** R rows (the last of an odd number is its own partner) times V vectors of columns. */
template <class D, int R, int V>
struct PairSums {
  using Activation = typename D::Activation;
  static constexpr int PAIRS = (R + 1) / 2, BLOCKS = V * W / 2;
  static constexpr int POINTERS = (R + ROWS_PER_POINTER - 1) / ROWS_PER_POINTER;

  VI sum[PAIRS][BLOCKS];
  const Activation* base[POINTERS];
  int64_t lda;

  SQ_INLINE PairSums(const Activation* a, int64_t lda) : lda(lda) {
#pragma GCC unroll 4
    for (int i = 0; i < POINTERS; i++) base[i] = a + ROWS_PER_POINTER * i * lda;
#pragma GCC unroll 6
    for (int i = 0; i < PAIRS; i++)
#pragma GCC unroll 4
      for (int j = 0; j < BLOCKS; j++) sum[i][j] = vi_set(0);
  }

  SQ_INLINE const Activation* row(int r) const {
    r = r < R ? r : R - 1;
    return base[r / ROWS_PER_POINTER] + (r % ROWS_PER_POINTER) * lda;
  }

  SQ_INLINE void move(int64_t by) {
#pragma GCC unroll 4
    for (int i = 0; i < POINTERS; i++) base[i] += by;
  }

  /** The dots of one step, `at` activations from the current place. */
  SQ_INLINE void step(const typename D::Weights* weights, int64_t at) {
#pragma GCC unroll 6
    for (int i = 0; i < PAIRS; i++) {
      const auto x = D::activations(row(2 * i) + at, row(2 * i + 1) + at);
#pragma GCC unroll 4
      for (int j = 0; j < BLOCKS; j++) sum[i][j] = D::dot(sum[i][j], weights[j], x);
    }
  }

  SQ_INLINE void store(const IntegerTile& tile, uint8_t* out, int64_t ldc) const {
    VI rows[R][V];
#pragma GCC unroll 6
    for (int i = 0; i < PAIRS; i++)
#pragma GCC unroll 2
      for (int v = 0; v < V; v++) {
        const VI offset = vi_load(tile.offset + v * W);
        rows[2 * i][v] = vi_add(offset, D::first_row(sum[i][2 * v], sum[i][2 * v + 1]));
        if (2 * i + 1 < R) rows[2 * i + 1][v] = vi_add(offset, D::second_row(sum[i][2 * v], sum[i][2 * v + 1]));
      }
    integer_store_rows(rows, tile, out, ldc);
  }
};

/** As integer_tile. */
template <class D, int R, int V>
void paired_tile(const typename D::Activation* a, int64_t lda, const IntegerTile& tile, uint8_t* out, int64_t ldc) {
  using Sums = PairSums<D, R, V>;
  Sums s(a, lda);
  const uint8_t* w = tile.weights;
  for (int64_t line = 0; line < tile.lines; line++, s.move(tile.line_skip))
    for (int64_t run = 0; run < tile.runs; run++, s.move(tile.run_skip))
      for (int64_t i = 0; i < tile.steps; i++, w += Sums::BLOCKS * WB, s.move(D::STEP)) {
        typename D::Weights weights[Sums::BLOCKS];
#pragma GCC unroll 4
        for (int j = 0; j < Sums::BLOCKS; j++) weights[j] = D::weights(w + j * WB);
        s.step(weights, 0);
      }
  s.store(tile, out, ldc);
}

/** As fields_tile. */
template <class D, int BITS, int R>
void paired_fields_tile(const typename D::Activation* a, int64_t lda, const IntegerTile& tile, uint8_t* out, int64_t ldc) {
  using Sums = PairSums<D, R, 2>;
  constexpr int BLOCKS = Sums::BLOCKS, STEPS = VECTORS_PER_CHUNK / BLOCKS, BYTES = LINE * BITS;
  constexpr int CHUNKS_AHEAD = 8;  // chunks
  // Two sets of sums: one pair of rows alone has too few to hide the latency of a dot.
  Sums even(a, lda), odd(a, lda);
  const uint8_t* p = tile.weights;
  int64_t left = tile.steps;
  for (; left >= STEPS; left -= STEPS, p += BYTES, even.move(STEPS * D::STEP), odd.move(STEPS * D::STEP)) {
#pragma GCC unroll 8
    for (int i = 0; i < BITS; i++) prefetch(p + CHUNKS_AHEAD * BYTES + i * LINE);
#pragma GCC unroll 8
    for (int i = 0; i < STEPS; i++) {
      typename D::Weights weights[BLOCKS];
#pragma GCC unroll 4
      for (int j = 0; j < BLOCKS; j++) weights[j] = D::from_bytes(fields_vector<BITS>(p, i * BLOCKS + j));
      (i % 2 ? odd : even).step(weights, i * D::STEP);
    }
  }
  uint8_t chunk[CHUNK];
  if (BITS < 8 && left > 0) decode_chunks<BITS>(p, 1, chunk);
  const uint8_t* w = BITS < 8 ? chunk : p;
  for (; left > 0; left--, w += BLOCKS * WB, even.move(D::STEP)) {
    typename D::Weights weights[BLOCKS];
#pragma GCC unroll 4
    for (int j = 0; j < BLOCKS; j++) weights[j] = D::weights(w + j * WB);
    even.step(weights, 0);
  }
#pragma GCC unroll 6
  for (int i = 0; i < Sums::PAIRS; i++)
#pragma GCC unroll 4
    for (int j = 0; j < BLOCKS; j++) even.sum[i][j] = vi_add(even.sum[i][j], odd.sum[i][j]);
  even.store(tile, out, ldc);
}

/** Depthwise convolutions have no second column for a row: the dot that takes columns one by one. */
template <class D>
struct ColumnsOf {
  using Dot = D;
};
template <class D>
  requires IN_PAIRS<D>
struct ColumnsOf<D> {
  using Dot = typename D::Columns;
};

}  // namespace
}  // namespace sq
