// Threads and scratch memory of one backend. Declarations only: instruction-set files include it.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace sq {

/**
 * Below this much work the caller does it alone. The unit is a multiply-add of the 8-bit product; other work counts as
 * many as take equally long. It is 5 us (VNNI) to 40 us (AVX2) of one core. Measured on two Zen 3 cores under Linux,
 * sharing costs 0.4 us while a worker still looks for work and 5 to 10 us where it sleeps and arrives only then: jobs
 * shorter than about 20 us gain nothing from sleeping workers. Fuzzing divides small work too.
 */
#if defined(SQ_FUZZ)
constexpr double PARALLEL_WORK = 1;
#else
constexpr double PARALLEL_WORK = 2e6;
#endif

/**
 * One thread at a time may give work, or end the pool; which one does not matter. Threads start when they are first
 * needed and end with the pool.
 */
class Pool {
 public:
  using Body = void (*)(const void* context, int64_t task, int thread);

  explicit Pool(int threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int threads() const;

  /** Ends the threads; what is run afterwards runs on the caller's. */
  void end();

  /**
   * Calls body(context, task, thread) for every task below `tasks`, in any order, on up to `threads` threads,
   * of which the caller is number 0; returns when all are done. `work` is the number of multiply-adds of all
   * tasks: below a limit the caller does them alone.
   */
  void run(int64_t tasks, double work, Body body, const void* context);

  /** At least `bytes` of 64-byte aligned memory of this thread, valid until it asks again; null if none is left. */
  void* scratch(int thread, size_t bytes);

  /** Whether scratch memory ran out since the last call of this function. */
  bool exhausted();

 private:
  struct State;
  State* state_;
};

}  // namespace sq
