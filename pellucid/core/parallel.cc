#include "pellucid/core/parallel.h"

#include "pellucid/core/torch.h"

#include <dlfcn.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace pellucid::core {

void parallel_for(std::int64_t count, int threads, const std::function<void(std::int64_t)>& work) {
  std::atomic<std::int64_t> next = 0;
  std::exception_ptr failure;
  std::mutex failure_mutex;
  const int intra_op_threads = at::get_num_threads();

  auto take_pieces = [&] {
    try {
      at::set_num_threads(1);
      for (std::int64_t i; (i = next++) < count;) work(i);
    } catch (...) {
      std::lock_guard lock(failure_mutex);
      if (!failure) failure = std::current_exception();
      next = count;
    }
  };

  {
    std::vector<std::jthread> others;
    const auto workers = std::min<std::int64_t>(std::max(threads, 1), count);
    try {
      for (std::int64_t t = 1; t < workers; ++t) others.emplace_back(take_pieces);
    } catch (const std::system_error&) {  // the machine has no more threads: those that there are do the work
    }
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

int available_cores() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return std::max(1u, std::thread::hardware_concurrency());
  return std::max(1, CPU_COUNT(&set));
}

}  // namespace pellucid::core
