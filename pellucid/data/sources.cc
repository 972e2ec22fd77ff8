#include "pellucid/data/sources.h"

#include "pellucid/data/cifar.h"
#include "pellucid/data/gzip.h"
#include "pellucid/data/idx.h"

#include <cstdlib>

namespace pellucid::data {

const std::vector<Source>& sources() {
  static const std::vector<Source> kSources{
      {.name = "mnist",
       .summary = "handwritten digits, 28 x 28 grey, 60,000 train and 10,000 test",
       .folder = "mnist",
       .train_files = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte"},
       .test_files = {"t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"},
       .base_url = "https://ossci-datasets.s3.amazonaws.com/mnist/",
       .downloads = {{"train-images-idx3-ubyte.gz", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"},
                     {"train-labels-idx1-ubyte.gz", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"},
                     {"t10k-images-idx3-ubyte.gz", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"},
                     {"t10k-labels-idx1-ubyte.gz", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"}},
       .read = read_mnist},
      {.name = "cifar10",
       .summary = "photographs of ten classes, 32 x 32 colour, 50,000 train and 10,000 test",
       .folder = "cifar-10-batches-bin",
       .train_files = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
                       "data_batch_5.bin"},
       .test_files = {"test_batch.bin"},
       .base_url = "https://www.cs.toronto.edu/~kriz/",
       .downloads = {{"cifar-10-binary.tar.gz", "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"}},
       .read = read_cifar10}};
  return kSources;
}

const Source* find_source(const std::string& name) {
  for (const Source& source : sources()) {
    if (source.name == name) return &source;
  }
  return nullptr;
}

std::vector<std::string> missing_files(const std::vector<std::string>& files, const std::filesystem::path& folder) {
  std::vector<std::string> missing;
  for (const std::string& file : files) {
    if (find_packed_or_not(folder / file).empty()) missing.push_back(file);
  }
  return missing;
}

std::vector<std::string> all_files(const Source& source) {
  std::vector<std::string> files = source.train_files;
  files.insert(files.end(), source.test_files.begin(), source.test_files.end());
  return files;
}

std::vector<std::filesystem::path> search_folders(const std::filesystem::path& data_dir) {
  auto variable = [](const char* name) {
    const char* value = std::getenv(name);
    return std::filesystem::path(value ? value : "");
  };
  std::vector<std::filesystem::path> folders;
  if (!data_dir.empty()) folders.push_back(data_dir);
  if (const auto folder = variable("PELLUCID_DATA"); !folder.empty()) folders.push_back(folder);
  if (const auto cache = variable("XDG_CACHE_HOME"); !cache.empty()) {
    folders.push_back(cache / "datasets");
  } else if (const auto home = variable("HOME"); !home.empty()) {
    folders.push_back(home / ".cache" / "datasets");
  }
  return folders;
}

}  // namespace pellucid::data
