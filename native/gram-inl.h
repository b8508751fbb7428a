// Second moments of patches, float64. Products of float32 numbers are exact there, so fusing them with the addition
// changes nothing; every entry adds its positions in ascending order, whatever the tiles and threads.

namespace sq {
namespace {

/** Vectors of a tile's columns: with its rows as many sums as keep fused multiply-adds from waiting for each other. */
constexpr int GRAM_VECTORS = WD == 4 ? 3 : 2;
constexpr int STRIP = GRAM_VECTORS * WD;  // columns of a strip: patches lie as [strip][position][STRIP]
constexpr int GRAM_ROWS = WD;             // rows of a tile; STRIP is a multiple
/** Patches per round: enough to pay for reading and writing the matrix, few enough to stay in cache. */
constexpr int64_t ROUND_BYTES = 2 * 1024 * 1024;
constexpr int64_t FEWEST_PATCHES = 32, MOST_PATCHES = 512;

struct GramJob {
  Pool* pool;
  const float* x;
  ConvShape shape;
  int64_t first, step, count;  // this round's positions
  int64_t channels, k, group, strips;
  double* patches;
  double* gram;  // of this group
  bool symmetric;
};

constexpr int64_t GATHER_ROWS = 8;

/** Eight patches of the round to their places in the strips. */
void gram_gather_task(const void* context, int64_t task, int thread) {
  const GramJob& job = *static_cast<const GramJob*>(context);
  const int64_t first = task * GATHER_ROWS;
  const int64_t rows = job.count - first < GATHER_ROWS ? job.count - first : GATHER_ROWS;
  const int64_t padded = job.strips * STRIP;
  // The caller's patches lie in the scratch of thread 0, so rows go behind them there.
  float* patch = reinterpret_cast<float*>(job.patches + padded * job.count);
  if (thread != 0) patch = static_cast<float*>(job.pool->scratch(thread, sizeof(float) * padded * GATHER_ROWS));
  if (!patch) return;
  gather(job.x, job.shape, job.channels, job.group, job.first + first * job.step, job.step, rows, patch, padded,
         copy_floats, zero_floats);
  for (int64_t r = 0; r < rows; r++) zero_floats(patch + r * padded + job.k, padded - job.k);
  for (int64_t strip = 0; strip < job.strips; strip++)
    for (int64_t r = 0; r < rows; r++) {
      double* to = job.patches + (strip * job.count + first + r) * STRIP;
      const float* from = patch + r * padded + strip * STRIP;
      for (int v = 0; v < STRIP; v += WD) vd_store(to + v, vd_widen(from + v));
    }
}

/** GRAM_ROWS x STRIP entries over all positions of the round. */
inline void gram_tile(const double* rows, const double* columns, int64_t count, double* tile, int64_t ld) {
  VD acc[GRAM_ROWS][GRAM_VECTORS];
#pragma GCC unroll 8
  for (int r = 0; r < GRAM_ROWS; r++)
#pragma GCC unroll 3
    for (int v = 0; v < GRAM_VECTORS; v++) acc[r][v] = vd_load(tile + r * ld + v * WD);
  for (int64_t i = 0; i < count; i++, rows += STRIP, columns += STRIP) {
    VD y[GRAM_VECTORS];
#pragma GCC unroll 3
    for (int v = 0; v < GRAM_VECTORS; v++) y[v] = vd_load(columns + v * WD);
#pragma GCC unroll 8
    for (int r = 0; r < GRAM_ROWS; r++) {
      const VD x = vd_set(rows[r]);
#pragma GCC unroll 3
      for (int v = 0; v < GRAM_VECTORS; v++) acc[r][v] = vd_exact_muladd(x, y[v], acc[r][v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < GRAM_ROWS; r++)
#pragma GCC unroll 3
    for (int v = 0; v < GRAM_VECTORS; v++) vd_store(tile + r * ld + v * WD, acc[r][v]);
}

/** One strip of rows against all strips from the diagonal on (or all, where the matrix was not symmetric). */
void gram_strip_task(const void* context, int64_t task, int) {
  const GramJob& job = *static_cast<const GramJob*>(context);
  for (int64_t strip = job.symmetric ? task : 0; strip < job.strips; strip++)
    for (int part = 0; part < STRIP; part += GRAM_ROWS) {
      const int64_t i = task * STRIP + part, j = strip * STRIP;
      if (i >= job.k) break;
      const double* rows = job.patches + task * job.count * STRIP + part;
      const double* columns = job.patches + strip * job.count * STRIP;
      double* corner = job.gram + i * job.k + j;
      if (i + GRAM_ROWS <= job.k && j + STRIP <= job.k) {
        gram_tile(rows, columns, job.count, corner, job.k);
        continue;
      }
      const int64_t height = job.k - i < GRAM_ROWS ? job.k - i : GRAM_ROWS, width = job.k - j < STRIP ? job.k - j : STRIP;
      double edge[GRAM_ROWS * STRIP] = {0};
      for (int64_t r = 0; r < height; r++) memcpy(edge + r * STRIP, corner + r * job.k, sizeof(double) * width);
      gram_tile(rows, columns, job.count, edge, STRIP);
      for (int64_t r = 0; r < height; r++) memcpy(corner + r * job.k, edge + r * STRIP, sizeof(double) * width);
    }
}

constexpr int64_t MIRROR = 32;

/** Visits i, j of the upper triangle in blocks that suit the cache; stops where visit says false. */
template <class Visit>
inline bool for_upper(int64_t k, Visit visit) {
  for (int64_t i0 = 0; i0 < k; i0 += MIRROR)
    for (int64_t j0 = i0; j0 < k; j0 += MIRROR)
      for (int64_t i = i0; i < i0 + MIRROR && i < k; i++)
        for (int64_t j = j0 > i ? j0 : i + 1; j < j0 + MIRROR && j < k; j++)
          if (!visit(i, j)) return false;
  return true;
}

void gram_group(GramJob& job, int64_t first, int64_t step, int64_t positions) {
  Pool& pool = *job.pool;
  double* gram = job.gram;
  const int64_t k = job.k, padded = job.strips * STRIP;
  job.symmetric = for_upper(k, [=](int64_t i, int64_t j) { return gram[i * k + j] == gram[j * k + i]; });
  int64_t most = ROUND_BYTES / (8 * padded);
  most = most < FEWEST_PATCHES ? FEWEST_PATCHES : most > MOST_PATCHES ? MOST_PATCHES : most;
  job.patches = static_cast<double*>(pool.scratch(0, sizeof(double) * padded * most + sizeof(float) * padded * GATHER_ROWS));
  if (!job.patches) return;
  for (int64_t at = first; at < positions; at += most * step) {
    const int64_t left = (positions - at + step - 1) / step;
    job.first = at;
    job.count = left < most ? left : most;
    const double work = double(job.count) * double(k) * double(k);
    pool.run((job.count + GATHER_ROWS - 1) / GATHER_ROWS, work, gram_gather_task, &job);
    pool.run(job.strips, work, gram_strip_task, &job);
  }
  if (job.symmetric)
    for_upper(k, [=](int64_t i, int64_t j) {
      gram[j * k + i] = gram[i * k + j];
      return true;
    });
}

/** Groups of one channel: WD of them at once, [tap][position][WD], each pair of taps summed in a register. */
struct DepthwiseGramJob {
  Pool* pool;
  const float* x;
  ConvShape shape;
  int64_t first, step, positions;
  double* gram;
};

template <int I, int J>
inline void depthwise_block(const double* p, int64_t count, int64_t i, int64_t j, double* sums, int64_t taps) {
  VD acc[I][J];
#pragma GCC unroll 3
  for (int r = 0; r < I; r++)
#pragma GCC unroll 3
    for (int c = 0; c < J; c++) acc[r][c] = vd_load(sums + ((i + r) * taps + j + c) * WD);
  for (int64_t n = 0; n < count; n++) {
    VD right[J];
#pragma GCC unroll 3
    for (int c = 0; c < J; c++) right[c] = vd_load(p + ((j + c) * count + n) * WD);
#pragma GCC unroll 3
    for (int r = 0; r < I; r++) {
      const VD left = vd_load(p + ((i + r) * count + n) * WD);
#pragma GCC unroll 3
      for (int c = 0; c < J; c++) acc[r][c] = vd_exact_muladd(left, right[c], acc[r][c]);
    }
  }
#pragma GCC unroll 3
  for (int r = 0; r < I; r++)
#pragma GCC unroll 3
    for (int c = 0; c < J; c++) vd_store(sums + ((i + r) * taps + j + c) * WD, acc[r][c]);
}

constexpr int64_t DEPTHWISE_PATCHES = 64;
constexpr int BLOCK = 3;  // pairs of taps in registers: 3 x 3

void depthwise_gram_task(const void* context, int64_t task, int thread) {
  const DepthwiseGramJob& job = *static_cast<const DepthwiseGramJob*>(context);
  const ConvShape& s = job.shape;
  const int64_t taps = int64_t(s.kernel_height) * s.kernel_width, c0 = task * WD;
  const int64_t lanes = s.in_channels - c0 < WD ? s.in_channels - c0 : WD;
  auto* sums = static_cast<double*>(job.pool->scratch(thread, sizeof(double) * WD * taps * (taps + DEPTHWISE_PATCHES)));
  if (!sums) return;
  double* patches = sums + taps * taps * WD;
  double* gram = job.gram + c0 * taps * taps;
  for (int64_t i = 0; i < taps * taps; i++)
    for (int64_t c = 0; c < WD; c++) sums[i * WD + c] = c < lanes ? gram[c * taps * taps + i] : 0;
  for (int64_t at = job.first; at < job.positions; at += DEPTHWISE_PATCHES * job.step) {
    const int64_t left = (job.positions - at + job.step - 1) / job.step;
    const int64_t count = left < DEPTHWISE_PATCHES ? left : DEPTHWISE_PATCHES;
    memset(patches, 0, sizeof(double) * WD * taps * count);
    for (int64_t n = 0; n < count; n++) {
      const int64_t position = at + n * job.step, line = position / s.out_width, batch = line / s.out_height;
      const Taps y = taps_inside(static_cast<int32_t>(line % s.out_height), s.stride_height, s.pad_top,
                                 s.dilation_height, s.kernel_height, s.in_height);
      const Taps x = taps_inside(static_cast<int32_t>(position % s.out_width), s.stride_width, s.pad_left,
                                 s.dilation_width, s.kernel_width, s.in_width);
      for (int32_t ky = y.first; ky < y.last; ky++)
        for (int32_t kx = x.first; kx < x.last; kx++) {
          const int64_t row = batch * s.in_height + y.start + ky * s.dilation_height;
          const float* from = job.x + (row * s.in_width + x.start + kx * s.dilation_width) * s.in_channels + c0;
          double* to = patches + ((int64_t(ky) * s.kernel_width + kx) * count + n) * WD;
          if (lanes == WD)
            vd_store(to, vd_widen(from));
          else
            for (int64_t c = 0; c < lanes; c++) to[c] = from[c];
        }
    }
    for (int64_t i = 0; i < taps; i += BLOCK)
      for (int64_t j = 0; j < taps; j += BLOCK) {
        if (taps - i >= BLOCK && taps - j >= BLOCK) {
          depthwise_block<BLOCK, BLOCK>(patches, count, i, j, sums, taps);
          continue;
        }
        for (int64_t r = i; r < i + BLOCK && r < taps; r++)
          for (int64_t c = j; c < j + BLOCK && c < taps; c++) depthwise_block<1, 1>(patches, count, r, c, sums, taps);
      }
  }
  for (int64_t i = 0; i < taps * taps; i++)
    for (int64_t c = 0; c < lanes; c++) gram[c * taps * taps + i] = sums[i * WD + c];
}

void gram(Pool& pool, const float* x, const ConvShape& shape, int64_t first, int64_t step, double* into) {
  const int64_t channels = shape.in_channels / shape.groups, positions = positions_of(shape);
  const int64_t k = int64_t(shape.kernel_height) * shape.kernel_width * channels;
  if (channels == 1 && shape.groups > 1) {
    const DepthwiseGramJob job{&pool, x, shape, first, step, positions, into};
    const double work = double(positions) / double(step) * double(k) * double(k) * shape.groups;
    pool.run((shape.groups + WD - 1) / WD, work, depthwise_gram_task, &job);
    return;
  }
  for (int64_t group = 0; group < shape.groups; group++) {
    GramJob job{&pool, x, shape, 0, step, 0, channels, k, group, (k + STRIP - 1) / STRIP, nullptr, into + group * k * k, true};
    gram_group(job, first, step, positions);
  }
}

}  // namespace
}  // namespace sq
