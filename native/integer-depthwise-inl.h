// Depthwise integer convolution. For one vector of channels, the kernel's lines lie interleaved in a strip, pixel after
// pixel: a dot then takes STEP taps of a column at once, and a column serves all outputs that it is a tap of. Where the
// dots have more places than the kernel lines, one strip serves several lines of outputs, their weights moved down.

namespace sq {
namespace {

/** Column sums, then bytes [taps][padded channels], packed below 8 bits. */
inline int64_t depthwise_header(const WeightsShape& s) { return padded_columns(s.groups) * 4; }
int64_t depthwise_size(const WeightsShape& s) {
  return depthwise_header(s) + fields_size(padded_columns(s.groups) * s.taps, s.bits);
}

void pack_depthwise(const int8_t* q, const WeightsShape& s, uint8_t* packed) {
  const int64_t padded = padded_columns(s.groups), taps = s.taps;
  for (int64_t c = 0; c < padded; c++) {
    int32_t sum = 0;
    for (int64_t t = 0; c < s.groups && t < taps; t++) sum += q[c * taps + t];
    memcpy(packed + 4 * c, &sum, 4);
  }
  const auto some = [=, &s](int64_t at, int64_t n, int8_t* to) {
    int64_t tap = at / padded, c = at - tap * padded;
    for (int64_t i = 0; i < n; i++) {
      to[i] = c < s.groups ? q[c * taps + tap] : 0;
      if (++c < padded) continue;
      c = 0;
      tap++;
    }
  };
  fields_encode(some, padded * taps, s.bits, packed + depthwise_header(s));
}

/** Lines of outputs that a strip of `quads` times STEP lines serves. */
inline int64_t lines_together(const ConvShape& s, int64_t quads, int step) {
  return s.stride_height == 1 && s.dilation_height == 1 ? quads * step - s.kernel_height + 1 : 1;
}

/** V vectors of channels of the lines under as many lines of outputs as they serve. */
template <class D, int V>
struct Strip {
  using A = typename D::Activation;
  /** Activations of one column and STEP lines; sums of eight vectors hide each other's latency. */
  static constexpr int UNIT = V * W * D::STEP, MOST_PIXELS = PIXELS / V;

  const IntegerJob& job;
  int64_t quads, together, width;  // STEP lines each; lines of outputs; pixels
  A* columns;              // [width][quads][UNIT]
  int8_t* weights;         // [together][quads][kernel width][UNIT]
  const uint8_t* padding;  // a line of zero points

  /** Pixels of the lines whose whole vectors lie inside the input: what they hold beyond the lanes goes nowhere. */
  int64_t whole_pixels(const uint8_t* const (&line)[D::STEP], int64_t pixels, int lanes) const {
    if (lanes == V * W) return pixels;
    const uint8_t* end = job.a.data + job.a.length;
    for (int j = 0; j < D::STEP; j++) {
      if (line[j] == padding) continue;
      const int64_t room = end - line[j] - V * W, inside = room < 0 ? 0 : room / job.shape.in_channels + 1;
      if (inside < pixels) pixels = inside;
    }
    return pixels;
  }

