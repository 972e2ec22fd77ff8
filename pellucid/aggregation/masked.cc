#include "pellucid/aggregation/masked.h"

#include "pellucid/aggregation/masking.h"
#include "pellucid/core/error.h"

#include <algorithm>
#include <map>
#include <memory>

namespace pellucid::aggregation {
namespace {

using core::Error;
using core::ErrorKind;

enum StepOf : std::size_t { kJoining, kShares, kMaskedUpdates, kAgreement, kUnmasking };

constexpr std::size_t kSealedShares = 2 * sizeof(Scalar) + 16;

// What a client sent when it joined.
struct Keys {
  Digest encryption, masks;
};

Keys keys_of(const Message& joining) {
  Reader reader(joined(joining), "the keys of a client");
  Keys keys{.encryption = reader.digest(), .masks = reader.digest()};
  reader.end();
  return keys;
}

Digest self_hash(const Scalar& seed) { return hash("pellucid: self seed", {seed}); }

void mask_pair(std::span<std::uint32_t> values, const Digest& key, bool plus) {
  plus ? add_mask(values, key) : subtract_mask(values, key);
}

struct MaskedClient {
  Round round;
  std::uint32_t clients, me;
  std::vector<std::uint32_t> codes;
  Scalar encryption_seed = random_scalar(), mask_seed = random_scalar(), self_seed = random_scalar();
  std::map<std::uint32_t, std::pair<Scalar, Scalar>> kept = {};  // by sender: of its mask seed, of its self seed

  [[nodiscard]] Digest encryption_key(const History& history, std::uint32_t other) const {
    const auto* joining = said_by(history.steps[kJoining], other);
    return pair_key(encryption_seed, keys_of(*joining).encryption, history.transcripts[1]);
  }

  Part join() const { return {Writer().raw(exchange_key(encryption_seed)).raw(exchange_key(mask_seed)).take()}; }

  // Behind the hash, in order, the shares for each other that joined.
  Part share(const History& history) {
    const auto of_mask = split(mask_seed, round.threshold, clients);
    const auto of_self = split(self_seed, round.threshold, clients);
    kept[me] = {of_mask[me], of_self[me]};
    Writer body;
    body.raw(self_hash(self_seed));
    for (const auto& other : history.steps[kJoining]) {
      if (other.sender == me) continue;
      const auto text = Writer().raw(of_mask[other.sender]).raw(of_self[other.sender]).take();
      body.raw(sealed(text, encryption_key(history, other.sender), me));
    }
    return {body.take()};
  }

  // Takes the shares for this client out of what another sent.
  void take_shares(const History& history, const Message& message) {
    Reader reader(message.body, "the shares of a client");
    (void)reader.digest();
    for (const auto& other : history.steps[kJoining]) {
      if (other.sender == message.sender) continue;
      const View text = reader.raw(kSealedShares);
      if (other.sender != me) continue;
      const auto clear = opened(text, encryption_key(history, message.sender), message.sender);
      Reader shares(clear, "the shares of a client");
      const Scalar of_mask = shares.digest(), of_self = shares.digest();
      kept[message.sender] = {of_mask, of_self};
    }
    reader.end();
  }

  Part mask(const History& history) {
    for (const auto& message : history.steps[kShares]) {
      if (message.sender != me) take_shares(history, message);
    }
    add_mask(codes, self_mask(self_seed));
    for (const auto& [other, unused] : kept) {
      if (other == me) continue;
      const auto keys = keys_of(*said_by(history.steps[kJoining], other));
      mask_pair(codes, pair_key(mask_seed, keys.masks, history.transcripts[1]), me < other);
    }
    Writer sent;
    for (const auto code : codes) sent.number(code, 4);
    codes.clear();
    return {.body = {}, .attachment = sent.take()};
  }

  // That enough others signed the same list is what `Client` checks before each step.
  Part unmask(const History& history) {
    Writer body;
    for (const auto& message : history.steps[kShares]) {
      const auto& [of_mask, of_self] = kept.at(message.sender);
      body.raw(said_by(history.steps[kMaskedUpdates], message.sender) != nullptr ? of_self : of_mask);
    }
    return {body.take()};
  }

  Part answer(const History& history) {
    switch (history.steps.size()) {
      case kJoining: return join();
      case kShares: return share(history);
      case kMaskedUpdates: return mask(history);
      case kAgreement: return {};
      default: return unmask(history);
    }
  }
};

}  // namespace

Answers masked_client(const Round& round, std::uint32_t clients, std::uint32_t me, std::vector<std::uint32_t> codes) {
  auto client = std::make_shared<MaskedClient>(MaskedClient{round, clients, me, std::move(codes)});
  return [client](const History& history) { return client->answer(history); };
}

void check_masked(const History& history, const Message& message, std::uint64_t values) {
  const std::size_t joined_now = message.step > kJoining ? history.steps[kJoining].size() : 0;
  std::uint64_t body = 0, attachment = 0;
  switch (message.step) {
    case kJoining: return static_cast<void>(keys_of(message));  // its attachment is the layout
    case kShares: body = sizeof(Digest) + (joined_now - 1) * kSealedShares; break;
    case kMaskedUpdates: attachment = 4 * values; break;
    case kUnmasking: body = sizeof(Scalar) * history.steps[kShares].size(); break;
    default: break;
  }
  if (message.body.size() != body || message.attachment.size() != attachment) {
    throw Error(ErrorKind::kIo, "got a message of {} and {} bytes, expected {} and {}", message.body.size(),
                message.attachment.size(), body, attachment);
  }
}

std::vector<std::uint32_t> masked_sum(const Round& round, const History& history, std::uint64_t values) {
  std::vector<std::uint32_t> sum(values);
  const auto& in_sum = history.steps[kMaskedUpdates];
  for (const auto& message : in_sum) {
    const auto* bytes = message.attachment.data();
    for (auto& total : sum) {
      for (int i = 0; i < 4; ++i) total += std::uint32_t{*bytes++} << (8 * i);
    }
  }
  const auto& shared = history.steps[kShares];
  for (std::size_t i = 0; i < shared.size(); ++i) {
    std::vector<Share> shares;
    for (const auto& message : history.steps[kUnmasking]) {
      if (shares.size() == round.threshold) break;
      Share share{.place = message.sender + 1};
      std::ranges::copy(View(message.body).subspan(sizeof(Scalar) * i, sizeof(Scalar)), share.value.begin());
      shares.push_back(share);
    }
    const Scalar seed = combine(shares);
    const std::uint32_t who = shared[i].sender;
    const Keys keys = keys_of(*said_by(history.steps[kJoining], who));
    const bool present = said_by(in_sum, who) != nullptr;
    const bool right = present ? std::ranges::equal(self_hash(seed), View(shared[i].body).first(sizeof(Digest)))
                               : exchange_key(seed) == keys.masks;
    if (!right) {
      throw Error(ErrorKind::kIo, "client {}: the shares of its {} seed do not fit: a client sent a wrong one", who + 1,
                  present ? "self" : "mask");
    }
    if (present) {
      subtract_mask(sum, self_mask(seed));
      continue;
    }
    for (const auto& message : in_sum) {
      const auto other = keys_of(*said_by(history.steps[kJoining], message.sender));
      mask_pair(sum, pair_key(seed, other.masks, history.transcripts[1]), who < message.sender);
    }
  }
  return sum;
}

}  // namespace pellucid::aggregation
