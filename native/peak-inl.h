// The limits that `bench` measures against, on every thread of the pool: products on registers alone, reading, copying.

namespace sq {
namespace {

/** Chains of dependent steps, enough to hide the longest latency (pmaddubsw, pmaddwd, paddd: 11 cycles on Intel at one
    triple per cycle) and few enough that they and a step's operands fit 16 registers. */
constexpr int64_t CHAINS = 12;
#define SQ_CHAINS(each) \
  each(0) each(1) each(2) each(3) each(4) each(5) each(6) each(7) each(8) each(9) each(10) each(11)
/** Tasks per thread: a thread that wakes late leaves its share to the others. */
constexpr int64_t PEAK_TASKS = 16;
/** Splits even what is too small to be worth it: limits are measured on all threads or they are none. */
constexpr double ALWAYS_SPLIT = 1e18;
/** As lib/kernels/index.ts limits them. */
constexpr int64_t MOST_THREADS = 256;

/** Each step takes its own result and each chain starts elsewhere, so that nothing leaves the loop or is shared.
    Chains are variables and not an array, of which g++ 12 keeps two copies and spills them. */
template <class Start, class Step>
void run_chains(int64_t rounds, Start start, Step step) {
#define SQ_START(i) auto chain##i = start(i);
#define SQ_STEP(i) chain##i = step(chain##i);
#define SQ_RESULT(i) chain##i,
  SQ_CHAINS(SQ_START)
  for (int64_t r = 0; r < rounds; r++) {
    SQ_CHAINS(SQ_STEP)
  }
  const decltype(chain0) results[] = {SQ_CHAINS(SQ_RESULT)};
#undef SQ_START
#undef SQ_STEP
#undef SQ_RESULT
  const auto* bytes = reinterpret_cast<const unsigned char*>(results);
  volatile unsigned char kept = 0;  // what is written cannot be left out
  for (size_t i = 0; i < sizeof results; i++) kept = bytes[i];
  (void)kept;
}

template <class To, class From>
inline To same_bits(From x) {
  static_assert(sizeof(To) == sizeof(From));
  To y;
  memcpy(&y, &x, sizeof y);
  return y;
}

/** Multiply-adds of `rounds` rounds; 0 for portable code, of which the compiler makes what it likes. */
int64_t peak_products(int32_t bits, int64_t rounds) {
  if (!FUSED) return 0;
  if (bits <= 8)
    return with_dot(bits, [rounds](auto kind) -> int64_t {
      using Dot = decltype(kind);
      using Column = decltype(Dot::column(nullptr));
      const auto w = same_bits<typename Dot::Weights>(vi_set(0x03030303));
      run_chains(
          rounds, [](int i) { return vi_set(0x01010101 * (i + 1)); },
          [w](VI x) { return Dot::dot(x, w, same_bits<Column>(x)); });
      return rounds * CHAINS * W * Dot::STEP;
    });
  const VF half = vf_set(0.5f), one = vf_set(1.0f);
  run_chains(
      rounds, [](int i) { return vf_set(float(i)); }, [half, one](VF x) { return vf_muladd(x, half, one); });
  return rounds * CHAINS * W;
}

struct PeakJob {
  int32_t bits;
  int64_t rounds;
};

void peak_task(const void* context, int64_t, int) {
  const PeakJob& job = *static_cast<const PeakJob*>(context);
  peak_products(job.bits, job.rounds);
}

double peak(Pool& pool, int32_t bits, int64_t rounds) {
  const int64_t tasks = pool.threads() * PEAK_TASKS;
  const PeakJob job{bits, (rounds + PEAK_TASKS - 1) / PEAK_TASKS};
  const double products = rounds > 0 ? double(peak_products(bits, 1)) : 0;
  if (products > 0) pool.run(tasks, ALWAYS_SPLIT, peak_task, &job);
  return products * double(job.rounds) * double(tasks);
}

/** n elements, the same for every thread, in whole vectors. */
inline int64_t share_of(const Pool& pool, int64_t n) {
  const int64_t each = (n + pool.threads() - 1) / pool.threads();
  return (each + W - 1) / W * W;
}

struct ReadJob {
  const int32_t* x;
  int64_t n, share;
  uint32_t* sums;
};

void read_task(const void* context, int64_t task, int) {
  const ReadJob& job = *static_cast<const ReadJob*>(context);
  const int64_t last = (task + 1) * job.share < job.n ? (task + 1) * job.share : job.n;
  constexpr int64_t STEP = 8;
  VI sums[STEP];
  for (int j = 0; j < STEP; j++) sums[j] = vi_set(0);
  int64_t i = task * job.share;
  for (; i + STEP * W <= last; i += STEP * W)
#pragma GCC unroll 8
    for (int j = 0; j < STEP; j++) sums[j] = vi_add(sums[j], vi_load(job.x + i + j * W));
  uint32_t total = 0;
  for (; i < last; i++) total += static_cast<uint32_t>(job.x[i]);
  for (int j = 0; j < STEP; j++) {
    uint32_t lanes[W];
    memcpy(lanes, &sums[j], sizeof lanes);
    for (int lane = 0; lane < W; lane++) total += lanes[lane];
  }
  job.sums[task] = total;
}

double read(Pool& pool, const int32_t* x, int64_t n) {
  uint32_t sums[MOST_THREADS] = {};
  const ReadJob job{x, n, share_of(pool, n), sums};
  if (n > 0) pool.run(pool.threads(), ALWAYS_SPLIT, read_task, &job);
  uint32_t total = 0;
  for (uint32_t sum : sums) total += sum;
  return static_cast<double>(static_cast<int32_t>(total));
}

struct CopyJob {
  const float* x;
  int64_t n, share;
  float* out;
  bool streaming;
};

void copy_task(const void* context, int64_t task, int) {
  const CopyJob& job = *static_cast<const CopyJob*>(context);
  const int64_t last = (task + 1) * job.share < job.n ? (task + 1) * job.share : job.n;
  int64_t i = task * job.share;
  if (job.streaming) {
    for (; i < last && reinterpret_cast<uintptr_t>(job.out + i) % sizeof(VF) != 0; i++) job.out[i] = job.x[i];
    for (; i + W <= last; i += W) vf_stream(job.out + i, vf_load(job.x + i));
    stream_end();
  }
  if (i < last) memcpy(job.out + i, job.x + i, static_cast<size_t>(last - i) * sizeof(float));
}

void copy(Pool& pool, const float* x, int64_t n, float* out, bool streaming) {
  const CopyJob job{x, n, share_of(pool, n), out, streaming};
  if (n > 0) pool.run(pool.threads(), ALWAYS_SPLIT, copy_task, &job);
}

}  // namespace
}  // namespace sq
