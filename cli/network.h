// What `evade`, `capture` and `invert` are given: a weight file of ours or of PyTorch, and paths.
#pragma once

#include "pellucid/core/fields.h"
#include "pellucid/nets/weights.h"

namespace pellucid::cli {

/// The flags that say what a state dict of PyTorch leaves open: --net, --input, --mean, --deviation.
[[nodiscard]] core::Fields fields(nets::Foreign& foreign);

/// Reads the network and prints, on stderr, what was converted or left out.
/// @throws as `nets::load_network`.
[[nodiscard]] nets::Network load_network(const std::string& path, const nets::Foreign& foreign);

/// Whether two paths are one file: by name, link or hard link, whether it exists yet or not.
[[nodiscard]] bool same_file(const std::filesystem::path& a, const std::filesystem::path& b);

}  // namespace pellucid::cli
