// pellucid privacy: what differential privacy guarantees, how much noise it takes, and what a claim really is.
#include "pellucid/core/error.h"
#include "pellucid/privacy/claim.h"
#include "pellucid/privacy/gaussian.h"
#include "pellucid/privacy/loss_distribution.h"
#include "pellucid/privacy/noise.h"
#include "pellucid/privacy/reconstruction.h"
#include "pellucid/privacy/renyi.h"

#include "cli/settings.h"
#include "cli/terminal.h"
#include "cli/verbs.h"

#include <algorithm>
#include <cmath>
#include <memory>

namespace pellucid::cli {
namespace {

constexpr const char* kDelta = "the probability with which the guarantee may fail: less than one over the records";
constexpr const char* kRate = "the probability with which a step takes an example, such as 256/60000; 1 takes all";

std::string shown(double x) { return fmt::format("{:.5g}", x); }

core::Json result_of(const Settings& settings, core::Json result) {
  core::Json whole = {{"schema", "pellucid.privacy/1"}, {"config", settings.resolved()}};
  whole.update(result);
  return whole;
}

// Phases by lists, of which one value stands for all.
privacy::Phases phases_of(const std::vector<double>& rate, const std::vector<double>& noise,
                          const std::vector<std::int64_t>& steps) {
  const std::size_t n = std::max({rate.size(), noise.size(), steps.size()});
  const auto check = [n](const char* flag, std::size_t size) {
    if (size == 1 || (size == n && n > 0)) return;
    throw core::Error(core::ErrorKind::kUsage, "{}: got {} values, expected one{}", flag, size,
                      n > 1 ? fmt::format(", or {} as of the longest list", n) : "");
  };
  check("--rate", rate.size());
  check("--noise", noise.size());
  check("--steps", steps.size());
  privacy::Phases phases;
  const auto at = [](const auto& values, std::size_t i) { return values[values.size() == 1 ? 0 : i]; };
  for (std::size_t i = 0; i < n; ++i) phases.push_back({at(rate, i), at(noise, i), at(steps, i)});
  return phases;
}

struct Epsilon {
  Common common;
  std::vector<double> rate = {1}, noise;
  std::vector<std::int64_t> steps;
  double delta = 1e-5;
  Settings settings;

  explicit Epsilon(CLI::App& app) : settings(app) {
    settings.add({"",
                  {core::field("rate", rate, kRate, 0, 1),
                   core::field("noise", noise, "the noise multiplier: standard deviation over clipping norm", 0, 1e100),
                   core::field("steps", steps, "steps of the optimiser, not epochs", 1, 1'000'000'000'000),
                   core::field("delta", delta, kDelta, 0, 1)}},
                 "What");
    settings.add({"", cli::fields(common), /*recorded=*/false}, "Common");
    app.footer(
        "\nWhat changes over time is a list: --noise 1.5,1.2 --steps 1000,500 are 1000 steps with 1.5, then 500 with "
        "1.2.");
  }

  void run() {
    settings.apply();
    static_cast<void>(make_run(common));
    const privacy::Phases all = phases_of(rate, noise, steps);
    const auto renyi = privacy::renyi_guarantee(all, delta);
    const auto old = privacy::renyi_guarantee(all, delta, privacy::Conversion::kOld);
    const auto tight = privacy::tight_guarantee(all, delta);
    core::Json guarantees = core::Json::array();
    for (const auto& g : {renyi, old, tight}) guarantees.push_back(privacy::to_json(g));
    if (print_json(common, result_of(settings, {{"guarantees", guarantees}}))) return;
    print_table({{"accountant", "epsilon"},
                 {renyi.accountant, privacy::upper_text(renyi.epsilon)},
                 {old.accountant, privacy::upper_text(old.epsilon)},
                 {tight.accountant, tight.lowest > 0 ? fmt::format("{} to {}", privacy::lower_text(tight.lowest),
                                                                   privacy::upper_text(tight.epsilon))
                                                     : "at most " + privacy::upper_text(tight.epsilon)}});
    say("\n{}\n", privacy::sentence(tight.epsilon <= renyi.epsilon ? tight : renyi));
    if (!renyi.warning.empty()) say("Renyi DP: {}.\n", renyi.warning);
  }
};

struct Noise {
  Common common;
  double epsilon = 0, delta = 1e-5;
  std::vector<double> rate = {1};
  std::int64_t steps = 1;
  Settings settings;

