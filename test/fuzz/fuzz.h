// One fuzzed case: what it consists of, where it runs and how results are compared. Each program of this folder tests
// one family of verbs on every instruction set that runs here, with one thread and with two, against scalar with one.
// Shapes and numbers are what lib/kernels/checked.ts lets through.
#pragma once
#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <string>
#include <vector>

#include "../../native/kernels.h"
#include "../../native/pool.h"

namespace sq::fuzz {

/** Numbers out of the fuzzer's bytes and, when these are used up, out of a generator that they seed. */
class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), left_(size) {
    for (size_t i = 0; i < size; i++) state_ = (state_ ^ data[i]) * 0x100000001b3;  // FNV-1a
  }

  /** splitmix64. */
  uint64_t random() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }
  double uniform() { return static_cast<double>(random() >> 11) * 0x1p-53; }
  /** Four uniform numbers less their mean: near enough to a normal one. */
  float normal() { return static_cast<float>((uniform() + uniform() + uniform() + uniform() - 2) * 1.7); }

  /** low..high, both included. */
  int64_t whole(int64_t low, int64_t high) {
    const auto count = static_cast<uint64_t>(high - low) + 1;
    uint64_t value = 0;
    if (left_ == 0) return low + static_cast<int64_t>(random() % count);
    for (uint64_t span = 1; span < count && left_ > 0 && span < UINT64_C(1) << 56; span <<= 8, left_--) value = value << 8 | *data_++;
    return low + static_cast<int64_t>(value % count);
  }
  int32_t number(int64_t low, int64_t high) { return static_cast<int32_t>(whole(low, high)); }
  /** True once in `times`. */
  bool once_in(int times) { return whole(0, times - 1) == 0; }
  template <class T>
  T one_of(std::initializer_list<T> values) { return values.begin()[whole(0, static_cast<int64_t>(values.size()) - 1)]; }

 private:
  const uint8_t* data_;
  size_t left_;
  uint64_t state_ = 0xcbf29ce484222325;
};

/** Memory that ends with its last element, so that the sanitizer sees one byte too many; at odd places too. */
template <class T>
class Buffer {
 public:
  /** `unit` is what its address is a multiple of. */
  Buffer(Input& in, int64_t count, int64_t unit = sizeof(T)) : count_(count) {
    const int64_t offset = in.once_in(2) ? 0 : in.whole(0, 63) / unit * unit;
    block_ = static_cast<uint8_t*>(malloc(static_cast<size_t>(offset + count * int64_t(sizeof(T)))));
    if (!block_) block_ = static_cast<uint8_t*>(malloc(1));
    data_ = reinterpret_cast<T*>(block_ + offset);
    memset(static_cast<void*>(data_), 0, sizeof(T) * static_cast<size_t>(count));
  }
  template <class Fill>
    requires requires(Fill fill) { fill(); }
  Buffer(Input& in, int64_t count, Fill fill) : Buffer(in, count) {
    for (int64_t i = 0; i < count; i++) data_[i] = static_cast<T>(fill());
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { free(block_); }

  T* data() { return data_; }
  const T* data() const { return data_; }
  int64_t count() const { return count_; }
  T& operator[](int64_t i) { return data_[i]; }
  void copy(const Buffer& from) { memcpy(static_cast<void*>(data_), from.data_, sizeof(T) * static_cast<size_t>(count_)); }

 private:
  uint8_t* block_;
  T* data_;
  int64_t count_;
};

struct Tier {
  const Kernels& kernels;
  Pool& pool;
};

/** Scalar with one thread: what all others are compared with. */
Tier scalar();
/** Every other pair of an instruction set of this processor (or build: SQ_EMULATED) and one or two threads. */
const std::vector<Tier>& tiers();

/** The case in words, for the message; printf's arguments. */
std::string describe(const char* format, ...) __attribute__((format(printf, 1, 2)));

/** Ends the program with what differed. */
[[noreturn]] void differ(const Tier& tier, const std::string& what, int64_t index, double actual, double expected);

/** The same bits, but that any NaN is any other. */
template <class T>
bool same(T a, T b) {
  return memcmp(&a, &b, sizeof(T)) == 0 || (a != a && b != b);
}

template <class T>
void exactly(const Tier& tier, const std::string& what, const Buffer<T>& actual, const Buffer<T>& expected) {
  for (int64_t i = 0; i < actual.count(); i++)
    if (!same(actual.data()[i], expected.data()[i]))
      differ(tier, what, i, static_cast<double>(actual.data()[i]), static_cast<double>(expected.data()[i]));
}

inline void exactly(const Tier& tier, const std::string& what, double actual, double expected) {
  if (!same(actual, expected)) differ(tier, what, 0, actual, expected);
}

/** Any convolution or pool of at most about `work` taps times channels times outputs. */
ConvShape convolution(Input& in, bool pool, double work);
WeightsShape weights_of(const ConvShape& shape, int32_t bits);
std::string describe(const ConvShape& shape);
inline int64_t input_count(const ConvShape& s) { return int64_t(s.batch) * s.in_height * s.in_width * s.in_channels; }
inline int64_t output_count(const ConvShape& s) { return int64_t(s.batch) * s.out_height * s.out_width * s.out_channels; }
/** A matrix product of m rows as the 1x1 convolution that it is. */
ConvShape matrix(int32_t m, int32_t n, int32_t k);

}  // namespace sq::fuzz
