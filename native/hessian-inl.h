// Second-order rounding. Rows are independent; several share each row of u. Columns go in blocks: inside a block one
// by one, and what a finished block takes from the columns after it in one pass, in the same ascending order.

namespace sq {
namespace {

constexpr int64_t HESSIAN_ROWS = 4, HESSIAN_BLOCK = 32;

struct HessianJob {
  double* w;
  const float* scales;
  const double* u;
  int64_t k, first, last;
  double low, high;
  int8_t* q;
};

/** Half to even; beyond 2^51 there is no fraction worth keeping. */
inline double round_half_even(double x) {
  constexpr double ROUND_64 = 6755399441055744.0, LARGE = 2251799813685248.0;  // 1.5 * 2^52, 2^51
  return x < LARGE && x > -LARGE ? (x + ROUND_64) - ROUND_64 : x;
}

/** w[0..rows)[from..k) -= Σ over j in the block, ascending, of error[row][j] * u[j]. */
inline void hessian_update(const HessianJob& job, double* w, int64_t rows, int64_t block, int64_t count, int64_t from) {
  int64_t i = from;
  for (; i + WD <= job.k; i += WD)
    for (int64_t r = 0; r < rows; r += 2) {
      double* upper = w + r * job.k;
      double* lower = r + 1 < rows ? upper + job.k : upper;
      VD a = vd_load(upper + i), b = vd_load(lower + i);
      for (int64_t j = block; j < block + count; j++) {
        const VD u = vd_load(job.u + j * job.k + i);
        a = vd_sub(a, vd_mul(vd_set(upper[j]), u));
        b = vd_sub(b, vd_mul(vd_set(lower[j]), u));
      }
      vd_store(upper + i, a);
      vd_store(lower + i, b);
    }
  for (; i < job.k; i++)
    for (int64_t r = 0; r < rows; r++)
      for (int64_t j = block; j < block + count; j++) w[r * job.k + i] -= w[r * job.k + j] * job.u[j * job.k + i];
}

void hessian_task(const void* context, int64_t task, int) {
  const HessianJob& job = *static_cast<const HessianJob*>(context);
  const int64_t k = job.k, row = job.first + task * HESSIAN_ROWS;
  const int64_t rows = job.last - row < HESSIAN_ROWS ? job.last - row : HESSIAN_ROWS;
  double* w = job.w + row * k;
  for (int64_t block = 0; block < k; block += HESSIAN_BLOCK) {
    const int64_t count = k - block < HESSIAN_BLOCK ? k - block : HESSIAN_BLOCK;
    for (int64_t r = 0; r < rows; r++) {
      const double scale = job.scales[row + r];
      double* x = w + r * k;
      for (int64_t j = block; j < block + count; j++) {
        double level = round_half_even(x[j] / scale);
        level = level > job.low ? level : job.low;
        level = level < job.high ? level : job.high;
        job.q[(row + r) * k + j] = static_cast<int8_t>(level);
        const double* u = job.u + j * k;
        const double error = (x[j] - level * scale) / u[j];
        for (int64_t i = j + 1; i < block + count; i++) x[i] -= error * u[i];
        x[j] = error;
      }
    }
    hessian_update(job, w, rows, block, count, block + count);
  }
}

void round_with_hessian(Pool& pool, double* w, const float* scales, const double* u, int64_t k, int64_t first,
                        int64_t last, int32_t low, int32_t high, int8_t* q) {
  const HessianJob job{w, scales, u, k, first, last, static_cast<double>(low), static_cast<double>(high), q};
  const int64_t tasks = (last - first + HESSIAN_ROWS - 1) / HESSIAN_ROWS;
  pool.run(tasks, double(last - first) * double(k) * double(k) / 2, hessian_task, &job);
}

}  // namespace
}  // namespace sq
