// Float GEMM and convolution. Products read their rows in place; so do convolutions, line by line, from the input or
// from a block of it with its padding written out. Dilated and grouped ones gather patches first, and so do rows that
// lie badly in the cache.

namespace sq {
namespace {

/** Rows are fetched this far ahead, and at least a tile: far enough for the latency of memory. */
constexpr int64_t REACH = 1024;

/** Rows whole pages apart meet in the same few lines of the first cache; for so many panels it pays to move them. */
constexpr int64_t PAGE = 4096, LEAST_PANELS = 4;
inline bool is_whole_pages(int64_t floats) { return floats * int64_t(sizeof(float)) % PAGE == 0; }

inline int64_t reach_of(int64_t lda) { return (REACH + ROWS * lda - 1) / (ROWS * lda) * ROWS * lda; }

void float_task(const void* context, int64_t task, int thread) {
  const FloatJob& job = *static_cast<const FloatJob*>(context);
  const Division& d = job.division;
  const int64_t chunk = task % d.chunks, block = task / d.chunks % d.blocks, group = task / d.chunks / d.blocks;
  const int64_t m = positions_of(job.shape), first = block * d.rows;
  const int64_t count = m - first < d.rows ? m - first : d.rows;
  const int64_t k = int64_t(job.weights.taps) * job.weights.channels;
  const float* a = job.a + first * job.shape.in_channels + group * job.weights.channels;
  int64_t lda = job.shape.in_channels;
  if (!job.in_place) {
    lda = is_whole_pages(k) ? k + W : k;
    float* patches = static_cast<float*>(job.pool->scratch(thread, sizeof(float) * d.rows * lda));
    if (!patches) return;
    gather(job.a, job.shape, job.weights.channels, group, first, 1, count, patches, lda, copy_floats, zero_floats);
    a = patches;
  }
  FloatTile tile;
  tile.runs = 1;
  tile.run = k;
  tile.skip = 0;
  tile.advance = lda;
  const int64_t columns = job.weights.out_channels / job.weights.groups;
  float* out = job.out + first * job.weights.out_channels + group * columns;
  float_product(job, group, chunk * d.panels_per_chunk, (chunk + 1) * d.panels_per_chunk, count, tile,
                job.in_place ? reach_of(lda) : 0,
                [=](int64_t row, int n, const float** rows) {
                  for (int i = 0; i < n; i++) rows[i] = a + (row + i) * lda;
                },
                out);
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
  FloatTile tile;
  tile.runs = s.kernel_height;
  tile.run = s.kernel_width * c;
  tile.skip = s.dilation_height * width - tile.run;
  tile.advance = 0;
  const int64_t line = s.stride_height * width, step = s.stride_width * c;
  const int32_t pixels = s.out_width;
  float* out = job.out + (batch * s.out_height + first) * pixels * job.weights.out_channels;
  float_product(job, 0, chunk * l.panels_per_chunk, (chunk + 1) * l.panels_per_chunk, lines * pixels, tile,
                0,
                [=](int64_t row, int n, const float** rows) {
                  int32_t oy = static_cast<int32_t>(row) / pixels, ox = static_cast<int32_t>(row) - oy * pixels;
                  for (int i = 0; i < n; i++) {
                    rows[i] = a + oy * line + ox * step;
                    if (++ox == pixels) ox = 0, oy++;
                  }
                },
                out);
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
    const FloatWindow window = float_window_of(shape);
    job.lines = divide_lines(shape, 1, W * sizeof(float), window ? shape.in_height * width_needed(shape) * W * sizeof(float) : STRIP_BYTES, threads);
    pool.run(shape.batch * job.lines.blocks, work, window ? float_window_task : float_depthwise_task, &job);
    return;
  }
  const int64_t panels = panel_count(weights.out_channels / weights.groups);
  if (!job.in_place && is_linewise(shape)) {
    job.in_place = is_unpadded(shape);
    job.lines = divide_lines(shape, panels, shape.in_channels * sizeof(float), LINES_BYTES, threads);
    pool.run(shape.batch * job.lines.blocks * job.lines.chunks, work, float_lines_task, &job);
    return;
  }
  if (panels >= LEAST_PANELS && is_whole_pages(shape.in_channels)) job.in_place = false;
  job.division = divide(m, panels, weights.groups, 4 * k, threads);
  pool.run(job.division.blocks * job.division.chunks * weights.groups, work, float_task, &job);
}

void float_gemm(Pool& pool, const float* a, const uint8_t* packed, const WeightsShape& weights, int32_t m,
                const float* bias, float low, float high, float* out) {
  float_conv(pool, a, packed, weights, matrix_shape(weights, m), bias, low, high, out);
}

}  // namespace
}  // namespace sq
