#include "pellucid/data/image_folder.h"

#include "pellucid/core/error.h"
#include "pellucid/data/image_file.h"

#include <algorithm>
#include <cctype>
#include <set>

namespace pellucid::data {
namespace {

namespace fs = std::filesystem;
using core::Error;
using core::ErrorKind;

// What `folder` holds, in order, hidden things left out.
std::vector<fs::path> entries(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> found;
  fs::directory_iterator it(folder, error);
  if (error) throw Error(ErrorKind::kIo, "{}: cannot read the folder: {}", folder.string(), error.message());
  for (const auto& entry : it) {
    if (!entry.path().filename().string().starts_with('.')) found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

bool is_image_name(const fs::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(), [](unsigned char c) { return std::tolower(c); });
  return ending == ".png" || ending == ".jpg" || ending == ".jpeg";
}

std::string describe(const Tensor& image) {
  return fmt::format("{} x {} pixels of {} channels", image.size(2), image.size(1), image.size(0));
}

// The folder of the classes of `split`.
fs::path split_folder(const fs::path& folder, Split split) {
  if (fs::is_directory(folder / to_string(split))) return folder / to_string(split);
  if (split == Split::kTrain && !fs::is_directory(folder / "test")) return folder;
  throw Error(ErrorKind::kData, "{}: no folder {}/ in it; make train/ and test/ with one subfolder per class each",
              folder.string(), to_string(split));
}

}  // namespace

Dataset read_image_folder(const fs::path& folder, Split split) {
  const fs::path root = split_folder(folder, split);
  const fs::path named = fs::absolute(folder).lexically_normal();
  Dataset dataset;
  dataset.name = (named.has_filename() ? named : named.parent_path()).filename().string();
  dataset.source = root.string();
  std::vector<Tensor> images;
  std::vector<std::int64_t> labels;
  for (const fs::path& class_folder : entries(root)) {
    if (!fs::is_directory(class_folder)) continue;
    const std::size_t before = images.size();
    for (const fs::path& path : entries(class_folder)) {
      if (!is_image_name(path)) continue;
      images.push_back(read_image(path));
      labels.push_back(static_cast<std::int64_t>(dataset.classes.size()));
      if (images.back().sizes() != images.front().sizes()) {
        throw Error(ErrorKind::kData, "{}: got {}, expected {} as the first image has", path.string(),
                    describe(images.back()), describe(images.front()));
      }
    }
    if (images.size() == before) {
      throw Error(ErrorKind::kData, "{}: no images, expected .png, .jpg or .jpeg files", class_folder.string());
    }
    dataset.classes.push_back(class_folder.filename().string());
  }
  if (images.empty()) throw Error(ErrorKind::kData, "{}: no subfolders, expected one per class", root.string());
  dataset.images = torch::stack(images);
  dataset.labels = torch::tensor(labels, torch::kInt64);
  return dataset;
}

}  // namespace pellucid::data
