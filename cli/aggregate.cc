// pellucid aggregate: the sum of several clients' updates, of which nobody sees one.
#include "pellucid/sharing/aggregate.h"

#include "pellucid/aggregation/session.h"
#include "pellucid/core/error.h"
#include "pellucid/core/memory.h"
#include "pellucid/core/text.h"

#include "cli/settings.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

#include <memory>

namespace pellucid::cli {
namespace {

constexpr const char* kRoster = "the clients: a line NAME PUBLIC-KEY for each; the name server is the server's";
constexpr double kLongest = 1e6;  // seconds to wait

std::string required(const std::string& flag, const std::string& value, const char* expected) {
  if (value.empty()) throw core::Error(core::ErrorKind::kUsage, "{}: got none, expected {}", flag, expected);
  return value;
}

struct MakeKey {
  Common common;
  std::string out;
  Settings settings;

  explicit MakeKey(CLI::App& app) : settings(app) {
    settings.add({"", {core::field("out", out, "file for the key; only its owner may read it")}}, "What");
    settings.add({"", cli::fields(common), /*recorded=*/false}, "Common");
  }

  void run() {
    settings.apply();
    const auto key = aggregation::make_key();
    aggregation::save_key(key, required("--out", out, "a file for the key"));
    const std::string shown = aggregation::hex(key.public_key);
    if (!print_json(common, {{"schema", "pellucid.aggregate-key/1"}, {"key", out}, {"public", shown}}))
      say("{}\n", shown);
  }
};

struct Serve {
  Common common;
  std::string roster, listen, key, out = "sum.safetensors";
  aggregation::Scheme scheme = aggregation::Scheme::kMasked;
  std::int64_t threshold = 0;
  double range = 8, timeout = 60;
  Settings settings;

  explicit Serve(CLI::App& app) : settings(app) {
    settings.add(
        {"",
         {core::field("roster", roster, kRoster),
          core::field("scheme", scheme,
                      "masked: clients may drop out; encrypted: all are needed, and the server and all but one "
                      "of them together learn no more than the sum",
                      {{"masked", aggregation::Scheme::kMasked}, {"encrypted", aggregation::Scheme::kEncrypted}}),
          core::field("listen", listen, "where: unix:PATH, or HOST:PORT by TLS; port 0 is any"),
          core::field("key", key, "the server's key, which TLS needs; none is none"),
          core::field("threshold", threshold,
                      "clients that a masked sum needs, more than half; 0 is two thirds and one", 0,
                      aggregation::kMostClients),
          core::field("range", range, "what each value is limited to, to both sides", 0),
          core::field("timeout", timeout, "seconds that a client may take in a step", 0, kLongest),
          core::field("out", out, "file for the mean of the clients' updates")}},
        "What");
    settings.add({"", cli::fields(common), /*recorded=*/false}, "Common");
  }

  void run() {
    settings.apply();
    const core::Run run = make_run(common);
    const auto who = aggregation::load_roster(required("--roster", roster, "the file of the clients' keys"));
    const aggregation::Address address(required("--listen", listen, "unix:PATH or HOST:PORT"));
    required("--out", out, "a file for the mean");
    const auto own = key.empty() ? std::nullopt : std::optional(aggregation::load_key(key));
    if (own && who.server != own->public_key) {
      throw core::Error(core::ErrorKind::kUsage,
                        "--key: got a key that is not the server's in the roster: expected a "
                        "line \"server {}\" there",
                        aggregation::hex(own->public_key));
    }
    const auto n = static_cast<std::uint32_t>(who.clients.size());
    aggregation::Server server(
        {.scheme = scheme,
         .threshold = threshold == 0 ? aggregation::usual_threshold(scheme, n) : static_cast<std::uint32_t>(threshold),
         .range = range},
        who);
    aggregation::Listener listener(address, own);
    if (!common.quiet) remark("waiting for {} clients at {}\n", n, listener.text());
    const auto traffic = aggregation::serve(server, listener, timeout, run);
    const auto added = server.added();
    const double step = aggregation::FixedPoint{.range = range, .clients = n}.step();
    sharing::save_mean(
        server.layout()->text, server.mean(),
        {.clients = static_cast<std::int64_t>(added.size()), .range = range, .scheme = to_string(scheme), .step = step},
        out);
    print(server, added, step, traffic);
  }

