// How work over long arrays is cut: over threads, and past the caches.

#ifndef SB
#define SB (16<<20)
#endif
namespace sq {
namespace {

/** Outputs larger than this would push themselves out of the last cache: they go past it. */
constexpr int64_t STREAM_BYTES = SB;

/** Elements per task: both sides of a task lie in the second cache, and handing one out costs nothing beside it. */
constexpr int64_t SPREAD = 32 * 1024;
/** What an element costs beside a multiply-add of a product: most of these verbs wait for memory. */
constexpr double ELEMENT_WORK = 8;

#ifndef AHEAD
#define AHEAD 2048
#endif
constexpr int LINE_BYTES = 64;
/** Asks for what lies as far behind the next BYTES as memory takes to answer. */
template <int BYTES>
inline void fetch_ahead(const void* p) {
#pragma GCC unroll 8
  for (int i = 0; i < BYTES; i += LINE_BYTES) prefetch(static_cast<const char*>(p) + AHEAD + i);
}

/** body(first, last) over ranges that together are [0, n), SPREAD long, the last up to twice as long (or all of n). */
template <class Body>
inline void spread(Pool& pool, int64_t n, const Body& body) {
  if (pool.threads() == 1 || n < 2 * SPREAD) return body(int64_t(0), n);
  struct Job {
    const Body& body;
    int64_t n;
  } job{body, n};
  pool.run(n / SPREAD, double(n) * ELEMENT_WORK, [](const void* context, int64_t task, int) {
    const Job& j = *static_cast<const Job*>(context);
    const int64_t first = task * SPREAD;
    j.body(first, j.n - first < 2 * SPREAD ? j.n : first + SPREAD);
  }, &job);
}

/** How far p lies before the next multiple of `size` bytes, in elements. */
template <class T>
inline int64_t until_aligned(const T* p, int64_t size) {
  return (size - static_cast<int64_t>(reinterpret_cast<uintptr_t>(p) % static_cast<uintptr_t>(size))) % size /
         static_cast<int64_t>(sizeof(T));
}

inline VF load(const float* p, int lanes) { return lanes == W ? vf_load(p) : vf_load_n(p, lanes); }

/** out[i] = the lanes of values(i, count), count <= W of them, for [first, last); past the caches where `streams`. */
template <class Values>
inline void fill(float* out, int64_t first, int64_t last, bool streams, const Values& values) {
  int64_t i = first;
  const auto few = [&](int64_t count) {
    if (count > last - i) count = last - i;
    if (count > 0) vf_store_n(out + i, values(i, static_cast<int>(count)), static_cast<int>(count));
    i += count;
  };
  if (streams) {
    few(until_aligned(out + i, 4 * W));
    for (; i + W <= last; i += W) vf_stream(out + i, values(i, W));
    stream_end();
  }
  for (; i + 4 * W <= last; i += 4 * W)
#pragma GCC unroll 4
    for (int j = 0; j < 4 * W; j += W) vf_store(out + i + j, values(i + j, W));
  for (; i + W <= last; i += W) vf_store(out + i, values(i, W));
  few(W);
}

/**
 * step(i) for steps of `size` elements that together cover [first, last): where the range is no multiple, the last
 * step begins earlier and repeats some, so it must not matter that an element is done twice. False, and nothing done,
 * where the range is shorter than a step.
 */
template <class Step>
inline bool in_steps(int64_t first, int64_t last, int64_t size, const Step& step) {
  if (last - first < size) return false;
  for (int64_t i = first; i + size <= last; i += size) step(i);
  if ((last - first) % size) step(last - size);
  return true;
}

}  // namespace
}  // namespace sq
