// A round in memory: a server and its clients, with the frames between them in the test's hands.
#pragma once

#include "pellucid/aggregation/server.h"

#include "tests/core/expect_error.h"

#include <functional>
#include <string>
#include <vector>

namespace pellucid::aggregation {

struct InMemory {
  std::vector<Key> keys;
  Roster roster;
  Layout layout = {.values = 5, .text = "five"};
  std::vector<std::vector<double>> vectors;
  std::vector<Client> clients;
  std::optional<Server> server;
  std::optional<History> heard;  // by the clients
  core::Bytes frame;             // the server's last
  // Who has gone away by a step, and hears nothing more.
  std::function<bool(std::size_t step, std::uint32_t client)> gone;
  // Changes, or withholds, what a client says.
  std::function<std::optional<core::Bytes>(std::size_t step, std::uint32_t client, core::Bytes said)> between;

  InMemory(Scheme scheme, std::size_t n, std::uint32_t threshold = 0, double range = 2) {
    for (std::size_t i = 0; i < n; ++i) {
      keys.push_back(make_key());
      roster.clients.push_back({"client-" + std::to_string(i + 1), keys[i].public_key});
      const auto x = static_cast<double>(i);
      vectors.push_back({0, 1, -1, 0.25 * x, -0.125 * x * x});
    }
    if (threshold == 0) threshold = usual_threshold(scheme, static_cast<std::uint32_t>(n));
    server.emplace(Round{.scheme = scheme, .threshold = threshold, .range = range}, roster);
    for (std::size_t i = 0; i < n; ++i) clients.emplace_back(keys[i], roster, layout, vectors[i]);
    frame = server->opening();
    heard.emplace(View(frame).subspan(1));
  }

  // One step: whoever is awaited answers; who does not is dropped.
  void step() {
    for (const auto who : server->awaited()) {
      if (gone && gone(server->step(), who)) continue;
      std::optional<core::Bytes> said = clients[who].receive(frame);
      if (between) said = between(server->step(), who, std::move(*said));
      if (said) server->receive(*said);
    }
    for (const auto who : server->awaited()) server->drop(who, "was killed");
    frame = server->advance();
    if (server->done()) return;
    Reader reader(View(frame).subspan(1), "a relay");
    std::vector<Message> messages;
    while (!reader.empty()) messages.push_back(read_relayed(reader));
    heard->add(std::move(messages));
  }

  void run() {
    while (!server->done()) step();
  }

  // The same message with another body, signed by its sender.
  [[nodiscard]] core::Bytes with_body(const core::Bytes& said, const std::function<void(core::Bytes&)>& change) const {
    Reader reader(said, "a message");
    Message message = read_message(reader);
    change(message.body);
    Writer writer;
    write(writer, make_message(*heard, message.sender, message.body, message.attachment, keys[message.sender]));
    return writer.take();
  }

  // The mean of some clients' vectors.
  [[nodiscard]] std::vector<double> mean(const std::vector<std::uint32_t>& of) const {
    std::vector<double> sum(layout.values);
    for (const auto who : of) {
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += vectors[who][i] / static_cast<double>(of.size());
    }
    return sum;
  }

  void expect_mean_of(const std::vector<std::uint32_t>& of) const {
    ASSERT_TRUE(server->done());
    EXPECT_EQ(server->added(), of);
    const auto n = static_cast<std::uint32_t>(roster.clients.size());
    const double step = FixedPoint{.range = server->round().range, .clients = n}.step();
    EXPECT_THAT(server->mean(), testing::Pointwise(testing::DoubleNear(step / 2 + 1e-14), mean(of)));
  }
};

}  // namespace pellucid::aggregation
