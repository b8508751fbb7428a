// The addon's module: which instruction sets there are, backends and their end; the verbs stand in verbs.cpp. Only
// these two and call.h know Node-API. No exception crosses it.
#include "call.h"
#include "processor.h"

#include <new>
#include <string>

namespace sq {

void refuse_call(napi_env env, const char* code, const char* message) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  napi_value constructor = nullptr, arguments[2], error;
  if (data) napi_get_reference_value(env, static_cast<napi_ref>(data), &constructor);
  if (constructor && napi_create_string_utf8(env, code, NAPI_AUTO_LENGTH, &arguments[0]) == napi_ok &&
      napi_create_string_utf8(env, message, NAPI_AUTO_LENGTH, &arguments[1]) == napi_ok &&
      napi_new_instance(env, constructor, 2, arguments, &error) == napi_ok)
    napi_throw(env, error);
  else
    napi_throw_error(env, code, message);
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

void release(napi_env, void* data, void*) {
  auto* backend = static_cast<Backend*>(data);
  delete backend->pool;
  delete backend;
}

/** create(isa, threads): a backend, or null where this processor has no such instruction set. */
napi_value create(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value values[2] = {}, result = nullptr;
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
  auto* backend = new (std::nothrow) Backend{found, new (std::nothrow) Pool(threads)};
  if (backend && backend->pool && napi_create_external(env, backend, release, nullptr, &result) == napi_ok) return result;
  refuse_call(env, "OUT_OF_MEMORY", "Expected memory for a backend but none is left.");
  return nullptr;
}

/** Ends the threads; what is called afterwards runs on the caller's. */
napi_value dispose(napi_env env, napi_callback_info info) {
  Call c(env, info);
  if (!c.fits()) return nullptr;
  Pool* rest = new (std::nothrow) Pool(1);
  if (!rest) return nullptr;
  delete c.backend().pool;
  c.backend().pool = rest;
  return nullptr;
}

napi_value fused(napi_env env, napi_callback_info info) {
  Call c(env, info);
  napi_value value = nullptr;
  if (c.fits()) napi_get_boolean(env, c.kernels().fused, &value);
  return value;
}

/** address(bytes): how far its first byte lies behind a multiple of 64. */
napi_value misalignment(napi_env env, napi_callback_info info) {
  Call c(env, info);
  const Bytes bytes = c.bytes(1);
  return c.done(static_cast<double>(reinterpret_cast<uintptr_t>(bytes.data) % 64));
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

const Export EXPORTS[] = {
    {"isas", isas},
    {"create", create},
    {"dispose", dispose},
    {"fused", fused},
    {"misalignment", misalignment},
    {"takeErrors", take_errors},
};

void define(napi_env env, napi_value exports, const Export& entry) {
  napi_value function = nullptr;
  if (napi_create_function(env, entry.name, NAPI_AUTO_LENGTH, entry.function, nullptr, &function) == napi_ok)
    napi_set_named_property(env, exports, entry.name, function);
}

}  // namespace
}  // namespace sq

NAPI_MODULE_INIT() {
  for (const auto& entry : sq::EXPORTS) sq::define(env, exports, entry);
  for (size_t i = 0; i < sq::VERB_COUNT; i++) sq::define(env, exports, sq::VERBS[i]);
  return exports;
}
