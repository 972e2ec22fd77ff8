// What a client does to its update before it shares it: one row each.
#pragma once

#include "pellucid/core/fields.h"
#include "pellucid/nets/network.h"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace pellucid::sharing {

/// What only the client has, beside its update.
struct Own {
  std::uint64_t seed = 0;  ///< of what mechanisms draw; each tensor has a stream of its own, by its name
  const nets::Network* network = nullptr;  ///< that the update was computed with
  Tensor images = {};                      ///< (B, C, H, W) in [0, 1]
};

/// What can be said of an update before mechanisms by who knows them and what was shared, but not what they drew.
struct Preimage {
  nets::TensorMap low, high;  ///< float64: the interval of each value, infinite where nothing is known
  bool any_size = false;      ///< the whole may be larger, by an unknown factor
  bool sparse = false;        ///< zeros stand for what was left out
  bool rounded = false;  ///< to the middle of the interval, with a probability that falls in a line to 0 at its ends
};

struct Mechanism {
  std::string name, summary, source;
  std::string value;  ///< what the number is that it takes; it is positive. Empty: it takes none
  /// Changes the update in place.
  void (*apply)(nets::TensorMap& update, double value, const Own& own);
  /// Turns what is known of the values after it into what is known of those before it.
  void (*undo)(Preimage& known, double value, const nets::Architecture& architecture);
  double most = std::numeric_limits<double>::infinity();  ///< its number is at most this
  bool whole = false;                                     ///< its number is a whole one, and at least 2
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
/// @param memory of error feedback: what earlier rounds have left out, which is added, and then what this one has left
///   out; by the names of the update, empty at first. Null: a client without memory.
/// @throws Error(kUsage) if one of them needs a linear layer that the network does not have.
void apply(const std::vector<MechanismUse>& uses, nets::TensorMap& update, const Own& own,
           nets::TensorMap* memory = nullptr);

/// What is known of an update before these mechanisms, from what was shared. Of a value that rounds at random it is the
/// interval that it can come from. Noise does not widen an interval.
/// @param shared by the names of the parameters.
[[nodiscard]] Preimage preimage(const std::vector<MechanismUse>& uses, const nets::TensorMap& shared,
                                const nets::Architecture& architecture);

}  // namespace pellucid::sharing
