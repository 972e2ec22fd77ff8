// Rounds over sockets, in threads; processes are in tests/cli/aggregate_test.py.
#include "pellucid/aggregation/session.h"

#include "pellucid/core/stop.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmath>
#include <future>
#include <thread>

namespace pellucid::aggregation {
namespace {

using core::ErrorKind;

struct Party {
  std::vector<Key> keys;
  Key server_key = make_key();
  Roster roster;
  Layout layout = {.values = 30'000, .text = "numbers"};

  explicit Party(std::size_t n) {
    roster.server = server_key.public_key;
    for (std::size_t i = 0; i < n; ++i) {
      keys.push_back(make_key());
      roster.clients.push_back({"client-" + std::to_string(i + 1), keys[i].public_key});
    }
  }

  [[nodiscard]] Client client(std::size_t i) const {
    return {keys[i], roster, layout, std::vector<double>(layout.values, 0.25 * static_cast<double>(i))};
  }

  [[nodiscard]] std::future<Traffic> joining(std::size_t i, const std::string& address, double timeout = 20) const {
    return std::async(std::launch::async, [this, i, address, timeout] {
      Client one = client(i);
      return join(one, Address(address), roster.server, timeout, {});
    });
  }
};

TEST(Session, ClientsMeetOverAUnixSocketAndOverTls) {
  const core::Folder folder;
  for (const std::string& where : {"unix:" + (folder / "socket").string(), std::string("127.0.0.1:0")}) {
    for (const auto scheme : {Scheme::kMasked, Scheme::kEncrypted}) {
      const Party party(3);
      Server server({.scheme = scheme, .threshold = 3, .range = 1}, party.roster);
      Listener listener(Address(where), party.server_key);
      std::vector<std::future<Traffic>> clients;
      for (std::size_t i = 0; i < 3; ++i) clients.push_back(party.joining(i, listener.text()));
      const Traffic traffic = serve(server, listener, 20, {});
      std::uint64_t sent = 0;
      for (auto& client : clients) sent += client.get().sent;
      EXPECT_EQ(traffic.received, sent);
      EXPECT_EQ(server.added().size(), 3U);
      EXPECT_NEAR(server.mean()[17], 0.25, 1e-8);
      EXPECT_TRUE(traffic.refused.empty());
    }
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "socket"));
}

TEST(Session, AClientThatStaysAwayIsWaitedForAndLeftOut) {
  const core::Folder folder;
  const std::string where = "unix:" + (folder / "socket").string();
  const Party party(3);
  Server server({.scheme = Scheme::kMasked, .threshold = 2, .range = 1}, party.roster);
  Listener listener(Address(where), std::nullopt);
  auto first = party.joining(0, where), second = party.joining(1, where);
  (void)serve(server, listener, 1, {});
  (void)first.get();
  (void)second.get();
  EXPECT_EQ(server.added(), (std::vector<std::uint32_t>{0, 1}));
  EXPECT_EQ(server.dropped().at(2), "sent nothing for 1 s");
}

TEST(Session, ClientsAreToldWhyARoundFailed) {
  const core::Folder folder;
  const std::string where = "unix:" + (folder / "socket").string();
  const Party party(3);
  Server server({.scheme = Scheme::kEncrypted, .threshold = 3, .range = 1}, party.roster);
  Listener listener(Address(where), std::nullopt);
  auto first = party.joining(0, where);
  expect_error(
      [&] { return serve(server, listener, 0.5, {}); }, ErrorKind::kIo,
      "joining: got 1 of 3 clients, expected all, as an encrypted sum needs: missing client-2 (sent nothing for "
      "0.5 s), client-3");
  expect_error([&] { return first.get(); }, ErrorKind::kIo, "the server ended the round: joining: got 1 of 3 clients");
}

TEST(Session, ASecondServerIsRefusedAndADeadOneReplaced) {
  const core::Folder folder;
  const Address where("unix:" + (folder / "socket").string());
  {
    const Listener first(where, std::nullopt);
    expect_error([&] { return Listener(where, std::nullopt).text(); }, ErrorKind::kIo, "cannot listen");
    EXPECT_TRUE(std::filesystem::exists(folder / "socket"));
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::ranges::copy(where.path, address.sun_path);
  const int dead = ::socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(::bind(dead, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ::close(dead);
  EXPECT_EQ(Listener(where, std::nullopt).text(), where.text());
}

TEST(Session, AnotherServerIsNotTakenForIt) {
  Party party(2);
  Server server({.scheme = Scheme::kMasked, .threshold = 2, .range = 1}, party.roster);
  const Listener listener(Address("127.0.0.1:0"), make_key());
  auto one = party.joining(0, listener.text());
  std::thread other([&] {
    expect_error([&] { return serve(server, const_cast<Listener&>(listener), 2, {}); }, ErrorKind::kIo, "got 0 of 2");
  });
  expect_error([&] { return one.get(); }, ErrorKind::kIo, "TLS: the server has another key than the roster's");
  other.join();
}

TEST(Session, WhatIsMissingIsSaid) {
  const Party party(2);
  Roster without = party.roster;
  without.server.reset();
  Client one = party.client(0);
  expect_error([&] { return join(one, Address("127.0.0.1:1"), without.server, 1, {}); }, ErrorKind::kUsage,
               "127.0.0.1:1: the roster has no key of the server");
  expect_error([] { return Listener(Address("127.0.0.1:0"), std::nullopt).text(); }, ErrorKind::kUsage,
               "got no key of the server");
  expect_error([&] { return join(one, Address("unix:/nowhere/at/all"), std::nullopt, 0.1, {}); }, ErrorKind::kIo,
               "got no server within 0.1 s");
  expect_error([] { return Listener(Address("unix:/nowhere/at/all"), std::nullopt).text(); }, ErrorKind::kIo,
               "cannot listen: No such file");
  expect_error([] { return Listener(Address("unix:" + std::string(200, 'x')), std::nullopt).text(); }, ErrorKind::kIo,
               "expected at most 107 for a Unix socket");
  expect_error([&] { return Listener(Address("no.such.host.invalid:1"), party.server_key).text(); }, ErrorKind::kIo,
               "no.such.host.invalid:1: ");
  for (const char* text : {"", "unix:", "host", "host:", ":1"})
    expect_error([&] { return Address(text).text(); }, ErrorKind::kUsage, "expected unix:PATH or HOST:PORT");
  EXPECT_EQ(Address("[::1]:80").host, "::1");
  EXPECT_EQ(Address("[::1]:80").text(), "[::1]:80");
}

// Bytes from somebody who is no client.
void expect_stranger_refused(const core::Bytes& bytes, const std::string& message) {
  const core::Folder folder;
  const std::string where = "unix:" + (folder / "socket").string();
  const Party party(2);
  Server server({.scheme = Scheme::kMasked, .threshold = 2, .range = 1}, party.roster);
  Listener listener(Address(where), std::nullopt);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::ranges::copy(where.substr(5), address.sun_path);
  const int stranger = ::socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(::connect(stranger, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::write(stranger, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  auto first = party.joining(0, where),
       second = std::async(std::launch::async, [&] {
         std::this_thread::sleep_for(std::chrono::milliseconds(300));  // the stranger is first
         Client one = party.client(1);
         return join(one, Address(where), std::nullopt, 20, {});
       });
  const Traffic traffic = serve(server, listener, 20, {});
  (void)first.get();
  (void)second.get();
  EXPECT_EQ(server.added().size(), 2U);
  EXPECT_THAT(traffic.refused, testing::ElementsAre(testing::HasSubstr(message)));
  ::close(stranger);
}

TEST(Session, StrangersChangeNothing) {
  const core::Bytes head = {'P', 'A', 'G', 1};
  core::Bytes http = {'G', 'E', 'T', ' '};
  expect_stranger_refused(http, "got bytes that are no frame");
  expect_stranger_refused({'P', 'A', 'G', 2}, "expected version 1");
  core::Bytes large = head;
  large.resize(12, 0x7F);
  expect_stranger_refused(large, "got a frame of 9187201950435737471 bytes, expected at most");
  core::Bytes empty = head;
  empty.resize(12, 0);
  expect_stranger_refused(empty, "it is truncated");
}

TEST(Session, StopsOnRequest) {
  const core::Folder folder;
  const std::string where = "unix:" + (folder / "socket").string();
  const Party party(2);
  Server server({.scheme = Scheme::kMasked, .threshold = 2, .range = 1}, party.roster);
  Listener listener(Address(where), std::nullopt);
  std::thread later([] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    core::request_stop();
  });
  expect_error([&] { return serve(server, listener, 20, {}); }, ErrorKind::kStopped, "the server was stopped");
  later.join();
  Client one = party.client(0);
  expect_error([&] { return join(one, Address(where), std::nullopt, 20, {}); }, ErrorKind::kStopped,
               "this client was stopped");
  core::request_stop(false);
}

}  // namespace
}  // namespace pellucid::aggregation
