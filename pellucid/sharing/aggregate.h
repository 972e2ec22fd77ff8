// Updates as plain vectors, for a sum that is made elsewhere, and the mean of several as an update again.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace pellucid::sharing {

/// An update's file as a vector, without the network.
struct FlatUpdate {
  /// What says where the values belong, the same for all clients of a round: names, types and shapes of the tensors,
  /// and what the update says of itself but for the labels, which are not passed on. JSON.
  std::string layout;
  std::vector<double> values;  ///< all tensors behind one another, in order of their names
};

/// @throws Error(kIo) if the file cannot be read.
/// @throws Error(kModel) if it is damaged or no update of floats.
[[nodiscard]] FlatUpdate read_flat(const std::filesystem::path& path);

/// What the mean is of, as far as who adds up knows it.
struct MeanOf {
  std::int64_t clients = 1;  ///< whose updates are in it
  double range = 0;          ///< that each value was limited to, to both sides
  std::string scheme;        ///< how it was added up: "masked"
  double step = 0;           ///< of the fixed point that a client's values were rounded to
};

/// Writes the mean as an update of so many clients, with as many images each as the layout says, their mechanisms and
/// the limit behind them. The scheme and the step stand in the file's metadata under "aggregation".
/// @param layout as `read_flat` gives it, from others.
/// @throws Error(kModel) if the layout is none, or of another number of values.
/// @throws Error(kIo) if the file cannot be written.
void save_mean(const std::string& layout, const std::vector<double>& mean, const MeanOf& of,
               const std::filesystem::path& path);

}  // namespace pellucid::sharing
