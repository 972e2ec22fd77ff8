#include "pellucid/aggregation/message.h"

#include "pellucid/core/error.h"

#include <algorithm>

namespace pellucid::aggregation {
namespace {

using core::Error;
using core::ErrorKind;

Digest attachment_hash(View attachment) { return hash("pellucid: attachment", {attachment}); }

Digest to_sign(const Message& m, const Digest& transcript) {
  return hash("pellucid: message",
              {transcript, Writer().number(m.step, 4).number(m.sender, 4).take(), m.body, m.attached});
}

}  // namespace

void History::add(std::vector<Message> step) {
  Writer said;
  for (const auto& message : step) write_relayed(said, message);
  transcripts.push_back(hash("pellucid: step", {transcripts.back(), said.take()}));
  steps.push_back(std::move(step));
}

Message make_message(const History& history, std::uint32_t sender, core::Bytes body, core::Bytes attachment,
                     const Key& key) {
  Message message{.step = static_cast<std::uint32_t>(history.steps.size()),
                  .sender = sender,
                  .body = std::move(body),
                  .attachment = std::move(attachment)};
  message.attached = attachment_hash(message.attachment);
  message.signature = sign(to_sign(message, history.transcripts.back()), key);
  return message;
}

void check(const Message& message, const History& history, const Roster& roster) {
  if (message.sender >= roster.clients.size()) {
    throw Error(ErrorKind::kIo, "a message: got one of client {}, expected one of the {} in the roster",
                message.sender + std::uint64_t{1}, roster.clients.size());
  }
  const auto& [name, key] = roster.clients[message.sender];
  if (message.step != history.steps.size()) {
    throw Error(ErrorKind::kIo, "a message of {}: got step {}, expected step {}: it is late, early or sent again", name,
                message.step + std::uint64_t{1}, history.steps.size() + 1);
  }
  if (!is_signed(to_sign(message, history.transcripts.back()), message.signature, key)) {
    throw Error(ErrorKind::kIo,
                "a message of {}: got a signature that is not its on this message in this round: it is forged, changed "
                "or sent again from another round, or {} has another key than the roster says",
                name, name);
  }
}

void write(Writer& to, const Message& message) {
  to.number(message.step, 4).number(message.sender, 4).counted(message.body).counted(message.attachment);
  to.raw(message.signature);
}

void write_relayed(Writer& to, const Message& message) {
  to.number(message.step, 4).number(message.sender, 4).counted(message.body).raw(message.attached);
  to.raw(message.signature);
}

namespace {

Message read(Reader& from, bool relayed) {
  Message message{.step = static_cast<std::uint32_t>(from.number(4)),
                  .sender = static_cast<std::uint32_t>(from.number(4)),
                  .body = {}};
  const View body = from.counted();
  message.body.assign(body.begin(), body.end());
  if (relayed) {
    message.attached = from.digest();
  } else {
    const View attachment = from.counted();
    message.attachment.assign(attachment.begin(), attachment.end());
    message.attached = attachment_hash(attachment);
  }
  std::ranges::copy(from.raw(message.signature.size()), message.signature.begin());
  return message;
}

}  // namespace

Message read_message(Reader& from) { return read(from, false); }
Message read_relayed(Reader& from) { return read(from, true); }

}  // namespace pellucid::aggregation
