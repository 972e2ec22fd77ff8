#include "pellucid/core/memory.h"

#include "pellucid/core/error.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <limits>

namespace pellucid::core {
namespace {

std::atomic<std::uint64_t> declared{0};

// What a file of the control group's says, "max" and a missing file being no limit.
std::uint64_t group_limit(const char* path) {
  std::ifstream file(path);
  std::uint64_t limit = 0;
  return file >> limit ? limit : std::numeric_limits<std::uint64_t>::max();
}

std::uint64_t machine_budget() {
  const auto pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  std::uint64_t budget = std::numeric_limits<std::uint64_t>::max();
  if (pages > 0 && page > 0) budget = static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page);
  rlimit space{};
  if (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY)
    budget = std::min<std::uint64_t>(budget, space.rlim_cur);
  return std::min(
      {budget, group_limit("/sys/fs/cgroup/memory.max"), group_limit("/sys/fs/cgroup/memory/memory.limit_in_bytes")});
}

}  // namespace

std::uint64_t memory_budget() {
  static const std::uint64_t machine = machine_budget();
  const std::uint64_t budget = declared;
  return budget > 0 ? budget : machine;
}

void set_memory_budget(std::uint64_t bytes) { declared = bytes; }

void require_memory(std::uint64_t bytes, const std::string& what) {
  if (bytes <= memory_budget()) return;
  throw Error(ErrorKind::kData, "{}: needs {} of memory, and {} are allowed; --memory allows more", what,
              format_bytes(bytes), format_bytes(memory_budget()));
}

std::string format_bytes(std::uint64_t bytes) {
  const auto value = static_cast<double>(bytes);
  if (bytes >= 1ULL << 30) return fmt::format("{:.3g} GiB", value / (1 << 30));
  if (bytes >= 1ULL << 20) return fmt::format("{:.3g} MiB", value / (1 << 20));
  if (bytes >= 1ULL << 10) return fmt::format("{:.3g} KiB", value / (1 << 10));
  return fmt::format("{} bytes", bytes);
}

}  // namespace pellucid::core
