// Integer GEMM and convolution. Weights lie in panels [depth / STEP][NR or W][STEP], packed below 8 bits, their column
// sums before them. A panel is decoded once per task and used for all its rows; few rows decode as they go.

namespace sq {
namespace {

/** Column sums of a panel: what zero points and carriers add is taken away with them. */
constexpr int64_t HEADER = NR * 4;

/** Where one weights shape lies in its packed bytes, for the dots D. */
template <class D>
struct Layout {
  int64_t depth, columns, panels, full_panel, group;

  explicit Layout(const WeightsShape& s) : depth(depth_of(s, D::STEP)), columns(s.out_channels / s.groups) {
    panels = panel_count(columns);
    full_panel = panel(2, s.bits);
    group = panels == 0 ? 0 : (panels - 1) * full_panel + panel(panel_at(panels - 1, columns).vectors, s.bits);
  }
  /** Column sums, weights, and what was split off them. */
  int64_t panel(int vectors, int32_t bits) const {
    return HEADER + fields_size(depth * vectors * W, bits) + (IS_SPLIT<D> ? rests_size(depth) : 0);
  }
};

int64_t weights_size(const WeightsShape& s) {
  if (is_depthwise(s)) return depthwise_size(s);
  return with_dot(s.bits, [&](auto dot) -> int64_t {
    using D = decltype(dot);
    const int64_t size = Layout<D>(s).group * s.groups;
    if constexpr (HAS_SPLIT<D>) {
      const int64_t split = Layout<typename D::Split>(s).group * s.groups;
      return SPLIT_PREFIX + (split > size ? split : size);
    } else {
      return size;
    }
  });
}

/** n values of a panel from value `at` on: steps of the depth, of each the columns, of each STEP values; zeros beyond. */
template <int STEP>
inline void panel_values(const int8_t* first, int64_t k, const Panel& panel, int64_t at, int64_t n, int8_t* to) {
  const int64_t width = int64_t(panel.vectors) * W;
  int64_t row = at / (width * STEP) * STEP, column = at / STEP % width;
  for (int64_t i = 0; i < n; i += STEP) {
    if (column < panel.columns && row + STEP <= k)
      memcpy(to + i, first + column * k + row, STEP);
    else
      for (int64_t s = 0; s < STEP; s++) to[i + s] = column < panel.columns && row + s < k ? first[column * k + row + s] : 0;
    if (++column < width) continue;
    column = 0;
    row += STEP;
  }
}

/** Sums of the columns of a panel. */
inline void panel_sums(const int8_t* first, int64_t k, const Panel& panel, uint8_t* sums) {
  for (int j = 0; j < NR; j++) {
    int32_t sum = 0;
    if (j < panel.columns)
      for (int64_t i = 0; i < k; i++) sum += first[j * k + i];
    memcpy(sums + 4 * j, &sum, 4);
  }
}

/** False where the weights cannot be split as D needs them. */
template <class D>
bool pack_panels(const int8_t* q, const WeightsShape& s, uint8_t* packed) {
  const Layout<D> layout(s);
  const int64_t k = int64_t(s.taps) * s.channels;
  for (int64_t g = 0; g < s.groups; g++, q += layout.columns * k)
    for (int64_t index = 0; index < layout.panels; index++) {
      const Panel panel = panel_at(index, layout.columns);
      const int64_t width = int64_t(panel.vectors) * W;
      const int8_t* first = q + panel.first * k;
      panel_sums(first, k, panel, packed);
      const auto some = [&](int64_t at, int64_t n, int8_t* to) { panel_values<D::STEP>(first, k, panel, at, n, to); };
      fields_encode(some, layout.depth * width, s.bits, packed + HEADER);
      if constexpr (IS_SPLIT<D>) {
        auto* weights = reinterpret_cast<int8_t*>(packed + HEADER);
        if (!split_panel<D::STEP>(weights, layout.depth, width, packed + HEADER + layout.depth * width)) return false;
      }
      packed += layout.panel(panel.vectors, s.bits);
    }
  return true;
}

void pack_weights(const int8_t* q, const WeightsShape& s, uint8_t* packed) {
  if (is_depthwise(s)) return pack_depthwise(q, s, packed);
  with_dot(s.bits, [&](auto dot) {
    using D = decltype(dot);
    if constexpr (HAS_SPLIT<D>) {
      memset(packed, 0, SPLIT_PREFIX);
      packed[0] = pack_panels<typename D::Split>(q, s, packed + SPLIT_PREFIX);
      if (!is_split(packed)) pack_panels<D>(q, s, packed + SPLIT_PREFIX);
    } else {
      pack_panels<D>(q, s, packed);
    }
  });
}

template <class D>
using IntegerTileCall = void (*)(const typename D::Activation*, int64_t, const IntegerTile&, uint8_t*, int64_t);

template <class D, int V, int R = ROWS>
inline IntegerTileCall<D> integer_tile_of(int rows) {
  if constexpr (R > 1)
    if (rows != R) return integer_tile_of<D, V, R - 1>(rows);
  if constexpr (IN_PAIRS<D>)
    return paired_tile<D, R, V>;
  else
    return integer_tile<D, R, V>;
}

template <class D, int BITS, int R = FEW_ROWS>
inline IntegerTileCall<D> fields_tile_of(int rows) {
  if constexpr (R > 1)
    if (rows != R) return fields_tile_of<D, BITS, R - 1>(rows);
  if constexpr (IN_PAIRS<D>)
    return paired_fields_tile<D, BITS, R>;
  else
    return fields_tile<D, BITS, R>;
}

/** The tile that decodes as it goes; null where the panel is better decoded first, or needs no decoding. */
template <class D>
inline IntegerTileCall<D> fields_tile_of(int32_t bits, int rows) {
  if constexpr ((D::STEP == 4 && !IS_SPLIT<D>) || IN_PAIRS<D>) {
    switch (bits) {
      case 2: return fields_tile_of<D, 2>(rows);
      case 3: return fields_tile_of<D, 3>(rows);
      case 4: return fields_tile_of<D, 4>(rows);
      case 5: return fields_tile_of<D, 5>(rows);
      case 6: return fields_tile_of<D, 6>(rows);
      case 7: return fields_tile_of<D, 7>(rows);
      default: break;
    }
  }
  if constexpr (D::NARROW)
    return nullptr;
  else
    return bits == 8 ? fields_tile_of<D, 8>(rows) : nullptr;
}

template <class D>
using DecodingTileCall = void (*)(const typename D::Activation*, int64_t, const IntegerTile&, uint8_t*, uint8_t*, int64_t);

/** The first tile of a full panel below 8 bits; null where the panel is better decoded before. */
template <class D>
inline DecodingTileCall<D> decoding_tile_of([[maybe_unused]] int32_t bits) {
  if constexpr (DECODES_FIRST<D>) {
    switch (bits) {
      case 2: return decoding_tile<D, 2>;
      case 3: return decoding_tile<D, 3>;
      case 4: return decoding_tile<D, 4>;
      case 5: return decoding_tile<D, 5>;
      case 6: return decoding_tile<D, 6>;
      case 7: return decoding_tile<D, 7>;
      default: break;
    }
  }
  return nullptr;
}

/** Few rows, for the tiles that decode as they go. */
template <class A>
struct FewRows {
  const A* a;
  int64_t lda;
  uint32_t zero;
};

/**
 * Where dots take weights as they are stored, rows become signed bytes in `memory`, and what the weights' own offset of
 * 2^(bits-1) adds to their sums goes to the tile.
 */
template <class D, class A>
inline FewRows<A> few_rows(const Rows<A>& rows, int64_t depth, int32_t bits, uint32_t zero, uint8_t* memory, IntegerTile& tile) {
  for (int r = 0; r < FEW_ROWS; r++) tile.row_offset[r] = 0;
  if constexpr (TAKES_STORED<D>) {
    if (bits < 8) {
      for (int64_t r = 0; r < rows.positions; r++) {
        uint8_t* to = memory + r * depth;
        carry_bytes(rows.a + r * rows.lda, depth, 0x80, to);
        int32_t sum = 0;
        for (int64_t i = 0; i < depth; i++) sum += static_cast<int8_t>(to[i]);
        tile.row_offset[r] = static_cast<int32_t>(0u - (static_cast<uint32_t>(sum) << (bits - 1)));
      }
      return {memory, depth, zero - 128};
    }
  }
  return {rows.a, rows.lda, zero};
}

/** The rests of a panel, and where their activations lie in a row of the tile. */
inline void set_rests(IntegerTile& tile, const uint8_t* list, int step, uint8_t* memory) {
  tile.rests = rests_of(list);
  tile.rest_count = rest_count(list);
  auto* at = reinterpret_cast<int64_t*>(memory);
  const int64_t run = tile.steps * step, line = run * tile.runs;
  for (int32_t i = 0; i < tile.rest_count; i++) {
    const int64_t k = position_of(tile.rests[i]);
    at[i] = k + k / run * tile.run_skip + k / line * tile.line_skip;
  }
  tile.rest_at = at;
}

template <class D>
void integer_task(const void* context, int64_t task, int thread) {
  using A = typename D::Activation;
  const IntegerJob& job = *static_cast<const IntegerJob*>(context);
  const WeightsShape& weights = job.weights;
  const ConvShape& s = job.shape;
  const Division& d = job.division;
  const Layout<D> layout(weights);
  const int64_t depth = layout.depth;
  const int64_t chunk = task % d.chunks, pictures = has_lines(job.reading) ? s.batch : 1;
  const int64_t block = task / d.chunks % (d.blocks * pictures), group = task / d.chunks / (d.blocks * pictures);
  int64_t panel_values = weights.bits < 8 ? round_up(fields_values(depth * NR), LINE) : 0;
  if (IS_SPLIT<D>) panel_values = round_up(most_rests(depth) * int64_t(sizeof(int64_t)), LINE);
  auto* memory = static_cast<uint8_t*>(job.pool->scratch(thread, panel_values + rows_bytes<A>(job, depth)));
  if (!memory) return;
  const Rows<A> rows = rows_of<A>(job, depth, group, block, memory + panel_values);

  IntegerTile tile = tile_for(job.out);
  tile.drain = narrow_dots(weights.bits);
  tile.signs = is_read_in_place(job.reading) && carried_shift(A{}, job.a.is_signed) ? 0x80 : 0;
  tile.lines = tile.runs = 1;
  tile.steps = depth / D::STEP;
  tile.run_skip = tile.line_skip = 0;
  if (is_linewise(job.reading)) {
    const int64_t width = job.reading == IntegerJob::LINES ? width_needed(s) : s.in_width, pixel = s.in_channels;
    const bool together = s.groups == 1 && s.dilation_width == 1;  // the taps of a kernel row are one run
    const int64_t run = weights.channels * (together ? s.kernel_width : 1);
    tile.lines = s.kernel_height;
    tile.runs = together ? 1 : s.kernel_width;
    tile.steps = run / D::STEP;
    tile.run_skip = together ? 0 : s.dilation_width * pixel - run;
    tile.line_skip = s.dilation_height * width * pixel - tile.runs * (run + tile.run_skip);
  }
  const uint32_t zero = static_cast<uint32_t>(job.zero_point + carried_shift(A{}, job.a.is_signed));
  const auto few_call = rows.strips == 1 && rows.positions <= FEW_ROWS && !is_linewise(job.reading) && !tile.signs
                            ? fields_tile_of<D>(weights.bits, static_cast<int>(rows.positions)) : nullptr;
  FewRows<A> few{};
  if (few_call) few = few_rows<D>(rows, depth, weights.bits, zero, memory, tile);
  const int64_t element = output_bytes(job.out), ldc = weights.out_channels * element;
  const int64_t first = has_lines(job.reading) ? (block / d.blocks * s.out_height + block % d.blocks * d.rows) * s.out_width : block * d.rows;
  const auto decoding = rows.positions >= ROWS && (!is_linewise(job.reading) || tile.steps % STEPS_PER_CHUNK<D> == 0)
                            ? decoding_tile_of<D>(weights.bits) : nullptr;
  const int64_t last = (chunk + 1) * d.panels_per_chunk, tiles = (rows.positions + ROWS - 1) / ROWS;
  for (int64_t index = chunk * d.panels_per_chunk; index < last && index < layout.panels; index++) {
    const Panel panel = panel_at(index, layout.columns);
    const uint8_t* packed = job.packed + group * layout.group + index * layout.full_panel;
    const int64_t n = group * layout.columns + panel.first;
    const bool is_few = few_call && panel.vectors == 2;
    set_columns(tile, job.out, packed, n, panel.columns, is_few ? few.zero : zero);
    tile.weights = packed + HEADER;
    uint8_t* out = static_cast<uint8_t*>(job.out.data) + first * ldc + n * element;
    if constexpr (IS_SPLIT<D>) set_rests(tile, packed + HEADER + depth * panel.vectors * W, D::STEP, memory);
    if (is_few) {
      few_call(few.a, few.lda, tile, out, ldc);
      continue;
    }
    const bool decodes = decoding && panel.vectors == 2;
    if (weights.bits < 8 && !decodes) {  // over the few rows, which the last panel alone no longer needs
      fields_decode(packed + HEADER, depth * panel.vectors * W, weights.bits, memory);
      tile.weights = memory;
    }
    for (int64_t strip = 0; strip < rows.strips; strip++) {
      const A* a = rows.a + strip * rows.strip;
      int64_t i = 0, r = 0;
      if (decodes && strip == 0) {
        decoding(a, rows.lda, tile, memory, out, ldc);
        tile.weights = memory;
        i = 1;
        r = ROWS;
      }
      for (; i < tiles; i++) {
        const int count = static_cast<int>((rows.positions - r) / (tiles - i));  // tiles of like size
        const auto call = panel.vectors == 2 ? integer_tile_of<D, 2>(count) : integer_tile_of<D, 1>(count);
        call(a + r * rows.lda, rows.lda, tile, out + (strip * rows.positions + r) * ldc, ldc);
        r += count;
      }
    }
  }
}

/** How rows are read; see rows_of. */
template <class D>
inline IntegerJob::Reading reading_of(const IntegerJob& job) {
  const ConvShape& s = job.shape;
  // Tiles of few rows decode as they go, and flip nothing.
  const bool flips = FLIPS<D> && positions_of(s) > FEW_ROWS;
  const bool carried = is_carried<typename D::Activation>(job.a.is_signed) || flips, even = job.weights.channels % D::STEP == 0;
  if (is_pointwise(s) && s.groups == 1) return carried && even ? IntegerJob::IN_PLACE : IntegerJob::COPIED;
  if (s.out_width < LEAST_WIDTH) return IntegerJob::GATHERED;
  if (!even) return s.groups == 1 && s.dilation_width == 1 ? IntegerJob::PATCHES : IntegerJob::GATHERED;
  return carried && is_unpadded(s) ? IntegerJob::LINES_IN_PLACE : IntegerJob::LINES;
}

template <class D>
void integer_conv(IntegerJob& job, double work) {
  using A = typename D::Activation;
  const ConvShape& s = job.shape;
  const Layout<D> layout(job.weights);
  job.reading = reading_of<D>(job);
  const int threads = work < PARALLEL_WORK ? 1 : job.pool->threads();
  if (has_lines(job.reading)) {
    const int64_t rows = job.reading == IntegerJob::PATCHES ? s.out_width * layout.depth * int64_t(sizeof(A)) : 0;
    int64_t most = 1;
    while (most < s.out_height && lines_bytes<A>(job, most + 1) + (most + 1) * rows <= LINES_BYTES) most++;
    // Patches are made anew for every chunk of panels.
    const int64_t chunks = job.reading == IntegerJob::PATCHES && s.out_height > 4 * threads ? 1 : layout.panels;
    // Neighbours read lines twice: no more tasks for long ones.
    job.division = divide_work(s.out_height, most, ENOUGH_ROWS / s.out_width + 1, 2, 1, int64_t(s.batch) * s.groups,
                               layout.panels, chunks, tasks_wanted(threads));
    job.pool->run(job.division.blocks * job.division.chunks * s.batch * s.groups, work, integer_task<D>, &job);
    return;
  }
  int64_t most = BLOCK_BYTES / (layout.depth * int64_t(sizeof(A))) / ROWS * ROWS;
  most = most < LEAST_ROWS ? LEAST_ROWS : most > MOST_ROWS ? MOST_ROWS : most;
  job.division = divide_work(positions_of(s), most, ENOUGH_ROWS, ROWS, ROWS, s.groups, layout.panels, layout.panels,
                             tasks_wanted(threads, work));
  job.pool->run(job.division.blocks * job.division.chunks * s.groups, work, integer_task<D>, &job);
}

void conv(Pool& pool, Bytes a, const uint8_t* packed, const WeightsShape& weights, const ConvShape& shape,
          int32_t zero_point, const Output& out) {
  const int64_t k = int64_t(weights.taps) * weights.channels, m = positions_of(shape);
  if (m == 0 || weights.out_channels == 0) return;
  IntegerJob job{&pool, a, packed, weights, shape, zero_point, out, IntegerJob::GATHERED, {}};
  const double work = double(m) * double(k) * weights.out_channels;
  if (is_depthwise(weights)) return depthwise_conv(job, work);
  with_dot(weights.bits, [&](auto dot) {
    using D = decltype(dot);
    if constexpr (HAS_SPLIT<D>) {
      job.packed += SPLIT_PREFIX;
      if (is_split(packed)) return integer_conv<typename D::Split>(job, work);
    }
    integer_conv<D>(job, work);
  });
}

void gemm(Pool& pool, Bytes a, const uint8_t* packed, const WeightsShape& weights, int32_t m, int32_t zero_point,
          const Output& out) {
  conv(pool, a, packed, weights, matrix_shape(weights, m), zero_point, out);
}

}  // namespace
}  // namespace sq
