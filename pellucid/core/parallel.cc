#include "pellucid/core/parallel.h"

#include "pellucid/core/error.h"
#include "pellucid/core/torch.h"

#include <dlfcn.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace pellucid::core {

void parallel_for(std::int64_t count, int threads, const std::function<void(std::int64_t)>& work) {
  std::atomic<std::int64_t> next = 0;
  std::exception_ptr failure;
  std::mutex failure_mutex;
  const int intra_op_threads = at::get_num_threads();

  auto take_pieces = [&] {
    at::set_num_threads(1);
    for (std::int64_t i; (i = next++) < count;) {
      try {
        work(i);
      } catch (...) {
        std::lock_guard lock(failure_mutex);
        if (!failure) failure = std::current_exception();
        next = count;
      }
    }
  };

  {
    std::vector<std::jthread> others;
    const auto workers = std::min<std::int64_t>(std::max(threads, 1), count);
    for (std::int64_t t = 1; t < workers; ++t) others.emplace_back(take_pieces);
    take_pieces();
  }
  at::set_num_threads(intra_op_threads);
  if (failure) std::rethrow_exception(failure);
}

void set_threads(int threads) {
  at::set_num_threads(threads);
  constexpr int kOwnThreads = 1;  // what openblas_get_parallel says of the pthread build
  const auto get_parallel = reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "openblas_get_parallel"));
  const auto set_blas_threads = reinterpret_cast<void (*)(int)>(dlsym(RTLD_DEFAULT, "openblas_set_num_threads"));
  if (get_parallel != nullptr && set_blas_threads != nullptr && get_parallel() == kOwnThreads) set_blas_threads(1);
}

void check_device(const std::string& device) {
  if (device == "cpu") return;
  std::int64_t number = 0;
  bool understood = device == "cuda";
  if (device.starts_with("cuda:")) {
    const char *begin = device.data() + 5, *end = device.data() + device.size();
    const auto [last, error] = std::from_chars(begin, end, number);
    understood = error == std::errc() && last == end && number >= 0;
  }
  if (!understood) throw Error(ErrorKind::kUsage, "--device: got \"{}\", expected cpu, cuda or cuda:N", device);
  const auto found = static_cast<std::int64_t>(torch::cuda::device_count());
  if (number >= found) {
    throw Error(ErrorKind::kUsage, "--device: got \"{}\", this libtorch finds {} CUDA device{}; use --device cpu{}", device, found, found == 1 ? "" : "s",
                found == 0 ? ", or build against a libtorch with CUDA" : "");
  }
}

int available_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return std::max(1u, std::thread::hardware_concurrency());
  return std::max(1, CPU_COUNT(&set));
}

}  // namespace pellucid::core
