#include "pellucid/aggregation/round.h"

#include "pellucid/aggregation/rlwe.h"
#include "pellucid/core/error.h"

#include <algorithm>
#include <array>
#include <bit>

namespace pellucid::aggregation {

using core::Error;
using core::ErrorKind;

std::string to_string(Scheme scheme) { return scheme == Scheme::kMasked ? "masked" : "encrypted"; }

std::string step_name(Scheme scheme, std::size_t step) {
  static constexpr std::array<const char*, kSteps> masked = {"joining", "shares", "masked updates", "agreement",
                                                             "unmasking"};
  static constexpr std::array<const char*, kSteps> encrypted = {"joining", "keys", "promises", "encrypted updates",
                                                                "decryption"};
  return (scheme == Scheme::kMasked ? masked : encrypted).at(step);
}

core::Bytes Round::bytes() const {
  Writer out;
  out.number(static_cast<std::uint64_t>(scheme), 1).number(threshold, 4).number(std::bit_cast<std::uint64_t>(range));
  return out.raw(roster).raw(number).take();
}

std::uint32_t usual_threshold(Scheme scheme, std::uint32_t clients) {
  return scheme == Scheme::kEncrypted ? clients : 2 * clients / 3 + 1;
}

void check(const Round& round, std::size_t clients) {
  check(FixedPoint{.range = round.range, .clients = static_cast<std::uint32_t>(clients)});
  if (round.scheme == Scheme::kEncrypted) {
    if (clients > kMostKeys) {
      throw Error(ErrorKind::kUsage, "clients: got {}, expected at most {} in an encrypted round; masks take {}",
                  clients, kMostKeys, kMostClients);
    }
    if (round.threshold != clients) {
      throw Error(ErrorKind::kUsage, "threshold: got {}, expected {}: an encrypted sum needs all clients; masks do not",
                  round.threshold, clients);
    }
  }
  if (round.threshold <= clients / 2 || round.threshold > clients) {
    throw Error(ErrorKind::kUsage, "threshold: got {}, expected {} to {}: more than half of the clients",
                round.threshold, clients / 2 + 1, clients);
  }
}

Round read_round(Reader& from) {
  Round round;
  const std::uint64_t scheme = from.number(1);
  if (scheme != 1 && scheme != 2)
    throw Error(ErrorKind::kIo, "the round: got scheme {}, expected 1 or 2: is the server of another version?", scheme);
  round.scheme = static_cast<Scheme>(scheme);
  round.threshold = static_cast<std::uint32_t>(from.number(4));
  round.range = std::bit_cast<double>(from.number());
  round.roster = from.digest();
  round.number = from.digest();
  return round;
}

Digest Layout::digest() const { return hash("pellucid: layout", {Writer().number(values).take(), view(text)}); }

View joined(const Message& message) {
  return View(message.body).subspan(std::min(sizeof(Digest), message.body.size()));
}

const Message* said_by(const std::vector<Message>& step, std::uint32_t sender) {
  const auto found = std::ranges::find(step, sender, &Message::sender);
  return found == step.end() ? nullptr : &*found;
}

}  // namespace pellucid::aggregation
