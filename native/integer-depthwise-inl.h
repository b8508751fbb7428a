// Depthwise integer convolution. For one vector of channels, the kernel's lines lie interleaved in a strip, pixel after
// pixel: a dot then takes STEP taps of a column at once, and a column serves all outputs that it is a tap of.

namespace sq {
namespace {

/** Column sums, then bytes or planes [taps][padded channels]. */
inline int64_t depthwise_header(const WeightsShape& s) { return padded_columns(s.groups) * 4; }
int64_t depthwise_size(const WeightsShape& s) {
  return depthwise_header(s) + planes_size(padded_columns(s.groups) * s.taps, s.bits);
}

void pack_depthwise(const int8_t* q, const WeightsShape& s, uint8_t* packed) {
  const int64_t padded = padded_columns(s.groups), taps = s.taps;
  for (int64_t c = 0; c < padded; c++) {
    int32_t sum = 0;
    for (int64_t t = 0; c < s.groups && t < taps; t++) sum += q[c * taps + t];
    memcpy(packed + 4 * c, &sum, 4);
  }
  const auto value = [=, &s](int64_t i) { return i % padded < s.groups ? q[i % padded * taps + i / padded] : 0; };
  planes_encode(value, padded * taps, s.bits, packed + depthwise_header(s));
}

/** Lines of outputs of one task; `rows` and `blocks` of the division count lines. */
template <class D>
struct Strip {
  using A = typename D::Activation;
  static constexpr int UNIT = W * D::STEP;  // activations of one column and STEP lines

  const IntegerJob& job;
  int64_t quads, width;  // STEP lines each; pixels
  A* columns;            // [width][quads][UNIT]
  int8_t* weights;       // [quads][kernel width][UNIT]
  const uint8_t* zeros;  // a vector of zero points

  /** STEP lines of one pixel: those that do not exist point at zero points and stay there. */
  void copy(const uint8_t* picture, int64_t y, int64_t at, int lanes) const {
    const ConvShape& s = job.shape;
    const int64_t c = s.in_channels, left = s.pad_left < width ? s.pad_left : width;
    const int64_t inside = s.in_width < width - left ? s.in_width : width - left;
    const int32_t zero = job.zero_point + carried_shift(A{}, job.a.is_signed);
    for (int64_t quad = 0; quad < quads; quad++) {
      const uint8_t* line[D::STEP];
      int64_t step[D::STEP];
      for (int j = 0; j < D::STEP; j++) {
        const int64_t tap = quad * D::STEP + j, row = y + tap * s.dilation_height;
        const bool exists = tap < s.kernel_height && row >= 0 && row < s.in_height;
        line[j] = exists ? picture + row * s.in_width * c + at : zeros;
        step[j] = exists ? c : 0;
      }
      A* to = columns + quad * UNIT;
      for (int64_t x = 0; x < left; x++) fill(to + x * quads * UNIT, UNIT, zero);
      to += left * quads * UNIT;
      for (int64_t x = 0; x < inside; x++, to += quads * UNIT) {
        if (lanes == W) {
          D::interleave(line, job.a.is_signed, to);
        } else {
          uint8_t some[D::STEP][W];
          const uint8_t* from[D::STEP];
          for (int j = 0; j < D::STEP; j++) {
            for (int i = 0; i < W; i++) some[j][i] = i < lanes ? line[j][i] : 0;
            from[j] = some[j];
          }
          D::interleave(from, job.a.is_signed, to);
        }
        for (int j = 0; j < D::STEP; j++) line[j] += step[j];
      }
      for (int64_t x = left + inside; x < width; x++, to += quads * UNIT) fill(to, UNIT, zero);
    }
  }

  /** The taps of W channels from `bytes` [taps][padded] on, interleaved as the lines are. */
  void set_weights(const uint8_t* bytes, int64_t padded) const {
    const ConvShape& s = job.shape;
    for (int64_t quad = 0; quad < quads; quad++)
      for (int64_t kx = 0; kx < s.kernel_width; kx++)
        for (int j = 0; j < D::STEP; j++) {
          const int64_t ky = quad * D::STEP + j;
          const uint8_t* from = bytes + (ky * s.kernel_width + kx) * padded;
          int8_t* to = weights + (quad * s.kernel_width + kx) * UNIT + j;
          for (int i = 0; i < W; i++) to[i * D::STEP] = ky < s.kernel_height ? static_cast<int8_t>(from[i]) : 0;
        }
  }

