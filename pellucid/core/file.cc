#include "pellucid/core/file.h"

#include "pellucid/core/error.h"
#include "pellucid/core/memory.h"
#include "pellucid/core/stop.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <mutex>
#include <optional>
#include <set>

namespace pellucid::core {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr auto kPatience = std::chrono::seconds(2);  // for somebody to open the other end of a named pipe
constexpr std::chrono::milliseconds kSlice(100);     // between two looks for a stop signal
constexpr std::uint64_t kDeviceLimit = 1 << 20;      // a device may have no end
constexpr std::size_t kPipeChunk = 4096;             // PIPE_BUF: what a pipe that is ready takes without waiting
constexpr std::string_view kPrefix = ".pellucid-", kSuffix = ".tmp";

[[noreturn]] void fail(const char* what, const fs::path& path) {
  throw Error(ErrorKind::kIo, "{}: cannot {}: {}", path.string(), what, std::strerror(errno));
}

[[noreturn]] void fail(const char* what, const fs::path& path, int reason) {
  errno = reason;
  fail(what, path);
}

// A file descriptor that closes itself.
struct Descriptor {
  int fd;
  explicit Descriptor(int fd_in) : fd(fd_in) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

std::span<const std::uint8_t> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// The number of a descriptor that this process was given, if the path names one: /dev/stdin, /dev/fd/63. It is used as
// it is and not opened again: the end of a pipe is seen, and what stands in a file before its position stays.
std::optional<int> given_descriptor(const fs::path& path) {
  const std::string& name = path.native();
  constexpr std::string_view kStandard[] = {"/dev/stdin", "/dev/stdout", "/dev/stderr"};
  for (int i = 0; i < 3; ++i) {
    if (name == kStandard[i]) return i;
  }
  for (const std::string_view folder : {"/dev/fd/", "/proc/self/fd/"}) {
    if (!name.starts_with(folder)) continue;
    int number = -1;
    const auto [end, error] = std::from_chars(name.data() + folder.size(), name.data() + name.size(), number);
    if (error == std::errc() && end == name.data() + name.size()) return number;
  }
  return std::nullopt;
}

int open_or_copy(const fs::path& path, int flags) {
  if (const auto number = given_descriptor(path)) return ::fcntl(*number, F_DUPFD_CLOEXEC, 0);
  for (;;) {
    const int fd = ::open(path.c_str(), flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd >= 0 || errno != EINTR) return fd;
    throw_if_stopped();
  }
}

struct stat status_of(const Descriptor& file, const char* what, const fs::path& path) {
  struct stat status;
  if (::fstat(file.fd, &status) != 0) fail(what, path);
  return status;
}

enum class Readiness { kQuiet, kReady, kClosed };

// Waits a moment for a pipe or a terminal: kQuiet if nothing happened, kClosed if the other end was closed.
Readiness wait_for(const Descriptor& file, short event) {
  throw_if_stopped();
  pollfd poll{.fd = file.fd, .events = event, .revents = 0};
  if (::poll(&poll, 1, static_cast<int>(kSlice.count())) <= 0) return Readiness::kQuiet;
  return (poll.revents & POLLHUP) != 0 ? Readiness::kClosed : Readiness::kReady;
}

// Whether a read or a write may wait for ever: of a descriptor that this process was given.
bool blocks(const Descriptor& file) { return (::fcntl(file.fd, F_GETFL) & O_NONBLOCK) == 0; }

// Reads to the end of what is no regular file, however long whoever writes takes.
void read_stream(const Descriptor& file, const fs::path& path, bool is_pipe, std::uint64_t limit, Bytes& content) {
  limit = std::min(limit, UINT64_MAX - 1);
  auto patience = Clock::now() + kPatience;
  const bool blocking = blocks(file);
  std::size_t have = 0;
  for (;;) {
    if (have == content.size()) {
      const auto size = std::min(std::max(2 * std::uint64_t{have}, std::uint64_t{64} << 10), limit + 1);
      require_memory(size, path.string());
      content.resize(size);
    }
    const Readiness state = wait_for(file, POLLIN);
    if (state == Readiness::kQuiet && blocking) continue;
    const auto n = ::read(file.fd, content.data() + have, content.size() - have);
    if (n > 0) {
      have += static_cast<std::size_t>(n);
      if (have > limit)
        throw Error(ErrorKind::kIo, "{}: size: got more than {} bytes, expected at most {}", path.string(), limit,
                    limit);
    } else if (n == 0) {
      if (!is_pipe || state == Readiness::kClosed || have > 0) break;
      if (Clock::now() > patience)
        throw Error(ErrorKind::kIo, "{}: cannot read: it is a pipe that nobody writes to", path.string());
    } else if (errno == EAGAIN) {
      patience = Clock::now() + kPatience;  // somebody has it open
    } else if (errno != EINTR) {
      fail("read", path);
    }
  }
  content.resize(have);
}

// Writes to what is no regular file, as fast as it takes it.
void write_stream(const Descriptor& file, const fs::path& path, std::span<const std::uint8_t> content) {
  const bool blocking = blocks(file);
  while (!content.empty()) {
    if (wait_for(file, POLLOUT) == Readiness::kQuiet && blocking) continue;
    const auto n = ::write(file.fd, content.data(), std::min(content.size(), kPipeChunk));
    if (n >= 0) {
      content = content.subspan(static_cast<std::size_t>(n));
    } else if (errno != EINTR && errno != EAGAIN) {
      fail("write", path);
    }
  }
}

// A named pipe is waited for until somebody reads it.
int open_to_write(const fs::path& path) {
  for (const auto patience = Clock::now() + kPatience;;) {
    const int fd = open_or_copy(path, O_WRONLY);
    std::error_code none;
    if (fd >= 0 || errno != ENXIO || !fs::is_fifo(path, none)) return fd;
    if (Clock::now() > patience)
      throw Error(ErrorKind::kIo, "{}: cannot write: it is a pipe that nobody reads", path.string());
    throw_if_stopped();
    ::poll(nullptr, 0, static_cast<int>(kSlice.count()));
  }
}

// Where the file lies, or will lie, that a path names: symbolic links followed, though the last may lead to nothing.
fs::path followed(fs::path path) {
  for (int links = 0; links < 40 && !given_descriptor(path); ++links) {
    std::error_code no_link;
    const fs::path target = fs::read_symlink(path, no_link);
    if (no_link) return path;
    path = path.parent_path() / target;
  }
  if (!given_descriptor(path)) fail("write", path, ELOOP);
  return path;
}

// Removes what killed processes left in a folder: a temporary file belongs to who holds a lock on it.
void remove_leftovers(const fs::path& folder) {
  static std::mutex mutex;
  static std::set<fs::path> seen;  // once a process is enough
  const std::lock_guard guard(mutex);
  if (!seen.insert(folder).second) return;
  std::error_code none;
  for (auto entry = fs::directory_iterator(folder, none); !none && entry != fs::directory_iterator();
       entry.increment(none)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) continue;
    const Descriptor file(::open(entry->path().c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (file.fd >= 0 && ::flock(file.fd, LOCK_EX | LOCK_NB) == 0) ::unlink(entry->path().c_str());
  }
}

// A new file of no lasting name, locked, beside the one that it will replace.
struct Temporary {
  fs::path path;
  int fd = -1;

  Temporary(const fs::path& folder, const fs::path& target, mode_t mode) {
    static std::atomic<unsigned> count = 0;
    for (;;) {
      path = folder / fmt::format("{}{}-{}{}", kPrefix, ::getpid(), count++, kSuffix);
      fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
      if (fd < 0 && errno != EEXIST && errno != EINTR) fail("write", target);
      if (fd < 0) continue;
      while (::flock(fd, LOCK_EX) != 0 && errno == EINTR) {  // a file system without locks has no leftovers removed
      }
      struct stat status;
      if (::fstat(fd, &status) != 0 || status.st_nlink > 0) return;
      ::close(fd);  // another process took it for a leftover before it was locked
    }
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  ~Temporary() {
    if (!path.empty()) ::unlink(path.c_str());
    ::close(fd);
  }
};

bool sync_folder(const fs::path& folder) {
  const Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.fd < 0 || ::fsync(directory.fd) == 0) return true;  // a folder that may not be listed is not synced
  return errno == EINVAL || errno == ENOTSUP || errno == EBADF;     // nor one whose file system cannot
}

// @param old the file that is replaced, if there is one: its permissions are kept.
void replace(const fs::path& target, std::span<const std::uint8_t> content, mode_t mode, const struct stat* old) {
  const fs::path folder = target.has_parent_path() ? target.parent_path() : fs::path(".");
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw Error(ErrorKind::kIo, "{}: cannot make the folder: {}", folder.string(), error.message());
  if (old != nullptr && ::faccessat(AT_FDCWD, target.c_str(), W_OK, AT_EACCESS) != 0) fail("write", target);
  remove_leftovers(folder);

  Temporary temporary(folder, target, mode);
  if (old != nullptr && ::fchmod(temporary.fd, old->st_mode & 0777) != 0) fail("write", target);
  while (!content.empty()) {
    const auto n = ::write(temporary.fd, content.data(), content.size());
    if (n < 0 && errno != EINTR) fail("write", target);
    if (n > 0) content = content.subspan(static_cast<std::size_t>(n));
  }
  while (::fsync(temporary.fd) != 0) {
    if (errno != EINTR) fail("write", target);
  }
  if (::rename(temporary.path.c_str(), target.c_str()) != 0) fail("write", target);
  temporary.path.clear();
  if (!sync_folder(folder)) fail("write", target);
}

}  // namespace

Bytes read_file(const fs::path& path, std::uint64_t limit) {
  const Descriptor file(open_or_copy(path, O_RDONLY));
  if (file.fd < 0) fail("open", path);
  const struct stat status = status_of(file, "read", path);
  if (S_ISDIR(status.st_mode)) fail("read", path, EISDIR);
  Bytes content;
  if (!S_ISREG(status.st_mode)) {
    const bool is_pipe = S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode);
    read_stream(file, path, is_pipe, is_pipe ? limit : std::min(limit, kDeviceLimit), content);
    return content;
  }

