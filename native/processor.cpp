#include "processor.h"

#include <stdint.h>

#if defined(SQ_X86)
#if defined(_MSC_VER)
#include <immintrin.h>
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#elif defined(SQ_ARM64)
#if defined(__linux__)
#include <sys/auxv.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(_WIN32)
#include <windows.h>
#endif
#endif

namespace sq {

#if defined(SQ_X86)
namespace {

struct Registers {
  uint32_t eax, ebx, ecx, edx;
};

Registers cpuid(uint32_t leaf, uint32_t subleaf) {
  Registers r{};
#if defined(_MSC_VER)
  int values[4];
  __cpuidex(values, static_cast<int>(leaf), static_cast<int>(subleaf));
  r = {uint32_t(values[0]), uint32_t(values[1]), uint32_t(values[2]), uint32_t(values[3])};
#else
  __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
#endif
  return r;
}

/** The register states that the operating system saves. */
uint64_t saved_states() {
#if defined(_MSC_VER)
  return _xgetbv(0);
#else
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t(high) << 32 | low;
#endif
}

constexpr uint64_t YMM_STATES = 0x06, ZMM_STATES = 0xe6;
constexpr bool bit(uint32_t value, int index) { return value >> index & 1; }

}  // namespace

Processor detect_processor() {
  Processor found;
  const Registers one = cpuid(1, 0);
  if (!bit(one.ecx, 27)) return found;  // OSXSAVE: without it xgetbv faults
  const uint64_t states = saved_states();
  const Registers seven = cpuid(7, 0);
  const bool ymm = (states & YMM_STATES) == YMM_STATES, zmm = (states & ZMM_STATES) == ZMM_STATES;
  found.avx2 = ymm && bit(one.ecx, 28) && bit(one.ecx, 12) && bit(seven.ebx, 5) && bit(seven.ebx, 8);
  found.avxvnni = found.avx2 && seven.eax >= 1 && bit(cpuid(7, 1).eax, 4);
  found.avx512vnni = found.avx2 && zmm && bit(seven.ebx, 16) && bit(seven.ebx, 17) && bit(seven.ebx, 30) &&
                     bit(seven.ebx, 31) && bit(seven.ecx, 11);
#if defined(SQ_EMULATED)
  found.avxvnni = found.avx512vnni = found.avx2;  // test/emulation stands in for them
#endif
  return found;
}
#elif defined(SQ_ARM64)
// Whether the instructions are there is known to the operating system alone. Linux is tested; macOS and Windows
// follow their documentation.
Processor detect_processor() {
  Processor found;
#if defined(__linux__)
  // HWCAP_ASIMDDP and HWCAP2_I8MM, by number: older headers lack them.
  constexpr unsigned long DOTPROD = 1ul << 20, I8MM = 1ul << 13;
  found.dotprod = getauxval(AT_HWCAP) & DOTPROD;
  found.i8mm = found.dotprod && getauxval(AT_HWCAP2) & I8MM;
#elif defined(__APPLE__)
  const auto has = [](const char* name) {
    int value = 0;
    size_t size = sizeof value;
    return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
  };
  found.dotprod = has("hw.optional.arm.FEAT_DotProd");
  found.i8mm = found.dotprod && has("hw.optional.arm.FEAT_I8MM");
#elif defined(_WIN32)
  // PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE and PF_ARM_V82_I8MM_INSTRUCTIONS_AVAILABLE: older headers lack them.
  constexpr DWORD DOTPROD = 43, I8MM = 66;
  found.dotprod = IsProcessorFeaturePresent(DOTPROD);
  found.i8mm = found.dotprod && IsProcessorFeaturePresent(I8MM);
#endif
  return found;
}
#else
Processor detect_processor() { return {}; }
#endif

}  // namespace sq
