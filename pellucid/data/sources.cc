#include "pellucid/data/sources.h"

#include "pellucid/data/cifar.h"
#include "pellucid/data/idx.h"

namespace pellucid::data {

const std::vector<Source>& sources() {
  static const std::vector<Source> kSources{
      {.name = "mnist",
       .summary = "handwritten digits, 28 x 28 grey, 60,000 train and 10,000 test",
       .classes = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"},
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
       .read = read_idx_pair},
      // Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747. Debian's package dataset-fashion-mnist has the same files in
      // fashion-mnist/; torchvision's folder is FashionMNIST/raw.
      {.name = "fashion_mnist",
       .summary = "photographs of clothes of ten kinds, 28 x 28 grey, 60,000 train and 10,000 test",
       .classes = {"T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag",
                   "ankle boot"},
       .folders = {"fashion_mnist", "fashion-mnist", "FashionMNIST/raw"},
       .train_files = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte"},
       .test_files = {"t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"},
       .base_url = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
       .downloads = {{"train-images-idx3-ubyte.gz", "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                      26'421'880},
                     {"train-labels-idx1-ubyte.gz", "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                      29'515},
                     {"t10k-images-idx3-ubyte.gz", "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                      4'422'102},
                     {"t10k-labels-idx1-ubyte.gz", "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                      5'148}},
       .read = read_idx_pair},
      {.name = "cifar10",
       .summary = "photographs of ten classes, 32 x 32 colour, 50,000 train and 10,000 test",
       .classes = {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"},
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

std::vector<std::string> source_names() {
  std::vector<std::string> names;
  for (const Source& source : sources()) names.push_back(source.name);
  return names;
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
