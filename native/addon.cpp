// The addon's module: which instruction sets there are, backends and their end; the verbs stand in verbs.cpp. Only
// these, call.h, copies.h and later.h know Node-API. No exception crosses it.
#include "call.h"
#include "pages.h"
#include "processor.h"

#include <new>
#include <string>

namespace sq {

napi_value error_of(napi_env env, const char* code, const char* message) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  napi_value constructor = nullptr, arguments[2] = {}, error = nullptr;
  if (data) napi_get_reference_value(env, static_cast<napi_ref>(data), &constructor);
  napi_create_string_utf8(env, code, NAPI_AUTO_LENGTH, &arguments[0]);
  napi_create_string_utf8(env, message, NAPI_AUTO_LENGTH, &arguments[1]);
  if (!constructor || napi_new_instance(env, constructor, 2, arguments, &error) != napi_ok)
    napi_create_error(env, arguments[0], arguments[1], &error);
  return error;
}

void refuse_call(napi_env env, const char* code, const char* message) {
  const napi_value error = error_of(env, code, message);
  if (error) napi_throw(env, error);
}

namespace {

/** The tables this processor can run, best first. */
template <class Visit>
void for_each_isa(Visit visit) {
  const Processor processor = detect_processor();
  (void)processor;
#define SQ_ISA(name, condition) \
  if (condition) visit(name##_kernels);
#include "isa.def"
#undef SQ_ISA
}

napi_value isas(napi_env env, napi_callback_info) {
  napi_value list = nullptr;
  napi_create_array(env, &list);
  uint32_t index = 0;
  for_each_isa([&](const Kernels& kernels) {
    napi_value name = nullptr;
    napi_create_string_utf8(env, kernels.isa, NAPI_AUTO_LENGTH, &name);
    napi_set_element(env, list, index++, name);
  });
  return list;
}

void end_threads(void* backend) { static_cast<Backend*>(backend)->pool->end(); }

void release_tape(napi_env env, void* data, void*) {
  auto* tape = static_cast<Tape*>(data);
  tape->release(env);
  delete tape;
}

void release(napi_env env, void* data, void*) {
  auto* backend = static_cast<Backend*>(data);
  napi_remove_env_cleanup_hook(env, end_threads, backend);
  if (backend->kept) napi_delete_reference(env, backend->kept);
  if (backend->tape) release_tape(env, backend->tape, nullptr);
  delete backend->alone;
  delete backend->pool;
  delete backend;
}

/** Null where no memory is left. */
Pool* pool_of(int threads) {
  try {
    return new Pool(threads);
  } catch (...) {
    return nullptr;
  }
}

/** The data of the array in which JavaScript describes shapes; null where it is another array. */
const int32_t* shapes_of(napi_env env, napi_value array) {
  napi_typedarray_type type = napi_int8_array;
  size_t length = 0;
  void* data = nullptr;
  const bool fits = napi_get_typedarray_info(env, array, &type, &length, &data, nullptr, nullptr) == napi_ok &&
                    type == napi_int32_array && length * sizeof(int32_t) == sizeof(WeightsShape) + sizeof(ConvShape);
  return fits ? static_cast<const int32_t*>(data) : nullptr;
}

/** create(isa, threads, shapes): a backend, or null where this processor has no such instruction set. */
napi_value create(napi_env env, napi_callback_info info) {
  size_t count = 3;
  napi_value values[3] = {}, result = nullptr;
  napi_get_cb_info(env, info, &count, values, nullptr, nullptr);
  char name[32] = "";
  size_t length = 0;
  int32_t threads = 1;
  napi_get_value_string_utf8(env, values[0], name, sizeof name, &length);
  napi_get_value_int32(env, values[1], &threads);
  const Kernels* found = nullptr;
  for_each_isa([&](const Kernels& kernels) {
    if (std::string(kernels.isa) == name) found = &kernels;
  });
  napi_get_null(env, &result);
  if (!found) return result;
  const int32_t* shapes = shapes_of(env, values[2]);
  if (!shapes) {
    refuse_call(env, "INVALID_ARGUMENT", "Expected an Int32Array for shapes.");
    return nullptr;
  }
  Pool* const pool = pool_of(threads);
  Pool* const alone = pool_of(1);
  auto* backend = new (std::nothrow) Backend{found, pool, alone, shapes, nullptr, nullptr, false, false};
  if (backend && pool && alone && napi_create_reference(env, values[2], 1, &backend->kept) == napi_ok &&
      napi_create_external(env, backend, release, nullptr, &result) == napi_ok) {
    napi_add_env_cleanup_hook(env, end_threads, backend);
    return result;
  }
  if (backend && backend->kept) napi_delete_reference(env, backend->kept);
  delete backend;
  delete alone;
  delete pool;
  refuse_call(env, "OUT_OF_MEMORY", "Expected memory for a backend but none is left.");
  return nullptr;
}

/** Ends the threads, after the asynchronous call that may run; what is called afterwards runs on the caller's. */
napi_value dispose(napi_env env, napi_callback_info info) {
  Call c(env, info);
  if (!c.fits()) return nullptr;
  c.backend().disposed = true;
  if (!c.backend().busy) c.backend().pool->end();
  return nullptr;
}

/** From here on the backend's calls are recorded instead of made. */
napi_value record_calls(napi_env env, napi_callback_info info) {
  Call c(env, info);
  if (!c.fits()) return nullptr;
  if (c.backend().tape)
    c.fail("Expected one recording at a time.");
  else if (!(c.backend().tape = new (std::nothrow) Tape))
    c.fail("Expected memory for a tape but none is left.", "OUT_OF_MEMORY");
  return nullptr;
}

/** Ends the recording; the tape. */
napi_value recorded(napi_env env, napi_callback_info info) {
  Call c(env, info);
  napi_value value = nullptr;
  if (!c.fits() || !c.backend().tape) return value;
  Tape* const tape = c.backend().tape;
  c.backend().tape = nullptr;
  if (napi_create_external(env, tape, release_tape, nullptr, &value) != napi_ok) release_tape(env, tape, nullptr);
  return value;
}

napi_value fused(napi_env env, napi_callback_info info) {
  Call c(env, info);
  napi_value value = nullptr;
  if (c.fits()) napi_get_boolean(env, c.backend().kernels->fused, &value);
  return value;
}

/** settle(bytes), of memory not yet written: asks for large pages, and returns how far its first byte lies behind a multiple of 64. */
napi_value settle(napi_env env, napi_callback_info info) {
  Call c(env, info);
  Bytes bytes{};
  c.read(bytes);
  napi_value value = nullptr;
  if (!c.fits()) return nullptr;
  ask_for_large_pages(bytes.data, static_cast<size_t>(bytes.length));
  napi_create_uint32(env, static_cast<uint32_t>(reinterpret_cast<uintptr_t>(bytes.data) % 64), &value);
  return value;
}

napi_value take_errors(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value constructor = nullptr;
  napi_ref reference = nullptr;
  napi_get_cb_info(env, info, &count, &constructor, nullptr, nullptr);
  if (napi_create_reference(env, constructor, 1, &reference) == napi_ok)
    napi_set_instance_data(env, reference, [](napi_env e, void* data, void*) { napi_delete_reference(e, static_cast<napi_ref>(data)); }, nullptr);
  return nullptr;
}

constexpr struct {
  const char* name;
  napi_callback function;
} EXPORTS[] = {
    {"isas", isas},   {"create", create},
    {"dispose", dispose}, {"fused", fused},
    {"settle", settle}, {"takeErrors", take_errors},
    {"record", record_calls}, {"recorded", recorded},
};

void define(napi_env env, napi_value on, const char* name, napi_callback callback) {
  napi_value function = nullptr;
  if (napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, nullptr, &function) == napi_ok)
    napi_set_named_property(env, on, name, function);
}

}  // namespace
}  // namespace sq

NAPI_MODULE_INIT() {
  napi_value later = nullptr;
  if (napi_create_object(env, &later) != napi_ok) return exports;
  for (const auto& entry : sq::EXPORTS) sq::define(env, exports, entry.name, entry.function);
  for (size_t i = 0; i < sq::VERB_COUNT; i++) {
    sq::define(env, exports, sq::VERBS[i].name, sq::VERBS[i].now);
    sq::define(env, later, sq::VERBS[i].name, sq::VERBS[i].later);
  }
  napi_set_named_property(env, exports, "later", later);
  return exports;
}
