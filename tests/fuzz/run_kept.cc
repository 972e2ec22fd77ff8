// Runs a fuzz target once over each file of a folder, in builds without libFuzzer.
#include "pellucid/core/file.h"

#include "tests/fuzz/fuzz.h"

#include <cstdio>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    std::printf("%s\n", entry.path().c_str());
    std::fflush(stdout);  // so that the last line names the input that ends the process
    const auto content = pellucid::core::read_file(entry.path());
    LLVMFuzzerTestOneInput(content.data(), content.size());
    ++count;
  }
  return count > 0 ? 0 : 1;
}
