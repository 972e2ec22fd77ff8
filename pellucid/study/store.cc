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
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <unordered_set>

namespace pellucid::study {
namespace {

using core::Error;
using core::ErrorKind;
using core::Json;
using Clock = std::chrono::steady_clock;

constexpr off_t kAppend =
    0;  // the byte that who appends locks; a cell locks the byte that its name says, beyond any content
constexpr auto kSyncEvery = std::chrono::seconds(1);

off_t lock_byte(const std::string& name) {
  return static_cast<off_t>((std::uint64_t{1} << 62) | (std::stoull(name.substr(0, 15), nullptr, 16) >> 1));
}

std::string host() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "host";
}

}  // namespace

std::string cell_name(const Json& determinants) { return core::sha256(determinants.dump()).substr(0, 16); }

struct Store::File {
  // The cells of one process, or of all that see one another's locks.
  struct Journal {
    std::filesystem::path path;
    int descriptor = -1;
    off_t read_to = 0;
  };

  std::filesystem::path folder;
  Together together;
  mutable std::mutex mutex;                           // of all below
  std::map<std::filesystem::path, Journal> journals;  // locks are held on cells.jsonl
  std::filesystem::path own;                          // the one that this process appends to
  std::unordered_map<std::string, Json> results;
  std::unordered_set<std::string> held;  // by threads of this process, which do not see one another's locks
  bool written = false;                  // since then
  Clock::time_point synced = Clock::now();

  [[noreturn]] static void fail(const Journal& journal, const char* what) {
    throw Error(ErrorKind::kIo, "{}: cannot {}: {}", journal.path.string(), what, std::strerror(errno));
  }

  // @return nothing where there is no such file and none may be made.
  std::optional<Journal> open(const std::filesystem::path& path, int flags) const {
    Journal journal{.path = path};
    journal.descriptor = ::open(path.c_str(), flags | O_CLOEXEC, 0644);
    if (journal.descriptor < 0 && errno == ENOENT && (flags & O_CREAT) == 0) return std::nullopt;
    if (journal.descriptor < 0) fail(journal, "open");
    return journal;
  }

  // Open-file-description locks: they end with the process, and threads of one process do not see one another's.
  // True too where the file system has no locks.
  static bool lock(const Journal& journal, off_t byte, short type, bool wait) {
    struct flock range = {};
    range.l_type = type;
    range.l_whence = SEEK_SET;
    range.l_start = byte;
    range.l_len = 1;
    while (::fcntl(journal.descriptor, wait ? F_OFD_SETLKW : F_OFD_SETLK, &range) != 0) {
      if (errno == EAGAIN || errno == EACCES) return false;
      if (errno == ENOLCK || errno == EOPNOTSUPP || errno == ENOSYS) return true;
      if (errno != EINTR) fail(journal, "lock");
    }
    return true;
  }

  // Takes up whole lines from `read_to` on.
  void read(Journal& journal) {
    struct stat status;
    if (::fstat(journal.descriptor, &status) != 0) fail(journal, "read");
    if (status.st_size <= journal.read_to) return;
    std::string text(static_cast<std::size_t>(status.st_size - journal.read_to), '\0');
    const auto got = ::pread(journal.descriptor, text.data(), text.size(), journal.read_to);
    if (got < 0) fail(journal, "read");
    text.resize(static_cast<std::size_t>(got));
    std::size_t begin = 0;
    for (auto end = text.find('\n'); end != std::string::npos; begin = end + 1, end = text.find('\n', begin)) {
      Json line = Json::parse(text.begin() + static_cast<std::ptrdiff_t>(begin),
                              text.begin() + static_cast<std::ptrdiff_t>(end), nullptr,
                              /*allow_exceptions=*/false);
      if (!line.is_object() || !line.contains("name") || !line.contains("result")) continue;  // torn
      results.insert_or_assign(line["name"].get<std::string>(), std::move(line["result"]));
    }
    journal.read_to += static_cast<off_t>(begin);
  }

  // @pre the mutex is held.
  void read() {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
      const auto name = entry.path().filename().string();
      if (!name.starts_with("cells") || !name.ends_with(".jsonl") || journals.contains(entry.path())) continue;
      if (auto other = open(entry.path(), O_RDONLY)) journals.emplace(entry.path(), *other);
    }
    for (auto& [path, journal] : journals) read(journal);
  }

  // Appends a line, whole or not at all. @pre the mutex is held.
  void append(std::string line) {
    Journal& journal = journals.at(own);
    line += '\n';
    lock(journal, kAppend, F_WRLCK, /*wait=*/true);
    struct stat status;
    if (::fstat(journal.descriptor, &status) != 0) fail(journal, "write");
    char last = '\n';
    if (status.st_size > 0 && ::pread(journal.descriptor, &last, 1, status.st_size - 1) == 1 && last != '\n')
      line.insert(0, 1, '\n');
    for (std::size_t done = 0; done < line.size();) {
      const auto n = ::pwrite(journal.descriptor, line.data() + done, line.size() - done,
                              status.st_size + static_cast<off_t>(done));
      if (n > 0) done += static_cast<std::size_t>(n);
      if (n >= 0 || errno == EINTR) continue;
      const int reason = errno;
      (void)!::ftruncate(journal.descriptor, status.st_size);
      lock(journal, kAppend, F_UNLCK, false);
      errno = reason;
      fail(journal, "write");
    }
    lock(journal, kAppend, F_UNLCK, false);
    if (journal.read_to == status.st_size)
      journal.read_to += static_cast<off_t>(line.size());  // else the lines before it are still to be read
    written = true;
    if (Clock::now() - synced >= kSyncEvery && !sync()) fail(journal, "write");
  }

  bool sync() {
    written = false;
    synced = Clock::now();
    return ::fdatasync(journals.at(own).descriptor) == 0;
  }
};

Store::Store(std::filesystem::path folder, Together together, bool read_only) : file_(std::make_unique<File>()) {
  file_->folder = folder;
  file_->together = std::move(together);
  const auto shared = folder / "cells.jsonl";
  file_->own = file_->together.apart ? folder / fmt::format("cells-{}-{}.jsonl", host(), ::getpid()) : shared;
  if (!read_only) {
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error) throw Error(ErrorKind::kIo, "{}: cannot make the folder: {}", folder.string(), error.message());
    for (const auto& path : {shared, file_->own}) {
      if (!file_->journals.contains(path)) file_->journals.emplace(path, *file_->open(path, O_RDWR | O_CREAT));
    }
  }
  refresh();
}

Store::~Store() {
  if (file_->written) (void)file_->sync();
  for (auto& [path, journal] : file_->journals) ::close(journal.descriptor);
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
  const File::Journal* shared = nullptr;
  {
    const std::lock_guard guard(file_->mutex);
    if (!file_->held.insert(name).second) return false;
    shared = &file_->journals.at(file_->folder / "cells.jsonl");
  }
  const std::shared_ptr<void> leave(nullptr, [&](void*) {
    const std::lock_guard guard(file_->mutex);
    file_->held.erase(name);
  });
  const off_t byte = lock_byte(name);
  if (!File::lock(*shared, byte, F_WRLCK, /*wait=*/false)) return false;
  const std::shared_ptr<void> unlock(nullptr, [&](void*) { (void)File::lock(*shared, byte, F_UNLCK, false); });
  if (file_->together.first_to_ask && !file_->together.first_to_ask(name)) return false;
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
