#include "pellucid/data/catalog.h"

#include "pellucid/core/error.h"
#include "pellucid/core/fields.h"
#include "pellucid/data/image_folder.h"
#include "pellucid/data/patterns.h"
#include "pellucid/data/places.h"
#include "pellucid/data/shown.h"

#include <fmt/ranges.h>

#include <algorithm>

namespace pellucid::data {
namespace {

namespace fs = std::filesystem;
using core::Error;
using core::ErrorKind;

std::string fix(const Source& source, const fs::path& data_dir) {
  return "pellucid data fetch " + source.name + (data_dir.empty() ? "" : " --data-dir " + shown(data_dir));
}

Dataset load_source(const Source& source, Split split, const fs::path& data_dir) {
  const auto& files = split == Split::kTrain ? source.train_files : source.test_files;
  const Place place = locate(source, data_dir);
  if (place.folder.empty()) {
    const fs::path folder = data_folder(data_dir);
    if (folder.empty()) throw Error(ErrorKind::kData, "{}: no folder to look in; set PELLUCID_DATA", source.name);
    throw Error(ErrorKind::kData,
                "{}: {} files not found: looked in {}, and {}; expected {}/{} (or .gz); get it with `{}`", source.name,
                to_string(split), shown(folder), contents_of(folder), source.folders.front(), fmt::join(files, " and "),
                fix(source, data_dir));
  }
  const auto missing = missing_files(files, place.folder);
  if (missing.empty()) {
    Dataset dataset = source.read(place.folder, files);
    dataset.name = source.name;
    dataset.source = core::printable(place.folder.string(), std::string::npos);
    dataset.classes = source.classes;
    return dataset;
  }
  throw Error(ErrorKind::kData, "{}: {} files not found: {} lacks {}; get it with `{}`", source.name, to_string(split),
              shown(place.folder), fmt::join(missing, " and "), fix(source, data_dir));
}

Found find(const Source& source, const fs::path& data_dir) {
  Found found{.name = source.name,
              .summary = source.summary,
              .where = "",
              .missing = all_files(source),
              .fix = fix(source, data_dir),
              .problem = ""};
  try {
    const Place place = locate(source, data_dir);
    found.where = core::printable(place.folder.string(), std::string::npos);
    found.missing = place.missing;
  } catch (const Error& error) {
    found.problem = error.what();
  }
  if (found.missing.empty()) found.fix.clear();
  return found;
}

std::vector<std::string> names() {
  std::vector<std::string> all = source_names();
  all.push_back("patterns");
  return all;
}

}  // namespace

std::string choices() { return fmt::format("{}, or the path of a folder of images", fmt::join(names(), ", ")); }

Dataset load(const std::string& name, Split split, const fs::path& data_dir) {
  if (name == "patterns") return patterns(split);
  if (const Source* source = find_source(name)) return load_source(*source, split, data_dir);
  const bool one_part = name.find('/') == std::string::npos;
  const fs::path folder = one_part && !data_dir.empty() ? data_dir / name : fs::path(name);
  std::error_code error;
  const fs::file_status status = fs::status(folder, error);
  if (status.type() == fs::file_type::directory) return read_image_folder(folder, split);
  if (status.type() == fs::file_type::none) throw Error(ErrorKind::kIo, "{}: {}", shown(folder), error.message());
  if (status.type() != fs::file_type::not_found)
    throw Error(ErrorKind::kData, "{}: not a folder, expected one of images", shown(folder));
  if (one_part)
    throw Error(ErrorKind::kUsage, "data set: got {}, expected {}{}", core::quoted(name), choices(),
                core::suggestion(name, names()));
  throw Error(ErrorKind::kData, "{}: no such folder", shown(folder));
}

std::vector<Found> list(const fs::path& data_dir) {
  std::vector<Found> all;
  for (const Source& source : sources()) all.push_back(find(source, data_dir));
  all.push_back(
      {.name = "patterns",
       .summary = "a bar in one of ten directions, 28 x 28 grey, 4,000 train and 1,000 test; for trying things out",
       .where = "built in",
       .missing = {},
       .fix = "",
       .problem = ""});
  return all;
}

bool available(const std::string& name, const fs::path& data_dir) {
  const auto all = list(data_dir);
  return std::any_of(all.begin(), all.end(),
                     [&](const Found& found) { return found.name == name && found.missing.empty(); });
}

}  // namespace pellucid::data