  /** The lines from line y on, `lanes` channels from `at` on. What no weight meets may be any line. */
  template <bool SIGNED>
  SQ_APART void copy(const uint8_t* picture, int64_t y, int64_t at, int lanes) const {
    const ConvShape& s = job.shape;
    const int64_t c = s.in_channels, left = s.pad_left < width ? s.pad_left : width;
    const int64_t inside = s.in_width < width - left ? s.in_width : width - left;
    const int32_t zero = job.zero_point + carried_shift(A{}, job.a.is_signed);
    const int64_t taps = s.kernel_height + together - 1;
    for (int64_t quad = 0; quad < quads; quad++) {
      const uint8_t* line[D::STEP];
      for (int j = 0; j < D::STEP; j++) {
        const int64_t tap = quad * D::STEP + j, row = y + (tap < taps ? tap : 0) * s.dilation_height;
        line[j] = row >= 0 && row < s.in_height ? picture + row * s.in_width * c + at : padding;
      }
      A* to = columns + quad * UNIT;
      for (int64_t x = 0; x < left; x++, to += quads * UNIT) fill(to, UNIT, zero);
      const int64_t whole = whole_pixels(line, inside, lanes);
      for (int64_t x = 0; x < whole; x++, to += quads * UNIT) D::template interleave<SIGNED, V>(line, x * c, to);
      if (whole < inside) {
        uint8_t some[D::STEP][V * W] = {};
        const uint8_t* from[D::STEP];
        for (int j = 0; j < D::STEP; j++) from[j] = some[j];
        for (int64_t x = whole; x < inside; x++, to += quads * UNIT) {
          for (int j = 0; j < D::STEP; j++)
            for (int i = 0; i < lanes; i++) some[j][i] = line[j][x * c + i];
          D::template interleave<SIGNED, V>(from, 0, to);
        }
      }
      for (int64_t x = left + inside; x < width; x++, to += quads * UNIT) fill(to, UNIT, zero);
    }
  }

  /** The taps of the channels from `bytes` [taps][padded] on, interleaved as the lines are. */
  void set_weights(const uint8_t* bytes, int64_t padded) const {
    const ConvShape& s = job.shape;
    const uint8_t none[V * W] = {};
    int8_t* to = weights;
    for (int64_t line = 0; line < together; line++)
      for (int64_t quad = 0; quad < quads; quad++)
        for (int64_t kx = 0; kx < s.kernel_width; kx++, to += UNIT) {
          const uint8_t* taps[D::STEP];
          for (int j = 0; j < D::STEP; j++) {
            const int64_t ky = quad * D::STEP + j - line;
            taps[j] = ky >= 0 && ky < s.kernel_height ? bytes + (ky * s.kernel_width + kx) * padded : none;
          }
          uint8_t unit[UNIT];
          for (int i = 0; i < V * W; i++)
            for (int j = 0; j < D::STEP; j++) unit[i * D::STEP + j] = taps[j][i];
          memcpy(to, unit, sizeof unit);
        }
  }

  int64_t weights_of_line() const { return quads * job.shape.kernel_width * UNIT; }
  int8_t* weights_for(int64_t line) const { return weights + line * weights_of_line(); }

  /** P neighbouring pixels from column `from` on, by the weights w. */
  template <int P>
  void pixels(const A* from, const int8_t* w, const IntegerTile& tile, uint8_t* out, int64_t ldc) const {
    const ConvShape& s = job.shape;
    const int64_t column = quads * UNIT, step = s.stride_width * column;
    VI sum[P][V];
#pragma GCC unroll 8
    for (int i = 0; i < P; i++)
#pragma GCC unroll 2
      for (int v = 0; v < V; v++) sum[i][v] = D::NARROW ? vi_set(0) : vi_load(tile.offset + v * W);
    for (int64_t quad = 0; quad < quads; quad++, from += UNIT) {
      const A* a = from;
      for (int32_t kx = 0; kx < s.kernel_width; kx++, a += s.dilation_width * column, w += UNIT)
#pragma GCC unroll 2
        for (int v = 0; v < V; v++) {
          const auto taps = D::weights(reinterpret_cast<const uint8_t*>(w) + v * W * D::STEP);
#pragma GCC unroll 8
          for (int i = 0; i < P; i++) sum[i][v] = D::dot(sum[i][v], taps, D::column(a + i * step + v * W * D::STEP));
        }
    }
    if (D::NARROW) {
#pragma GCC unroll 8
      for (int i = 0; i < P; i++)
#pragma GCC unroll 2
        for (int v = 0; v < V; v++) sum[i][v] = vi_add(vi_load(tile.offset + v * W), D::widen(sum[i][v]));
    }
    integer_store_rows(sum, tile, out, ldc);
  }

