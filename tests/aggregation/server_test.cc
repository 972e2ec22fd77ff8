// What a server refuses: each message as somebody would forge it. The round is as it was, and goes on.
#include "pellucid/aggregation/rlwe.h"

#include "tests/aggregation/in_memory.h"

#include <algorithm>

namespace pellucid::aggregation {
namespace {

using core::ErrorKind;

// At a step, for the message of client 2: what is sent in its place is refused, and then the message itself is taken.
void expect_refused(Scheme scheme, std::size_t at, ErrorKind kind, const std::string& message,
                    const std::function<core::Bytes(InMemory&, const core::Bytes&)>& instead) {
  InMemory round(scheme, 3);
  round.between = [&](std::size_t step, std::uint32_t who, core::Bytes said) -> std::optional<core::Bytes> {
    if (step == at && who == 1) {
      const core::Bytes forged = instead(round, said);
      expect_error([&] { return round.server->receive(forged); }, kind, message);
    }
    return said;
  };
  round.run();
  round.expect_mean_of({0, 1, 2});
}

constexpr Scheme kBoth[] = {Scheme::kMasked, Scheme::kEncrypted};

TEST(Server, RefusesAChangedBitAnywhere) {
  for (const auto scheme : kBoth) {
    for (std::size_t step = 0; step < kSteps; ++step) {
      InMemory round(scheme, 3);
      round.between = [&](std::size_t now, std::uint32_t who, core::Bytes said) -> std::optional<core::Bytes> {
        if (now != step || who != 1) return said;
        const std::size_t stride = std::max<std::size_t>(1, said.size() / 40);
        for (std::size_t i = 0; i < said.size(); i += stride) {
          core::Bytes changed = said;
          changed[i] ^= 0x04;
          expect_error([&] { return round.server->receive(changed); }, ErrorKind::kIo, "");
        }
        return said;
      };
      round.run();
      round.expect_mean_of({0, 1, 2});
    }
  }
}

TEST(Server, RefusesTruncatedMessages) {
  for (const auto scheme : kBoth) {
    expect_refused(scheme, 1, ErrorKind::kIo, "it is truncated",
                   [](InMemory&, const core::Bytes& said) { return core::Bytes(said.begin(), said.end() - 1); });
    expect_refused(scheme, 1, ErrorKind::kIo, "it is truncated",
                   [](InMemory&, const core::Bytes& said) { return core::Bytes(said.begin(), said.begin() + 10); });
    expect_refused(scheme, 1, ErrorKind::kIo, "behind its end", [](InMemory&, core::Bytes said) {
      said.push_back(0);
      return said;
    });
  }
}

TEST(Server, RefusesASignatureByAnotherKey) {
  expect_refused(Scheme::kMasked, 0, ErrorKind::kIo, "a message of client-2: got a signature that is not its",
                 [](InMemory& round, const core::Bytes& said) {
                   Reader reader(said, "a message");
                   const Message message = read_message(reader);
                   Writer writer;
                   write(writer, make_message(*round.heard, 1, message.body, message.attachment, make_key()));
                   return writer.take();
                 });
}

TEST(Server, RefusesAMessageOfAnotherRound) {
  InMemory before(Scheme::kMasked, 3);
  InMemory now(Scheme::kMasked, 3);
  now.keys = before.keys;
  now.roster = before.roster;
  now.server.emplace(before.server->round(), before.roster);  // the same but for its number
  const auto old = before.clients[1].receive(before.frame);
  expect_error([&] { return now.server->receive(*old); }, ErrorKind::kIo, "sent again from another round");
}

TEST(Server, RefusesAMessageTwiceAndOneOfTheStepBefore) {
  for (const auto scheme : kBoth) {
    InMemory round(scheme, 3);
    core::Bytes first;
    round.between = [&](std::size_t step, std::uint32_t who, core::Bytes said) -> std::optional<core::Bytes> {
      if (step == 0 && who == 1) first = said;
      if (step == 1 && who == 1)
        expect_error([&] { return round.server->receive(first); }, ErrorKind::kIo, "got step 1, expected step 2");
      if (who == 1) {
        round.server->receive(said);
        expect_error([&] { return round.server->receive(said); }, ErrorKind::kIo,
                     "client-2 has answered in this step already");
        return std::nullopt;
      }
      return said;
    };
    round.run();
    round.expect_mean_of({0, 1, 2});
  }
}

TEST(Server, RefusesWhoHasDroppedOut) {
  InMemory round(Scheme::kMasked, 3, 2);
  round.between = [&](std::size_t step, std::uint32_t who, core::Bytes said) -> std::optional<core::Bytes> {
    if (step == 1 && who == 1) {
      round.server->drop(1, "was killed");
      expect_error([&] { return round.server->receive(said); }, ErrorKind::kIo, "client-2 has dropped out: was killed");
      return std::nullopt;
    }
    return said;
  };
  round.run();
  round.expect_mean_of({0, 2});
}

TEST(Server, RefusesBodiesOfAnotherSize) {
  for (const auto scheme : kBoth) {
    for (std::size_t step = 0; step < kSteps; ++step) {
      expect_refused(scheme, step, ErrorKind::kIo, "client-2: ", [](InMemory& round, const core::Bytes& said) {
        return round.with_body(said, [](core::Bytes& body) { body.push_back(0); });
      });
    }
  }
}

TEST(Server, RefusesALayoutThatWasNotSigned) {
  expect_refused(Scheme::kMasked, 0, ErrorKind::kIo, "client-2: its layout is not the one that it signed",
                 [](InMemory& round, const core::Bytes& said) {
                   return round.with_body(said, [](core::Bytes& body) { body[0] ^= 1; });
                 });
}

TEST(Server, RefusesAnotherKeyOrCiphertextThanPromised) {
  for (const std::size_t step : {1, 3}) {
    expect_refused(Scheme::kEncrypted, step, ErrorKind::kIo,
                   step == 1 ? "got another key than it promised" : "got another ciphertext than it promised",
                   [](InMemory& round, const core::Bytes& said) {
                     return round.with_body(said, [](core::Bytes& body) { body[0] ^= 1; });
                   });
  }
}

TEST(Server, RefusesNumbersThatAreNone) {
  for (const std::size_t step : {1, 3, 4}) {
    expect_refused(Scheme::kEncrypted, step, ErrorKind::kIo, "expected one below the prime",
                   [](InMemory& round, const core::Bytes& said) {
                     return round.with_body(said, [](core::Bytes& body) { std::fill_n(body.begin(), 7, 0xFF); });
                   });
  }
}

// What a server did not refuse, the other clients do.
TEST(Server, ThatPassesOnAnotherKeyIsSeenByTheClients) {
  InMemory round(Scheme::kEncrypted, 2);
  round.step();
  std::vector<Message> keys;
  for (std::uint32_t who = 0; who < 2; ++who) {
    const auto said = *round.clients[who].receive(round.frame);
    const auto sent = who == 1 ? round.with_body(said, [](core::Bytes& body) { body[0] ^= 1; }) : said;
    Reader reader(sent, "a message");
    keys.push_back(read_message(reader));
  }
  Writer writer;
  writer.number(static_cast<std::uint64_t>(Kind::kRelay), 1);
  for (const auto& message : keys) write_relayed(writer, message);
  const auto frame = writer.take();
  expect_error([&] { return round.clients[0].receive(frame); }, ErrorKind::kIo, "client 2: got another key than it");
}

TEST(Server, GivesNoSumWithAGarbledDecryption) {
  InMemory round(Scheme::kEncrypted, 3);
  round.between = [&](std::size_t step, std::uint32_t who, core::Bytes said) -> std::optional<core::Bytes> {
    if (step != 4 || who != 1) return said;
    return round.with_body(said, [](core::Bytes& body) { body[2] ^= 0x10; });
  };
  expect_error([&] { return round.run(), 0; }, ErrorKind::kIo, "the sum does not decrypt");
  EXPECT_FALSE(round.server->done());
}

TEST(Server, GivesNoSumWithAWrongShare) {
  for (const std::size_t share : {0, 1, 2}) {  // of client 1 and 3 the self seed, of client 2 the mask seed
    InMemory round(Scheme::kMasked, 3, 2);
    round.between = [&](std::size_t step, std::uint32_t who, core::Bytes said) -> std::optional<core::Bytes> {
      if (step >= 2 && who == 1) return std::nullopt;
      if (step != 4 || who != 0) return said;
      return round.with_body(said, [&](core::Bytes& body) { body[32 * share] ^= 1; });
    };
    expect_error([&] { return round.run(), 0; }, ErrorKind::kIo, "do not fit: a client sent a wrong one");
    EXPECT_FALSE(round.server->done());
  }
}

// Who lies about its own values changes the mean, and nothing shows it unless the sum is more than there can be.
TEST(Server, GivesNoSumBeyondWhatClientsCanSend) {
  InMemory round(Scheme::kMasked, 5, 3);
  round.vectors.assign(5, {2, 0, 0, 0, 0});
  for (std::size_t i = 0; i < 5; ++i)
    round.clients[i] = Client(round.keys[i], round.roster, round.layout, round.vectors[i]);
  round.gone = [](std::size_t step, std::uint32_t who) { return (step >= 2 && who == 4) || (step >= 3 && who == 1); };
  round.between = [&](std::size_t step, std::uint32_t who, core::Bytes said) -> std::optional<core::Bytes> {
    if (step != 2 || who != 1) return said;
    Reader reader(said, "a message");
    Message message = read_message(reader);
    for (std::size_t i = 0; i < 4 && ++message.attachment[i] == 0; ++i) continue;  // one more than the highest
    Writer writer;
    write(writer, make_message(*round.heard, 1, message.body, message.attachment, round.keys[1]));
    return writer.take();
  };
  expect_error([&] { return round.run(), 0; }, ErrorKind::kIo, "a client did not keep to the protocol");
}

TEST(Server, NeedsARoster) {
  expect_error([] { return Server(Round{.threshold = 1}, Roster{}); }, ErrorKind::kUsage, "clients: got 0");
}

}  // namespace
}  // namespace pellucid::aggregation
