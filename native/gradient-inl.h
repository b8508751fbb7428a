// What training adds: gradients of weights, sums and products per channel, masks. Loops without vectors by name are
// what the compiler makes vectors of.

namespace sq {
namespace {

/** As lib/kernels/math.ts has them: part of the contract. */
constexpr int64_t MOST_RUNS = 16, LEAST_RUN = 64, RUN_SUMS = 1 << 22;
/** Rows and vectors of a tile: its sums, its columns and one factor fill the registers. */
constexpr int GRADIENT_ROWS = ROWS >= 8 ? 8 : 4, GRADIENT_VECTORS = 3;
/** Patches per round: enough to pay for reading and writing the sums, few enough for the second cache. */
constexpr int64_t GRADIENT_ROUND_BYTES = 128 * 1024, FEWEST_ROUND = 16, MOST_ROUND = 256;

struct GradientJob {
  Pool* pool;
  const float* x;
  const float* out_gradient;
  ConvShape shape;
  int64_t positions, run, channels, k, padded, round;  // padded: k in whole vectors
  float* sums;                                         // [run][outChannels][padded]; thread 0's patches follow
  int64_t runs;
  float* gradient;
};

/** R channels x V vectors of weights over `count` positions. */
template <int R, int V>
void gradient_tile(const float* g, int64_t ldg, const float* x, int64_t ldx, int64_t count, float* sums, int64_t lds) {
  VF acc[R][V];
#pragma GCC unroll 8
  for (int r = 0; r < R; r++)
#pragma GCC unroll 3
    for (int v = 0; v < V; v++) acc[r][v] = vf_load(sums + r * lds + v * W);
  for (int64_t i = 0; i < count; i++, g += ldg, x += ldx) {
    VF columns[V];
#pragma GCC unroll 3
    for (int v = 0; v < V; v++) columns[v] = vf_load(x + v * W);
#pragma GCC unroll 8
    for (int r = 0; r < R; r++) {
      const VF factor = vf_set(g[r]);
#pragma GCC unroll 3
      for (int v = 0; v < V; v++) acc[r][v] = vf_muladd(factor, columns[v], acc[r][v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; r++)
#pragma GCC unroll 3
    for (int v = 0; v < V; v++) vf_store(sums + r * lds + v * W, acc[r][v]);
}

using GradientTile = void (*)(const float*, int64_t, const float*, int64_t, int64_t, float*, int64_t);

template <int R>
inline GradientTile gradient_tile_of(int64_t vectors) {
  static_assert(GRADIENT_VECTORS == 3);
  return vectors >= 3 ? gradient_tile<R, 3> : vectors == 2 ? gradient_tile<R, 2> : gradient_tile<R, 1>;
}

/** One round of positions of a run and group: `rows` output channels from g on, all of k. */
inline void gradient_round(const GradientJob& job, const float* g, const float* x, int64_t ldx, int64_t count, int64_t rows,
                           float* sums) {
  for (int64_t at = 0; at < job.padded; at += GRADIENT_VECTORS * W) {
    const int64_t vectors = (job.padded - at) / W;
    const GradientTile full = gradient_tile_of<GRADIENT_ROWS>(vectors), one = gradient_tile_of<1>(vectors);
    int64_t r = 0;
    for (; r + GRADIENT_ROWS <= rows; r += GRADIENT_ROWS)
      full(g + r, job.shape.out_channels, x + at, ldx, count, sums + r * job.padded + at, job.padded);
    for (; r < rows; r++) one(g + r, job.shape.out_channels, x + at, ldx, count, sums + r * job.padded + at, job.padded);
  }
}

inline float* patches_of(const GradientJob& job, int thread, size_t bytes) {
  if (thread == 0) return job.sums + job.runs * job.shape.out_channels * job.padded;
  return static_cast<float*>(job.pool->scratch(thread, bytes));
}

void gradient_task(const void* context, int64_t run, int thread) {
  const GradientJob& job = *static_cast<const GradientJob*>(context);
  const ConvShape& s = job.shape;
  const int64_t first = run * job.run, last = first + job.run < job.positions ? first + job.run : job.positions;
  const int64_t rows = s.out_channels / s.groups;
  const bool in_place = is_pointwise(s) && s.groups == 1 && job.padded == job.k;
  float* sums = job.sums + run * s.out_channels * job.padded;
  zero_floats(sums, s.out_channels * job.padded);
  float* patches = in_place ? nullptr : patches_of(job, thread, sizeof(float) * job.round * job.padded);
  if (!in_place && !patches) return;
  for (int64_t group = 0; group < s.groups; group++)
    for (int64_t at = first; at < last; at += job.round) {
      const int64_t count = last - at < job.round ? last - at : job.round;
      const float* x = job.x + at * s.in_channels;
      if (!in_place) {
        gather(job.x, s, job.channels, group, at, 1, count, patches, job.padded, copy_floats, zero_floats);
        if (job.padded > job.k)
          for (int64_t i = 0; i < count; i++) zero_floats(patches + i * job.padded + job.k, job.padded - job.k);
        x = patches;
      }
      gradient_round(job, job.out_gradient + at * s.out_channels + group * rows, x, in_place ? s.in_channels : job.padded,
                     count, rows, sums + group * rows * job.padded);
    }
}

/** Vectors of channels whose sums do not wait for each other. */
constexpr int DEPTHWISE_GRADIENT_VECTORS = 4;

/** Neighbouring outputs of one line under one tap: sums [V * W] += x * g. */
template <int V>
inline void depthwise_gradient_line(const float* x, int64_t ldx, const float* g, int64_t ldg, int64_t count, float* sums,
                                    int lanes) {
  VF acc[V];
#pragma GCC unroll 4
  for (int v = 0; v < V; v++) acc[v] = vf_load(sums + v * W);
  for (int64_t i = 0; i < count; i++, x += ldx, g += ldg)
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) {
      const bool whole = V > 1 || lanes == W;
      const VF a = whole ? vf_load(x + v * W) : vf_load_n(x, lanes), b = whole ? vf_load(g + v * W) : vf_load_n(g, lanes);
      acc[v] = vf_muladd(a, b, acc[v]);
    }
#pragma GCC unroll 4
  for (int v = 0; v < V; v++) vf_store(sums + v * W, acc[v]);
}

/** The sums of one run, [tap][channels in whole vectors]. */
void depthwise_gradient_task(const void* context, int64_t run, int) {
  const GradientJob& job = *static_cast<const GradientJob*>(context);
  const ConvShape& s = job.shape;
  const int64_t first = run * job.run, last = first + job.run < job.positions ? first + job.run : job.positions;
  const int64_t c = s.in_channels, width = padded_columns(c);
  float* sums = job.sums + run * job.k * width;
  zero_floats(sums, job.k * width);
  for (int64_t at = first; at < last;) {
    const int64_t line = at / s.out_width, ox = at - line * s.out_width, batch = line / s.out_height;
    const int64_t left = s.out_width - ox, count = last - at < left ? last - at : left;
    const Taps y = taps_inside(static_cast<int32_t>(line % s.out_height), s.stride_height, s.pad_top, s.dilation_height,
                               s.kernel_height, s.in_height);
    for (int32_t ky = y.first; ky < y.last; ky++)
      for (int32_t kx = 0; kx < s.kernel_width; kx++) {
        // Outputs ox + i whose input column start + i * stride lies inside.
        const int64_t start = ox * s.stride_width - s.pad_left + int64_t(kx) * s.dilation_width;
        const int64_t from = start < 0 ? (-start + s.stride_width - 1) / s.stride_width : 0;
        const int64_t inside = start < s.in_width ? (s.in_width - 1 - start) / s.stride_width + 1 : 0;
        const int64_t to = inside < count ? inside : count;
        if (from >= to) continue;
        const int64_t row = batch * s.in_height + y.start + ky * s.dilation_height;
        const float* x = job.x + (row * s.in_width + start + from * s.stride_width) * c;
        const float* g = job.out_gradient + (at + from) * c;
        float* tap = sums + (int64_t(ky) * s.kernel_width + kx) * width;
        int64_t channel = 0;
        for (; channel + DEPTHWISE_GRADIENT_VECTORS * W <= c; channel += DEPTHWISE_GRADIENT_VECTORS * W)
          depthwise_gradient_line<DEPTHWISE_GRADIENT_VECTORS>(x + channel, s.stride_width * c, g + channel, c, to - from,
                                                              tap + channel, W);
        for (; channel < c; channel += W)
          depthwise_gradient_line<1>(x + channel, s.stride_width * c, g + channel, c, to - from, tap + channel,
                                     static_cast<int>(c - channel < W ? c - channel : W));
      }
    at += count;
  }
}

/** gradient[i] = the sums at(i) of all runs, in order. */
template <class At>
inline void add_runs(const GradientJob& job, int64_t count, int64_t run_sums, const At& at) {
  for (int64_t i = 0; i < count; i++) {
    const float* from = job.sums + at(i);
    float sum = from[0];
    for (int64_t run = 1; run < job.runs; run++) sum += from[run * run_sums];
    job.gradient[i] = sum;
  }
}

void float_conv_gradient(Pool& pool, const float* x, const float* out_gradient, const ConvShape& s, float* gradient) {
  GradientJob job{};
  job.pool = &pool;
  job.x = x;
  job.out_gradient = out_gradient;
  job.shape = s;
  job.gradient = gradient;
  job.positions = positions_of(s);
  job.channels = s.in_channels / s.groups;
  job.k = int64_t(s.kernel_height) * s.kernel_width * job.channels;
  job.padded = padded_columns(job.k);
  const int64_t weights = s.out_channels * job.k;
  if (job.positions == 0) return zero_floats(gradient, weights);
  int64_t most = RUN_SUMS / weights;
  if (most > MOST_RUNS) most = MOST_RUNS;
  const int64_t long_enough = (job.positions + LEAST_RUN - 1) / LEAST_RUN;
  if (most > long_enough) most = long_enough;
  job.run = (job.positions + (most < 1 ? 1 : most) - 1) / (most < 1 ? 1 : most);
  job.runs = (job.positions + job.run - 1) / job.run;
  const bool depthwise = job.channels == 1 && s.groups > 1 && s.out_channels == s.in_channels;
  job.round = GRADIENT_ROUND_BYTES / (4 * job.padded);
  job.round = job.round < FEWEST_ROUND ? FEWEST_ROUND : job.round > MOST_ROUND ? MOST_ROUND : job.round;
  const int64_t run_sums = depthwise ? job.k * padded_columns(s.in_channels) : s.out_channels * job.padded;
  const int64_t patches = depthwise ? 0 : job.round * job.padded;
  job.sums = static_cast<float*>(pool.scratch(0, sizeof(float) * (job.runs * run_sums + patches)));
  if (!job.sums) return;
  pool.run(job.runs, double(job.positions) * double(weights) * ELEMENT_WORK / 2,
           depthwise ? depthwise_gradient_task : gradient_task, &job);
  if (depthwise) {
    const int64_t width = padded_columns(s.in_channels), taps = job.k;
    add_runs(job, weights, run_sums, [=](int64_t i) { return i % taps * width + i / taps; });
  } else {
    const int64_t k = job.k, padded = job.padded;
    add_runs(job, weights, run_sums, [=](int64_t i) { return i / k * padded + i % k; });
  }
}

/** Rows of a block of sumChannels, elements of a block of quantizeGradient: part of the contract. */
constexpr int64_t SUM_ROWS = 1024, GRADIENT_BLOCK = 65536;

struct ChannelSums {
  const float *a, *b;
  int64_t rows, channels;
  double* blocks;  // [block][2][channels]
};

void channel_sums_task(const void* context, int64_t task, int) {
  const ChannelSums& job = *static_cast<const ChannelSums*>(context);
  const int64_t c = job.channels, first = task * SUM_ROWS;
  const int64_t last = first + SUM_ROWS < job.rows ? first + SUM_ROWS : job.rows;
  double* sums = job.blocks + task * 2 * c;
  double* products = sums + c;
  for (int64_t i = 0; i < 2 * c; i++) sums[i] = 0;
  int64_t at = 0;
  for (; at + 2 * WD <= c; at += 2 * WD) {
    VD s0 = vd_set(0), s1 = s0, p0 = s0, p1 = s0;
    const float *a = job.a + first * c + at, *b = job.b + first * c + at;
    for (int64_t row = first; row < last; row++, a += c, b += c) {
      const VD a0 = vd_widen(a), a1 = vd_widen(a + WD);
      s0 = vd_add(s0, a0);
      s1 = vd_add(s1, a1);
      p0 = vd_exact_muladd(a0, vd_widen(b), p0);  // products of 24 bits are exact
      p1 = vd_exact_muladd(a1, vd_widen(b + WD), p1);
    }
    vd_store(sums + at, s0);
    vd_store(sums + at + WD, s1);
    vd_store(products + at, p0);
    vd_store(products + at + WD, p1);
  }
  for (int64_t row = first; at < c && row < last; row++)
    for (int64_t i = at; i < c; i++) {
      const double a = job.a[row * c + i], b = job.b[row * c + i];
      sums[i] += a;
      products[i] += a * b;
    }
}

void sum_channels(Pool& pool, const float* a, const float* b, int64_t n, int64_t channels, double* into) {
  for (int64_t i = 0; i < 2 * channels; i++) into[i] = 0;
  const int64_t rows = n / channels, blocks = (rows + SUM_ROWS - 1) / SUM_ROWS;
  if (blocks == 0) return;
  ChannelSums job{a, b, rows, channels, static_cast<double*>(pool.scratch(0, sizeof(double) * 2 * channels * blocks))};
  if (!job.blocks) return;
  pool.run(blocks, double(n) * ELEMENT_WORK, channel_sums_task, &job);
  for (int64_t block = 0; block < blocks; block++)
    for (int64_t i = 0; i < 2 * channels; i++) into[i] += job.blocks[block * 2 * channels + i];
}

/** body(first, last, channel) for rows whose elements lie in [0, n); shared out by whole rows. */
template <class Body>
inline void spread_rows(Pool& pool, int64_t n, int64_t channels, const Body& body) {
  struct Job {
    const Body& body;
    int64_t rows, channels, share;
  } job{body, n / channels, channels, SPREAD / channels > 0 ? SPREAD / channels : 1};
  pool.run((job.rows + job.share - 1) / job.share, double(n) * ELEMENT_WORK, [](const void* context, int64_t task, int) {
    const Job& j = *static_cast<const Job*>(context);
    const int64_t first = task * j.share, last = first + j.share < j.rows ? first + j.share : j.rows;
    for (int64_t row = first; row < last; row++) j.body(row * j.channels);
  }, &job);
}

void affine_channels(Pool& pool, const float* x, int64_t n, const float* scales, const float* shifts, int64_t channels,
                     float low, float high, float* out) {
  const VF least = vf_set(low), most = vf_set(high);
  spread_rows(pool, n, channels, [=](int64_t at) {
    fill(out + at, 0, channels, false, [=](int64_t i, int lanes) {
      const VF scaled = vf_mul(load(x + at + i, lanes), load(scales + i, lanes));
      return vf_min(vf_max(vf_add(scaled, load(shifts + i, lanes)), least), most);
    });
  });
}

void combine_channels(Pool& pool, const float* x, const float* y, int64_t n, const float* a, const float* b,
                      const float* shifts, int64_t channels, float* out) {
  spread_rows(pool, n, channels, [=](int64_t at) {
    fill(out + at, 0, channels, false, [=](int64_t i, int lanes) {
      const VF left = vf_mul(load(x + at + i, lanes), load(a + i, lanes));
      const VF right = vf_mul(load(y + at + i, lanes), load(b + i, lanes));
      return vf_add(vf_add(left, right), load(shifts + i, lanes));
    });
  });
}

void clamp_gradient(Pool& pool, const float* y, const float* gradient, int64_t n, float low, float high, float* out) {
  spread(pool, n, [=](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; i++) {
      const bool inside = (y[i] > low) & (y[i] < high);
      out[i] = inside ? gradient[i] : 0.0f;
    }
  });
}

struct QuantizeGradient {
  const float *x, *gradient;
  int64_t n;
  float scale, low, high;  // levels without the zero point
  float* out;
  double* blocks;
};

void quantize_gradient_task(const void* context, int64_t task, int) {
  const QuantizeGradient& job = *static_cast<const QuantizeGradient*>(context);
  constexpr float MAGIC_ROUND = 12582912.0f;  // 1.5 * 2^23: adding it rounds small numbers half to even
  const int64_t first = task * GRADIENT_BLOCK, end = first + GRADIENT_BLOCK < job.n ? first + GRADIENT_BLOCK : job.n;
  const float low = job.low, high = job.high, scale = job.scale;
  double lanes[LANES] = {0};
  float terms[STRETCH];
  for (int64_t at = first; at < end; at += STRETCH) {
    const int64_t count = end - at < STRETCH ? end - at : STRETCH;
    const float *x = job.x + at, *gradient = job.gradient + at;
    float* out = job.out + at;
    for (int64_t i = 0; i < count; i++) {
      const float r = x[i] / scale, g = gradient[i];
      float near = r < low - 1 ? low - 1 : r;
      near = near > high + 1 ? high + 1 : near;
      const float level = (near + MAGIC_ROUND) - MAGIC_ROUND;
      const bool inside = (level >= low) & (level <= high);
      const float edge = level < low ? low : high;
      terms[i] = g * (inside ? level - near : edge);
      out[i] = inside ? g : 0.0f;
    }
    for (int64_t i = count; i % LANES; i++) terms[i] = 0;
    for (int64_t i = 0; i < count; i += LANES)
      for (int j = 0; j < LANES; j++) lanes[j] += static_cast<double>(terms[i + j]);
  }
  job.blocks[task] = fold(lanes);
}

double quantize_gradient(Pool& pool, const float* x, const float* gradient, int64_t n, float scale, int32_t zero_point,
                         int32_t low, int32_t high, float* out) {
  const int64_t blocks = (n + GRADIENT_BLOCK - 1) / GRADIENT_BLOCK;
  if (blocks == 0) return 0;
  double* sums = static_cast<double*>(pool.scratch(0, sizeof(double) * blocks));
  if (!sums) return 0;
  const QuantizeGradient job{x, gradient, n, scale, float(low - zero_point), float(high - zero_point), out, sums};
  pool.run(blocks, double(n) * ELEMENT_WORK, quantize_gradient_task, &job);
  double sum = 0;
  for (int64_t block = 0; block < blocks; block++) sum += sums[block];
  return sum;
}

}  // namespace
}  // namespace sq