  /**
   * A line of outputs of whole vectors of bytes, for kernels WIDTH wide of one quad: their weights stay in
   * registers, and a column is read once for all pixels of which it is a tap.
   */
  template <int WIDTH, int STRIDE>
  SQ_APART void sliding_line(const int8_t* w, const IntegerTile& tile, uint8_t* out, int64_t ldc) const {
    constexpr int P = REGISTERS < 32 ? MOST_PIXELS / 2 : MOST_PIXELS;
    typename D::Weights taps[WIDTH][V];
    for (int i = 0; i < WIDTH * V; i++) taps[i / V][i % V] = D::weights(reinterpret_cast<const uint8_t*>(w) + i * W * D::STEP);
    VI offset[V];
    for (int v = 0; v < V; v++) offset[v] = vi_load(tile.offset + v * W);
    const Requantizing<V> by(tile);
    const A* const from = columns;
    in_steps(0, job.shape.out_width, P, [&](int64_t x) SQ_INLINE_LAMBDA {
      VI sum[P][V];
#pragma GCC unroll 8
      for (int i = 0; i < P * V; i++) sum[i / V][i % V] = D::NARROW ? vi_set(0) : offset[i % V];
      const A* a = from + x * STRIDE * UNIT;
#pragma GCC unroll 24
      for (int c = 0; c < (P - 1) * STRIDE + WIDTH; c++)
#pragma GCC unroll 2
        for (int v = 0; v < V; v++) {
          const auto column = D::column(a + c * UNIT + v * W * D::STEP);
#pragma GCC unroll 8
          for (int i = 0; i < P; i++)
            if (c >= i * STRIDE && c < i * STRIDE + WIDTH) sum[i][v] = D::dot(sum[i][v], taps[c - i * STRIDE][v], column);
        }
      if (D::NARROW) {
#pragma GCC unroll 8
        for (int i = 0; i < P * V; i++) sum[i / V][i % V] = vi_add(offset[i % V], D::widen(sum[i / V][i % V]));
      }
      integer_store_bytes(sum, by, out + x * ldc, ldc);
    });
  }

  /** One of the lines of outputs. */
  void line(int64_t which, const IntegerTile& tile, uint8_t* out, int64_t ldc) const {
    const ConvShape& s = job.shape;
    const bool of_bytes = tile.kind == Output::BYTES && tile.columns == V * W;
    if (of_bytes && quads == 1 && s.kernel_width == 3 && s.dilation_width == 1 && s.out_width >= MOST_PIXELS) {
      if (s.stride_width == 1) return sliding_line<3, 1>(weights_for(which), tile, out, ldc);
      if (s.stride_width == 2) return sliding_line<3, 2>(weights_for(which), tile, out, ldc);
    }
    const int64_t step = job.shape.stride_width * quads * UNIT, count = job.shape.out_width;
    const int8_t* w = weights_for(which);
    const auto some = [&](int64_t x) { pixels<MOST_PIXELS>(columns + x * step, w, tile, out + x * ldc, ldc); };
    if (in_steps(0, count, MOST_PIXELS, some)) return;
    for (int64_t x = 0; x < count; x++) pixels<1>(columns + x * step, w, tile, out + x * ldc, ldc);
  }
};

/** Scratch of one task: weights decoded to bytes, a line of padding, interleaved weights, the strip. */
template <class D>
struct DepthwiseScratch {
  int64_t quads, together, decoded, padding, weights, columns;

