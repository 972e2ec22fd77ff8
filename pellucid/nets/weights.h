// Networks in files: safetensors with PyTorch's state-dict names, and the spec in the metadata.
#pragma once

#include "pellucid/nets/network.h"

#include <filesystem>

namespace pellucid::nets {

/// Writes the network and its classes' names. In Python: `model.load_state_dict(safetensors.torch.load_file(path))`, as it is.
/// @param metadata further text to keep, by key: how it was trained.
/// @throws Error(kIo) if the file cannot be written.
void save_network(const Network& network, const std::filesystem::path& path, std::map<std::string, std::string> metadata = {});

/// Reads a network that Pellucid, or with `foreign` anyone, wrote.
/// @param foreign what the network is, for files whose metadata do not say; ignored where they do.
/// @throws Error(kIo) if the file cannot be read.
/// @throws Error(kModel) if it is no safetensors file, or does not say what network it is and `foreign` does not either.
/// @throws Error(kModel) if a tensor is missing, superfluous, not float32, of the wrong shape or not finite.
/// @throws Error(kModel) if the classes' names are not a list of one different name for each class.
[[nodiscard]] Network load_network(const std::filesystem::path& path, const std::optional<Spec>& foreign = std::nullopt);

/// The metadata of a weight file, without its spec and its classes' names.
[[nodiscard]] std::map<std::string, std::string> read_metadata(const std::filesystem::path& path);

}  // namespace pellucid::nets
