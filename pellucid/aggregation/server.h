// The server's side of a round, without a network: frames in, frames out.
#pragma once

#include "pellucid/aggregation/client.h"

#include <map>

namespace pellucid::aggregation {

/// A round as its server has it. A step ends when all that are left have answered, or whoever has not is dropped; then
/// `advance` passes on what was said. After the last step there is a sum. Any error of `advance` ends the round without
/// one: nothing is ever decrypted or unmasked in part.
class Server {
 public:
  /// @param round its roster and number are set here.
  /// @throws Error(kUsage) as `check`.
  Server(Round round, Roster roster);

  /// The frame that opens the round for a client.
  [[nodiscard]] core::Bytes opening() const;

  /// Takes a frame of a client, in the present step. @returns who it is.
  /// @throws Error(kIo) if the message is forged, changed, replayed, of another step or out of form, or if its sender
  ///   has dropped out or said something in this step already. The round is as it was before.
  /// @throws Error(kModel) if its sender joins with another layout than the first that did, naming both.
  std::uint32_t receive(View frame);

  /// Takes a client out of the round; what it has said in this step still counts.
  /// @param why for the message, if that makes too few.
  void drop(std::uint32_t client, const std::string& why);

  /// Clients that have not answered in this step, nor dropped out; at first all of the roster.
  [[nodiscard]] std::vector<std::uint32_t> awaited() const;
  /// Forgets that a client joined, so that it may join again. @pre the round is in its first step.
  void forget_join(std::uint32_t client) { answers_.erase(client); }

  /// Ends the step, with those that answered. @returns the frame for each of them.
  /// @throws Error(kIo) if these are fewer than the threshold, naming those that are missing and why.
  /// @throws Error(kIo) if the sum cannot be had, as `masked_sum`, `encrypted_sum` and `decode_mean`.
  [[nodiscard]] core::Bytes advance();

  [[nodiscard]] bool done() const { return done_; }
  [[nodiscard]] std::size_t step() const { return history_.steps.size(); }
  [[nodiscard]] const Round& round() const { return round_; }
  [[nodiscard]] const Roster& roster() const { return roster_; }
  /// Of the first client that joined; empty before.
  [[nodiscard]] const std::optional<Layout>& layout() const { return layout_; }
  [[nodiscard]] const std::map<std::uint32_t, std::string>& dropped() const { return dropped_; }
  /// Whose values are in the sum. @pre done.
  [[nodiscard]] std::vector<std::uint32_t> added() const;
  /// The mean of their values. @pre done.
  [[nodiscard]] const std::vector<double>& mean() const { return mean_; }

 private:
  void check_join(const Message& message);
  void finish();

  Round round_;
  Roster roster_;
  History history_;
  std::optional<Layout> layout_;
  std::map<std::uint32_t, Message> answers_;  // of this step
  std::map<std::uint32_t, std::string> dropped_;
  std::vector<double> mean_;
  bool done_ = false;
};

/// The frame that tells a client why the round is over.
[[nodiscard]] core::Bytes failure(const std::string& why);

}  // namespace pellucid::aggregation
