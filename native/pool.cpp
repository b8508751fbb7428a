#include "pool.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#if defined(_MSC_VER)
#include <intrin.h>
#endif

namespace sq {
namespace {

/** How long an idle thread looks for work before it sleeps: as long as steps of a network that only one thread does. */
constexpr auto SPIN = std::chrono::microseconds(200);
/** The clock is read once for so many looks. */
constexpr int LOOKS_PER_READING = 64;
/** After so many looks the caller lets others run: a thread that it waits for may have lost its processor. */
constexpr int PATIENCE = 4096;
constexpr size_t ALIGNMENT = 64;
/** Of the gate: no job is open. More than there can be threads. */
constexpr int SHUT = -(1 << 20);

struct Memory {
  void* block = nullptr;
  size_t size = 0;

  /** Grows only; what was in it is lost. */
  void* reserve(size_t bytes) {
    if (bytes > size) {
      std::free(block);
      block = std::malloc(bytes + ALIGNMENT);
      size = block ? bytes : 0;
      if (!block) return nullptr;
    }
    const auto address = reinterpret_cast<uintptr_t>(block);
    return reinterpret_cast<void*>((address + ALIGNMENT) / ALIGNMENT * ALIGNMENT);
  }
};

/** Tells the processor that this thread only waits. */
inline void relax() {
#if defined(_MSC_VER) && (defined(_M_X64) || defined(_M_IX86))
  _mm_pause();
#elif defined(_MSC_VER)
  __yield();
#elif defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
  __asm__ volatile("yield");
#endif
}

/** The processor that the calling thread runs on; -1 where the system does not tell. */
int processor() {
#ifdef __linux__
  return sched_getcpu();
#else
  return -1;
#endif
}

/**
 * Where a worker runs: not on the processor of the thread that gives it work. Linux likes to wake a thread on the
 * processor of the one that woke it, and some kernels gather threads of little work on few processors; there it would
 * take turns with the other until the next balancing, milliseconds later.
 */
class Placement {
 public:
  /** Called by the worker, first. */
  void begin() {
#ifdef __linux__
    thread_ = static_cast<pid_t>(syscall(SYS_gettid));
    sched_getaffinity(0, sizeof allowed_, &allowed_);
#endif
  }

  /** Called by who gives it work, while it sleeps. */
  void keep_off(int processor) {
    if (processor == off_) return;
#ifdef __linux__
    sched_getaffinity(0, sizeof allowed_, &allowed_);
#endif
    move_off(processor);
  }

  /** Called by the worker, or as keep_off. */
  void move_off(int processor) {
#ifdef __linux__
    cpu_set_t others = allowed_;
    if (processor < 0) return;
    CPU_CLR(processor, &others);
    if (CPU_COUNT(&others) > 0 && sched_setaffinity(thread_, sizeof others, &others) == 0) off_ = processor;
#else
    static_cast<void>(processor);
#endif
  }

 private:
  int off_ = -1;
#ifdef __linux__
  pid_t thread_ = 0;
  cpu_set_t allowed_;
#endif
};

/** condition.wait(lock) without the symbol that GCC 12 renamed, so that systems with older libraries load the addon. */
void sleep(std::condition_variable& condition, std::unique_lock<std::mutex>& lock) {
#if defined(__GLIBCXX__) && defined(_GLIBCXX_HAS_GTHREADS) && !defined(_WIN32)
  pthread_cond_wait(condition.native_handle(), lock.mutex()->native_handle());
#else
  condition.wait(lock);
#endif
}

/** Tasks that one thread begins with; others help when theirs are done. */
struct alignas(ALIGNMENT) Share {
  std::atomic<int64_t> next{0};
  int64_t end = 0;
};

/** One thread and how it is called: the caller raises `ticket`, and wakes it only where it sleeps. */
struct Worker {
  std::atomic<uint32_t> ticket{0};
  std::atomic<bool> asleep{false};
  std::mutex mutex;
  std::condition_variable wake;
  Placement placement;
  std::thread thread;

  void call() {
    ticket.fetch_add(1);
    if (!asleep.load()) return;
    std::lock_guard<std::mutex> lock(mutex);
    if (!asleep.load()) return;  // awake by itself: its placement is its own again
    placement.keep_off(processor());
    wake.notify_one();
  }

