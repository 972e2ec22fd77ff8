#include "pellucid/record/store.h"

#include "pellucid/core/config.h"
#include "pellucid/core/error.h"
#include "pellucid/core/file.h"
#include "pellucid/core/memory.h"
#include "pellucid/core/stop.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace pellucid::record {
namespace {

using core::Error;
using core::ErrorKind;
using core::Json;
using Clock = std::chrono::steady_clock;

// Byte 0 is the lock on appending; each cell's lock is a byte past the end of the file, at an offset from its name.
constexpr off_t kAppend = 0;
constexpr auto kSyncEvery = std::chrono::seconds(1);

off_t lock_byte(const std::string& name) {
  return static_cast<off_t>((std::uint64_t{1} << 62) |
                            (std::stoull(core::sha256(name).substr(0, 15), nullptr, 16) >> 1));
}

constexpr std::string_view kJournal = R"({"journal":)", kBeforeJournals = R"({"name":)";
constexpr int kJournalVersion = 2;  // of the journal; 1 had no checksum and did not say its version
constexpr std::size_t kSum = 16;    // hexadecimal digits
constexpr std::size_t kPart = std::size_t{1} << 20, kLongestLine = std::size_t{64} << 20;  // bytes

std::string sum_of(std::string_view text) { return core::sha256(text).substr(0, kSum); }

// JSON as one line; text that is not UTF-8 with U+FFFD in its place.
std::string one_line(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string head() { return fmt::format(R"({}{},"sum":")", kJournal, kJournalVersion); }

std::string host() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 ? name : "host";
}

}  // namespace

std::string cell_name(const Json& determinants) { return core::sha256(one_line(determinants)).substr(0, 16); }

std::string journal_line(const Json& determinants, const Json& result) {
  const auto rest = fmt::format(R"("name":"{}","cell":{},"result":{}}})", cell_name(determinants),
                                one_line(determinants), one_line(result));
  return fmt::format(R"({}{}",{})", head(), sum_of(rest), rest);
}

JournalLine read_journal_line(std::string_view line) {
  JournalLine read;
  const auto begin = head();
  const std::size_t rest_at = begin.size() + kSum + 2;
  if (!line.starts_with(begin)) {
    if (line.starts_with(kJournal) || line.starts_with(kBeforeJournals)) read.state = JournalLine::State::kOther;
    return read;
  }
  if (line.size() < rest_at || line.substr(rest_at - 2, 2) != "\",") return read;
  const auto rest = line.substr(rest_at);
  if (line.substr(begin.size(), kSum) != sum_of(rest)) return read;
  Json json;
  try {
    json = core::parse_json(fmt::format("{{{}", rest), "line");
  } catch (const Error&) {
    return read;
  }
  if (!json.is_object() || json.size() != 3 || !json.contains("cell") || !json.contains("result")) return read;
  if (json.value("name", Json()) != cell_name(json["cell"])) return read;
  return {.state = JournalLine::State::kWhole,
          .name = json["name"],
          .cell = std::move(json["cell"]),
          .result = std::move(json["result"])};
}

struct Store::File {
  // The cells of one process, or of all that see one another's locks.
  struct Journal {
    std::filesystem::path path;
    int descriptor = -1;
    off_t read_to = 0;
    std::int64_t lines = 0, damaged = 0, other = 0, misshapen = 0;  // so far
    std::int64_t first_damaged = 0;                                 // counted from 1
    bool noted = true;                                              // nothing new to say
    bool torn = false;                                              // it ended within a line when it was opened
  };

  std::filesystem::path folder;
  Together together;
  Check check = {};
  mutable std::mutex mutex;                           // of all below
  std::map<std::filesystem::path, Journal> journals;  // locks are held on cells.jsonl
  std::filesystem::path own;                          // the one that this process appends to
  std::unordered_map<std::string, Json> results;
  std::unordered_set<std::string> held;  // by threads of this process, which do not see one another's locks
  bool written = false;                  // since then
  Clock::time_point synced = Clock::now();

  ~File() {
    for (auto& [path, journal] : journals) ::close(journal.descriptor);
  }

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

  // Takes up a line, or counts why not.
  void take(Journal& journal, std::string_view text) {
    ++journal.lines;
    if (text.empty()) return;
    auto line = read_journal_line(text);
    std::int64_t* left_out = nullptr;
    if (line.state == JournalLine::State::kOther) {
      left_out = &journal.other;
    } else if (line.state == JournalLine::State::kDamaged) {
      left_out = &journal.damaged;
      if (journal.damaged == 0) journal.first_damaged = journal.lines;
    } else if (check && !check(line.cell, line.result)) {
      left_out = &journal.misshapen;
    } else {
      results.insert_or_assign(line.name, std::move(line.result));
      return;
    }
    ++*left_out;
    journal.noted = false;
  }

