// The program's first half, which needs no library: it tells in a sentence where those of the second half
// (pellucid-program, beside it) do not fit into the memory that this process is allowed, since the system's loader
// cannot.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

constexpr int kCannot = 3;  // as core/error.h says of the machine

[[noreturn]] void fail(const std::string& sentence) {
  const std::string line = "pellucid: " + sentence + "\n";
  (void)!::write(STDERR_FILENO, line.data(), line.size());
  std::_Exit(kCannot);
}

std::string program() {
  char own[PATH_MAX];
  const auto length = ::readlink("/proc/self/exe", own, sizeof own - 1);
  if (length < 0) fail(std::string("/proc/self/exe: cannot read: ") + std::strerror(errno));
  const std::string path(own, static_cast<std::size_t>(length));
  return path.substr(0, path.rfind('/') + 1) + "pellucid-program";
}

// Whether the program gets as far as its own first line.
bool loads(const std::string& path) {
  const pid_t child = ::fork();
  if (child < 0) return false;
  if (child == 0) {
    const int nowhere = ::open("/dev/null", O_RDWR);
    ::dup2(nowhere, STDOUT_FILENO);
    ::dup2(nowhere, STDERR_FILENO);
    ::execl(path.c_str(), "pellucid", "--version", nullptr);
    std::_Exit(kCannot);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

int main(int, char** argv) {
  const std::string path = program();
  rlim_t allowed = RLIM_INFINITY;  // the greatest number
  for (const auto resource : {RLIMIT_AS, RLIMIT_DATA}) {
    rlimit limit{};
    if (::getrlimit(resource, &limit) == 0) allowed = std::min(allowed, limit.rlim_cur);
  }
  if (allowed != RLIM_INFINITY && ::access(path.c_str(), X_OK) == 0 && !loads(path)) {
    fail("out of memory: the libraries alone do not fit into the " + std::to_string(allowed >> 20) +
         " MiB that this process is allowed; raise its limit (ulimit -v, ulimit -d)");
  }
  // A heap for each thread would reserve 64 MiB of the little there is.
  if (allowed != RLIM_INFINITY) ::setenv("MALLOC_ARENA_MAX", "1", /*overwrite=*/0);
  ::execv(path.c_str(), argv);
  fail(path + ": cannot run: " + std::strerror(errno));
}
