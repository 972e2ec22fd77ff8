// What a client does to its update before it shares it: one row each.
#pragma once

#include "pellucid/core/fields.h"
#include "pellucid/nets/network.h"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace pellucid::sharing {

struct Mechanism {
  std::string name, summary, source;
  std::string value;  ///< what the number is that it takes; it is positive. Empty: it takes none
  /// Changes the update in place. @param seed of what it draws; each tensor has a stream of its own, by its name.
  void (*apply)(nets::TensorMap& update, double value, std::uint64_t seed);
  double most = std::numeric_limits<double>::infinity();  ///< its number is at most this
};

/// Every mechanism, the one place that lists them. A new one is a function and a row.
[[nodiscard]] const std::vector<Mechanism>& mechanisms();

/// A mechanism with its number.
struct MechanismUse {
  std::string name;
  double value = 0;

  bool operator==(const MechanismUse&) const = default;
};

/// "clip 1, bfloat16", in the order in which they are applied; "" where there is none.
[[nodiscard]] std::string to_string(const std::vector<MechanismUse>& uses);

/// What `to_string` writes.
/// @throws Error(kUsage) if a name is unknown, naming the nearest, its number is missing, not positive or too large, or
/// it takes none.
[[nodiscard]] std::vector<MechanismUse> parse_mechanisms(const std::string& text);

/// The field of an options struct that holds them. Its help lists them behind `help`.
[[nodiscard]] core::Field mechanisms_field(std::string name, std::vector<MechanismUse>& value, const std::string& help);

/// Applies them in order.
void apply(const std::vector<MechanismUse>& uses, nets::TensorMap& update, std::uint64_t seed);

}  // namespace pellucid::sharing
