// One call from JavaScript: its backend and its arguments, read in order.
#pragma once
#include <node_api.h>

#include <initializer_list>

#include "copies.h"
#include "kernels.h"
#include "pool.h"
#include "tape.h"

namespace sq {

/** One instruction set with its threads: what `create` hands out. Belongs to one JavaScript thread. */
struct Backend {
  const Kernels* kernels;
  Pool* pool;
  Pool* alone;  // without threads: of synchronous calls made while an asynchronous one has the other
  const int32_t* shapes;  // where JavaScript describes shapes before it calls: WeightsShape, then ConvShape
  napi_ref kept;          // the array that `shapes` points into
  Tape* tape;             // where calls are recorded instead of made; else null
  bool busy;              // an asynchronous call runs
  bool disposed;
};

/** Typed arrays as verbs name them in their parameters; byte arrays are Bytes. */
template <class T>
struct In {
  const T* data;
  int64_t length;
};
/** Null in JavaScript is no data and length 0. */
template <class T>
struct InOrNull : In<T> {};
template <class T>
struct Out {
  T* data;
  int64_t length;
};
struct OutBytes : Bytes {};
/** Elements of any type, to be moved. */
struct Elements {
  void* data;
  int64_t element_bytes;
};
struct OutElements : Elements {};

struct Export {
  const char* name;
  napi_callback now, later;
};

extern const Export VERBS[];
extern const size_t VERB_COUNT;

/** A SigmaQuantError. */
napi_value error_of(napi_env env, const char* code, const char* message);
/** Throws one in JavaScript. */
void refuse_call(napi_env env, const char* code, const char* message);

/** Reads the arguments one after another; the first that does not fit makes `fits` false and throws in JavaScript. */
class Call {
 public:
  /** With `copies`, arrays that JavaScript could detach or shrink later are read from there. */
  Call(napi_env env, napi_callback_info info, Copies* copies = nullptr) : env_(env), copies_(copies) {
    count_ = MOST_ARGUMENTS;
    napi_get_cb_info(env, info, &count_, values_, nullptr, nullptr);
    void* backend = nullptr;
    if (count_ == 0 || napi_get_value_external(env, values_[0], &backend) != napi_ok || !backend)
      fail("Expected a backend as the first argument.");
    else
      backend_ = static_cast<Backend*>(backend);
  }

  bool fits() const { return fits_; }
  Backend& backend() const { return *backend_; }
  Pool& pool() const { return backend_->busy ? *backend_->alone : *backend_->pool; }
  /** All arguments in one JavaScript array, which keeps them alive. */
  napi_value arguments() const {
    napi_value list = nullptr;
    if (napi_create_array_with_length(env_, count_, &list) != napi_ok) return nullptr;
    for (size_t i = 0; i < count_ && i < MOST_ARGUMENTS; i++) napi_set_element(env_, list, static_cast<uint32_t>(i), values_[i]);
    return list;
  }

  void read(double& value) {
    if (napi_get_value_double(env_, values_[next_++], &value) != napi_ok) fail("Expected a number.");
  }
  void read(float& value) {
    double number = 0;
    read(number);
    value = static_cast<float>(number);
  }
  void read(int64_t& value) {
    if (napi_get_value_int64(env_, values_[next_++], &value) != napi_ok) fail("Expected a whole number.");
  }
  void read(int32_t& value) {
    if (napi_get_value_int32(env_, values_[next_++], &value) != napi_ok) fail("Expected a whole number.");
  }
  void read(bool& value) {
    if (napi_get_value_bool(env_, values_[next_++], &value) != napi_ok) fail("Expected a boolean.");
  }

  void read(const Tape*& tape) {
    void* found = nullptr;
    if (napi_get_value_external(env_, values_[next_++], &found) != napi_ok || !found) fail("Expected a tape.");
    tape = static_cast<const Tape*>(found);
  }

  void read(WeightsShape& shape) {
    if (fits_) shape = *reinterpret_cast<const WeightsShape*>(backend_->shapes);
  }
  void read(ConvShape& shape) {
    if (fits_) shape = *reinterpret_cast<const ConvShape*>(backend_->shapes + sizeof(WeightsShape) / sizeof(int32_t));
  }

  template <class T>
  void read(In<T>& span) {
    const Array found = typed<T>(false, false);
    span = {reinterpret_cast<const T*>(found.data), found.length};
  }
  template <class T>
  void read(InOrNull<T>& span) {
    const Array found = typed<T>(false, true);
    span.data = reinterpret_cast<const T*>(found.data);
    span.length = found.length;
  }
  template <class T>
  void read(Out<T>& span) {
    const Array found = typed<T>(true, false);
    span = {reinterpret_cast<T*>(found.data), found.length};
  }
  void read(Bytes& bytes) { bytes = bytes_of(array(false, false)); }
  void read(OutBytes& bytes) { static_cast<Bytes&>(bytes) = bytes_of(array(true, false)); }

