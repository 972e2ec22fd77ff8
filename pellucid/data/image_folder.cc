#include "pellucid/data/image_folder.h"

#include "pellucid/core/error.h"
#include "pellucid/core/memory.h"
#include "pellucid/data/image_file.h"
#include "pellucid/data/places.h"
#include "pellucid/data/shown.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <optional>
#include <unordered_map>
#include <unordered_set>

namespace pellucid::data {
namespace {

namespace fs = std::filesystem;
using core::Error;
using core::ErrorKind;

constexpr int kMaxDepth = 16;  // of folders below a class

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

bool is_one_of(const std::string& name, std::initializer_list<const char*> names) {
  return std::any_of(names.begin(), names.end(), [&](const char* other) { return name == other; });
}

// Calls `take` with each entry of `folder` that is not hidden, in no order.
template <typename Take>
void for_each_entry(const fs::path& folder, Take take) {
  std::error_code error;
  fs::directory_iterator it(folder, error);
  for (; !error && it != fs::directory_iterator(); it.increment(error)) {
    if (const std::string name = it->path().filename().string(); !name.starts_with('.')) take(*it, name);
  }
  if (error) throw Error(ErrorKind::kIo, "{}: cannot read the folder: {}", shown(folder), error.message());
}

bool is_folder(const fs::directory_entry& entry) {
  std::error_code error;
  const bool folder = entry.is_directory(error);
  if (error && error != std::errc::no_such_file_or_directory)
    throw Error(ErrorKind::kIo, "{}: {}", shown(entry.path()), error.message());
  return folder;
}

std::vector<std::string> subfolders(const fs::path& folder) {
  std::vector<std::string> names;
  for_each_entry(folder, [&](const fs::directory_entry& entry, const std::string& name) {
    if (is_folder(entry)) names.push_back(name);
  });
  std::sort(names.begin(), names.end());
  return names;
}

// Which subfolder of `folder` is called one of `names` in any case; of several the one that is named first.
std::optional<fs::path> find_folder(const fs::path& folder, std::initializer_list<const char*> names) {
  const auto present = subfolders(folder);
  for (const char* wanted : names) {
    const auto found =
        std::find_if(present.begin(), present.end(), [&](const std::string& name) { return lower(name) == wanted; });
    if (found != present.end()) return folder / *found;
  }
  return std::nullopt;
}

std::optional<fs::path> train_folder(const fs::path& folder) { return find_folder(folder, {"train", "training"}); }

// The folder of the classes of `split`. Without train/ a folder called val or valid may be a class.
fs::path split_folder(const fs::path& folder, Split split) {
  const auto train = train_folder(folder);
  const auto test = train ? find_folder(folder, {"test", "testing", "val", "valid", "validation"})
                          : find_folder(folder, {"test", "testing"});
  if (const auto& found = split == Split::kTrain ? train : test) return *found;
  if (split == Split::kTrain && !test) return folder;
  throw Error(ErrorKind::kData,
              "{}: no folder {}/ in it, and {}; make train/ and test/ with one subfolder per class each", shown(folder),
              to_string(split), contents_of(folder));
}

// The images of a class: their folder and, in order, their names.
struct ClassImages {
  fs::path folder;
  std::vector<std::string> names;
};

// The memory that the images found so far take: counted while they are looked for, for there may be millions.
class Room {
 public:
  explicit Room(const fs::path& root) : root_(root) {}

  // One more image. Its size is taken to be that of the first, which is found out.
  // @throws Error(kData) if the images need more than `core::memory_budget`.
  void add(const fs::path& image) {
    if (count_++ == 0) each_ = static_cast<std::uint64_t>(read_image(image).numel()) + sizeof(std::int64_t);
    if (count_ <= core::memory_budget() / each_) return;
    core::require_memory(count_ * each_, fmt::format("{}: {} images or more of {} bytes", shown(root_), count_,
                                                     each_ - sizeof(std::int64_t)));
  }

