#include "pellucid/data/fetch.h"

#include "pellucid/core/error.h"
#include "pellucid/core/fields.h"
#include "pellucid/core/file.h"
#include "pellucid/core/stop.h"
#include "pellucid/data/places.h"
#include "pellucid/data/shown.h"
#include "pellucid/data/tar.h"

#include <curl/curl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>

namespace pellucid::data {
namespace {

namespace fs = std::filesystem;
using core::Error;
using core::ErrorKind;

// A part of a file, which one process at a time adds to.
class Part {
 public:
  explicit Part(const fs::path& path) : path_(path), file_(std::fopen(path.c_str(), "ab"), std::fclose) {
    if (!file_) throw io_error(path, "write", errno);
    if (::flock(fileno(file_.get()), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) throw Error(ErrorKind::kIo, "{}: another process is fetching it", shown(path));
      throw io_error(path, "lock", errno);
    }
  }

  [[nodiscard]] std::int64_t size() const {
    struct stat status;
    if (std::fflush(file_.get()) != 0 || ::fstat(fileno(file_.get()), &status) != 0)
      throw io_error(path_, "write", errno);
    return status.st_size;
  }
  bool add(const char* bytes, std::size_t count) { return std::fwrite(bytes, 1, count, file_.get()) == count; }
  void clear() {
    if (::ftruncate(fileno(file_.get()), 0) != 0) throw io_error(path_, "write", errno);
  }

 private:
  fs::path path_;
  std::unique_ptr<std::FILE, decltype(&std::fclose)> file_;
};

enum class Outcome { kEnded, kCannotResume, kTooLong, kFailed };

struct Transfer {
  Part& part;
  const core::ProgressSink& progress;
  core::Progress report;
  bool too_long = false;
  int write_error = 0;
};

std::size_t on_bytes(char* bytes, std::size_t, std::size_t count, void* data) {
  auto& transfer = *static_cast<Transfer*>(data);
  transfer.too_long = static_cast<std::int64_t>(count) > transfer.report.total - transfer.report.done;
  if (transfer.too_long) return CURL_WRITEFUNC_ERROR;
  if (!transfer.part.add(bytes, count)) {
    transfer.write_error = errno;
    return CURL_WRITEFUNC_ERROR;
  }
  transfer.report.done += static_cast<std::int64_t>(count);
  return count;
}

int on_progress(void* data, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  auto& transfer = *static_cast<Transfer*>(data);
  if (transfer.progress) transfer.progress(transfer.report);
  return core::stop_requested() ? 1 : 0;  // 1 ends the transfer
}

// One transfer from the end of the part to the end of the file at `url`, which holds `bytes`.
Outcome transfer(const std::string& url, std::int64_t bytes, Part& part, const fs::path& path,
                 const core::ProgressSink& progress, const Patience& patience, std::string& reason) {
  static const CURLcode kReady = curl_global_init(CURL_GLOBAL_DEFAULT);
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(kReady == CURLE_OK ? curl_easy_init() : nullptr,
                                                                 curl_easy_cleanup);
  if (!curl) throw Error(ErrorKind::kInternal, "libcurl cannot start");
  const std::int64_t offset = part.size();
  Transfer state{
      .part = part,
      .progress = progress,
      .report = {.task = "fetch " + shown(path.stem()), .done = offset, .total = bytes, .unit = "bytes", .note = ""}};
  char message[CURL_ERROR_SIZE] = "";
  auto set = [&](CURLoption option, auto value) { curl_easy_setopt(curl.get(), option, value); };
  set(CURLOPT_URL, url.c_str());
  set(CURLOPT_ERRORBUFFER, message);
  set(CURLOPT_WRITEFUNCTION, on_bytes);
  set(CURLOPT_WRITEDATA, &state);
  set(CURLOPT_RESUME_FROM_LARGE, static_cast<curl_off_t>(offset));
  set(CURLOPT_FAILONERROR, 1L);
  set(CURLOPT_FOLLOWLOCATION, 1L);
  set(CURLOPT_MAXREDIRS, 10L);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_CONNECTTIMEOUT, 30L);
  set(CURLOPT_LOW_SPEED_LIMIT, static_cast<long>(patience.bytes));
  set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(patience.seconds));
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_XFERINFOFUNCTION, on_progress);
  set(CURLOPT_XFERINFODATA, &state);
  const CURLcode code = curl_easy_perform(curl.get());
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  reason = message[0] != '\0' ? message : curl_easy_strerror(code);
  if (state.write_error != 0) throw io_error(path, "write", state.write_error);
  if (code == CURLE_ABORTED_BY_CALLBACK) core::throw_if_stopped();
  if (code == CURLE_RANGE_ERROR || code == CURLE_BAD_DOWNLOAD_RESUME || status == 416) return Outcome::kCannotResume;
  if (state.too_long) return Outcome::kTooLong;
  if (code == CURLE_OPERATION_TIMEDOUT && status != 0) {
    reason = fmt::format("fewer than {} bytes a second for {} seconds", patience.bytes, patience.seconds);
  }
  return code == CURLE_OK ? Outcome::kEnded : Outcome::kFailed;
}

