#include "pellucid/core/run_folder.h"

#include "pellucid/core/config.h"
#include "pellucid/core/error.h"
#include "pellucid/core/file.h"
#include "pellucid/core/text.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace pellucid::core {
namespace {

namespace fs = std::filesystem;

// The verb whose run is in the folder, or "" where none is or nothing says.
std::string verb_of(const fs::path& folder) {
  std::error_code none;
  if (!fs::is_regular_file(folder / "config.json", none)) return "";
  const Json config = read_json(folder / "config.json");
  const auto verb = config.is_object() ? config.find("verb") : config.end();
  return verb != config.end() && verb->is_string() ? verb->get<std::string>() : "";
}

}  // namespace

RunFolder::RunFolder(fs::path path, std::string verb, Workers workers)
    : path_(std::move(path)), verb_(std::move(verb)) {
  const std::string there = verb_of(path_);
  if (!there.empty() && there != verb_) {
    throw Error(ErrorKind::kUsage, "{}: holds a run of `pellucid {}`; name another folder for this one with --out",
                path_.string(), printable(there));
  }
  std::error_code error;
  fs::create_directories(path_, error);
  if (error) throw Error(ErrorKind::kIo, "{}: cannot make the folder: {}", path_.string(), error.message());
  descriptor_ = ::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor_ < 0)
    throw Error(ErrorKind::kIo, "{}: cannot open the folder: {}", path_.string(), std::strerror(errno));
  if (::flock(descriptor_, (workers == Workers::kOne ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0 || errno != EWOULDBLOCK)
    return;
  ::close(descriptor_);
  throw Error(ErrorKind::kUsage,
              "{}: another process works in this folder; wait for it, or name another folder with --out",
              path_.string());
}

RunFolder::~RunFolder() { ::close(descriptor_); }

void RunFolder::write_config(const Json& settings) const {
  Json config = {{"verb", verb_}};
  config.update(settings);
  write_file(path_ / "config.json", to_text(config));
}

}  // namespace pellucid::core
