// Whole rounds in memory: who is in the sum, and what ends a round.
#include "tests/aggregation/in_memory.h"

#include <algorithm>
#include <limits>
#include <set>

namespace pellucid::aggregation {
namespace {

using core::ErrorKind;

constexpr Scheme kSchemes[] = {Scheme::kMasked, Scheme::kEncrypted};

TEST(Round, TheMeanIsThatOfAllClients) {
  for (const auto scheme : kSchemes) {
    InMemory round(scheme, 4);
    round.run();
    round.expect_mean_of({0, 1, 2, 3});
    EXPECT_EQ(round.server->layout()->text, "five");
    EXPECT_TRUE(round.server->dropped().empty());
    for (auto& client : round.clients) {
      EXPECT_FALSE(client.receive(round.frame));
      EXPECT_TRUE(client.done());
    }
  }
}

TEST(Round, ValuesBeyondTheRangeAreClippedAndCounted) {
  InMemory round(Scheme::kMasked, 2, 2, 0.5);
  round.vectors = {{0, 0.5, -0.5, 0, 0}, {0, 0.5, -0.5, 0.25, -0.125}};
  round.run();
  round.expect_mean_of({0, 1});
  EXPECT_EQ(round.clients[0].clipped(), 2);
}

// Of five clients one stops before each of the steps.
TEST(Round, MaskedSumsGoOnWithoutThoseThatDropOut) {
  const std::vector<std::vector<std::uint32_t>> in_sum = {
      {0, 1, 3, 4}, {0, 1, 3, 4}, {0, 1, 3, 4}, {0, 1, 2, 3, 4}, {0, 1, 2, 3, 4}};
  for (std::size_t last = 0; last < kSteps; ++last) {
    InMemory round(Scheme::kMasked, 5, 3);
    round.between = [&](std::size_t step, std::uint32_t who, core::Bytes said) -> std::optional<core::Bytes> {
      if (step >= last && who == 2) return std::nullopt;
      return said;
    };
    round.run();
    round.expect_mean_of(in_sum[last]);
    EXPECT_EQ(round.server->dropped().size(), 1U);
  }
}

TEST(Round, MaskedSumsGoOnWhileSeveralDropOutInTurn) {
  InMemory round(Scheme::kMasked, 7, 4, 8);
  round.between = [&](std::size_t step, std::uint32_t who, core::Bytes said) -> std::optional<core::Bytes> {
    if ((step >= 1 && who == 6) || (step >= 2 && who == 0) || (step >= 3 && who == 3)) return std::nullopt;
    return said;
  };
  round.run();
  round.expect_mean_of({1, 2, 3, 4, 5});
}

TEST(Round, TooFewEndIt) {
  for (const auto scheme : kSchemes) {
    for (std::size_t last = 0; last < kSteps; ++last) {
      InMemory round(scheme, 4, scheme == Scheme::kMasked ? 3 : 0);
      std::set<std::uint32_t> dead = {1};
      if (scheme == Scheme::kMasked) dead.insert(3);
      round.between = [&](std::size_t step, std::uint32_t who, core::Bytes said) -> std::optional<core::Bytes> {
        if (step >= last && dead.contains(who)) return std::nullopt;
        return said;
      };
      expect_error([&] { return round.run(), 0; }, ErrorKind::kIo, "client-2 (was killed)");
      expect_error([&] { return round.server->advance(); }, ErrorKind::kIo, "nothing was");
      EXPECT_FALSE(round.server->done());
      EXPECT_TRUE(round.server->mean().empty());
    }
  }
}

TEST(Round, MessagesNameWhatIsMissing) {
  InMemory round(Scheme::kEncrypted, 3);
  round.between = [](std::size_t step, std::uint32_t who, core::Bytes said) -> std::optional<core::Bytes> {
    if (step == 3 && who == 0) return std::nullopt;
    return said;
  };
  expect_error([&] { return round.run(), 0; }, ErrorKind::kIo,
               "encrypted updates: got 2 of 3 clients, expected all, as an encrypted sum needs: missing client-1 (was "
               "killed); nothing was decrypted, start a new round");
}

TEST(Round, SettingsAreChecked) {
  const auto refused = [](Round round, std::size_t n, const char* message) {
    expect_error([&] { return check(round, n), 0; }, ErrorKind::kUsage, message);
  };
  refused({.scheme = Scheme::kMasked, .threshold = 2}, 4, "threshold: got 2, expected 3 to 4: more than half");
  refused({.scheme = Scheme::kMasked, .threshold = 5}, 4, "threshold: got 5");
  refused({.scheme = Scheme::kEncrypted, .threshold = 3}, 4,
          "threshold: got 3, expected 4: an encrypted sum needs all");
  refused({.scheme = Scheme::kEncrypted, .threshold = 31}, 31, "clients: got 31, expected at most 30");
  refused({.scheme = Scheme::kMasked, .threshold = 2, .range = 0}, 2, "range: got 0");
  refused({.scheme = Scheme::kMasked, .threshold = 1}, 1, "clients: got 1");
  check(Round{.scheme = Scheme::kMasked, .threshold = 3}, 4);
  for (std::uint32_t n = 2; n <= 30; ++n) {
    for (const auto scheme : kSchemes) check(Round{.scheme = scheme, .threshold = usual_threshold(scheme, n)}, n);
    EXPECT_GT(3 * usual_threshold(Scheme::kMasked, n), 2 * n);
  }
}

// What a client refuses to take.
struct Told : testing::Test {
  InMemory round{Scheme::kMasked, 3, 2};

