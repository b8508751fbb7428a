// One call from JavaScript: its backend and its arguments, read in place.
#pragma once
#include <node_api.h>

#include "kernels.h"
#include "pool.h"

namespace sq {

/** One instruction set with its threads: what `create` hands out. */
struct Backend {
  const Kernels* kernels;
  Pool* pool;
};

template <class T>
struct Span {
  T* data;
  int64_t length;
};

struct Export {
  const char* name;
  napi_callback function;
};

extern const Export VERBS[];
extern const size_t VERB_COUNT;

/** Throws a SigmaQuantError in JavaScript. */
void refuse_call(napi_env env, const char* code, const char* message);

/** Reads arguments in any order; the first that does not fit makes `fits` false and throws in JavaScript. */
class Call {
 public:
  Call(napi_env env, napi_callback_info info) : env_(env) {
    size_t count = MOST_ARGUMENTS;
    napi_get_cb_info(env, info, &count, values_, nullptr, nullptr);
    void* backend = nullptr;
    if (count == 0 || napi_get_value_external(env, values_[0], &backend) != napi_ok || !backend)
      fail("Expected a backend as the first argument.");
    else
      backend_ = static_cast<Backend*>(backend);
  }

  bool fits() const { return fits_; }
  const Kernels& kernels() const { return *backend_->kernels; }
  Pool& pool() { return *backend_->pool; }
  Backend& backend() { return *backend_; }

  double number(int index) {
    double value = 0;
    if (napi_get_value_double(env_, values_[index], &value) != napi_ok) fail("Expected a number.");
    return value;
  }
  float single(int index) { return static_cast<float>(number(index)); }
  int32_t whole(int index) {
    int32_t value = 0;
    if (napi_get_value_int32(env_, values_[index], &value) != napi_ok) fail("Expected a whole number.");
    return value;
  }
  int64_t large(int index) { return static_cast<int64_t>(number(index)); }
  bool boolean(int index) {
    bool value = false;
    if (napi_get_value_bool(env_, values_[index], &value) != napi_ok) fail("Expected a boolean.");
    return value;
  }

  Span<float> floats(int index) { return span<float>(index, napi_float32_array); }
  Span<double> doubles(int index) { return span<double>(index, napi_float64_array); }
  Span<int32_t> integers(int index) { return span<int32_t>(index, napi_int32_array); }
  /** Absent (null) arrays are empty, with no data. */
  Span<float> floats_or_null(int index) { return is_null(index) ? Span<float>{} : floats(index); }
  Span<int32_t> integers_or_null(int index) { return is_null(index) ? Span<int32_t>{} : integers(index); }

  Bytes bytes(int index) {
    napi_typedarray_type type = napi_int8_array;
    const Span<uint8_t> found = any(index, &type);
    if (type != napi_int8_array && type != napi_uint8_array) fail("Expected an Int8Array or Uint8Array.");
    return {found.data, found.length, type == napi_int8_array};
  }

  /** Floats or bytes, whatever they are. */
  struct Elements {
    void* data;
    int64_t element_bytes;
  };
  Elements elements(int index) {
    napi_typedarray_type type = napi_int8_array;
    const Span<uint8_t> found = any(index, &type);
    if (type == napi_float32_array) return {found.data, 4};
    if (type != napi_int8_array && type != napi_uint8_array) fail("Expected a Float32Array, Int8Array or Uint8Array.");
    return {found.data, 1};
  }

  template <class Shape>
  Shape shape(int index) {
    const Span<int32_t> fields = integers(index);
    if (fields.length * 4 != int64_t(sizeof(Shape))) fail("Expected a shape of another length.");
    Shape shape{};
    for (int64_t i = 0; fits_ && i < fields.length; i++) reinterpret_cast<int32_t*>(&shape)[i] = fields.data[i];
    return shape;
  }

  /** The six last arguments of gemm and conv: bias, multipliers, outZeroPoint, low, high, out. */
  Output output(int index) {
    Output output{};
    output.bias = integers_or_null(index).data;
    output.multipliers = floats_or_null(index + 1).data;
    output.zero_point = whole(index + 2);
    output.low = whole(index + 3);
    output.high = whole(index + 4);
    napi_typedarray_type type = napi_int8_array;
    output.data = any(index + 5, &type).data;
    output.kind = type == napi_int32_array ? Output::INT32 : type == napi_float32_array ? Output::FLOAT32 : Output::BYTES;
    if (output.kind == Output::BYTES && type != napi_int8_array && type != napi_uint8_array)
      fail("Expected an Int32Array, Float32Array, Int8Array or Uint8Array.");
    return output;
  }

  /** After the work: throws where scratch memory ran out. */
  napi_value done() {
    if (fits_ && pool().exhausted()) refuse_call(env_, "OUT_OF_MEMORY", "Expected memory for intermediate results but none is left.");
    return nullptr;
  }
  napi_value done(double result) {
    napi_value value = nullptr;
    if (fits_) napi_create_double(env_, result, &value);
    return value;
  }

 private:
  static constexpr size_t MOST_ARGUMENTS = 16;

  bool is_null(int index) {
    napi_valuetype type = napi_undefined;
    napi_typeof(env_, values_[index], &type);
    return type == napi_null || type == napi_undefined;
  }

  Span<uint8_t> any(int index, napi_typedarray_type* type) {
    void* data = nullptr;
    size_t length = 0;
    if (napi_get_typedarray_info(env_, values_[index], type, &length, &data, nullptr, nullptr) != napi_ok)
      fail("Expected a typed array.");
    return {static_cast<uint8_t*>(data), static_cast<int64_t>(length)};
  }

  template <class T>
  Span<T> span(int index, napi_typedarray_type expected) {
    napi_typedarray_type type = napi_int8_array;
    const Span<uint8_t> found = any(index, &type);
    if (type != expected) fail("Expected a typed array of another element type.");
    return {reinterpret_cast<T*>(found.data), found.length};
  }

  void fail(const char* message) {
    if (fits_) refuse_call(env_, "INVALID_ARGUMENT", message);
    fits_ = false;
  }

  napi_env env_;
  napi_value values_[MOST_ARGUMENTS] = {};
  Backend* backend_ = nullptr;
  bool fits_ = true;
};

}  // namespace sq