  /** P neighbouring pixels from column `from` on. */
  template <int P>
  void pixels(const A* from, const IntegerTile& tile, uint8_t* out, int64_t ldc) const {
    const ConvShape& s = job.shape;
    const int64_t column = quads * UNIT, step = s.stride_width * column;
    VI sum[P];
    const VI start = D::NARROW ? vi_set(0) : vi_load(tile.offset);
#pragma GCC unroll 8
    for (int i = 0; i < P; i++) sum[i] = start;
    const int8_t* w = weights;
    for (int64_t quad = 0; quad < quads; quad++, from += UNIT) {
      const A* a = from;
      for (int32_t kx = 0; kx < s.kernel_width; kx++, a += s.dilation_width * column, w += UNIT) {
        const auto taps = D::weights(reinterpret_cast<const uint8_t*>(w));
#pragma GCC unroll 8
        for (int i = 0; i < P; i++) sum[i] = D::dot(sum[i], taps, D::column(a + i * step));
      }
    }
    if (D::NARROW) {
      const VI offset = vi_load(tile.offset);
#pragma GCC unroll 8
      for (int i = 0; i < P; i++) sum[i] = vi_add(offset, D::widen(sum[i]));
    }
    if (tile.kind == Output::BYTES && tile.columns == W) {
      const VF low = vf_set(tile.low), high = vf_set(tile.high), multipliers = vf_load(tile.multipliers);
      const VI zero_point = vi_set(tile.zero_point);
#pragma GCC unroll 8
      for (int i = 0; i < P; i++) sum[i] = rounded(sum[i], multipliers, low, high, zero_point);
#pragma GCC unroll 4
      for (int i = 0; i + 2 <= P; i += 2) bytes_store_pair(out + i * ldc, out + (i + 1) * ldc, sum[i], sum[i + 1]);
      if (P % 2) bytes_store_n(out + (P - 1) * ldc, sum[P - 1], W);
      return;
    }
#pragma GCC unroll 8
    for (int i = 0; i < P; i++) integer_store<1>(sum + i, tile, out + i * ldc);
  }
};

template <class D>
void depthwise_task(const void* context, int64_t task, int thread) {
  using A = typename D::Activation;
  constexpr int64_t UNIT = Strip<D>::UNIT;
  const IntegerJob& job = *static_cast<const IntegerJob*>(context);
  const ConvShape& s = job.shape;
  const int64_t c = s.in_channels, padded = padded_columns(c), taps = job.weights.taps;
  const int64_t quads = (s.kernel_height + D::STEP - 1) / D::STEP, width = width_needed(s);
  const int64_t decoded = job.weights.bits < 8 ? planes_values(padded * taps) : 0;
  const int64_t interleaved = round_up(quads * s.kernel_width * UNIT, LINE);
  auto* memory = static_cast<uint8_t*>(
      job.pool->scratch(thread, decoded + interleaved + LINE + width * quads * UNIT * int64_t(sizeof(A))));
  if (!memory) return;
  const uint8_t* bytes = job.packed + depthwise_header(job.weights);
  if (decoded > 0) {
    planes_decode(bytes, padded * taps, job.weights.bits, memory);
    bytes = memory;
  }
  uint8_t* zeros = memory + decoded + interleaved;
  for (int i = 0; i < LINE; i++) zeros[i] = static_cast<uint8_t>(job.zero_point);
  const Strip<D> strip{job, quads, width, reinterpret_cast<A*>(zeros + LINE), reinterpret_cast<int8_t*>(memory + decoded), zeros};

  const Division& d = job.division;
  const int64_t batch = task / d.blocks, first = task % d.blocks * d.rows;
  const int64_t lines = s.out_height - first < d.rows ? s.out_height - first : d.rows;
  const int64_t element = output_bytes(job.out), ldc = c * element, step = s.stride_width * quads * UNIT;
  const uint8_t* picture = job.a.data + batch * s.in_height * s.in_width * c;
  const uint32_t zero = static_cast<uint32_t>(job.zero_point + carried_shift(A{}, job.a.is_signed));
  IntegerTile tile = tile_for(job.out);
  for (int64_t at = 0; at < c; at += W) {
    const int lanes = static_cast<int>(c - at < W ? c - at : W);
    strip.set_weights(bytes + at, padded);
    set_columns(tile, job.out, job.packed + 4 * at, at, lanes, zero, W);
    for (int64_t line = 0; line < lines; line++) {
      strip.copy(picture, (first + line) * s.stride_height - s.pad_top, at, lanes);
      uint8_t* out = static_cast<uint8_t*>(job.out.data) + (batch * s.out_height + first + line) * s.out_width * ldc + at * element;
      int64_t ox = 0;
      for (; ox + PIXELS <= s.out_width; ox += PIXELS) strip.template pixels<PIXELS>(strip.columns + ox * step, tile, out + ox * ldc, ldc);
      if (ox + PIXELS / 2 <= s.out_width) {
        strip.template pixels<PIXELS / 2>(strip.columns + ox * step, tile, out + ox * ldc, ldc);
        ox += PIXELS / 2;
      }
      for (; ox < s.out_width; ox++) strip.template pixels<1>(strip.columns + ox * step, tile, out + ox * ldc, ldc);
    }
  }
}

void depthwise_conv(IntegerJob& job, double work) {
  const ConvShape& s = job.shape;
  const int threads = work < PARALLEL_WORK ? 1 : job.pool->threads();
  int64_t most = LINES_BYTES / (int64_t(s.in_width) * s.in_channels * s.stride_height);
  job.division = divide_work(s.out_height, most < 1 ? 1 : most, 1, 1, s.batch, 1, threads);
  with_dot(job.weights.bits, [&](auto dot) {
    using D = decltype(dot);
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
