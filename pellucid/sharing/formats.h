// Files that hold an update: one row for each format.
#pragma once

#include "pellucid/nets/safetensors.h"
#include "pellucid/sharing/update.h"

#include <filesystem>
#include <string>
#include <vector>

namespace pellucid::sharing {

/// What a file of an update calls its format.
inline constexpr const char* kUpdateSchema = "pellucid.update/2";

struct Format {
  std::string name, summary;
  std::string extension;  ///< of its files: ".safetensors"
  /// Reads the observation of the given network. @throws as `load_observation`.
  Observation (*read)(const std::filesystem::path& path, const nets::Network& network);
};

/// Every format that is read, the one place that lists them. The first is the one that `save_observation` writes, and
/// what a file without a known extension is taken for.
[[nodiscard]] const std::vector<Format>& formats();

/// Writes the update and what else the attacker is given, without the network, as safetensors: the gradient, the
/// protocol, the network's fingerprint and its classes' names, and the labels in ascending order where they are shared.
/// Nothing in it says which images they were: no number, no time, no name of a file or a data set, no order.
/// @pre it is of one round: each has a file of its own.
/// @throws Error(kIo) if the file cannot be written.
void save_observation(const Observation& observation, const std::filesystem::path& path);

/// Reads an observation of the given network, in any of the formats.
/// @throws Error(kIo) if the file cannot be read.
/// @throws Error(kModel) if it is damaged or no update, or was computed with another network.
/// @throws Error(kModel) if the gradient has values that are not finite.
[[nodiscard]] Observation load_observation(const std::filesystem::path& path, const nets::Network& network);
/// The same from a file of safetensors that is open.
[[nodiscard]] Observation load_observation(const nets::SafeTensorsFile& file, const nets::Network& network);

}  // namespace pellucid::sharing