  explicit DepthwiseScratch(const IntegerJob& job) {
    const ConvShape& s = job.shape;
    const int64_t unit = NR * D::STEP;
    quads = (s.kernel_height + D::STEP - 1) / D::STEP;
    together = lines_together(s, quads, D::STEP);
    decoded = job.weights.bits < 8 ? fields_values(padded_columns(s.in_channels) * job.weights.taps) : 0;
    padding = round_up(int64_t(s.in_width) * s.in_channels + NR, LINE);
    weights = round_up(together * quads * s.kernel_width * unit, LINE);
    columns = width_needed(s) * quads * unit * int64_t(sizeof(typename D::Activation));
  }
  int64_t bytes() const { return decoded + padding + weights + columns; }
};

template <class D, int V>
void depthwise_block(const IntegerJob& job, const DepthwiseScratch<D>& scratch, uint8_t* memory, const uint8_t* bytes,
                     int64_t batch, int64_t first, int64_t lines, int64_t at) {
  using A = typename D::Activation;
  const ConvShape& s = job.shape;
  const int64_t c = s.in_channels, element = output_bytes(job.out), ldc = c * element;
  uint8_t* padding = memory + scratch.decoded;
  auto* weights = reinterpret_cast<int8_t*>(padding + scratch.padding);
  auto* columns = reinterpret_cast<A*>(padding + scratch.padding + scratch.weights);
  const Strip<D, V> strip{job, scratch.quads, scratch.together, width_needed(s), columns, weights, padding};
  const int lanes = static_cast<int>(c - at < V * W ? c - at : V * W);
  const uint32_t zero = static_cast<uint32_t>(job.zero_point + carried_shift(A{}, job.a.is_signed));
  IntegerTile tile = tile_for(job.out);
  set_columns(tile, job.out, job.packed + 4 * at, at, lanes, zero, V * W);
  strip.set_weights(bytes + at, padded_columns(c));
  const uint8_t* picture = job.a.data + batch * s.in_height * s.in_width * c;
  uint8_t* out = static_cast<uint8_t*>(job.out.data) + (batch * s.out_height + first) * s.out_width * ldc + at * element;
  for (int64_t line = 0; line < lines; line += strip.together) {
    const int64_t y = (first + line) * s.stride_height - s.pad_top;
    if (job.a.is_signed)
      strip.template copy<true>(picture, y, at, lanes);
    else
      strip.template copy<false>(picture, y, at, lanes);
    for (int64_t i = 0; i < strip.together && line + i < lines; i++, out += s.out_width * ldc) strip.line(i, tile, out, ldc);
  }
}

template <class D>
void depthwise_task(const void* context, int64_t task, int thread) {
  const IntegerJob& job = *static_cast<const IntegerJob*>(context);
  const ConvShape& s = job.shape;
  const DepthwiseScratch<D> scratch(job);
  auto* memory = static_cast<uint8_t*>(job.pool->scratch(thread, scratch.bytes()));
  if (!memory) return;
  const int64_t c = s.in_channels;
  const uint8_t* bytes = job.packed + depthwise_header(job.weights);
  if (scratch.decoded > 0) {
    fields_decode(bytes, padded_columns(c) * job.weights.taps, job.weights.bits, memory);
    bytes = memory;
  }
  memset(memory + scratch.decoded, job.zero_point, static_cast<size_t>(scratch.padding));
  const Division& d = job.division;
  const int64_t batch = task / d.blocks, first = task % d.blocks * d.rows;
  const int64_t lines = s.out_height - first < d.rows ? s.out_height - first : d.rows;
  for (int64_t at = 0; at < c; at += NR)
    (c - at > W ? depthwise_block<D, 2> : depthwise_block<D, 1>)(job, scratch, memory, bytes, batch, first, lines, at);
}

/** What a multiply-add of a depthwise convolution costs beside one of a product. */
constexpr double DEPTHWISE_WORK = 8;

void depthwise_conv(IntegerJob& job, double products) {
  const ConvShape& s = job.shape;
  const double work = products * DEPTHWISE_WORK;
  const int threads = work < PARALLEL_WORK ? 1 : job.pool->threads();
  int64_t most = LINES_BYTES / (int64_t(s.in_width) * s.in_channels * s.stride_height);
  // Four lines at least in a task: strips that serve two or more are then seldom half used.
  job.division = divide_work(s.out_height, most < 4 ? 4 : most, 4, 4, 2, s.batch, 1, 1, tasks_wanted(threads));
  with_dot(job.weights.bits, [&](auto dot) {
    using D = typename ColumnsOf<decltype(dot)>::Dot;
    const int64_t dots = (s.kernel_height + D::STEP - 1) / D::STEP * s.kernel_width;
    if constexpr (D::NARROW) {
      if (dots > narrow_dots(job.weights.bits))
        return job.pool->run(job.division.blocks * s.batch, work, depthwise_task<typename D::Wide>, &job);
    }
    job.pool->run(job.division.blocks * s.batch, work, depthwise_task<D>, &job);
  });
}

}  // namespace
}  // namespace sq
