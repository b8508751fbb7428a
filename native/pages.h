// Memory of buffers that JavaScript allocated.
#pragma once
#include <stddef.h>

namespace sq {

/**
 * Asks the system for large pages where whole ones fit into the memory, before it is first written: weights of many
 * megabytes then cost no translations, and the processor fetches ahead past 4 KiB. Only advice, and only on Linux.
 */
void ask_for_large_pages(void* memory, size_t bytes);

}  // namespace sq