 private:
  fs::path root_;
  std::uint64_t count_ = 0, each_ = 0;
};

// Adds each folder at or below `folder` that holds images.
void find_images(const fs::path& folder, int depth, Room& room, std::vector<ClassImages>& found) {
  if (depth == kMaxDepth)
    throw Error(ErrorKind::kData, "{}: folders {} deep, expected one per class", shown(folder), kMaxDepth);
  ClassImages images{.folder = folder, .names = {}};
  std::vector<std::string> below;
  for_each_entry(folder, [&](const fs::directory_entry& entry, const std::string& name) {
    const std::string ending = lower(fs::path(name).extension().string());
    if (is_folder(entry)) {
      if (!entry.is_symlink()) below.push_back(name);
    } else if (is_one_of(ending, {".png", ".jpg", ".jpeg", ".jpe", ".jfif"})) {
      images.names.push_back(name);
      room.add(entry.path());
    } else if (is_one_of(ending, {".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".jp2", ".heic",
                                  ".avif", ".npy"})) {
      throw Error(ErrorKind::kData, "{}: an image that is neither PNG nor JPEG; convert it, or take it out",
                  shown(folder / name));
    }
  });
  std::sort(below.begin(), below.end());
  std::sort(images.names.begin(), images.names.end());
  if (!images.names.empty()) found.push_back(std::move(images));
  for (const std::string& name : below) find_images(folder / name, depth + 1, room, found);
}

ClassImages class_images(const fs::path& folder, Room& room) {
  std::vector<ClassImages> found;
  find_images(folder, 0, room, found);
  if (found.empty())
    throw Error(ErrorKind::kData, "{}: no images, expected .png, .jpg or .jpeg files, and {}", shown(folder),
                contents_of(folder));
  if (found.size() == 1) return std::move(found.front());
  throw Error(ErrorKind::kData,
              "{}: its images lie in several folders, {} and {}; expected one folder per class, with its images in it",
              shown(folder), shown(found[0].folder), shown(found[1].folder));
}

// The classes of a data set: their names in label order, and the label of each name.
struct Classes {
  std::vector<std::string> names;
  std::unordered_map<std::string, std::int64_t> labels;

  // The labels of the classes in `root`, of which new names are added.
  std::vector<std::int64_t> add(const std::vector<std::string>& folders, const fs::path& root) {
    std::vector<std::int64_t> added;
    std::unordered_set<std::string> here;
    for (const std::string& folder : folders) {
      const std::string name = core::printable(folder, std::string::npos);
      if (!here.insert(name).second)
        throw Error(ErrorKind::kData, "{}: two classes are called {}; rename one", shown(root), core::quoted(name));
      const auto [place, is_new] = labels.emplace(name, static_cast<std::int64_t>(names.size()));
      if (is_new) names.push_back(name);
      added.push_back(place->second);
    }
    return added;
  }
};

}  // namespace

Dataset read_image_folder(const fs::path& folder, Split split) {
  const fs::path root = split_folder(folder, split);
  const fs::path named = fs::absolute(folder).lexically_normal();
  Dataset dataset;
  dataset.name =
      core::printable((named.has_filename() ? named : named.parent_path()).filename().string(), std::string::npos);
  dataset.source = core::printable(root.string(), std::string::npos);

  const std::vector<std::string> folders = subfolders(root);
  if (folders.empty())
    throw Error(ErrorKind::kData, "{}: no subfolders, expected one per class, and {}", shown(root), contents_of(root));
  Classes classes;
  if (const auto train = train_folder(folder); train && split == Split::kTest)
    (void)classes.add(subfolders(*train), *train);
  const std::vector<std::int64_t> label_of = classes.add(folders, root);
  dataset.classes = std::move(classes.names);

  Room room(root);
  std::vector<ClassImages> all;
  std::int64_t count = 0;
  for (const std::string& name : folders) {
    all.push_back(class_images(root / name, room));
    count += static_cast<std::int64_t>(all.back().names.size());
  }

  const Tensor first = read_image(all.front().folder / all.front().names.front());
  dataset.images = torch::empty({count, first.size(0), first.size(1), first.size(2)}, torch::kUInt8);
  dataset.labels = torch::empty({count}, torch::kInt64);
  auto* pixels = dataset.images.data_ptr<std::uint8_t>();
  auto* labels = dataset.labels.data_ptr<std::int64_t>();
  const auto size = static_cast<std::size_t>(first.numel());
  for (std::size_t c = 0; c < all.size(); ++c) {
    for (const std::string& name : all[c].names) {
      const Tensor image = read_image(all[c].folder / name, first.sizes().vec());
      std::memcpy(pixels, image.data_ptr<std::uint8_t>(), size);
      pixels += size;
      *labels++ = label_of[c];
    }
  }
  return dataset;
}

}  // namespace pellucid::data
