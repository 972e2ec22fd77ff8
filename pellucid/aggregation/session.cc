#include "pellucid/aggregation/session.h"

#include "pellucid/core/error.h"
#include "pellucid/core/stop.h"

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <list>
#include <thread>

namespace pellucid::aggregation {
namespace {

using core::Error;
using core::ErrorKind;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kMiB = 1 << 20;
constexpr std::size_t kStrangers = 64;  // connections that nobody has joined by, at once
constexpr double kFlush = 5;            // seconds for the last frames

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

void throw_if_stopped(const char* who) {
  if (core::stop_requested())
    throw Error(ErrorKind::kStopped, "{} was stopped: the round is over and nothing of it is kept; start a new one",
                who);
}

std::shared_ptr<const core::Bytes> shared(core::Bytes bytes) {
  return std::make_shared<const core::Bytes>(std::move(bytes));
}

struct Connection {
  Channel channel;
  std::optional<std::uint32_t> who = {};
  bool over = false;
};

class Serving {
 public:
  Serving(Server& server, Listener& listener, double timeout, const core::Run& run)
      : server_(server), listener_(listener), timeout_(timeout), run_(run) {}

  Traffic run() {
    try {
      while (!server_.done()) step();
    } catch (const Error& error) {
      tell_all(shared(failure(error.what())));
      throw;
    }
    for (const auto& connection : connections_) count(connection);
    traffic_.seconds = since(first_);
    return std::move(traffic_);
  }

 private:
  void step() {
    const auto start = Clock::now();
    drop_lost();
    while (!server_.awaited().empty() && since(start) < timeout_) {
      report();
      wait();
      throw_if_stopped("the server");
      accept();
      for (auto& connection : connections_) serve(connection);
      std::erase_if(connections_, [](const Connection& c) { return c.over && !c.channel.sending(); });
      if (server_.step() > 0) drop_lost();
    }
    for (const auto who : server_.awaited()) server_.drop(who, fmt::format("sent nothing for {} s", timeout_));
    tell_all(shared(server_.advance()));
  }

  // In later steps, who has no connection any more.
  void drop_lost() {
    if (server_.step() == 0) return;
    for (const auto who : server_.awaited()) {
      const auto lost = lost_.find(who);
      if (lost != lost_.end()) server_.drop(who, lost->second);
    }
  }

  void wait() {
    std::vector<pollfd> all = {{.fd = listener_.descriptor(), .events = POLLIN, .revents = 0}};
    for (const auto& connection : connections_) {
      const short events = static_cast<short>(POLLIN | (connection.channel.sending() ? POLLOUT : 0));
      all.push_back({.fd = connection.channel.descriptor(), .events = events, .revents = 0});
    }
    ::poll(all.data(), all.size(), 100);
  }

  void accept() {
    while (auto channel = listener_.accept()) {
      const auto strangers = std::ranges::count_if(connections_, [](const Connection& c) { return !c.who; });
      if (static_cast<std::size_t>(strangers) >= kStrangers) continue;
      channel->send(shared(server_.opening()));
      connections_.push_back({.channel = std::move(*channel)});
    }
  }

  void serve(Connection& connection) {
    if (connection.over) return connection.channel.pump();
    try {
      connection.channel.pump();
      const std::uint64_t limit =
          connection.who ? 4 * kMiB + 64 * server_.layout()->values : 16 * kMiB;  // of a layout: its text
      while (const auto frame = connection.channel.next(limit)) {
        const auto who = server_.receive(*frame);
        if (!connection.who) {
          connection.who = who;
          lost_.erase(who);
        }
        if (traffic_.received == 0 && first_ == Clock::time_point()) first_ = Clock::now();
      }
    } catch (const Error& error) {
      lose(connection, error.what());
    }
  }

  void lose(Connection& connection, const std::string& why) {
    count(connection);
    connection.over = true;
    connection.channel.send(shared(failure(why)));
    connection.channel.pump();
    if (!connection.who) {
      if (connection.channel.received() > 0 || why.find("the connection ended") == std::string::npos)
        traffic_.refused.push_back(why);
      return;
    }
    lost_[*connection.who] = why;
    if (server_.step() == 0) server_.forget_join(*connection.who);
  }

  void count(const Connection& connection) {
    traffic_.received += connection.channel.received();
    traffic_.sent += connection.channel.sent();
  }

  // The frame goes to all that are in the round, that it failed to all that are there; the last ones are given time.
  void tell_all(const std::shared_ptr<const core::Bytes>& frame) {
    const bool failed = static_cast<Kind>(frame->front()) == Kind::kFailed, last = failed || server_.done();
    for (auto& connection : connections_) {
      if (connection.over || !(connection.who || failed)) continue;
      connection.channel.send(frame);
      connection.channel.pump();
    }
    const auto sending = [](const Connection& c) { return c.channel.sending(); };
    for (const auto start = Clock::now();
         last && since(start) < kFlush && std::ranges::any_of(connections_, sending);) {
      wait();
      for (auto& connection : connections_) connection.channel.pump();
    }
  }

  void report() const {
    const auto total = static_cast<std::int64_t>(server_.roster().clients.size());
    const auto awaited = static_cast<std::int64_t>(server_.awaited().size());
    run_.report({.task = "aggregate",
                 .done = total - awaited,
                 .total = total,
                 .unit = "clients",
                 .note = step_name(server_.round().scheme, server_.step())});
  }

  Server& server_;
  Listener& listener_;
  double timeout_;
  const core::Run& run_;
  std::list<Connection> connections_;
  std::map<std::uint32_t, std::string> lost_;  // clients whose connection is gone, and why
  Traffic traffic_;
  Clock::time_point first_;
};

}  // namespace

Traffic serve(Server& server, Listener& listener, double timeout, const core::Run& run) {
  return Serving(server, listener, timeout, run).run();
}

Traffic join(Client& client, const Address& address, const std::optional<PublicKey>& server, double timeout,
             const core::Run& run) {
  auto start = Clock::now();
  std::optional<Channel> channel;
  while (!(channel = connect(address, server))) {
    throw_if_stopped("this client");
    if (since(start) > timeout)
      throw Error(ErrorKind::kIo, "{}: got no server within {} s, expected `pellucid aggregate serve`", address.text(),
                  timeout);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  const auto begin = Clock::now();
  start = begin;
  while (!client.done()) {
    throw_if_stopped("this client");
    if (since(start) > timeout) {
      throw Error(ErrorKind::kIo, "{}: got nothing from the server for {} s, expected what follows step {}",
                  address.text(), timeout, client.step() + 1);
    }
    run.report({.task = "aggregate",
                .done = static_cast<std::int64_t>(client.step()),
                .total = kSteps,
                .unit = "steps",
                .note = client.round() ? step_name(client.round()->scheme, client.step()) : "waiting for the round"});
    pollfd one = {.fd = channel->descriptor(),
                  .events = static_cast<short>(POLLIN | (channel->sending() ? POLLOUT : 0)),
                  .revents = 0};
    ::poll(&one, 1, 100);
    channel->pump();
    while (!client.done()) {
      std::optional<core::Bytes> frame;
      try {
        frame = channel->next(std::uint64_t{1} << 34);
      } catch (Error& error) {
        throw error.add_context(address.text());
      }
      if (!frame) break;
      start = Clock::now();
      if (auto answer = client.receive(*frame)) channel->send(shared(std::move(*answer)));
    }
  }
  return {.received = channel->received(), .sent = channel->sent(), .seconds = since(begin), .refused = {}};
}

}  // namespace pellucid::aggregation
