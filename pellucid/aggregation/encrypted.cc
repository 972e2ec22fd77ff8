#include "pellucid/aggregation/encrypted.h"

#include "pellucid/aggregation/rlwe.h"
#include "pellucid/core/error.h"

#include <algorithm>
#include <memory>

namespace pellucid::aggregation {
namespace {

using core::Error;
using core::ErrorKind;

enum EncryptedStep : std::size_t { kHashes, kKeyParts, kPromises, kCiphertexts, kDecryptions };

Digest promise(View bytes) { return hash("pellucid: promise", {bytes}); }

// Whether a body is what its sender promised in the step before.
void check_promise(const Message& message, View promised) {
  if (!std::ranges::equal(promise(message.body), promised)) {
    throw Error(ErrorKind::kIo, "client {}: got another {} than it promised", message.sender + std::uint64_t{1},
                message.step == kKeyParts ? "key" : "ciphertext");
  }
}

View promised_by(const History& history, const Message& message) {
  const auto& before = *said_by(history.steps[message.step - 1], message.sender);
  return message.step == kKeyParts ? joined(before) : View(before.body);
}

// The sum of what all sent in a step, checked.
Polynomials added(const History& history, std::size_t step, std::size_t count) {
  Polynomials sum;
  for (const auto& message : history.steps[step]) {
    check_promise(message, promised_by(history, message));
    add(sum, unpack(message.body, count, fmt::format("client {}", message.sender + std::uint64_t{1})));
  }
  return sum;
}

struct EncryptedClient {
  std::vector<std::uint32_t> codes;
  SecretKey secret = make_secret_key();
  core::Bytes key = {}, c0 = {}, c1 = {};

  Part answer(const History& history) {
    switch (history.steps.size()) {
      case kHashes: {
        key = pack(key_part(secret, common(history)));
        const auto hashed = promise(key);
        return {core::Bytes(hashed.begin(), hashed.end())};
      }
      case kKeyParts: return {key};
      case kPromises: {
        const auto encrypted = encrypt(codes, added(history, kKeyParts, 1), common(history));
        c0 = pack(encrypted.c0);
        c1 = pack(encrypted.c1);
        const auto hashed = promise(c1);
        return {core::Bytes(hashed.begin(), hashed.end())};
      }
      case kCiphertexts: return {.body = c1, .attachment = c0};
      default: {
        const SecretKey once = std::exchange(secret, {});
        return {pack(partial_decryption(added(history, kCiphertexts, blocks(codes.size())), once))};
      }
    }
  }

  // The polynomial a is of this round.
  static Polynomials common(const History& history) { return common_polynomial(history.transcripts.front()); }
};

}  // namespace

Answers encrypted_client(std::vector<std::uint32_t> codes) {
  auto client = std::make_shared<EncryptedClient>(EncryptedClient{.codes = std::move(codes)});
  return [client](const History& history) { return client->answer(history); };
}

void check_encrypted(const History& history, const Message& message, std::uint64_t values) {
  const std::string what = fmt::format("client {}", message.sender + std::uint64_t{1});
  switch (message.step) {
    case kKeyParts: (void)unpack(message.body, 1, what); return check_promise(message, promised_by(history, message));
    case kCiphertexts:
      (void)unpack(message.body, blocks(values), what);
      (void)unpack(message.attachment, blocks(values), what);
      return check_promise(message, promised_by(history, message));
    case kDecryptions: return static_cast<void>(unpack(message.body, blocks(values), what));
    default: {
      const View body = message.step == kHashes ? joined(message) : View(message.body);
      if (body.size() != sizeof(Digest))
        throw Error(ErrorKind::kIo, "{}: got a hash of {} bytes, expected {}", what, body.size(), sizeof(Digest));
    }
  }
}

std::vector<std::uint32_t> encrypted_sum(const History& history, std::uint64_t values) {
  Polynomials total;
  for (const auto& message : history.steps[kCiphertexts])
    add(total, unpack(message.attachment, blocks(values), "a ciphertext"));
  for (const auto& message : history.steps[kDecryptions])
    add(total, unpack(message.body, blocks(values), "a partial decryption"));
  return decode(total, values, static_cast<std::uint32_t>(history.steps[kDecryptions].size()));
}

}  // namespace pellucid::aggregation
