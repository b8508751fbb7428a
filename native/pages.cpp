#include "pages.h"

#include <stdint.h>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace sq {

void ask_for_large_pages(void* memory, size_t bytes) {
#ifdef __linux__
  constexpr uintptr_t LARGE = 2 << 20;
  const auto from = reinterpret_cast<uintptr_t>(memory);
  const uintptr_t first = (from + LARGE - 1) / LARGE * LARGE, last = (from + bytes) / LARGE * LARGE;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#else
  static_cast<void>(memory);
  static_cast<void>(bytes);
#endif
}

}  // namespace sq
