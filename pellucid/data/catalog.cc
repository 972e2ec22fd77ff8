#include "pellucid/data/catalog.h"

#include "pellucid/core/error.h"
#include "pellucid/core/fields.h"
#include "pellucid/data/digits.h"
#include "pellucid/data/image_folder.h"
#include "pellucid/data/sources.h"

#include <fmt/ranges.h>

#include <algorithm>

namespace pellucid::data {
namespace {

namespace fs = std::filesystem;
using core::Error;
using core::ErrorKind;

// The folders that may hold `source` itself.
std::vector<fs::path> candidates(const Source& source, const fs::path& data_dir) {
  std::vector<fs::path> folders;
  for (const fs::path& folder : search_folders(data_dir)) {
    folders.push_back(folder / source.folder);
    folders.push_back(folder);
  }
  return folders;
}

std::string fix(const Source& source) { return "pellucid data fetch " + source.name; }

Dataset load_source(const Source& source, Split split, const fs::path& data_dir) {
  const auto& files = split == Split::kTrain ? source.train_files : source.test_files;
  for (const fs::path& folder : candidates(source, data_dir)) {
    if (missing_files(files, folder).empty()) return source.read(folder, split);
  }
  std::vector<std::string> searched;
  for (const fs::path& folder : search_folders(data_dir)) searched.push_back(folder.string());
  throw Error(ErrorKind::kData, "{}: {} files not found: searched {}, expected {}/{}; get it with `{}`", source.name,
              to_string(split), fmt::join(searched, ", "), source.folder, fmt::join(files, " and "), fix(source));
}

Found find(const Source& source, const fs::path& data_dir) {
  const std::vector<std::string> files = all_files(source);
  Found found{.name = source.name, .summary = source.summary, .where = "", .missing = files, .fix = fix(source)};
  for (const fs::path& folder : candidates(source, data_dir)) {
    const auto missing = missing_files(files, folder);
    if (missing.size() >= found.missing.size()) continue;
    found.where = folder.string();
    found.missing = missing;
  }
  if (found.missing.empty()) found.fix.clear();
  return found;
}

}  // namespace

Dataset load(const std::string& name, Split split, const fs::path& data_dir) {
  if (name == "digits") return generated_digits(split, split == Split::kTrain ? 20'000 : 2'000, 0);
  if (const Source* source = find_source(name)) return load_source(*source, split, data_dir);
  std::error_code unreadable;
  if (fs::is_directory(name, unreadable)) return read_image_folder(name, split);
  if (name.find('/') != std::string::npos) throw Error(ErrorKind::kData, "{}: no such folder", name);
  std::vector<std::string> names;
  for (const Found& found : list(data_dir)) names.push_back(found.name);
  throw Error(ErrorKind::kUsage, "data set: got {}, expected {}, or the path of a folder of images{}", name,
              fmt::join(names, ", "), core::suggestion(name, names));
}

std::vector<Found> list(const fs::path& data_dir) {
  std::vector<Found> all;
  for (const Source& source : sources()) all.push_back(find(source, data_dir));
  all.push_back({.name = "digits",
                 .summary = "drawn handwritten digits, 28 x 28 grey, 20,000 train and 2,000 test",
                 .where = "built in",
                 .missing = {},
                 .fix = ""});
  return all;
}

bool available(const std::string& name, const fs::path& data_dir) {
  const auto all = list(data_dir);
  return std::any_of(all.begin(), all.end(),
                     [&](const Found& found) { return found.name == name && found.missing.empty(); });
}

}  // namespace pellucid::data