  // Takes up whole lines from `read_to` on, a part of the file at a time.
  void read(Journal& journal) {
    struct stat status;
    if (::fstat(journal.descriptor, &status) != 0) fail(journal, "read");
    const auto left = status.st_size - journal.read_to;
    if (left <= 0) return;
    core::require_memory(static_cast<std::uint64_t>(left), journal.path.string());
    std::string text;
    for (off_t at = journal.read_to; at < status.st_size;) {
      const auto before = text.size();
      text.resize(before + std::min(kPart, static_cast<std::size_t>(status.st_size - at)));
      const auto got = ::pread(journal.descriptor, text.data() + before, text.size() - before, at);
      if (got < 0 && errno != EINTR) fail(journal, "read");
      text.resize(before + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
      if (got == 0) break;
      at += std::max<off_t>(got, 0);
      std::size_t begin = 0;
      for (auto end = text.find('\n', before); end != std::string::npos; begin = end + 1, end = text.find('\n', begin))
        take(journal, std::string_view(text).substr(begin, end - begin));
      journal.read_to += static_cast<off_t>(begin);
      text.erase(0, begin);
      if (text.size() > kLongestLine) {
        throw Error(
            ErrorKind::kData,
            "{}: got a line of more than {}, expected a journal of cells; remove the file, and they are computed again",
            journal.path.string(), core::format_bytes(kLongestLine));
      }
    }
  }

  // Takes up what a file holds when it is opened, the torn line that a process left at its end included: who appends
  // holds the lock, so that no line is seen half-way. Where this process writes, the torn line is ended, and counts as
  // damaged.
  void begin(Journal& journal, bool writable) {
    lock(journal, kAppend, writable ? F_WRLCK : F_RDLCK, /*wait=*/true);
    const std::shared_ptr<void> unlock(nullptr, [&](void*) { (void)lock(journal, kAppend, F_UNLCK, false); });
    read(journal);
    struct stat status;
    journal.torn = ::fstat(journal.descriptor, &status) == 0 && status.st_size > journal.read_to;
    if (journal.torn && writable && ::pwrite(journal.descriptor, "\n", 1, status.st_size) == 1) {
      journal.torn = false;
      read(journal);
    }
    if (journal.torn) journal.noted = false;
  }

  // @pre the mutex is held.
  void read() {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
      const auto name = entry.path().filename().string();
      if (!name.starts_with("cells") || !name.ends_with(".jsonl") || journals.contains(entry.path()) ||
          !entry.is_regular_file(error))
        continue;
      if (auto other = open(entry.path(), O_RDONLY))
        begin(journals.emplace(entry.path(), *other).first->second, /*writable=*/false);
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
    if (journal.read_to == status.st_size) {  // else the lines before it are still to be read
      journal.read_to += static_cast<off_t>(line.size());
      ++journal.lines;
    }
    written = true;
    if (Clock::now() - synced >= kSyncEvery && !sync()) fail(journal, "write");
  }

  bool sync() {
    written = false;
    synced = Clock::now();
    return ::fdatasync(journals.at(own).descriptor) == 0;
  }
};

Store::Store(std::filesystem::path folder, Together together, bool read_only, Check check)
    : file_(std::make_unique<File>()) {
  file_->folder = folder;
  file_->check = std::move(check);
  file_->together = std::move(together);
  const auto shared = folder / "cells.jsonl";
  file_->own = file_->together.apart ? folder / fmt::format("cells-{}-{}.jsonl", host(), ::getpid()) : shared;
  if (!read_only) {
    std::error_code error;
    std::filesystem::create_directories(folder, error);
    if (error) throw Error(ErrorKind::kIo, "{}: cannot make the folder: {}", folder.string(), error.message());
    for (const auto& path : {shared, file_->own}) {
      if (!file_->journals.contains(path))
        file_->begin(file_->journals.emplace(path, *file_->open(path, O_RDWR | O_CREAT)).first->second,
                     /*writable=*/true);
    }
  }
  refresh();
}

void Store::sync() {
  const std::lock_guard guard(file_->mutex);
  if (file_->written && !file_->sync()) File::fail(file_->journals.at(file_->own), "write");
}

Store::~Store() {
  if (file_->written) (void)file_->sync();
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

std::vector<std::string> Store::take_notes() {
  const std::lock_guard guard(file_->mutex);
  std::vector<std::string> notes;
  for (auto& [path, journal] : file_->journals) {
    if (std::exchange(journal.noted, true)) continue;
    const auto say = [&notes, &path = path, &j = journal](std::int64_t count, const std::string& what) {
      if (count == 0) return;
      notes.push_back(
          fmt::format("{}: {} of {} lines {} {} and {} left out: what they held is computed again where it is needed",
                      path.string(), count, j.lines, count == 1 ? "is" : "are", what, count == 1 ? "is" : "are"));
    };
    say(journal.damaged, fmt::format("damaged (the first is line {})", journal.first_damaged));
    say(journal.other, "of another version of Pellucid");
    say(journal.misshapen, "no result of such a cell");
    if (std::exchange(journal.torn, false))
      notes.push_back(fmt::format(
          "{}: the last line is torn and left out: what it held is computed again where it is needed", path.string()));
  }
  return notes;
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
    const Json computed = compute();
    result = Json::parse(one_line(computed));  // what a later run will read, to the bit
    const std::lock_guard guard(file_->mutex);
    file_->append(journal_line(determinants, computed));
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

}  // namespace pellucid::record
