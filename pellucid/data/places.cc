#include "pellucid/data/places.h"

#include "pellucid/data/byte_stream.h"
#include "pellucid/data/shown.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>

namespace pellucid::data {
namespace {

namespace fs = std::filesystem;

fs::path variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// The place that somebody named, or an empty path.
fs::path given_folder(const fs::path& data_dir) { return data_dir.empty() ? variable("PELLUCID_DATA") : data_dir; }

// Files that people have in the place of those that are read, by how their names begin and end.
struct Kind {
  std::string_view begin, end, what;
};
constexpr std::array kKinds{
    Kind{"cifar-10-batches-py", "", "the Python version of CIFAR-10; the binary one is read"},
    Kind{"cifar-10-python", "", "the Python version of CIFAR-10; the binary one is read"},
    Kind{"cifar-10-batches-mat", "", "the MATLAB version of CIFAR-10; the binary one is read"},
    Kind{"cifar-10-matlab", "", "the MATLAB version of CIFAR-10; the binary one is read"},
    Kind{"cifar-10-binary", ".tar.gz", "the archive of CIFAR-10, not unpacked"},
    Kind{"cifar-100", "", "CIFAR-100, another data set"},
    Kind{"data_batch_1", "", "a batch of CIFAR-10"},
    Kind{"emnist", "", "EMNIST, another data set"},
    Kind{"EMNIST", "", "EMNIST, another data set"},
    Kind{"FashionMNIST", "", "Fashion-MNIST, another data set"},
    Kind{"KMNIST", "", "Kuzushiji-MNIST, another data set"},
    Kind{"QMNIST", "", "QMNIST, another data set"},
    Kind{"", "-ubyte", "IDX data under another name"},
    Kind{"", "-ubyte.gz", "IDX data under another name"},
    Kind{"", ".npz", "arrays of NumPy"},
    Kind{"", ".npy", "an array of NumPy"},
    Kind{"", ".mat", "MATLAB's format"},
    Kind{"", ".pkl", "a pickle of Python"},
    Kind{"", ".pkl.gz", "a pickle of Python"},
    Kind{"", ".pt", "tensors of PyTorch"},
    Kind{"", ".csv", "a table"},
    Kind{"", ".parquet", "a table"},
    Kind{"", ".arrow", "a table"},
    Kind{"", ".tfrecord", "TensorFlow's format"},
    Kind{"", ".zip", "an archive, not unpacked"},
    Kind{"", ".tar", "an archive, not unpacked"},
    Kind{"", ".tar.gz", "an archive, not unpacked"},
    Kind{"", ".tgz", "an archive, not unpacked"},
    Kind{"", ".7z", "an archive, not unpacked"},
};

}  // namespace

fs::path data_folder(const fs::path& data_dir) {
  if (const auto folder = given_folder(data_dir); !folder.empty()) return folder;
  if (const auto cache = variable("XDG_CACHE_HOME"); !cache.empty()) return cache / "datasets";
  if (const auto home = variable("HOME"); !home.empty()) return home / ".cache" / "datasets";
  return {};
}

std::vector<std::string> missing_files(const std::vector<std::string>& files, const fs::path& folder) {
  std::vector<std::string> missing;
  for (const std::string& file : files) {
    if (find_file(folder / file).empty()) missing.push_back(file);
  }
  return missing;
}

Place locate(const Source& source, const fs::path& data_dir) {
  const std::vector<std::string> files = all_files(source);
  Place place{.folder = {}, .missing = files};
  std::vector<fs::path> roots{data_folder(data_dir)};
  if (given_folder(data_dir).empty()) roots.push_back("/usr/share/datasets");  // Debian's packages
  for (const fs::path& root : roots) {
    if (root.empty()) continue;
    for (const std::string& name : source.folders) {
      const fs::path folder = name.empty() ? root : root / name;
      auto missing = missing_files(files, folder);
      if (missing.size() < place.missing.size()) place = {.folder = folder, .missing = std::move(missing)};
    }
  }
  return place;
}

std::string contents_of(const fs::path& folder) {
  constexpr std::size_t kMost = 1000, kShown = 5;
  std::error_code error;
  fs::directory_iterator it(folder, error);
  if (error == std::errc::no_such_file_or_directory) return "there is no such folder";
  if (error == std::errc::not_a_directory) return "that is a file and not a folder";
  if (error) return "it cannot be read: " + error.message();
  std::vector<std::string> names;
  for (; !error && it != fs::directory_iterator() && names.size() < kMost; it.increment(error))
    names.push_back(it->path().filename().string());
  if (names.empty()) return "it is empty";
  std::sort(names.begin(), names.end());
  for (const Kind& kind : kKinds) {
    for (const std::string& name : names) {
      if (name.starts_with(kind.begin) && name.ends_with(kind.end))
        return fmt::format("it holds {} ({})", core::quoted(name), kind.what);
    }
  }
  const bool more = names.size() > kShown;
  names.resize(std::min(names.size(), kShown));
  std::transform(names.begin(), names.end(), names.begin(), [](const std::string& name) { return core::quoted(name); });
  return fmt::format("it holds {}{}", fmt::join(names, ", "), more ? " and more" : "");
}

}  // namespace pellucid::data
