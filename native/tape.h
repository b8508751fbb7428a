// Verbs with their arguments, kept to be run later: one by an asynchronous call, many by a tape.
#pragma once
#include <node_api.h>

#include <memory>
#include <vector>

#include "kernels.h"
#include "pool.h"

namespace sq {

/** One verb with its arguments. */
class Step {
 public:
  virtual ~Step() = default;
  /** What the verb returns, or 0. */
  virtual double run(const Kernels& kernels, Pool& pool) const = 0;
  virtual bool returns() const = 0;
};

/** Calls that JavaScript made once while it recorded, to be made again as one. */
class Tape {
 public:
  Tape() = default;
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  /** Takes the step; `arguments` is a JavaScript array that keeps the memory it points to. False where none is left. */
  bool add(napi_env env, std::unique_ptr<Step> step, napi_value arguments) {
    napi_value list = nullptr;
    if (!kept_ && (napi_create_array(env, &list) != napi_ok || napi_create_reference(env, list, 1, &kept_) != napi_ok))
      return false;
    if (napi_get_reference_value(env, kept_, &list) != napi_ok ||
        napi_set_element(env, list, static_cast<uint32_t>(steps_.size()), arguments) != napi_ok)
      return false;
    try {
      steps_.push_back(std::move(step));
    } catch (...) {
      return false;
    }
    return true;
  }

  void run(const Kernels& kernels, Pool& pool) const {
    for (const auto& step : steps_) step->run(kernels, pool);
  }

  /** Lets go of what it keeps; before it is deleted. */
  void release(napi_env env) {
    if (kept_) napi_delete_reference(env, kept_);
    kept_ = nullptr;
  }

 private:
  std::vector<std::unique_ptr<Step>> steps_;
  napi_ref kept_ = nullptr;
};

}  // namespace sq