  const auto size = static_cast<std::uint64_t>(status.st_size);  // a first guess: those of /proc say 0
  if (size > limit)
    throw Error(ErrorKind::kIo, "{}: size: got {} bytes, expected at most {}", path.string(), size, limit);
  require_memory(size, path.string());
  content.resize(size + 1);
  std::size_t have = 0;
  for (;;) {
    const auto n = ::read(file.fd, content.data() + have, content.size() - have);
    if (n == 0) break;
    if (n < 0 && errno != EINTR) fail("read", path);
    if (n > 0) have += static_cast<std::size_t>(n);
    if (have > limit)
      throw Error(ErrorKind::kIo, "{}: size: got more than {} bytes, expected at most {}", path.string(), limit, limit);
    if (have == content.size()) content.resize(2 * have);
  }
  content.resize(have);
  return content;
}

std::string read_text(const fs::path& path, std::uint64_t limit) {
  const Bytes content = read_file(path, limit);
  return {content.begin(), content.end()};
}

void write_file(const fs::path& path, std::span<const std::uint8_t> content, unsigned mode) {
  struct stat status;
  const bool exists = ::stat(path.c_str(), &status) == 0;
  if (!path.has_filename() || (exists && S_ISDIR(status.st_mode))) fail("write", path, EISDIR);
  const fs::path target = followed(path);
  if (given_descriptor(target) || (exists && !S_ISREG(status.st_mode))) {
    const Descriptor file(open_to_write(given_descriptor(target) ? target : path));
    if (file.fd < 0) fail("write", path);
    return write_stream(file, path, content);
  }
  replace(target, content, mode, exists ? &status : nullptr);
}

void write_file(const fs::path& path, std::string_view content, unsigned mode) {
  write_file(path, as_bytes(content), mode);
}

std::string sha256(std::span<const std::uint8_t> content) {
  std::uint8_t digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (EVP_Digest(content.data(), content.size(), digest, &size, EVP_sha256(), nullptr) != 1) {
    throw Error(ErrorKind::kInternal, "SHA-256 is not available in this OpenSSL");
  }
  std::string hex;
  for (unsigned i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

std::string base64(std::span<const std::uint8_t> content) {
  std::string text((content.size() + 2) / 3 * 4 + 1, '\0');
  const int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), content.data(), static_cast<int>(content.size()));
  text.resize(static_cast<std::size_t>(size));
  return text;
}

std::string sha256(std::string_view content) { return sha256(as_bytes(content)); }

}  // namespace pellucid::core
