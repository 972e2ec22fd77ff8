#include "pellucid/aggregation/client.h"

#include "pellucid/aggregation/encrypted.h"
#include "pellucid/aggregation/masked.h"
#include "pellucid/core/error.h"
#include "pellucid/core/text.h"

#include <algorithm>

namespace pellucid::aggregation {

using core::Error;
using core::ErrorKind;

Client::Client(Key key, Roster roster, Layout layout, std::vector<double> values)
    : key_(key),
      roster_(std::move(roster)),
      layout_(std::move(layout)),
      values_(std::move(values)),
      me_(roster_.place(key_.public_key)) {}

std::optional<core::Bytes> Client::receive(View frame) {
  Reader reader(frame, "the server's frame");
  const auto kind = static_cast<Kind>(reader.number(1));
  if (kind == Kind::kFailed) {
    const View why = reader.counted();
    throw Error(ErrorKind::kIo, "the server ended the round: {}",
                core::printable({reinterpret_cast<const char*>(why.data()), why.size()}, 1000));
  }
  if (kind == Kind::kOpening && !round_) {
    open(reader, frame.subspan(1));
    return answer();
  }
  if (kind == Kind::kRelay && round_ && history_->steps.size() < kSteps - 1) {
    hear(reader);
    return answer();
  }
  if (kind == Kind::kDone && round_ && history_->steps.size() == kSteps - 1) {
    reader.end();
    done_ = true;
    return std::nullopt;
  }
  throw Error(ErrorKind::kIo, "the server's frame: got kind {} in step {}, expected what the protocol has there",
              static_cast<int>(kind), step() + 1);
}

void Client::open(Reader& reader, View opening) {
  const Round round = read_round(reader);
  reader.end();
  if (round.roster != roster_.digest())
    throw Error(ErrorKind::kUsage, "the server has another roster: expected the same names and keys in the same order");
  check(round, roster_.clients.size());
  const auto n = static_cast<std::uint32_t>(roster_.clients.size());
  auto codes = encode({.range = round.range, .clients = n}, values_, clipped_);
  answers_ = round.scheme == Scheme::kMasked ? masked_client(round, n, me_, std::move(codes))
                                             : encrypted_client(std::move(codes));
  history_.emplace(opening);
  round_ = round;
}

void Client::hear(Reader& reader) {
  std::vector<Message> step;
  while (!reader.empty()) {
    step.push_back(read_relayed(reader));
    const auto& message = step.back();
    check(message, *history_, roster_);
    const std::string& name = roster_.clients[message.sender].name;
    if (step.size() > 1 && step[step.size() - 2].sender >= message.sender)
      throw Error(ErrorKind::kIo, "the server's frame: got {} twice or out of order", name);
    if (!history_->steps.empty() && said_by(history_->steps.back(), message.sender) == nullptr)
      throw Error(ErrorKind::kIo, "the server's frame: got {}, which had dropped out before", name);
    if (history_->steps.empty() &&
        !std::ranges::equal(View(message.body).first(std::min(sizeof(Digest), message.body.size())), layout_.digest()))
      throw Error(ErrorKind::kModel, "{} has an update of another network or protocol: expected the same for all",
                  name);
  }
  if (step.size() < round_->threshold) {
    throw Error(ErrorKind::kIo, "the server's frame: got {} clients after {}, expected at least {}", step.size(),
                step_name(round_->scheme, this->step()), round_->threshold);
  }
  const auto* mine = said_by(step, me_);
  if (mine == nullptr || mine->body != own_.body || mine->attached != own_.attached)
    throw Error(ErrorKind::kIo, "the server's frame: got a step without this client's own message");
  history_->add(std::move(step));
}

core::Bytes Client::answer() {
  Part part = answers_(*history_);
  if (history_->steps.empty()) {
    part.body = Writer().raw(layout_.digest()).raw(part.body).take();
    part.attachment = Writer().number(layout_.values).raw(view(layout_.text)).take();
  }
  own_ = make_message(*history_, me_, std::move(part.body), std::move(part.attachment), key_);
  Writer frame;
  write(frame, own_);
  return frame.take();
}

}  // namespace pellucid::aggregation
