#include "later.h"

namespace sq {

void record(napi_env env, Call& call, std::unique_ptr<Step> step) {
  if (!step || !call.backend().tape->add(env, std::move(step), call.arguments()))
    refuse_call(env, "OUT_OF_MEMORY", "Expected memory for a recorded call but none is left.");
}

napi_value Job::start(napi_env env, Call& call, Job* job) {
  napi_value promise = nullptr;
  if (call.fits() && call.backend().busy) call.fail("Expected a backend with no other asynchronous call.", "INTERNAL");
  if (!call.fits()) {
    delete job;
    return nullptr;
  }
  const napi_value list = call.arguments();
  napi_value name = nullptr;
  job->backend_ = &call.backend();
  const bool queued = list && napi_create_string_utf8(env, "sigmaquant", NAPI_AUTO_LENGTH, &name) == napi_ok &&
                      napi_create_reference(env, list, 1, &job->arguments_) == napi_ok &&
                      napi_create_async_work(env, nullptr, name, execute, complete, job, &job->work_) == napi_ok &&
                      napi_create_promise(env, &job->deferred_, &promise) == napi_ok &&
                      napi_queue_async_work(env, job->work_) == napi_ok;
  if (queued) {
    job->backend_->busy = true;
    return promise;
  }
  if (job->work_) napi_delete_async_work(env, job->work_);
  if (job->arguments_) napi_delete_reference(env, job->arguments_);
  delete job;
  call.fail("Expected Node to take an asynchronous call but it did not.", "INTERNAL");
  return nullptr;
}

void Job::execute(napi_env, void* data) {
  auto* job = static_cast<Job*>(data);
  job->result_ = job->step->run(*job->backend_->kernels, *job->backend_->pool);
  job->exhausted_ = job->backend_->pool->exhausted();
}

napi_value Job::outcome(napi_env env, napi_status status, napi_value* error) {
  napi_value list = nullptr, value = nullptr;
  if (status != napi_ok)
    *error = error_of(env, "INTERNAL", "Expected an asynchronous call to run but it was cancelled.");
  else if (exhausted_)
    *error = error_of(env, "OUT_OF_MEMORY", EXHAUSTED);
  else if (napi_get_reference_value(env, arguments_, &list) != napi_ok || !copies.give_back(env, list))
    *error = error_of(env, "INVALID_ARGUMENT", "Expected a buffer that is not detached before its asynchronous call ends.");
  else if (step->returns())
    napi_create_double(env, result_, &value);
  else
    napi_get_undefined(env, &value);
  return value;
}

void Job::complete(napi_env env, napi_status status, void* data) {
  auto* job = static_cast<Job*>(data);
  Backend& backend = *job->backend_;
  backend.busy = false;
  if (backend.disposed) backend.pool->end();
  napi_value error = nullptr;
  const napi_value value = job->outcome(env, status, &error);
  if (value)
    napi_resolve_deferred(env, job->deferred_, value);
  else if (error)
    napi_reject_deferred(env, job->deferred_, error);
  napi_delete_async_work(env, job->work_);
  napi_delete_reference(env, job->arguments_);
  delete job;
}

}  // namespace sq
