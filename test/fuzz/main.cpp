// Stands in for libFuzzer where the compiler has none, or no operating system to speak of: `program SECONDS [SEED]` runs
// seeded cases for that long, `program FILE...` the cases of these files. One that fails is told by its seed or file.
#include <signal.h>

#include <chrono>
#include <fstream>
#include <iterator>

#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

/** The case that runs: read by the handler of abort, so it is no std::string. */
char running[256];

void tell(int) { fprintf(stderr, "in the case of %s\n", running); }

void run(const char* name, const uint8_t* data, size_t size) {
  snprintf(running, sizeof running, "%s", name);
  LLVMFuzzerTestOneInput(data, size);
}

}  // namespace

int main(int count, char** values) {
  signal(SIGABRT, tell);
  if (count < 2) {
    fprintf(stderr, "%s SECONDS [SEED], or %s FILE...\n", values[0], values[0]);
    return 2;
  }
  const double seconds = strtod(values[1], nullptr);
  uint64_t cases = 0;
  if (seconds > 0) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    for (uint64_t seed = count > 2 ? strtoull(values[2], nullptr, 10) : 0; std::chrono::steady_clock::now() < until; seed++, cases++)
      run(("seed " + std::to_string(seed)).c_str(), reinterpret_cast<const uint8_t*>(&seed), sizeof seed);
  } else {
    for (; cases + 1 < static_cast<uint64_t>(count); cases++) {
      std::ifstream file(values[cases + 1], std::ios::binary);
      const std::vector<char> bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
      run(values[cases + 1], reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    }
  }
  printf("%llu cases on", static_cast<unsigned long long>(cases));
  for (const sq::fuzz::Tier& tier : sq::fuzz::tiers()) printf(" %s/%d", tier.kernels.isa, tier.pool.threads());
  printf(" without a finding\n");
  return 0;
}
