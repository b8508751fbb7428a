#include "pool.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif

namespace sq {
namespace {

/** How long an idle thread looks for work before it sleeps. */
constexpr auto SPIN = std::chrono::microseconds(30);
constexpr int SPINS_PER_LOOK = 64;
constexpr size_t ALIGNMENT = 64;

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

/** The processor that the calling thread runs on; -1 where the system does not tell. */
int processor() {
#ifdef __linux__
  return sched_getcpu();
#else
  return -1;
#endif
}

/**
 * Linux likes to wake a thread on the processor of the one that woke it, where it would take turns with it until the
 * next balancing, milliseconds later. A worker that finds itself there moves to another processor, if it may use one.
 */
void leave(int processor) {
#ifdef __linux__
  cpu_set_t allowed;
  if (processor < 0 || sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  cpu_set_t others = allowed;
  CPU_CLR(processor, &others);
  if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof others, &others) != 0) return;
  sched_setaffinity(0, sizeof allowed, &allowed);
#else
  static_cast<void>(processor);
#endif
}

}  // namespace

struct Pool::State {
  int threads;
  std::vector<Memory> memory;
  std::vector<std::thread> workers;
  std::atomic<bool> exhausted{false};

  std::mutex mutex;
  std::condition_variable wake;
  std::atomic<uint64_t> generation{0};  // rises with every job
  bool open = false;                    // guarded by mutex: the job may still be joined
  bool ending = false;                  // guarded by mutex
  std::atomic<int> active{0};           // workers inside the job
  int home = -1;                        // guarded by mutex: the processor of the thread that gave the job

  Body body = nullptr;
  const void* context = nullptr;
  int64_t tasks = 0;
  std::atomic<int64_t> next{0};

  explicit State(int count) : threads(count), memory(size_t(count)) {}

  void drain(int thread) {
    for (int64_t task; (task = next.fetch_add(1, std::memory_order_relaxed)) < tasks;) body(context, task, thread);
  }

  void work(int thread) {
    uint64_t seen = 0;
    for (;;) {
      int occupied = -1;
      const auto until = std::chrono::steady_clock::now() + SPIN;
      while (generation.load(std::memory_order_acquire) == seen && std::chrono::steady_clock::now() < until)
        for (int i = 0; i < SPINS_PER_LOOK; i++)
          if (generation.load(std::memory_order_relaxed) != seen) break;
      {
        std::unique_lock<std::mutex> lock(mutex);
        wake.wait(lock, [&] { return ending || generation.load() != seen; });
        if (ending) return;
        seen = generation.load();
        if (!open) continue;
        active.fetch_add(1);
        occupied = home;
      }
      if (processor() == occupied) leave(occupied);
      drain(thread);
      active.fetch_sub(1, std::memory_order_release);
    }
  }

  /** Starts the workers at the first job that needs them; fewer where the system gives no more. */
  void start() {
    try {
      while (int(workers.size()) < threads - 1) {
        const int thread = int(workers.size()) + 1;
        workers.emplace_back([this, thread] { work(thread); });
      }
    } catch (...) {
      threads = int(workers.size()) + 1;
    }
  }
};

Pool::Pool(int threads) : state_(new State(threads < 1 ? 1 : threads)) {}

Pool::~Pool() {
  {
    std::lock_guard<std::mutex> lock(state_->mutex);
    state_->ending = true;
  }
  state_->wake.notify_all();
  for (auto& worker : state_->workers) worker.join();
  for (auto& memory : state_->memory) std::free(memory.block);
  delete state_;
}

int Pool::threads() const { return state_->threads; }

void Pool::run(int64_t tasks, double work, Body body, const void* context) {
  State& s = *state_;
  if (s.threads == 1 || tasks < 2 || work < PARALLEL_WORK) {
    for (int64_t task = 0; task < tasks; task++) body(context, task, 0);
    return;
  }
  if (int(s.workers.size()) < s.threads - 1) s.start();
  {
    std::lock_guard<std::mutex> lock(s.mutex);
    s.home = processor();
    s.body = body;
    s.context = context;
    s.tasks = tasks;
    s.next.store(0);
    s.open = true;
    s.generation.fetch_add(1);
  }
  s.wake.notify_all();
  s.drain(0);
  {
    std::lock_guard<std::mutex> lock(s.mutex);
    s.open = false;
  }
  for (int looks = 0; s.active.load(std::memory_order_acquire) > 0; looks++)
    if (looks > SPINS_PER_LOOK) std::this_thread::yield();
}

void* Pool::scratch(int thread, size_t bytes) {
  void* memory = state_->memory[size_t(thread)].reserve(bytes);
  if (!memory) state_->exhausted.store(true);
  return memory;
}

bool Pool::exhausted() { return state_->exhausted.exchange(false); }

}  // namespace sq