  explicit Noise(CLI::App& app) : settings(app) {
    settings.add({"",
                  {core::field("epsilon", epsilon, "the epsilon that is asked for, over all steps", 0, 1e100),
                   core::field("delta", delta, kDelta, 0, 1), core::field("rate", rate, kRate, 0, 1),
                   core::field("steps", steps, "steps of the optimiser, not epochs", 1, 1'000'000'000'000)}},
                 "What");
    settings.add({"", cli::fields(common), /*recorded=*/false}, "Common");
  }

  void run() {
    settings.apply();
    static_cast<void>(make_run(common));
    if (rate.size() != 1)
      throw core::Error(core::ErrorKind::kUsage, "--rate: got {} values, expected one", rate.size());
    core::Json rows = core::Json::array();
    const auto add = [&](const char* accountant, double noise) {
      rows.push_back({{"accountant", accountant}, {"noise", noise}});
    };
    add("Renyi DP", privacy::noise_for(epsilon, delta, rate[0], steps, privacy::Accountant::kRenyi));
    add("privacy loss distributions",
        privacy::noise_for(epsilon, delta, rate[0], steps, privacy::Accountant::kLossDistribution));
    if (rate[0] == 1) {
      add("analytic Gaussian mechanism, exact",
          privacy::gaussian_noise(epsilon, delta) * std::sqrt(static_cast<double>(steps)));
    }
    if (print_json(common, result_of(settings, {{"noise", rows}}))) return;
    std::vector<std::vector<std::string>> table = {{"accountant", "noise multiplier"}};
    for (const auto& row : rows) table.push_back({row["accountant"], privacy::upper_text(row["noise"].get<double>())});
    print_table(table);
    say("\nThe least noise with which {} at rate {} have epsilon {} at delta {}, for {}.\n",
        steps == 1 ? "one step" : fmt::format("{} steps", steps), rate[0], epsilon, delta,
        privacy::to_string(privacy::Adjacency::kAddOrRemove));
  }
};

struct Check {
  Common common;
  privacy::LocalClaim claim;
  Settings settings;

