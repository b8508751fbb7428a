// Private memory of an asynchronous call, in place of buffers that JavaScript could detach or shrink while it runs.
#pragma once
#include <node_api.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

namespace sq {

class Copies {
 public:
  Copies() = default;
  Copies(const Copies&) = delete;
  Copies& operator=(const Copies&) = delete;
  ~Copies() {
    for (int i = 0; i < count_; i++) free(copies_[i].data);
  }

  /** A copy of `length` elements of an argument; null where no memory is left. What is `written` goes back at the end. */
  uint8_t* take(int argument, const void* from, size_t length, size_t element, bool written) {
    const size_t bytes = length * element;
    if (count_ == MOST_ARRAYS) return nullptr;
    auto* data = static_cast<uint8_t*>(malloc(bytes ? bytes : 1));
    if (!data) return nullptr;
    if (bytes) memcpy(data, from, bytes);
    copies_[count_++] = {argument, data, length, bytes, written};
    return data;
  }

  /** Copies what was written back into the arguments; false where one of them is no longer as long as it was. */
  bool give_back(napi_env env, napi_value arguments) const {
    for (int i = 0; i < count_; i++) {
      const Copy& copy = copies_[i];
      if (!copy.written || copy.bytes == 0) continue;
      napi_value value = nullptr;
      napi_typedarray_type type = napi_int8_array;
      size_t length = 0;
      void* data = nullptr;
      if (napi_get_element(env, arguments, static_cast<uint32_t>(copy.argument), &value) != napi_ok ||
          napi_get_typedarray_info(env, value, &type, &length, &data, nullptr, nullptr) != napi_ok ||
          length < copy.length || !data)
        return false;
      memcpy(data, copy.data, copy.bytes);
    }
    return true;
  }

 private:
  static constexpr int MOST_ARRAYS = 8;

  struct Copy {
    int argument;
    uint8_t* data;
    size_t length, bytes;
    bool written;
  };

  Copy copies_[MOST_ARRAYS] = {};
  int count_ = 0;
};

}  // namespace sq
