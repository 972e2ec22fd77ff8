// A client's side of a round, without a network: frames in, frames out.
#pragma once

#include "pellucid/aggregation/round.h"

#include <optional>

namespace pellucid::aggregation {

/// What a frame from the server is: its first byte.
enum class Kind : std::uint8_t {
  kOpening = 1,  ///< the round
  kRelay = 2,    ///< what all clients said in a step
  kDone = 3,     ///< the sum is there
  kFailed = 4,   ///< the round is over; the rest is why
};

/// One client in one round.
class Client {
 public:
  /// @param values what it adds, `layout.values` of them.
  /// @throws Error(kUsage) if the key is not in the roster.
  Client(Key key, Roster roster, Layout layout, std::vector<double> values);

  /// Takes a frame of the server and gives the answer to it, if there is one. Everything that other clients said is
  /// checked: their signatures, that the same clients take part as before or fewer, that these are enough, that this
  /// client's own message is among them unchanged, and that all have the same layout.
  /// @throws Error(kIo) if the frame is not what the protocol has here, or a signature does not fit.
  /// @throws Error(kIo) if the server says that the round failed, with its reason.
  /// @throws Error(kUsage) if server and client have different rosters, or the round's settings are refused (`check`).
  /// @throws Error(kModel) if another client has another layout, naming it, or a value is not finite.
  [[nodiscard]] std::optional<core::Bytes> receive(View frame);

  [[nodiscard]] bool done() const { return done_; }
  /// The round, once it is opened.
  [[nodiscard]] const std::optional<Round>& round() const { return round_; }
  /// The step that this client answers next, from 0.
  [[nodiscard]] std::size_t step() const { return history_ ? history_->steps.size() : 0; }
  /// How many of its values were beyond the range.
  [[nodiscard]] std::int64_t clipped() const { return clipped_; }

 private:
  void open(Reader& reader, View opening);
  void hear(Reader& reader);
  core::Bytes answer();

  Key key_;
  Roster roster_;
  Layout layout_;
  std::vector<double> values_;
  std::uint32_t me_;
  std::optional<Round> round_;
  std::optional<History> history_;
  Answers answers_;
  Message own_;
  std::int64_t clipped_ = 0;
  bool done_ = false;
};

}  // namespace pellucid::aggregation