// Writes those of `files` that the archive at `path` holds to `folder`. The archive's own names are compared and never
// used as paths.
void unpack(const Source& source, std::vector<std::string> files, const fs::path& path, const fs::path& folder) {
  const core::Bytes content = core::read_file(path);
  TarReader archive(content, shown(path));
  while (const auto name = archive.next()) {
    const auto wanted = std::find_if(files.begin(), files.end(), [&](const std::string& file) {
      return *name == source.folders.front() + "/" + file;
    });
    if (wanted == files.end()) continue;
    core::write_file(folder / *wanted, archive.content());
    files.erase(wanted);
  }
  if (!files.empty())
    throw Error(ErrorKind::kData, "{}: no file {}/{} in it", shown(path), source.folders.front(), files.front());
}

}  // namespace

void download(const std::string& url, const Download& content, const fs::path& target,
              const core::ProgressSink& progress, const Patience& patience) {
  fs::path part_path = target;
  part_path += ".part";
  std::error_code error;
  fs::create_directories(target.parent_path(), error);
  Part part(part_path);
  if (part.size() > static_cast<std::int64_t>(content.bytes)) part.clear();

  for (;;) {
    const bool resumed = part.size() > 0;  // what is there may be another file's
    const bool whole = part.size() == static_cast<std::int64_t>(content.bytes);
    std::string reason;
    const Outcome outcome =
        whole ? Outcome::kEnded
              : transfer(url, static_cast<std::int64_t>(content.bytes), part, part_path, progress, patience, reason);
    const std::int64_t size = part.size();
    const bool early = outcome == Outcome::kEnded && size < static_cast<std::int64_t>(content.bytes);
    if (early || outcome == Outcome::kFailed || (outcome == Outcome::kCannotResume && !resumed)) {
      if (size == 0) fs::remove(part_path, error);
      if (early) reason = fmt::format("ended after {} of {} bytes", size, content.bytes);
      throw Error(ErrorKind::kIo, "{}: {}; try again (it goes on where it stopped), or put the file at {} by hand", url,
                  reason, shown(target));
    }
    std::string got;
    if (outcome == Outcome::kEnded && (got = core::sha256(core::read_file(part_path))) == content.sha256) break;
    part.clear();
    if (resumed) continue;
    fs::remove(part_path, error);
    if (outcome != Outcome::kEnded) {
      throw Error(ErrorKind::kData, "{}: got more than the {} bytes that the file holds; it was deleted", url,
                  content.bytes);
    }
    throw Error(ErrorKind::kData, "{}: SHA-256, got {}, expected {}; it was deleted", url, got, content.sha256);
  }
  fs::rename(part_path, target, error);
  if (error)
    throw Error(ErrorKind::kIo, "{}: cannot rename to {}: {}", shown(part_path), shown(target), error.message());
}

fs::path fetch(const Source& source, const fs::path& data_dir, const core::ProgressSink& progress) {
  const fs::path folder = data_dir / source.folders.front();
  const std::vector<std::string> missing = missing_files(all_files(source), folder);
  for (const Download& content : source.downloads) {
    const std::string& file = content.file;
    const std::string url = source.base_url + file;
    if (file.ends_with(".tar.gz")) {
      if (missing.empty()) continue;
      download(url, content, data_dir / file, progress);
      unpack(source, missing, data_dir / file, folder);
      fs::remove(data_dir / file);
    } else if (std::find(missing.begin(), missing.end(), fs::path(file).stem()) != missing.end()) {
      download(url, content, folder / file, progress);
    }
  }
  return folder;
}

fs::path fetch(const std::string& name, const fs::path& data_dir, const core::ProgressSink& progress,
               const std::string& base_url) {
  const Source* found = find_source(name);
  if (found == nullptr) {
    const std::vector<std::string> names = source_names();
    throw Error(ErrorKind::kUsage, "fetch: got {}, expected {}{}", core::quoted(name), core::join_choices(names),
                core::suggestion(name, names));
  }
  Source source = *found;
  if (!base_url.empty()) source.base_url = base_url.ends_with('/') ? base_url : base_url + "/";
  const fs::path folder = data_folder(data_dir);
  if (folder.empty()) throw Error(ErrorKind::kUsage, "fetch {}: no folder to put it in; set PELLUCID_DATA", name);
  return fetch(source, folder, progress);
}

}  // namespace pellucid::data