  /** Whatever is copied without a look at it. */
  void read(Elements& elements) { elements = elements_of(array(false, false)); }
  void read(OutElements& elements) { static_cast<Elements&>(elements) = elements_of(array(true, false)); }
  void read(PlaneCopy& plane) {
    for (int64_t* field : {&plane.rows, &plane.columns, &plane.from, &plane.from_row, &plane.from_column, &plane.to,
                           &plane.to_row, &plane.to_column})
      read(*field);
  }

  /** The six last arguments of gemm and conv: bias, multipliers, outZeroPoint, low, high, out. */
  void read(Output& output) {
    InOrNull<int32_t> bias{};
    InOrNull<float> multipliers{};
    read(bias);
    read(multipliers);
    output.bias = bias.data;
    output.multipliers = multipliers.data;
    read(output.zero_point);
    read(output.low);
    read(output.high);
    const Array out = array(true, false);
    output.kind = out.type == napi_int32_array     ? Output::INT32
                  : out.type == napi_float32_array ? Output::FLOAT32
                                                   : Output::BYTES;
    output.data = output.kind == Output::BYTES ? bytes_of(out).data : out.data;
  }

  void fail(const char* message, const char* code = "INVALID_ARGUMENT") {
    if (fits_) refuse_call(env_, code, message);
    fits_ = false;
  }

 private:
  static constexpr size_t MOST_ARGUMENTS = 16;

  struct Array {
    napi_typedarray_type type = napi_int8_array;
    uint8_t* data = nullptr;
    int64_t length = 0;
    bool present = false;
  };

  template <class T>
  static constexpr napi_typedarray_type type_of();

  static size_t element_bytes(napi_typedarray_type type) {
    switch (type) {
      case napi_int8_array:
      case napi_uint8_array:
      case napi_uint8_clamped_array:
        return 1;
      case napi_int16_array:
      case napi_uint16_array:
        return 2;
      case napi_int32_array:
      case napi_uint32_array:
      case napi_float32_array:
        return 4;
      default:
        return 8;
    }
  }

  static Elements elements_of(const Array& found) {
    return {found.data, static_cast<int64_t>(element_bytes(found.type))};
  }

  Array array(bool written, bool may_be_null) {
    const int index = next_++;
    Array found;
    void* data = nullptr;
    size_t length = 0;
    napi_value buffer = nullptr;
    if (napi_get_typedarray_info(env_, values_[index], &found.type, &length, &data, copies_ ? &buffer : nullptr, nullptr) !=
        napi_ok) {
      napi_valuetype type = napi_undefined;
      napi_typeof(env_, values_[index], &type);
      if (!may_be_null || (type != napi_null && type != napi_undefined)) fail("Expected a typed array.");
      return found;
    }
    found.present = true;
    found.length = static_cast<int64_t>(length);
    found.data = static_cast<uint8_t*>(data);
    bool plain = false;
    if (copies_ && fits_ && napi_is_arraybuffer(env_, buffer, &plain) == napi_ok && plain) {
      found.data = copies_->take(index, data, length, element_bytes(found.type), written);
      if (!found.data) fail("Expected memory for a copy of an argument but none is left.", "OUT_OF_MEMORY");
    }
    return found;
  }

  template <class T>
  Array typed(bool written, bool may_be_null) {
    Array found = array(written, may_be_null);
    if (found.present && found.type != type_of<T>()) fail("Expected a typed array of another element type.");
    return found;
  }

  Bytes bytes_of(const Array& found) {
    if (found.type != napi_int8_array && found.type != napi_uint8_array) fail("Expected an Int8Array or Uint8Array.");
    return {found.data, found.length, found.type == napi_int8_array};
  }

  napi_env env_;
  Copies* copies_;
  napi_value values_[MOST_ARGUMENTS] = {};
  size_t count_;
  int next_ = 1;
  Backend* backend_ = nullptr;
  bool fits_ = true;
};

template <>
constexpr napi_typedarray_type Call::type_of<float>() {
  return napi_float32_array;
}
template <>
constexpr napi_typedarray_type Call::type_of<double>() {
  return napi_float64_array;
}
template <>
constexpr napi_typedarray_type Call::type_of<int32_t>() {
  return napi_int32_array;
}

}  // namespace sq
