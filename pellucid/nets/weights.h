// Networks in files: safetensors with PyTorch's state-dict names, and the architecture in the metadata.
#pragma once

#include "pellucid/nets/network.h"

#include <filesystem>

namespace pellucid::nets {

/// Writes the network, its architecture layer by layer, and its classes' names. In Python:
/// `model.load_state_dict(safetensors.torch.load_file(path))`, as it is.
/// @param metadata further text to keep, by key: how it was trained.
/// @throws Error(kIo) if the file cannot be written.
void save_network(const Network& network, const std::filesystem::path& path,
                  std::map<std::string, std::string> metadata = {});

/// What a state dict of PyTorch does not say of its network. Our own files say it all; what is given must agree with
/// them.
struct Foreign {
  std::string net = {};  ///< a name from `nets::zoo()`; empty: the file has to say it
  /// (C, H, W); empty: the channels of the first layer, and 28 x 28 for one, else 32 x 32.
  std::vector<std::int64_t> input = {};
  std::vector<double> mean = {}, deviation = {};  ///< of the normalisation that the images went through; empty: none
};

/// Files that hold a network: one row for each format.
struct Reader {
  std::string name, summary;
  std::string extension;  ///< of its files: ".safetensors"
  /// As `load_network`, with `notes` there.
  Network (*read)(const std::filesystem::path& path, const Foreign& foreign, std::vector<std::string>& notes);
};

/// Every format that is read, the one place that lists them. What a file without a known extension is taken for stands
/// first.
[[nodiscard]] const std::vector<Reader>& readers();

/// Reads a network that Pellucid, or with `foreign` anyone, wrote.
///
/// Names may all stand behind one prefix ("module.", "_orig_mod."). The number of classes is that of the last layer's
/// rows. Float16, bfloat16 and float64 become float32. Tensors beside the network's are left out; one inside a part of
/// it ("layer1.2.conv1.weight" beside resnet18's layer1) says that the file holds another network.
/// @param foreign what the network is, for files whose metadata do not say.
/// @param notes where given: a sentence for each thing that was assumed, converted, renamed or left out is appended.
/// @throws Error(kIo) if the file cannot be read.
/// @throws Error(kUsage) if the file says something else than `foreign`, or `foreign` is no sensible network.
/// @throws Error(kModel) if it is no safetensors file, is damaged, or does not say what network it is and `foreign`
///   does not either.
/// @throws Error(kModel) if a tensor is missing, of another network, of the wrong type or shape, or not finite in
/// float32.
/// @throws Error(kModel) if the classes' names are not a list of one different name for each class.
[[nodiscard]] Network load_network(const std::filesystem::path& path, const Foreign& foreign = {},
                                   std::vector<std::string>* notes = nullptr);

/// The metadata of a weight file, without its architecture and its classes' names.
[[nodiscard]] std::map<std::string, std::string> read_metadata(const std::filesystem::path& path);

}  // namespace pellucid::nets
