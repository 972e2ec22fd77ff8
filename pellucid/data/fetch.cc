#include "pellucid/data/fetch.h"

#include "pellucid/core/error.h"
#include "pellucid/core/fields.h"
#include "pellucid/core/file.h"
#include "pellucid/core/stop.h"
#include "pellucid/data/gzip.h"
#include "pellucid/data/tar.h"

#include <curl/curl.h>

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

struct Transfer {
  core::Progress report;
  const core::ProgressSink& progress;
  std::int64_t resumed_from;
};

int on_progress(void* data, curl_off_t total, curl_off_t done, curl_off_t, curl_off_t) {
  auto& transfer = *static_cast<Transfer*>(data);
  transfer.report.done = transfer.resumed_from + done;
  transfer.report.total = total > 0 ? transfer.resumed_from + total : 0;
  if (transfer.progress && total > 0) transfer.progress(transfer.report);
  return core::stop_requested() ? 1 : 0;  // 1 ends the transfer
}

[[noreturn]] void fail(const fs::path& path, const char* what) {
  throw Error(ErrorKind::kIo, "{}: cannot {}: {}", path.string(), what, std::strerror(errno));
}

// One transfer from `offset` to the end of the file at `url`, added to `part`.
CURLcode transfer(const std::string& url, const fs::path& part, std::int64_t offset, const core::ProgressSink& progress,
                  std::string& reason) {
  static const CURLcode kReady = curl_global_init(CURL_GLOBAL_DEFAULT);
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(kReady == CURLE_OK ? curl_easy_init() : nullptr,
                                                                 curl_easy_cleanup);
  if (!curl) throw Error(ErrorKind::kInternal, "libcurl cannot start");
  std::unique_ptr<std::FILE, decltype(&std::fclose)> file(std::fopen(part.c_str(), offset > 0 ? "ab" : "wb"),
                                                          std::fclose);
  if (!file) fail(part, "write");

  Transfer state{
      {.task = "fetch " + part.stem().string(), .done = 0, .total = 0, .unit = "bytes", .note = ""}, progress, offset};
  char message[CURL_ERROR_SIZE] = "";
  auto set = [&](CURLoption option, auto value) { curl_easy_setopt(curl.get(), option, value); };
  set(CURLOPT_URL, url.c_str());
  set(CURLOPT_ERRORBUFFER, message);
  set(CURLOPT_WRITEDATA, file.get());
  set(CURLOPT_RESUME_FROM_LARGE, static_cast<curl_off_t>(offset));
  set(CURLOPT_FAILONERROR, 1L);
  set(CURLOPT_FOLLOWLOCATION, 1L);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_CONNECTTIMEOUT, 30L);
  set(CURLOPT_LOW_SPEED_LIMIT, 1L);  // bytes a second, over
  set(CURLOPT_LOW_SPEED_TIME, 60L);  // seconds
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_XFERINFOFUNCTION, on_progress);
  set(CURLOPT_XFERINFODATA, &state);
  CURLcode code = curl_easy_perform(curl.get());
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  if (status == 416) code = CURLE_RANGE_ERROR;
  if (std::fclose(file.release()) != 0) fail(part, "write");
  reason = message[0] != '\0' ? message : curl_easy_strerror(code);
  return code;
}

// Writes those of `files` that the archive at `path` holds below `source.folder` to `folder`. The archive's own names
// are compared and never used as paths.
void unpack(const Source& source, const std::vector<std::string>& files, const fs::path& path, const fs::path& folder) {
  const core::Bytes archive = gunzip(core::read_file(path), path.string());
  const std::vector<TarFile> packed = parse_tar(archive, path.string());
  for (const std::string& file : files) {
    const std::string name = source.folder + "/" + file;
    const auto found = std::find_if(packed.begin(), packed.end(), [&](const TarFile& f) { return f.name == name; });
    if (found == packed.end()) throw Error(ErrorKind::kData, "{}: no file {} in it", path.string(), name);
    core::write_file(folder / file, found->content);
  }
}

}  // namespace

void download(const std::string& url, const std::string& sha256, const fs::path& target,
              const core::ProgressSink& progress) {
  fs::path part = target;
  part += ".part";
  std::error_code none;
  fs::create_directories(target.parent_path(), none);
  const auto size = fs::file_size(part, none);
  const std::int64_t offset = none ? 0 : static_cast<std::int64_t>(size);

  std::string reason;
  CURLcode code = transfer(url, part, offset, progress, reason);
  const bool cannot_resume = code == CURLE_RANGE_ERROR || code == CURLE_BAD_DOWNLOAD_RESUME;
  if (offset > 0 && cannot_resume) code = transfer(url, part, 0, progress, reason);
  if (code == CURLE_ABORTED_BY_CALLBACK) core::throw_if_stopped();
  if (code != CURLE_OK) {
    throw Error(ErrorKind::kIo, "{}: {}; try again (it goes on where it stopped), or put the file at {} by hand", url,
                reason, target.string());
  }
  if (const std::string got = core::sha256(core::read_file(part)); got != sha256) {
    fs::remove(part, none);
    throw Error(ErrorKind::kData, "{}: SHA-256, got {}, expected {}; it was deleted", url, got, sha256);
  }
  fs::rename(part, target, none);
  if (none) throw Error(ErrorKind::kIo, "{}: cannot rename to {}: {}", part.string(), target.string(), none.message());
}

fs::path fetch(const Source& source, const fs::path& data_dir, const core::ProgressSink& progress) {
  const fs::path folder = data_dir / source.folder;
  const std::vector<std::string> missing = missing_files(all_files(source), folder);
  for (const auto& [file, sha256] : source.downloads) {
    const std::string url = source.base_url + file;
    if (file.ends_with(".tar.gz")) {
      if (missing.empty()) continue;
      download(url, sha256, data_dir / file, progress);
      unpack(source, missing, data_dir / file, folder);
      fs::remove(data_dir / file);
    } else if (std::find(missing.begin(), missing.end(), fs::path(file).stem()) != missing.end()) {
      download(url, sha256, folder / file, progress);
    }
  }
  return folder;
}

fs::path fetch(const std::string& name, const fs::path& data_dir, const core::ProgressSink& progress,
               const std::string& base_url) {
  const Source* found = find_source(name);
  if (found == nullptr) {
    std::vector<std::string> names;
    for (const Source& source : sources()) names.push_back(source.name);
    throw Error(ErrorKind::kUsage, "fetch: got {}, expected {}{}", name, core::join_choices(names),
                core::suggestion(name, names));
  }
  Source source = *found;
  if (!base_url.empty()) source.base_url = base_url.ends_with('/') ? base_url : base_url + "/";
  const auto folders = search_folders(data_dir);
  if (folders.empty()) throw Error(ErrorKind::kUsage, "fetch {}: no folder to put it in; set PELLUCID_DATA", name);
  return fetch(source, folders.front(), progress);
}

}  // namespace pellucid::data
