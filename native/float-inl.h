// Float GEMM and convolution. Products read their rows in place; so do convolutions, line by line, from the input or
// from a block of it with its padding written out. Dilated and grouped ones gather patches first.

namespace sq {
namespace {

void float_task(const void* context, int64_t task, int thread) {
  const FloatJob& job = *static_cast<const FloatJob*>(context);
  const Division& d = job.division;
  const int64_t chunk = task % d.chunks, block = task / d.chunks % d.blocks, group = task / d.chunks / d.blocks;
  const int64_t m = positions_of(job.shape), first = block * d.rows;
  const int64_t rows = m - first < d.rows ? m - first : d.rows;
  const int64_t k = int64_t(job.weights.taps) * job.weights.channels;
  const int64_t columns = job.weights.out_channels / job.weights.groups;
  const float* a = job.a + first * job.shape.in_channels + group * job.weights.channels;
  int64_t lda = job.shape.in_channels;
  if (!job.in_place) {
    float* rows_of_a = static_cast<float*>(job.pool->scratch(thread, sizeof(float) * d.rows * k));
    if (!rows_of_a) return;
    gather(job.a, job.shape, job.weights.channels, group, first, 1, rows, rows_of_a, k, copy_floats, zero_floats);
    a = rows_of_a;
    lda = k;
  }
  const int64_t last = (chunk + 1) * d.panels_per_chunk;
  for (int64_t index = chunk * d.panels_per_chunk; index < last && index < panel_count(columns); index++) {
    const Panel panel = panel_at(index, columns);
    const FloatTile tile = float_tile_at(job, group, panel);
    float* out = job.out + first * job.weights.out_channels + group * columns + panel.first;
    for (int64_t r = 0; r < rows; r += ROWS) {
      const int count = static_cast<int>(rows - r < ROWS ? rows - r : ROWS);
      const FloatTileCall call = panel.vectors == 2 ? float_tile_of<2>(count) : float_tile_of<1>(count);
      call(a + r * lda, lda, tile, out + r * job.weights.out_channels, job.weights.out_channels);
    }
  }
  if (job.streams) stream_end();
}

/** Lines of outputs, whose inputs are contiguous from tap to tap of a row. */
void float_lines_task(const void* context, int64_t task, int thread) {
  const FloatJob& job = *static_cast<const FloatJob*>(context);
  const ConvShape& s = job.shape;
  const Lines& l = job.lines;
  const int64_t chunk = task % l.chunks, block = task / l.chunks % l.blocks, batch = task / l.chunks / l.blocks;
  const int64_t first = block * l.lines, lines = s.out_height - first < l.lines ? s.out_height - first : l.lines;
  const int64_t c = s.in_channels, y = first * s.stride_height - s.pad_top;
  const float* a = job.a + (batch * s.in_height + y) * s.in_width * c;
  int64_t width = s.in_width * c;
  if (!job.in_place) {
    width = l.width * c;
    const int64_t height = height_needed(s, lines);
    float* padded = static_cast<float*>(job.pool->scratch(thread, sizeof(float) * height * width));
    if (!padded) return;
    pad_lines(job.a + batch * s.in_height * s.in_width * c, s, y, height, l.width, padded);
    a = padded;
  }
  const int64_t ldc = job.weights.out_channels, step = s.stride_width * c;
  const int64_t tiles = (s.out_width + ROWS - 1) / ROWS, last = (chunk + 1) * l.panels_per_chunk;
  for (int64_t index = chunk * l.panels_per_chunk; index < last && index < panel_count(ldc); index++) {
    const Panel panel = panel_at(index, ldc);
    FloatTile tile = float_tile_at(job, 0, panel);
    tile.runs = s.kernel_height;
    tile.run = s.kernel_width * c;
    tile.skip = s.dilation_height * width - tile.run;
    for (int64_t line = 0; line < lines; line++) {
      const float* from = a + line * s.stride_height * width;
      float* out = job.out + (batch * s.out_height + first + line) * s.out_width * ldc + panel.first;
      for (int64_t i = 0, ox = 0; i < tiles; i++) {
        const int count = static_cast<int>((s.out_width - ox) / (tiles - i));  // tiles of like size
        const FloatTileCall call = panel.vectors == 2 ? float_tile_of<2>(count) : float_tile_of<1>(count);
        call(from + ox * step, step, tile, out + ox * ldc, ldc);
        ox += count;
      }
    }
  }
  if (job.streams) stream_end();
}

void float_conv(Pool& pool, const float* a, const uint8_t* packed, const WeightsShape& weights, const ConvShape& shape,
                const float* bias, float low, float high, float* out) {
  FloatJob job{&pool, a, reinterpret_cast<const float*>(packed), weights, shape, bias, low, high, out, {}, {}, is_pointwise(shape), false};
  const int64_t k = int64_t(weights.taps) * weights.channels, m = positions_of(shape);
  if (m == 0 || weights.out_channels == 0) return;
  job.streams = is_streamed(out, m, weights.out_channels) && (weights.out_channels / weights.groups % W == 0 || is_depthwise(weights));
  const double work = double(m) * double(k) * weights.out_channels;
  const int threads = work < PARALLEL_WORK ? 1 : pool.threads();
  if (is_depthwise(weights)) {
    job.lines = divide_lines(shape, 1, W * sizeof(float), STRIP_BYTES, threads);
    pool.run(shape.batch * job.lines.blocks, work, float_depthwise_task, &job);
    return;
  }
  const int64_t panels = panel_count(weights.out_channels / weights.groups);
  if (!job.in_place && is_linewise(shape)) {
    job.in_place = is_unpadded(shape);
    job.lines = divide_lines(shape, panels, shape.in_channels * sizeof(float), LINES_BYTES, threads);
    pool.run(shape.batch * job.lines.blocks * job.lines.chunks, work, float_lines_task, &job);
    return;
  }
  job.division = divide(m, panels, weights.groups, 4 * k, threads);
  pool.run(job.division.blocks * job.division.chunks * weights.groups, work, float_task, &job);
}

void float_gemm(Pool& pool, const float* a, const uint8_t* packed, const WeightsShape& weights, int32_t m,
                const float* bias, float low, float high, float* out) {
  float_conv(pool, a, packed, weights, matrix_shape(weights, m), bias, low, high, out);
}

}  // namespace
}  // namespace sq
