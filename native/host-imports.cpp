// Node-API on Windows without an import library. Windows would bind these functions to a file called node.exe, and a
// program with another name, such as Electron, would load Node a second time or not at all. Calls of dllimport
// functions go through a pointer `__imp_NAME`: here are the pointers, filled from the program that loads the addon.
// host-imports.inc is the list of Node-API's functions, made by CMakeLists.txt; those that a host lacks are null, and
// the addon calls none that are younger than NAPI_VERSION.
#include <windows.h>

#define SQ_IMPORT(name) void* import_##name __asm__("__imp_" #name);
extern "C" {
#include "host-imports.inc"
}
#undef SQ_IMPORT

namespace {

struct HostImports {
  HostImports() {
    // Where Node is a library of the program, its functions are there.
    HMODULE host = GetModuleHandleA("node.dll");
    if (host == nullptr) host = GetModuleHandleA(nullptr);
#define SQ_IMPORT(name) import_##name = reinterpret_cast<void*>(GetProcAddress(host, #name));
#include "host-imports.inc"
#undef SQ_IMPORT
  }
} const host_imports;

}  // namespace
