// What the processor and the operating system offer, asked once.
#pragma once

namespace sq {

struct Processor {
  bool avx2 = false;        // with FMA and BMI2
  bool avxvnni = false;     // with AVX2
  bool avx512vnni = false;  // with F, BW, VL, DQ
  bool dotprod = false;     // arm64: sdot and udot
  bool i8mm = false;        // arm64, with dotprod: usdot and matrix products of bytes
};

Processor detect_processor();

}  // namespace sq
