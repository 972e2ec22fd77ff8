// What clients sign and a server passes on.
#pragma once

#include "pellucid/aggregation/identity.h"
#include "pellucid/aggregation/wire.h"

#include <cstdint>
#include <vector>

namespace pellucid::aggregation {

/// What one client says in one step.
///
/// It is signed together with all that was passed on in the round before (`History`). So it counts in one round and one
/// step only, and clients that were sent different things cannot check one another's signatures.
struct Message {
  std::uint32_t step = 0, sender = 0;  ///< sender: the client's place in the roster
  core::Bytes body;                    ///< what everybody gets
  core::Bytes attachment = {};         ///< what only the server gets; empty in what it passes on
  Digest attached{};                   ///< the attachment's hash, which is signed in its place
  Signature signature{};
};

/// What was passed on so far: of each step the messages, in order of their senders. The server's have attachments.
struct History {
  std::vector<std::vector<Message>> steps;
  /// What the messages of each step are signed with; the last is of the step that comes next.
  std::vector<Digest> transcripts;

  /// @param round what the round was opened with.
  explicit History(View round) : transcripts({hash("pellucid: aggregation", {round})}) {}
  void add(std::vector<Message> step);
};

/// The message of a client in the next step.
[[nodiscard]] Message make_message(const History& history, std::uint32_t sender, core::Bytes body,
                                   core::Bytes attachment, const Key& key);

/// Checks a message of the next step.
/// @throws Error(kIo) if its sender is not in the roster, naming the place.
/// @throws Error(kIo) if it is of another step.
/// @throws Error(kIo) if the signature is not the sender's on this message in this round: forged, changed, replayed, or
///   made by someone who was sent other things.
void check(const Message& message, const History& history, const Roster& roster);

/// As bytes, with the attachment; and as it is passed on, without.
void write(Writer& to, const Message& message);
void write_relayed(Writer& to, const Message& message);

/// @throws Error(kIo) as `Reader`. Nothing else is checked.
[[nodiscard]] Message read_message(Reader& from);
[[nodiscard]] Message read_relayed(Reader& from);

}  // namespace pellucid::aggregation
