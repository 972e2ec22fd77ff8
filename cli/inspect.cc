// pellucid inspect: what an update says before any attack, in about a second.
#include "pellucid/inversion/inspect.h"

#include "pellucid/core/text.h"
#include "pellucid/sharing/formats.h"

#include "cli/network.h"
#include "cli/settings.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include <fmt/ranges.h>

#include <memory>

namespace pellucid::cli {
namespace {

struct Inspect {
  Common common;
  std::string update, model;
  nets::Foreign foreign;
  Settings settings;

  explicit Inspect(CLI::App& app) : settings(app) {
    app.add_option("update", update, "update file, as `pellucid capture` writes it")->required()->option_text("UPDATE");
    app.add_option("--model", model, "weight file of the network that the client was given")
        ->required()
        ->option_text("MODEL");
    settings.add({"", cli::fields(foreign)}, "Weights of PyTorch");
    settings.add({"", cli::fields(common), /*recorded=*/false}, "Common");
  }

  void run() {
    settings.apply();
    static_cast<void>(make_run(common));
    const auto network = cli::load_network(model, foreign);
    const auto observation = sharing::load_observation(update, network);
    const auto found = inversion::inspect(observation);
    core::Json result = inversion::to_json(found);
    result["schema"] = "pellucid.inspection/1";
    result["observation"] = sharing::describe(observation);
    if (!print_json(common, result)) print(observation, found);
  }

  static void print(const sharing::Observation& observation, const inversion::Inspection& found) {
    say("{}\n", sharing::describe(observation));
    for (const auto& cause : found.update) say("Note: {}\n", cause.sentence);
    for (const auto& cause : found.network) say("Warning: {}\n", cause.sentence);

    say("\n{}\n", bold("Labels"));
    std::vector<std::vector<std::string>> labels = {{"strategy", "labels"}};
    for (const auto& read : found.labels)
      labels.push_back({read.strategy, read.lacks.empty() ? named(observation, read.labels) : read.lacks});
    print_table(labels, Columns::kText);

    say("\n{}\n", bold("Images that a linear layer's gradient holds apart"));
    std::vector<std::vector<std::string>> layers = {{"layer", "images", "above the rounding by"}};
    for (const auto& l : found.layers) {
      if (l.gap > 0)
        layers.push_back({l.name, fmt::format("{} of {}", l.images, observation.update.protocol.batch_size),
                          fmt::format("{:.3g} times", l.gap)});
      else
        layers.push_back({l.name, "-", fmt::format("cannot be said: its rank is at most {}", l.bound)});
    }
    if (layers.size() > 1)
      print_table(layers, Columns::kText);
    else
      say("The network has no linear layer.\n");

    say("\n{}\n", bold("Attacks"));
    std::vector<std::vector<std::string>> attacks = {{"attack", "threat model", "applies"}};
    for (const auto& attack : found.attacks)
      attacks.push_back({attack.preset, attack.threat_model, attack.lacks.empty() ? "yes" : "no: " + attack.lacks});
    print_table(attacks, Columns::kText);

    say("\n{}\n", bold("Update"));
    std::vector<std::vector<std::string>> parameters = {{"parameter", "values", "norm", "zeros, %"}};
    for (const auto& p : found.parameters)
      parameters.push_back(
          {p.name, std::to_string(p.values), fmt::format("{:.3e}", p.norm), fmt::format("{:.1f}", 100 * p.zeros)});
    parameters.push_back({"all", "", fmt::format("{:.3e}", found.norm), ""});
    print_table(parameters);
  }

  // The labels, by the classes' names where there are any.
  static std::string named(const sharing::Observation& observation, const std::vector<std::int64_t>& labels) {
    std::vector<std::string> names;
    const auto& classes = observation.network.classes;
    for (const auto label : labels)
      names.push_back(classes.empty() ? std::to_string(label)
                                      : core::printable(classes.at(static_cast<std::size_t>(label)), 24));
    return fmt::format("{}", fmt::join(names, ", "));
  }
};

}  // namespace

void add_inspect(CLI::App& app) {
  auto* verb = app.add_subcommand("inspect", "Says, before any attack, what an update shows and which attacks apply");
  auto inspect = std::make_shared<Inspect>(*verb);
  verb->callback([inspect] { inspect->run(); });
}

}  // namespace pellucid::cli