  void refused(std::uint32_t who, View frame, ErrorKind kind, const std::string& message) {
    expect_error([&] { return round.clients[who].receive(frame); }, kind, message);
  }

  // The frame with what was passed on changed.
  core::Bytes changed(const std::function<void(std::vector<Message>&)>& change) {
    std::vector<Message> step = round.heard->steps.back();
    change(step);
    Writer writer;
    writer.number(static_cast<std::uint64_t>(Kind::kRelay), 1);
    for (const auto& message : step) write_relayed(writer, message);
    return writer.take();
  }
};

TEST_F(Told, AChangedMessage) {
  round.step();
  const auto frame = changed([](auto& step) { step[1].body[40] ^= 1; });
  refused(0, frame, ErrorKind::kIo, "a message of client-2: got a signature that is not its");
}

TEST_F(Told, AMessageUnderAnotherName) {
  round.step();
  refused(0, changed([](auto& step) { step[1].sender = 2; }), ErrorKind::kIo, "a message of client-3: got a signature");
  refused(0, changed([](auto& step) { step[1].sender = 7; }), ErrorKind::kIo,
          "got one of client 8, expected one of the");
}

TEST_F(Told, TooFewOrTwiceTheSame) {
  round.step();
  refused(0, changed([](auto& step) { step.resize(1); }), ErrorKind::kIo,
          "got 1 clients after joining, expected at least");
  refused(0, changed([](auto& step) { step[1] = step[0]; }), ErrorKind::kIo, "got client-1 twice or out of order");
  refused(0, changed([](auto& step) { std::swap(step[0], step[1]); }), ErrorKind::kIo, "twice or out of order");
}

TEST_F(Told, AStepWithoutItself) {
  round.step();
  refused(0, changed([](auto& step) { step.erase(step.begin()); }), ErrorKind::kIo,
          "without this client's own message");
}

// Two valid messages of one client in one step: its own was exchanged for the other.
TEST_F(Told, AnotherMessageOfItsOwn) {
  Client again(round.keys[0], round.roster, round.layout, round.vectors[0]);
  const auto other = again.receive(round.frame);
  Reader reader(*other, "a message");
  Message message = read_message(reader);
  round.step();
  refused(0, changed([&](auto& step) { step[0] = message; }), ErrorKind::kIo, "without this client's own message");
}

TEST_F(Told, AStepBefore) {
  round.step();
  const core::Bytes first = round.frame;
  round.step();
  refused(0, first, ErrorKind::kIo,
          "a message of client-1: got step 1, expected step 2: it is late, early or sent again");
}

TEST_F(Told, FramesOutOfOrder) {
  refused(0, failure("the disk is\nfull"), ErrorKind::kIo, "the server ended the round: the disk is\\nfull");
  const core::Bytes done = {3}, unknown = {9}, relay = {2}, none = {};
  for (const auto& frame : {done, unknown, relay}) refused(0, frame, ErrorKind::kIo, "expected what the protocol has");
  refused(0, none, ErrorKind::kIo, "the server's frame: got 0 more bytes, expected 1: it is truncated");
  (void)round.clients[0].receive(round.frame);
  refused(0, round.frame, ErrorKind::kIo, "got kind 1 in step 1");
  refused(0, done, ErrorKind::kIo, "got kind 3 in step 1");
}

TEST_F(Told, TruncatedFrames) {
  for (std::size_t size = 0; size < round.frame.size(); ++size)
    refused(0, View(round.frame).first(size), ErrorKind::kIo, "it is truncated");
  round.step();
  const std::size_t message = (round.frame.size() - 1) / 3;
  for (std::size_t size = 2; size < round.frame.size(); ++size) {
    if (size == 1 + 2 * message) continue;  // two whole messages: as if the third client had dropped out
    try {
      (void)Client(round.clients[0]).receive(View(round.frame).first(size));
      ADD_FAILURE() << size;
    } catch (const core::Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kIo);
    }
  }
}

TEST_F(Told, OfAnotherRoster) {
  Roster other = round.roster;
  other.clients[2].key = make_key().public_key;
  Client client(round.keys[0], other, round.layout, round.vectors[0]);
  expect_error([&] { return client.receive(round.frame); }, ErrorKind::kUsage, "the server has another roster");
}

TEST_F(Told, SettingsThatHideLess) {
  Round weak = round.server->round();
  weak.threshold = 1;
  Writer writer;
  writer.number(static_cast<std::uint64_t>(Kind::kOpening), 1).raw(weak.bytes());
  refused(0, writer.take(), ErrorKind::kUsage, "threshold: got 1");
  core::Bytes unknown = round.frame;
  unknown[1] = 9;
  refused(0, unknown, ErrorKind::kIo, "got scheme 9, expected 1 or 2");
}

TEST_F(Told, AnUpdateOfAnotherLayout) {
  Layout other = round.layout;
  other.text = "six";
  round.clients[1] = Client(round.keys[1], round.roster, other, round.vectors[1]);
  round.between = [&](std::size_t, std::uint32_t who, core::Bytes said) -> std::optional<core::Bytes> {
    if (who == 1) {
      expect_error([&] { return round.server->receive(said); }, ErrorKind::kModel,
                   "client-2: its update is of another network or protocol than that of client-1");
      return std::nullopt;
    }
    return said;
  };
  round.step();
  // A server that does not see to it.
  Client third(round.keys[2], round.roster, other, round.vectors[2]);
  expect_error(
      [&] {
        (void)third.receive(round.server->opening());
        return third.receive(round.frame);
      },
      ErrorKind::kModel, "client-1 has an update of another network or protocol");
}

// Client 3 sent no shares, and helps a server that wants it in the sum nevertheless.
TEST_F(Told, ThatSomebodyIsBack) {
  round.between = [](std::size_t step, std::uint32_t who, core::Bytes said) -> std::optional<core::Bytes> {
    if (step == 1 && who == 2) return std::nullopt;
    return said;
  };
  round.step();
  round.step();
  const Message back = make_message(*round.heard, 2, {}, {}, round.keys[2]);
  round.step();
  refused(0, changed([&](auto& step) { step.push_back(back); }), ErrorKind::kIo,
          "got client-3, which had dropped out before");
}

// The heart of it: a server that tells one client that another is in the sum, and a second that it is not, would get
// both shares of its secrets. The clients' signatures on the next step do not agree, so none says another word.
TEST(Round, NobodyRevealsBothSecretsOfAClient) {
  InMemory round(Scheme::kMasked, 4, 3);
  round.step();
  round.step();
  std::vector<core::Bytes> masked;
  for (std::uint32_t who = 0; who < 4; ++who) masked.push_back(*round.clients[who].receive(round.frame));
  const auto relay = [&](const std::vector<std::uint32_t>& senders, const std::vector<core::Bytes>& said) {
    Writer writer;
    writer.number(static_cast<std::uint64_t>(Kind::kRelay), 1);
    for (const auto who : senders) {
      Reader reader(said[who], "a message");
      write_relayed(writer, read_message(reader));
    }
    return writer.take();
  };
  // To 1 and 2: all are in the sum. To 3 and 4: the second is not.
  std::vector<core::Bytes> agreed(4);
  agreed[0] = *round.clients[0].receive(relay({0, 1, 2, 3}, masked));
  agreed[1] = *round.clients[1].receive(relay({0, 1, 2, 3}, masked));
  agreed[2] = *round.clients[2].receive(relay({0, 2, 3}, masked));
  agreed[3] = *round.clients[3].receive(relay({0, 2, 3}, masked));
  expect_error(
      [&] {
        return round.clients[0].receive(relay({0, 1, 2}, agreed));
      },
      ErrorKind::kIo, "a message of client-3: got a signature that is not its on this message in this round");
  expect_error(
      [&] {
        return round.clients[2].receive(relay({0, 2, 3}, agreed));
      },
      ErrorKind::kIo, "a message of client-1: got a signature");
  expect_error(
      [&] {
        return round.clients[2].receive(relay({2, 3}, agreed));
      },
      ErrorKind::kIo, "got 2 clients after agreement, expected at least 3");
}

// A client makes one partial decryption in its life, whatever it is sent.
TEST(Round, NobodyDecryptsTwice) {
  InMemory round(Scheme::kEncrypted, 2);
  for (int i = 0; i < 4; ++i) round.step();
  ASSERT_TRUE(round.clients[0].receive(round.frame));
  expect_error([&] { return round.clients[0].receive(round.frame); }, ErrorKind::kIo, "got kind 2 in step 5");
}

}  // namespace
}  // namespace pellucid::aggregation
