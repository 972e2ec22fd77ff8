#include "pellucid/study/store.h"

#include "pellucid/core/error.h"
#include "pellucid/core/file.h"
#include "pellucid/core/stop.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <mutex>
#include <thread>
#include <unordered_map>

namespace pellucid::study {
namespace {

using core::Error;
using core::ErrorKind;
using core::Json;
using Clock = std::chrono::steady_clock;

constexpr off_t kAppend = 0;  // the byte that who appends locks; a cell locks the byte that its name says, beyond any content
constexpr auto kSyncEvery = std::chrono::seconds(1);

off_t lock_byte(const std::string& name) {
  return static_cast<off_t>((std::uint64_t{1} << 62) | (std::stoull(name.substr(0, 15), nullptr, 16) >> 1));
}

}  // namespace

std::string cell_name(const Json& determinants) { return core::sha256(determinants.dump()).substr(0, 16); }

struct Store::File {
  std::filesystem::path path;
  std::function<bool(const std::string&)> first_to_ask;
  int descriptor = -1;
  mutable std::mutex mutex;  // of all below
  std::unordered_map<std::string, Json> results;
  off_t read_to = 0;
  bool written = false;  // since then
  Clock::time_point synced = Clock::now();

  [[noreturn]] void fail(const char* what) const {
    throw Error(ErrorKind::kIo, "{}: cannot {}: {}", path.string(), what, std::strerror(errno));
  }

  // Open-file-description locks: they end with the process, and threads of one process do not see one another's.
  // True too where the file system has no locks.
  bool lock(off_t byte, short type, bool wait) const {
    struct flock range = {};
    range.l_type = type;
    range.l_whence = SEEK_SET;
    range.l_start = byte;
    range.l_len = 1;
    while (::fcntl(descriptor, wait ? F_OFD_SETLKW : F_OFD_SETLK, &range) != 0) {
      if (errno == EAGAIN || errno == EACCES) return false;
      if (errno == ENOLCK || errno == EOPNOTSUPP || errno == ENOSYS) return true;
      if (errno != EINTR) fail("lock");
    }
    return true;
  }

  // Takes up whole lines from `read_to` on. @pre the mutex is held.
  void read() {
    if (descriptor < 0) return;
    struct stat status;
    if (::fstat(descriptor, &status) != 0) fail("read");
    if (status.st_size <= read_to) return;
    std::string text(static_cast<std::size_t>(status.st_size - read_to), '\0');
    const auto got = ::pread(descriptor, text.data(), text.size(), read_to);
    if (got < 0) fail("read");
    text.resize(static_cast<std::size_t>(got));
    std::size_t begin = 0;
    for (auto end = text.find('\n'); end != std::string::npos; begin = end + 1, end = text.find('\n', begin)) {
      Json line = Json::parse(text.begin() + static_cast<std::ptrdiff_t>(begin), text.begin() + static_cast<std::ptrdiff_t>(end), nullptr,
                              /*allow_exceptions=*/false);
      if (!line.is_object() || !line.contains("name") || !line.contains("result")) continue;  // torn
      results.insert_or_assign(line["name"].get<std::string>(), std::move(line["result"]));
    }
    read_to += static_cast<off_t>(begin);
  }

  // Appends a line, whole or not at all. @pre the mutex is held.
  void append(std::string line) {
    line += '\n';
    lock(kAppend, F_WRLCK, /*wait=*/true);
    struct stat status;
    if (::fstat(descriptor, &status) != 0) fail("write");
    char last = '\n';
    if (status.st_size > 0 && ::pread(descriptor, &last, 1, status.st_size - 1) == 1 && last != '\n') line.insert(0, 1, '\n');
    for (std::size_t done = 0; done < line.size();) {
      const auto n = ::pwrite(descriptor, line.data() + done, line.size() - done, status.st_size + static_cast<off_t>(done));
      if (n > 0) done += static_cast<std::size_t>(n);
      if (n >= 0 || errno == EINTR) continue;
      const int reason = errno;
      (void)!::ftruncate(descriptor, status.st_size);
      lock(kAppend, F_UNLCK, false);
      errno = reason;
      fail("write");
    }
    lock(kAppend, F_UNLCK, false);
    if (read_to == status.st_size) read_to += static_cast<off_t>(line.size());  // else the lines before it are still to be read
    written = true;
    if (Clock::now() - synced >= kSyncEvery) sync();
  }

  void sync() {
    written = false;
    ::fdatasync(descriptor);
    synced = Clock::now();
  }
};

Store::Store(std::filesystem::path folder, std::function<bool(const std::string&)> first_to_ask, bool read_only) : file_(std::make_unique<File>()) {
  file_->path = folder / "cells.jsonl";
  file_->first_to_ask = std::move(first_to_ask);
  std::error_code error;
  if (!read_only) std::filesystem::create_directories(folder, error);
  if (error) throw Error(ErrorKind::kIo, "{}: cannot make the folder: {}", folder.string(), error.message());
  file_->descriptor = ::open(file_->path.c_str(), (read_only ? O_RDONLY : O_RDWR | O_CREAT) | O_CLOEXEC, 0644);
  if (read_only && errno == ENOENT && file_->descriptor < 0) return;
  if (file_->descriptor < 0) file_->fail("open");
  refresh();
}

Store::~Store() {
  if (file_->descriptor < 0) return;
  if (file_->written) file_->sync();
  ::close(file_->descriptor);
}

std::optional<Json> Store::find(const std::string& name) const {
  const std::lock_guard guard(file_->mutex);
  const auto found = file_->results.find(name);
  return found == file_->results.end() ? std::nullopt : std::optional(found->second);
}

void Store::refresh() {
  const std::lock_guard guard(file_->mutex);
  file_->read();
}

bool Store::exclusively(const std::string& name, const std::function<void()>& work) {
  const off_t byte = lock_byte(name);
  if (!file_->lock(byte, F_WRLCK, /*wait=*/false)) return false;
  const std::shared_ptr<void> unlock(nullptr, [&](void*) { (void)file_->lock(byte, F_UNLCK, false); });
  if (file_->first_to_ask && !file_->first_to_ask(name)) return false;
  work();
  return true;
}

std::optional<Json> Store::try_cell(const Json& determinants, const Compute& compute) {
  const auto name = cell_name(determinants);
  std::optional<Json> result = find(name);
  if (result) return result;
  exclusively(name, [&] {
    refresh();  // it may have been finished elsewhere a moment ago
    if ((result = find(name))) return;
    const std::string text = compute().dump();
    result = Json::parse(text);  // what a later run will read, to the bit
    const std::lock_guard guard(file_->mutex);
    file_->append(fmt::format(R"({{"name":"{}","cell":{},"result":{}}})", name, determinants.dump(), text));
    file_->results.insert_or_assign(name, *result);
  });
  return result;
}

Json Store::cell(const Json& determinants, const Compute& compute) {
  while (true) {
    if (auto result = try_cell(determinants, compute)) return *std::move(result);
    core::throw_if_stopped();
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    refresh();
  }
}

}  // namespace pellucid::study
