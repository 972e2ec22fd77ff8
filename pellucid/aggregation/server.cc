#include "pellucid/aggregation/server.h"

#include "pellucid/aggregation/encrypted.h"
#include "pellucid/aggregation/masked.h"
#include "pellucid/core/error.h"

#include <algorithm>

namespace pellucid::aggregation {
namespace {

using core::Error;
using core::ErrorKind;

constexpr std::size_t kUpdates[] = {2, 3};  // the step in which a client's vector is sent: masked, encrypted

Round opened(Round round, const Roster& roster) {
  round.roster = roster.digest();
  round.number = random_key();
  check(round, roster.clients.size());
  return round;
}

Writer frame_of(Kind kind) {
  Writer writer;
  writer.number(static_cast<std::uint64_t>(kind), 1);
  return writer;
}

}  // namespace

Server::Server(Round round, Roster roster)
    : round_(opened(round, roster)), roster_(std::move(roster)), history_(round_.bytes()) {}

core::Bytes Server::opening() const { return frame_of(Kind::kOpening).raw(round_.bytes()).take(); }

std::uint32_t Server::receive(View frame) {
  Reader reader(frame, "a client's frame");
  Message message = read_message(reader);
  reader.end();
  check(message, history_, roster_);
  const std::uint32_t who = message.sender;
  const std::string& name = roster_.clients[who].name;
  if (dropped_.contains(who)) throw Error(ErrorKind::kIo, "{} has dropped out: {}", name, dropped_.at(who));
  if (answers_.contains(who)) throw Error(ErrorKind::kIo, "{} has answered in this step already", name);
  try {
    if (message.step == 0) check_join(message);
    const std::uint64_t values = layout_ ? layout_->values : 0;
    round_.scheme == Scheme::kMasked ? check_masked(history_, message, values)
                                     : check_encrypted(history_, message, values);
  } catch (Error& error) {
    throw error.add_context(name);
  }
  answers_.emplace(who, std::move(message));
  return who;
}

void Server::check_join(const Message& message) {
  Reader reader(message.attachment, "its layout");
  Layout layout{.values = reader.number(), .text = {}};
  const View text = reader.raw(message.attachment.size() - sizeof layout.values);
  layout.text.assign(text.begin(), text.end());
  const auto digest = layout.digest();
  if (!std::ranges::equal(View(message.body).first(std::min(digest.size(), message.body.size())), digest))
    throw Error(ErrorKind::kIo, "its layout is not the one that it signed");
  if (answers_.empty()) layout_ = layout;
  if (layout_->digest() != digest) {
    throw Error(ErrorKind::kModel, "its update is of another network or protocol than that of {}: expected the same",
                roster_.clients[answers_.begin()->first].name);
  }
}

void Server::drop(std::uint32_t client, const std::string& why) {
  if (!answers_.contains(client)) dropped_.emplace(client, why);
}

std::vector<std::uint32_t> Server::awaited() const {
  std::vector<std::uint32_t> left;
  const auto wait_for = [&](std::uint32_t who) {
    if (!answers_.contains(who) && !dropped_.contains(who)) left.push_back(who);
  };
  if (done_) return left;
  if (history_.steps.empty()) {
    for (std::uint32_t who = 0; who < roster_.clients.size(); ++who) wait_for(who);
  } else {
    for (const auto& message : history_.steps.back()) wait_for(message.sender);
  }
  return left;
}

core::Bytes Server::advance() {
  if (answers_.size() < round_.threshold) {
    std::vector<std::string> missing;
    for (const auto& [who, why] : dropped_) missing.push_back(fmt::format("{} ({})", roster_.clients[who].name, why));
    throw Error(ErrorKind::kIo, "{}: got {} of {} clients, expected {}: missing {}; nothing was {}, start a new round",
                step_name(round_.scheme, step()), answers_.size(), roster_.clients.size(),
                round_.scheme == Scheme::kEncrypted ? "all, as an encrypted sum needs"
                                                    : fmt::format("at least {}", round_.threshold),
                fmt::join(missing, ", "), round_.scheme == Scheme::kEncrypted ? "decrypted" : "unmasked");
  }
  std::vector<Message> said;
  for (auto& [unused, message] : answers_) said.push_back(std::move(message));
  answers_.clear();
  Writer frame = frame_of(Kind::kRelay);
  for (const auto& message : said) write_relayed(frame, message);
  history_.add(std::move(said));
  if (history_.steps.size() < kSteps) return frame.take();
  finish();
  return frame_of(Kind::kDone).take();
}

void Server::finish() {
  const auto sums = round_.scheme == Scheme::kMasked ? masked_sum(round_, history_, layout_->values)
                                                     : encrypted_sum(history_, layout_->values);
  mean_ = decode_mean({.range = round_.range, .clients = static_cast<std::uint32_t>(roster_.clients.size())}, sums,
                      static_cast<std::uint32_t>(added().size()));
  done_ = true;
}

std::vector<std::uint32_t> Server::added() const {
  std::vector<std::uint32_t> senders;
  for (const auto& message : history_.steps.at(kUpdates[round_.scheme == Scheme::kMasked ? 0 : 1]))
    senders.push_back(message.sender);
  return senders;
}

core::Bytes failure(const std::string& why) { return frame_of(Kind::kFailed).counted(view(why)).take(); }

}  // namespace pellucid::aggregation
