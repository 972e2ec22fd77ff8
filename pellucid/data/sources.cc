#include "pellucid/data/sources.h"

#include "pellucid/data/cifar.h"
#include "pellucid/data/idx.h"

namespace pellucid::data {

const std::vector<Source>& sources() {
  static const std::vector<Source> kSources{
      {.name = "mnist",
       .summary = "handwritten digits, 28 x 28 grey, 60,000 train and 10,000 test",
       .folders = {"mnist", "MNIST/raw", "raw", ""},  // torchvision's is MNIST/raw
       .train_files = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte"},
       .test_files = {"t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"},
       .base_url = "https://ossci-datasets.s3.amazonaws.com/mnist/",
       .downloads = {{"train-images-idx3-ubyte.gz", "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                      9'912'422},
                     {"train-labels-idx1-ubyte.gz", "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                      28'881},
                     {"t10k-images-idx3-ubyte.gz", "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                      1'648'877},
                     {"t10k-labels-idx1-ubyte.gz", "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                      4'542}},
       .read = read_mnist},
      {.name = "cifar10",
       .summary = "photographs of ten classes, 32 x 32 colour, 50,000 train and 10,000 test",
       .folders = {"cifar-10-batches-bin", ""},
       .train_files = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
                       "data_batch_5.bin"},
       .test_files = {"test_batch.bin"},
       .base_url = "https://www.cs.toronto.edu/~kriz/",
       .downloads = {{"cifar-10-binary.tar.gz", "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
                      170'052'171}},
       .read = read_cifar10}};
  return kSources;
}

const Source* find_source(const std::string& name) {
  for (const Source& source : sources()) {
    if (source.name == name) return &source;
  }
  return nullptr;
}

std::vector<std::string> all_files(const Source& source) {
  std::vector<std::string> files = source.train_files;
  files.insert(files.end(), source.test_files.begin(), source.test_files.end());
  return files;
}

}  // namespace pellucid::data