  /** Returns the ticket, once it differs from the one seen. */
  uint32_t await(uint32_t seen, bool spinning) {
    if (spinning) {
      const auto until = std::chrono::steady_clock::now() + SPIN;
      do
        for (int i = 0; i < LOOKS_PER_READING; i++) {
          const uint32_t now = ticket.load(std::memory_order_acquire);
          if (now != seen) return now;
          relax();
        }
      while (std::chrono::steady_clock::now() < until);
    }
    std::unique_lock<std::mutex> lock(mutex);
    asleep.store(true);
    while (ticket.load() == seen) sleep(wake, lock);
    asleep.store(false);
    return ticket.load();
  }
};

}  // namespace

struct Pool::State {
  int threads;
  int started = 0;
  bool spinning;  // not where threads outnumber processors: they would only be in each other's way
  std::vector<Memory> memory;
  std::unique_ptr<Worker[]> workers;
  std::unique_ptr<Share[]> shares;
  std::atomic<bool> exhausted{false};
  std::atomic<bool> ending{false};

  // The job. Written while the gate is shut and nobody is inside, read by those who passed it while it was open.
  Body body = nullptr;
  const void* context = nullptr;
  int parts = 0;  // shares of the job
  int home = -1;  // the processor of the thread that gave the job
  /** The number of workers inside; SHUT is added while no job is open. */
  std::atomic<int> gate{SHUT};

  explicit State(int count)
      : threads(count),
        spinning(unsigned(count) <= std::thread::hardware_concurrency()),
        memory(size_t(count)),
        workers(new Worker[size_t(count - 1)]),
        shares(new Share[size_t(count)]) {}

  /** Neighbouring tasks stay together, in step after step: a thread then finds what it made itself in its own caches. */
  void share(int64_t tasks, int count) {
    parts = count;
    for (int i = 0; i < count; i++) {
      shares[size_t(i)].next.store(tasks * i / count, std::memory_order_relaxed);
      shares[size_t(i)].end = tasks * (i + 1) / count;
    }
  }

  void drain(int thread) {
    for (int i = 0; i < parts; i++) {
      Share& share = shares[size_t((thread + i) % parts)];
      for (int64_t task; (task = share.next.fetch_add(1, std::memory_order_relaxed)) < share.end;) body(context, task, thread);
    }
  }

  void work(int thread) {
    Worker& self = workers[size_t(thread - 1)];
    self.placement.begin();
    for (uint32_t seen = 0;;) {
      seen = self.await(seen, spinning);
      if (ending.load()) return;
      if (gate.fetch_add(1, std::memory_order_acquire) >= 0) {
        if (processor() == home) self.placement.move_off(home);
        drain(thread);
      }
      gate.fetch_sub(1, std::memory_order_release);
    }
  }

  /** Starts workers that were not needed before; fewer where the system gives no more. */
  void start(int count) {
    try {
      for (; started < count; started++) {
        const int thread = started + 1;
        workers[size_t(started)].thread = std::thread([this, thread] { work(thread); });
      }
    } catch (...) {
      threads = started + 1;
    }
  }

  void end() {
    ending.store(true);
    for (int i = 0; i < started; i++) workers[size_t(i)].call();
    for (int i = 0; i < started; i++) workers[size_t(i)].thread.join();
    started = 0;
    threads = 1;
  }
};

Pool::Pool(int threads) : state_(new State(threads < 1 ? 1 : threads)) {}

Pool::~Pool() {
  end();
  for (auto& memory : state_->memory) std::free(memory.block);
  delete state_;
}

void Pool::end() { state_->end(); }

int Pool::threads() const { return state_->threads; }

void Pool::run(int64_t tasks, double work, Body body, const void* context) {
  State& s = *state_;
  const int helpers = int(tasks < s.threads ? tasks : s.threads) - 1;
  if (helpers > s.started && work >= PARALLEL_WORK) s.start(helpers);
  const int called = helpers < s.started ? helpers : s.started;
  if (called < 1 || work < PARALLEL_WORK) {
    for (int64_t task = 0; task < tasks; task++) body(context, task, 0);
    return;
  }
  s.body = body;
  s.context = context;
  s.share(tasks, called + 1);
  s.home = processor();
  s.gate.fetch_sub(SHUT, std::memory_order_release);
  for (int i = 0; i < called; i++) s.workers[size_t(i)].call();
  s.drain(0);
  s.gate.fetch_add(SHUT, std::memory_order_acq_rel);
  for (int looks = 0; s.gate.load(std::memory_order_acquire) != SHUT; looks++) {
    if (looks < PATIENCE)
      relax();
    else
      std::this_thread::yield();
  }
}

void* Pool::scratch(int thread, size_t bytes) {
  void* memory = state_->memory[size_t(thread)].reserve(bytes);
  if (!memory) state_->exhausted.store(true);
  return memory;
}

bool Pool::exhausted() { return state_->exhausted.load(std::memory_order_relaxed) && state_->exhausted.exchange(false); }

}  // namespace sq