  explicit Check(CLI::App& app) : settings(app) {
    settings.add(
        {"",
         {core::field("epsilon", claim.epsilon, "epsilon of a round, as configured", 0, 1e100),
          core::field("delta", claim.delta, "delta of a round, as configured", 0, 1),
          core::field("clip", claim.clip, "the norm that a client's update is clipped to", 0, 1e100),
          core::field("sensitivity", claim.sensitivity, "sensitivity, as configured; 0 is the clipping norm", 0, 1e100),
          core::field("rounds", claim.rounds, "rounds in which a client takes part", 1, 1'000'000'000),
          core::field("clients", claim.clients, "clients whose updates are summed, each with its own noise", 1,
                      1'000'000'000)}},
        "The framework's settings");
    settings.add({"", cli::fields(common), /*recorded=*/false}, "Common");
  }

  void run() {
    settings.apply();
    static_cast<void>(make_run(common));
    const auto found = privacy::check_claim(claim);
    const auto said = privacy::sentences(claim, found);
    core::Json result = privacy::to_json(found);
    result["sentences"] = said;
    if (print_json(common, result_of(settings, result))) return;
    say("Noise of standard deviation {} in each value: {} sqrt(2 ln(1.25 / {})) / {}.\n\n", shown(found.sigma),
        shown(claim.sensitivity > 0 ? claim.sensitivity : claim.clip), claim.delta, shown(claim.epsilon));
    const auto rounds = [](std::int64_t n) { return fmt::format("{} round{}", n, n == 1 ? "" : "s"); };
    std::vector<std::vector<std::string>> table = {{"who sees", "cannot tell apart", "epsilon, 1 round"}};
    if (claim.rounds > 1) table[0].push_back("epsilon, " + rounds(claim.rounds));
    for (const auto& view : found.views) {
      table.push_back({view.sees, privacy::of_updates(view.adjacency), shown(view.one_round)});
      if (claim.rounds > 1) table.back().push_back(shown(view.all_rounds));
    }
    print_table(table);
    say("\nClaimed: epsilon {} a round at delta {}.\n", shown(found.claimed), claim.delta);
    for (const auto& sentence : said) say("{}\n", sentence);
  }
};

struct Reconstruction {
  Common common;
  std::vector<double> rate = {1}, noise, prior = {0.1};
  std::vector<std::int64_t> steps = {1};
  double epsilon = 0, delta = 1e-5;
  Settings settings;

  explicit Reconstruction(CLI::App& app) : settings(app) {
    settings.add(
        {"",
         {core::field("prior", prior, "the probability with which the best guess without the model is right", 0, 1),
          core::field("rate", rate, kRate, 0, 1),
          core::field("noise", noise, "the noise multiplier: standard deviation over clipping norm", 0, 1e100),
          core::field("steps", steps, "steps of the optimiser, not epochs", 1, 1'000'000'000'000),
          core::field("epsilon", epsilon, "instead of noise: the epsilon of any mechanism", 0, 1e100),
          core::field("delta", delta, "its delta", 0, 1)}},
        "What");
    settings.add({"", cli::fields(common), /*recorded=*/false}, "Common");
    app.footer("\nSeveral priors are a list, and so is what changes over time: --noise 1.5,1.2 --steps 1000,500.");
  }

  void run() {
    settings.apply();
    static_cast<void>(make_run(common));
    const bool any = noise.empty();  // of any mechanism
    if (any == (epsilon == 0)) {
      throw core::Error(core::ErrorKind::kUsage, "--noise: got {}, expected either that or --epsilon",
                        any ? "neither it nor --epsilon" : "both it and --epsilon");
    }
    if (prior.empty()) throw core::Error(core::ErrorKind::kUsage, "--prior: got none, expected at least one");
    core::Json rows = core::Json::array();
    for (const double p : prior) {
      core::Json row = {{"prior", p}};
      if (any) {
        row["success"] = privacy::reconstruction_success(epsilon, delta, p);
      } else {
        const auto bound = privacy::reconstruction_bound(phases_of(rate, noise, steps), p);
        row["success"] = bound.success;
        row["epsilon"] = bound.epsilon;
      }
      rows.push_back(row);
    }
    if (print_json(common, result_of(settings, {{"reconstruction", rows}}))) return;
    std::vector<std::vector<std::string>> table = {{"right without the model", "right with it, at most"}};
    for (const auto& row : rows)
      table.push_back({shown(row["prior"].get<double>()), privacy::upper_text(row["success"].get<double>())});
    print_table(table);
    say("\nHow often any attack reconstructs a record, where it knows all others, sees each step, and knows the "
        "distribution that the record is drawn from.\n");
  }
};

template <typename Verb>
void add(CLI::App& verb, const char* name, const char* help) {
  auto* command = verb.add_subcommand(name, help);
  auto settings = std::make_shared<Verb>(*command);
  command->callback([settings] { settings->run(); });
}

}  // namespace

void add_privacy(CLI::App& app) {
  auto* verb = app.add_subcommand("privacy", "Accounts for differential privacy: epsilon, noise, and others' claims");
  verb->require_subcommand(1);
  add<Epsilon>(*verb, "epsilon", "What DP-SGD guarantees, by two accountants, with bounds from both sides");
  add<Noise>(*verb, "noise", "The least noise with which DP-SGD guarantees an epsilon");
  add<Reconstruction>(*verb, "reconstruction", "How often any attack on DP-SGD can reconstruct a record, at most");
  add<Check>(*verb, "check", "What a framework's local differential privacy really is, in a round and in all");
}

}  // namespace pellucid::cli
