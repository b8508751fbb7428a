// A verb from its parameter list: called now, or later on a thread of Node's pool with a promise for its result.
#pragma once
#include <new>
#include <tuple>
#include <type_traits>

#include "call.h"
#include "tape.h"

namespace sq {

/** An asynchronous call on its way. Its arguments stay alive until it has settled. */
class Job {
 public:
  /** Queues the job; a promise, or null with an error thrown. Takes the job over in both cases. */
  static napi_value start(napi_env env, Call& call, Job* job);

  Copies copies;
  std::unique_ptr<Step> step;

 private:
  static void execute(napi_env, void* data);
  static void complete(napi_env env, napi_status status, void* data);
  /** The value to resolve with; null, and `error` set, where there is none. */
  napi_value outcome(napi_env env, napi_status status, napi_value* error);

  Backend* backend_ = nullptr;
  napi_ref arguments_ = nullptr;
  napi_deferred deferred_ = nullptr;
  napi_async_work work_ = nullptr;
  double result_ = 0;
  bool exhausted_ = false;
};

/** Adds the call to the backend's tape; throws in JavaScript where no memory is left. */
void record(napi_env env, Call& call, std::unique_ptr<Step> step);

constexpr const char* EXHAUSTED = "Expected memory for intermediate results but none is left.";

/** A function of the kernels, the pool and the verb's arguments, which returns nothing or a number. */
template <auto FUNCTION>
struct Verb;

template <class R, class... A, R (*FUNCTION)(const Kernels&, Pool&, A...)>
struct Verb<FUNCTION> {
  using Arguments = std::tuple<std::decay_t<A>...>;

  static void read(Call& call, Arguments& arguments) {
    std::apply([&](auto&... each) { (call.read(each), ...); }, arguments);
  }

  static R run(const Kernels& kernels, Pool& pool, const Arguments& arguments) {
    return std::apply([&](const auto&... each) { return FUNCTION(kernels, pool, each...); }, arguments);
  }

  struct Bound final : Step {
    Arguments arguments;

    double run(const Kernels& kernels, Pool& pool) const override {
      if constexpr (!std::is_void_v<R>) return Verb::run(kernels, pool, arguments);
      Verb::run(kernels, pool, arguments);
      return 0;
    }
    bool returns() const override { return !std::is_void_v<R>; }
  };

  static napi_value now(napi_env env, napi_callback_info info) {
    Call call(env, info);
    Arguments arguments;
    read(call, arguments);
    napi_value value = nullptr;
    if (!call.fits()) return value;
    Pool& pool = call.pool();
    if constexpr (std::is_void_v<R>) {
      if (call.backend().tape) {
        std::unique_ptr<Bound> bound(new (std::nothrow) Bound);
        if (bound) bound->arguments = arguments;
        record(env, call, std::move(bound));
        return value;
      }
      run(*call.backend().kernels, pool, arguments);
    } else {
      napi_create_double(env, run(*call.backend().kernels, pool, arguments), &value);
    }
    if (pool.exhausted()) refuse_call(env, "OUT_OF_MEMORY", EXHAUSTED);
    return value;
  }

  static napi_value later(napi_env env, napi_callback_info info) {
    std::unique_ptr<Bound> bound(new (std::nothrow) Bound);
    auto* job = new (std::nothrow) Job;
    Call call(env, info, job ? &job->copies : nullptr);
    if (bound && job)
      read(call, bound->arguments);
    else
      call.fail("Expected memory for an asynchronous call but none is left.", "OUT_OF_MEMORY");
    if (job) job->step = std::move(bound);
    return Job::start(env, call, job);
  }
};

}  // namespace sq
