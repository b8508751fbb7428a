// Threads and scratch memory of one backend. Declarations only: instruction-set files include it.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace sq {

/** Below this many multiply-adds waking a thread costs more than it saves. */
constexpr double PARALLEL_WORK = 2e6;

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
