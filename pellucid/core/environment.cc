#include "pellucid/core/environment.h"

#include "pellucid/core/parallel.h"
#include "pellucid/core/torch.h"

#include <torch/version.h>

#include <ctime>
#include <fstream>

namespace pellucid::core {
namespace {

std::string processor() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown";
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

}  // namespace

std::string version() { return PELLUCID_VERSION " (" PELLUCID_COMMIT ")"; }

bool has_bfloat16() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16") != 0;
#else
  return false;
#endif
}

Json environment(int threads) {
  return {{"pellucid", version()},     {"compiler", __VERSION__},  {"build", PELLUCID_BUILD_TYPE},
          {"libtorch", TORCH_VERSION}, {"processor", processor()}, {"cores", available_cores()},
          {"threads", threads},        {"date", utc_now()}};
}

}  // namespace pellucid::core