  void print(const aggregation::Server& server, const std::vector<std::uint32_t>& added, double step,
             const aggregation::Traffic& traffic) {
    const auto name = [&](std::uint32_t who) { return server.roster().clients[who].name; };
    core::Json in_sum = core::Json::array(), dropped = core::Json::array();
    for (const auto who : added) in_sum.push_back(name(who));
    for (const auto& [who, why] : server.dropped()) dropped.push_back({{"client", name(who)}, {"why", why}});
    const core::Json result = {{"schema", "pellucid.aggregate/1"},
                               {"config", settings.resolved()},
                               {"update", out},
                               {"scheme", to_string(scheme)},
                               {"threshold", server.round().threshold},
                               {"values", server.mean().size()},
                               {"step", step},
                               {"clients", in_sum},
                               {"dropped", dropped},
                               {"refused", traffic.refused},
                               {"received_bytes", traffic.received},
                               {"sent_bytes", traffic.sent},
                               {"seconds", traffic.seconds}};
    if (print_json(common, result)) return;
    say("the mean of {} of {} clients, {} values, {}: {}\n", added.size(), server.roster().clients.size(),
        server.mean().size(), to_string(scheme), core::printable(out, 4096));
    for (const auto& row : dropped) {
      say("{} dropped out: {}\n", core::printable(row["client"].get<std::string>()),
          core::printable(row["why"].get<std::string>(), 400));
    }
    for (const auto& why : traffic.refused) say("refused a connection: {}\n", core::printable(why, 400));
    say("{} received, {} sent, in {:.2f} s; a value is off by at most {:.2g}\n", core::format_bytes(traffic.received),
        core::format_bytes(traffic.sent), traffic.seconds, step / 2);
    if (added.size() == 2)
      say("Note: of two clients each learns the other's update from the mean: it is twice the mean less its own.\n");
  }
};

struct Join {
  Common common;
  std::string update, server, key, roster;
  double timeout = 300;
  Settings settings;

  explicit Join(CLI::App& app) : settings(app) {
    app.add_option("update", update, "the update, as `pellucid capture` writes it")->required()->option_text("UPDATE");
    settings.add({"",
                  {core::field("server", server, "where the server is: unix:PATH or HOST:PORT"),
                   core::field("key", key, "this client's key"), core::field("roster", roster, kRoster),
                   core::field("timeout", timeout, "seconds to wait for the server, and for all clients in each step",
                               0, kLongest)}},
                 "What");
    settings.add({"", cli::fields(common), /*recorded=*/false}, "Common");
  }

  void run() {
    settings.apply();
    const core::Run run = make_run(common);
    const aggregation::Address address(required("--server", server, "unix:PATH or HOST:PORT"));
    const auto who = aggregation::load_roster(required("--roster", roster, "the file of the clients' keys"));
    const auto own = aggregation::load_key(required("--key", key, "this client's key"));
    auto flat = sharing::read_flat(update);
    const std::size_t values = flat.values.size();
    aggregation::Client client(own, who, {.values = values, .text = std::move(flat.layout)}, std::move(flat.values));
    const auto traffic = aggregation::join(client, address, who.server, timeout, run);
    const core::Json result = {{"schema", "pellucid.aggregate-join/1"},
                               {"config", settings.resolved()},
                               {"update", update},
                               {"client", who.clients[who.place(own.public_key)].name},
                               {"scheme", to_string(client.round()->scheme)},
                               {"threshold", client.round()->threshold},
                               {"range", client.round()->range},
                               {"values", values},
                               {"clipped", client.clipped()},
                               {"sent_bytes", traffic.sent},
                               {"received_bytes", traffic.received},
                               {"seconds", traffic.seconds}};
    if (print_json(common, result)) return;
    say("{} values added, {}: {} sent, {} received, in {:.2f} s\n", values, to_string(client.round()->scheme),
        core::format_bytes(traffic.sent), core::format_bytes(traffic.received), traffic.seconds);
    if (client.clipped() > 0)
      say("Note: {} values are beyond {} and were limited to it.\n", client.clipped(), client.round()->range);
  }
};

template <typename Verb>
void add_step(CLI::App& verb, const char* name, const char* help) {
  auto* command = verb.add_subcommand(name, help);
  auto settings = std::make_shared<Verb>(*command);
  command->callback([settings] { settings->run(); });
}

}  // namespace

void add_aggregate(CLI::App& app) {
  auto* verb = app.add_subcommand("aggregate",
                                  "Adds up several clients' updates so that nobody sees one: masked, "
                                  "encrypted");
  verb->require_subcommand(1);
  verb->footer("\nUnaudited: it is here to measure what such sums cost and still show.");
  add_step<MakeKey>(*verb, "key", "Makes a key for a client or the server, and prints its public part");
  add_step<Serve>(*verb, "serve", "Waits for the clients of a roster and writes the mean of their updates");
  add_step<Join>(*verb, "join", "Adds an update as one client of a roster");
}

}  // namespace pellucid::cli
