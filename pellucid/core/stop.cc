#include "pellucid/core/stop.h"

#include "pellucid/core/error.h"

#include <atomic>
#include <csignal>

namespace pellucid::core {
namespace {

std::atomic<bool> stop_flag = false;
static_assert(std::atomic<bool>::is_always_lock_free);  // else it may not be touched in a signal handler

void on_signal(int signal) {
  if (stop_flag.exchange(true)) {
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
}

}  // namespace

void catch_stop_signals() {
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
}

bool stop_requested() { return stop_flag.load(); }

void request_stop(bool stop) { stop_flag.store(stop); }

void throw_if_stopped() {
  if (stop_requested()) throw Error(ErrorKind::kStopped, "stopped on request; the same command goes on from here");
}

}  // namespace pellucid::core
