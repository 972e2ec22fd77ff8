// What a round is, and what a scheme has to say in each of its steps.
#pragma once

#include "pellucid/aggregation/fixed_point.h"
#include "pellucid/aggregation/message.h"

#include <functional>
#include <string>

namespace pellucid::aggregation {

enum class Scheme : std::uint8_t {
  kMasked = 1,     ///< masks that cancel (`masked.h`): clients may drop out
  kEncrypted = 2,  ///< a lattice (`rlwe.h`): all clients are needed
};

[[nodiscard]] std::string to_string(Scheme scheme);

/// Both schemes take five steps: each client says something, and the server passes it on to all.
inline constexpr std::size_t kSteps = 5;
/// What a step is for: "keys", "shares", ..
[[nodiscard]] std::string step_name(Scheme scheme, std::size_t step);

/// What a round is opened with: signed by every client with all that it says.
struct Round {
  Scheme scheme = Scheme::kMasked;
  std::uint32_t threshold = 0;  ///< clients that a sum needs
  double range = 8;             ///< of a value, to both sides
  Digest roster{};              ///< whose it is
  Digest number{};              ///< random, so that no two are the same

  [[nodiscard]] core::Bytes bytes() const;
};

/// The default threshold: two thirds and one for masks, as Bonawitz et al. ask for against a server that does not
/// follow the protocol; all for the encrypted sum.
[[nodiscard]] std::uint32_t usual_threshold(Scheme scheme, std::uint32_t clients);

/// @throws Error(kUsage) for a threshold of half of the clients or fewer, or of more than there are. Two sums of
///   different clients could be had of one round.
/// @throws Error(kUsage) for one of fewer than all in an encrypted round, or more than `kMostKeys` clients.
/// @throws Error(kUsage) as `check` of a `FixedPoint`.
void check(const Round& round, std::size_t clients);

/// @throws Error(kIo) as `Reader`, or if the scheme is unknown.
[[nodiscard]] Round read_round(Reader& from);

/// What the vector is whose parts are summed: the same for all clients, or the round fails.
struct Layout {
  std::uint64_t values = 0;
  std::string text;  ///< says where they belong; not read in this layer

  [[nodiscard]] Digest digest() const;
};

/// What a client says in a step: body and attachment of its message.
struct Part {
  core::Bytes body, attachment = {};
};

/// A scheme's side of a client: from what was passed on so far to what it says next. The first message's body stands
/// behind the layout's digest, see `joined`.
/// @throws Error(kIo) if what another client said is not what the protocol says.
using Answers = std::function<Part(const History&)>;

/// The scheme's part of a client's first message.
[[nodiscard]] View joined(const Message& message);

/// The message of a sender in a step, or null.
[[nodiscard]] const Message* said_by(const std::vector<Message>& step, std::uint32_t sender);

}  // namespace pellucid::aggregation
