#include "cli/shortage.h"

#include "pellucid/core/error.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>
#include <system_error>

namespace pellucid::cli {
namespace {

constexpr int kShort = core::exit_code(core::ErrorKind::kIo), kBug = core::exit_code(core::ErrorKind::kInternal);

// Ends the process here and now: other threads may hold any lock. What it was writing is whole or not there.
[[noreturn]] void end(const std::string& sentence, int code) {
  std::string line = "pellucid: " + sentence + "\n";
  (void)!::write(STDERR_FILENO, line.data(), line.size());
  std::_Exit(code);
}

[[noreturn]] void on_termination() {
  try {
    if (const auto current = std::current_exception()) std::rethrow_exception(current);
  } catch (const std::exception& error) {
    if (is_shortage(error)) end(shortage_message(error.what()), kShort);
    end(std::string("a bug of ours, please report it: not caught: ") + error.what(), kBug);
  } catch (...) {
  }
  end("a bug of ours, please report it: terminated", kBug);
}

[[maybe_unused]] bool is_in(const void* code, const char* library) {
  Dl_info found{};
  return dladdr(code, &found) != 0 && found.dli_fname != nullptr && std::strstr(found.dli_fname, library) != nullptr;
}

// Nothing here takes memory or a lock.
[[maybe_unused]] void on_crash(int signal) {
  constexpr std::string_view kLine =
      "pellucid: out of memory: a library crashed without it; allow this process more (ulimit -v), or take smaller "
      "batches, fewer restarts or fewer --threads\n";
  const auto room = ::syscall(SYS_mmap, nullptr, std::size_t{128} << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (room == -1) {
    (void)!::write(STDERR_FILENO, kLine.data(), kLine.size());
    std::_Exit(kShort);
  }
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

}  // namespace

bool is_shortage(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return true;
  if (const auto* system = dynamic_cast<const std::system_error*>(&error)) {
    return system->code() == std::errc::resource_unavailable_try_again ||
           system->code() == std::errc::not_enough_memory;
  }
  const std::string_view text = error.what();
  for (const char* said : {"DefaultCPUAllocator", "out of memory", "std::bad_alloc"}) {
    if (text.find(said) != std::string_view::npos) return true;
  }
  return false;
}

std::string shortage_message(const std::string& what) {
  return "out of memory: " + what +
         "; allow this process more (ulimit -v), or take smaller batches, fewer restarts or fewer --threads";
}

__attribute__((noinline)) void take_stack() {
  constexpr std::size_t kBytes = 1 << 20, kPage = 1 << 12;
  [[maybe_unused]] volatile char stack[kBytes];
  for (std::size_t i = 0; i < kBytes; i += kPage) stack[i] = 0;
}

void catch_crash() {
#ifndef PELLUCID_SANITIZED
  alignas(16) static char stack[1 << 16];  // the thread's own may be what could not grow
  const stack_t alternative = {.ss_sp = stack, .ss_flags = 0, .ss_size = sizeof(stack)};
  ::sigaltstack(&alternative, nullptr);
  struct sigaction action = {};
  action.sa_handler = on_crash;
  action.sa_flags = SA_ONSTACK;
  for (const int signal : {SIGSEGV, SIGBUS}) ::sigaction(signal, &action, nullptr);
#endif
}

void catch_termination() { std::set_terminate(on_termination); }

}  // namespace pellucid::cli

// Three calls that libraries make are seen here first. Not under sanitizers, which see them themselves.
#ifndef PELLUCID_SANITIZED

// OpenBLAS asks for a buffer again and again, for ever, where there is no room for it (0.3.21, blas_memory_alloc).
extern "C" __attribute__((visibility("default"))) void* mmap(void* address, std::size_t length, int protection,
                                                             int flags, int file, off_t offset) noexcept {
  void* const got = reinterpret_cast<void*>(::syscall(SYS_mmap, address, length, protection, flags, file, offset));
  if (got == MAP_FAILED && errno == ENOMEM && pellucid::cli::is_in(__builtin_return_address(0), "blas")) {
    pellucid::cli::end(pellucid::cli::shortage_message("OpenBLAS has no room for a buffer of " +
                                                       std::to_string(length >> 20) + " MiB"),
                       pellucid::cli::kShort);
  }
  return got;
}

// pthreadpool (0.0~git20210507) waits for ever for a thread that could not be started; OpenMP exits with 1.
extern "C" __attribute__((visibility("default"))) int pthread_create(pthread_t* thread,
                                                                     const pthread_attr_t* attributes,
                                                                     void* (*start)(void*), void* argument) noexcept {
  static const auto real = reinterpret_cast<decltype(&pthread_create)>(dlsym(RTLD_NEXT, "pthread_create"));
  const int reason = real(thread, attributes, start, argument);
  const void* caller = __builtin_return_address(0);
  if (reason != 0 && (pellucid::cli::is_in(caller, "pthreadpool") || pellucid::cli::is_in(caller, "gomp"))) {
    pellucid::cli::end(pellucid::cli::shortage_message("no more threads can be started"), pellucid::cli::kShort);
  }
  return reason;
}

// OpenMP and OpenBLAS say that they get no memory, and exit with 1; what is to be destroyed then may wait for threads
// for ever.
extern "C" __attribute__((visibility("default"))) void exit(int code) noexcept {
  const void* caller = __builtin_return_address(0);
  if (code != 0 && (pellucid::cli::is_in(caller, "gomp") || pellucid::cli::is_in(caller, "blas")))
    std::_Exit(pellucid::cli::kShort);
  static const auto real = reinterpret_cast<void (*)(int)>(dlsym(RTLD_NEXT, "exit"));
  real(code);
  __builtin_unreachable();
}

#endif
