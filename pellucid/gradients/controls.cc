#include "pellucid/gradients/controls.h"

#include "pellucid/core/tensor.h"
#include "pellucid/gradients/read_back.h"
#include "pellucid/gradients/trained.h"
#include "pellucid/metrics/image.h"
#include "pellucid/nets/zoo.h"
#include "pellucid/stats/interval.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>

namespace pellucid::gradients {
namespace {

using core::Json;

constexpr int kControlsVersion = 3;         // 3: images are drawn
constexpr double kMustReach = 30;           // dB, the positive control
constexpr double kMustIsolate = 90;         // percent of the images, where that is what a study tests
constexpr std::int64_t kControlImages = 4;  // at most

// "residual (residual, l2)": a preset with what makes it another kind of attack.
std::string kind_name(const Settings& settings) {
  const Json attack = inversion::determinants(settings.attack);
  return fmt::format("{} ({}, {})", settings.preset, attack["functional"].get<std::string>(),
                     attack["objective"].get<std::string>());
}

inversion::Attack strong(inversion::Attack options) {
  options.iterations = std::max<std::int64_t>(options.iterations, 2000);
  options.restarts = std::max<std::int64_t>(options.restarts, 4);
  return options;
}

Truth truth_of(const data::Dataset& set, std::int64_t index) {
  const Tensor at = torch::tensor({index});
  return {.images = data::pixels(set, at), .labels = data::labels(set, at)};
}

// An untrained network for a study's images. Through a layer that begins at zero no gradient passes, so it is
// initialised as any other.
nets::Network untrained(const nets::Spec& spec) {
  auto architecture = nets::build(spec);
  for (auto& layer : architecture.layers) {
    auto* linear = std::get_if<nets::Linear>(&layer.op);
    if (linear != nullptr && linear->init == nets::Init::kZero) linear->init = nets::Init::kPyTorch;
  }
  auto state = nets::initialise(architecture, 0);
  return {.architecture = std::move(architecture), .state = std::move(state)};
}

nets::Spec spec_of(const std::string& net, const data::Dataset& set) {
  return {
      .net = net, .input = set.images.sizes().slice(1).vec(), .classes = static_cast<std::int64_t>(set.classes.size())};
}

// What a control is run on.
struct Setting {
  Training training;  // whose data and network it takes, and for the null control also its weights
  std::int64_t first_image = 0, images = 0;
};

// The places of its images in the test set.
std::vector<std::int64_t> images_of(const Setting& on, Datasets& datasets) {
  std::vector<std::int64_t> list;
  for (std::int64_t i = 0; i < on.images; ++i) list.push_back(datasets.drawn(on.training.settings, on.first_image + i));
  return list;
}

// What a control's client does with its one image: it trains as the study's does, and protects nothing.
Client alone(const Settings& s) { return {.protocol = {.local = s.protocol.local}}; }

// The network of the positive control: one with a hidden linear layer for an attack that takes batches apart by it.
std::string easy_net(const inversion::Attack& attack) {
  return attack.solver == "disaggregate" ? "small_cnn" : "lenet";
}

double positive(const Setting& on, Datasets& datasets) {
  const auto& s = on.training.settings;
  const auto& set = datasets.all_test(s);
  const auto network = untrained(spec_of(easy_net(s.attack), set));
  double best = 0;
  for (const auto index : images_of(on, datasets)) {
    if (best >= kMustReach) break;
    const auto psnr = read_back(network, truth_of(set, index), index, strong(s.attack), alone(s)).reading.score("psnr");
    best = std::max(best, psnr.value_or(0));
  }
  return best;
}

// The score of each image that comes back from the study's own network, untrained.
std::vector<double> on_network(const Setting& on, const std::string& metric, Datasets& datasets) {
  const auto& s = on.training.settings;
  const auto& set = datasets.all_test(s);
  auto spec = spec_of(s.net, set);
  if (s.normalise) std::tie(spec.mean, spec.deviation) = data::channel_statistics(datasets.train(s));
  const auto network = untrained(spec);
  std::vector<double> scores;
  for (const auto index : images_of(on, datasets)) {
    const auto read = read_back(network, datasets.batch(s, index), index, s.attack, client(s));
    if (const auto score = read.reading.score(metric)) scores.push_back(*score);
  }
  return scores;
}

std::vector<double> null_gains(const Setting& on, const std::filesystem::path& trained, Datasets& datasets) {
  const auto& s = on.training.settings;
  const auto& set = datasets.all_test(s);
  const auto network = load(on.training, trained);
  std::vector<double> gains;
  for (const auto index : images_of(on, datasets)) {
    const auto truth = truth_of(set, index);
    sharing::Observation observation{
        .network = network,
        .update = sharing::compute_update(network, truth.images, truth.labels, alone(s).protocol),
        .labels = {},
        .id = index};
    std::uint64_t number = 0;
    for (auto& [name, tensor] : observation.update.gradient) {
      const Tensor noise =
          core::normal(core::Stream(static_cast<std::uint64_t>(index), "null control", number++), tensor.sizes());
      tensor = noise * (tensor.norm() / noise.norm());
    }
    const auto read = read_back(observation, truth, s.attack);
    const auto psnr = read.reading.score("psnr");  // where nothing came out, as it should, there is none
    if (psnr) gains.push_back(*psnr - pellucid::metrics::psnr(datasets.mean_image(s)[0], truth.images[0]));
  }
  return gains;
}

Json run(const std::string& kind, const Setting& on, const std::string& metric, const std::filesystem::path& trained,
         Datasets& datasets) {
  return attempt([&]() -> Json {
    if (kind == "positive") return {{"status", "ok"}, {"value", positive(on, datasets)}, {"n", 1}};
    const auto scores = kind == "network" ? on_network(on, metric, datasets) : null_gains(on, trained, datasets);
    return {{"status", "ok"}, {"value", scores.empty() ? Json() : Json(stats::mean(scores))}, {"n", scores.size()}};
  });
}

// What a result says: whether the control passed, and why.
record::Control row_of(const std::string& kind, const std::string& attack, const std::string& net,
                       const std::string& metric, const Json& result) {
  const bool shares = kind == "network" && metric == "isolated";
  record::Control row{.kind = kind,
                      .attack = attack,
                      .threshold = kind == "null" ? 0.0
                                   : shares       ? kMustIsolate
                                                  : kMustReach};
  if (result["status"] == "failed") {
    row.sentence = "not run: " + result["reason"].get<std::string>();
    return row;
  }
  if (!result["value"].is_null()) row.value = result["value"].get<double>();
  row.n = result["n"].get<std::int64_t>();
  if (kind == "null") {
    row.passed = row.value.value_or(0) <= 0;
    row.sentence =
        !row.value
            ? "From a random gradient nothing was reconstructed, as it should be."
            : fmt::format("From a random gradient the attack's image is {:.1f} dB {} than the mean training image.",
                          std::abs(*row.value), *row.passed ? "worse" : "BETTER");
    return row;
  }
  row.passed = row.value.value_or(0) >= *row.threshold;
  const auto unit = shares ? "% isolated" : "dB";
  const auto reached = row.value ? fmt::format("{:.1f} {}", *row.value, unit) : std::string("no image");
  row.sentence =
      kind == "positive"
          ? fmt::format("From an untrained {} the attack reaches {}; {}.", net, reached,
                        *row.passed ? "it works" : "too weak for its failures to be evidence of anything")
          : fmt::format("Positive control at this budget: {} on the untrained {}, where {:.0f} {} are asked for; {}.",
                        reached, net, *row.threshold, unit,
                        *row.passed ? "passed" : "failed, so a low score is no evidence of privacy");
  return row;
}

}  // namespace

std::string attack_name(const grid::Study& study, const Settings& settings) {
  const auto& attack = settings.attack;
  std::string name = kind_name(settings) + ", ";
  if (attack.restarts > 1) name += fmt::format("{} x ", attack.restarts);
  name += fmt::format("{} iterations", attack.iterations);
  const Json own = to_json(settings);
  const auto differs = [&](const char* table, const char* key) {
    return std::any_of(study.groups.begin(), study.groups.end(),
                       [&](const grid::Group& g) { return g.settings[table][key] != own[table][key]; });
  };
  if (differs("attack", "tv")) name += fmt::format(", TV {}", attack.terms.at("tv"));
  if (attack.precision != inversion::Precision::kFloat32 && differs("attack", "precision"))
    name += attack.precision == inversion::Precision::kFloat64 ? ", float64" : ", mixed";
  if (settings.protocol.mode == nets::Mode::kTraining && differs("client", "mode")) name += ", training mode";
  if (differs("client", "batch_size")) name += fmt::format(", batch of {}", settings.protocol.batch_size);
  if (differs("client", "arithmetic")) name += ", client in " + sharing::to_string(settings.protocol.arithmetic);
  if (differs("client", "mechanisms") && !settings.protocol.mechanisms.empty())
    name += ", " + sharing::to_string(settings.protocol.mechanisms);
  if (differs("client", "rounds"))
    name += fmt::format(", {} round{}", settings.rounds, settings.rounds == 1 ? "" : "s");
  if (differs("model", "net")) name += ", " + settings.net;
  return name;
}

std::vector<grid::Control> controls(const grid::Study& study, Datasets& datasets) {
  std::vector<grid::Control> list;
  if (study.items == 0) return list;
  std::vector<Json> known;
  for (const auto& group : study.groups) {
    const Settings s = settings(group.settings);
    const auto training = training_of(s, 0, datasets);
    const Setting on{
        .training = training, .first_image = study.first_item, .images = std::min(study.items, kControlImages)};
    Json data = {{"data", datasets.identity(s)}, {"first_image", on.first_image}, {"images", on.images}};
    auto local = s.protocol.local;
    if (local.epochs > 0) data["local_training"] = core::to_json(sharing::fields(local));
    const auto add = [&](const std::string& kind, const Json& key, const std::string& attack,
                         const Json& attack_settings, const Json& more) {
      const Json whole = {kind, key};
      if (std::find(known.begin(), known.end(), whole) != known.end()) return;
      known.push_back(whole);
      Json all = {{"control", kind}, {"version", kControlsVersion}, {"attack", attack_settings}, {"on", data}};
      all.update(more);
      grid::Control control;
      control.subject = {
          .id = training.id, .determinants = determinants(training), .settings = group.settings, .seed = 0};
      control.needs_subject = kind == "null";
      control.determinants = std::move(all);
      const auto metric = study.metric == "isolated" ? study.metric : std::string("psnr");
      control.run = [kind, on, metric, &datasets](const grid::Shared& shared) {
        return run(kind, on, metric, shared.folder, datasets);
      };
      const auto net = kind == "positive" ? easy_net(s.attack) : s.net;
      control.row = [kind, attack, net, metric](const Json& result) {
        return row_of(kind, attack, net, metric, result);
      };
      list.push_back(std::move(control));
    };
    Json attack = inversion::determinants(s.attack);
    const Json kind = {s.data,
                       attack["functional"],
                       attack["objective"],
                       easy_net(s.attack),
                       attack["solver"],
                       data.value("local_training", Json())};
    add("positive", kind, kind_name(s), inversion::determinants(strong(s.attack)), Json::object());
    add("null", kind, kind_name(s), attack,
        {{"training", training.id},
         {"checkpoint", training.settings.checkpoint},
         {"logit_scale", training.settings.logit_scale},
         {"train_images", training.settings.train_images}});
    attack.erase("seed");  // of the start noise: one start vouches for the others
    Json own = {{"net", s.net},
                {"normalise", s.normalise},
                {"train_images", s.normalise ? s.train_images : 0},
                {"client", client_of(s)}};
    if (study.metric == "isolated") own["metric"] = study.metric;
    add("network", Json{attack, data, own}, attack_name(study, s), attack, own);
  }
  return list;
}

std::vector<record::Control> baselines(const grid::Study& study, const std::vector<grid::Cell>& cells) {
  std::vector<record::Control> rows;
  std::set<std::string> seen;  // one guess for each data set: the cells of the first group that reads it
  for (std::size_t g = 0; g < study.groups.size(); ++g) {
    const auto s = settings(study.groups[g].settings);
    if (!seen.insert(s.data + " " + s.data_dir).second) continue;
    std::vector<double> guesses;
    for (const auto& cell : cells) {
      const auto guess = cell.reading.score("guess_psnr");
      if (cell.group == g && cell.seed == 0 && guess) guesses.push_back(*guess);
    }
    if (guesses.empty()) continue;
    const double value = stats::mean(guesses);
    rows.push_back(
        {.kind = "guess",
         .attack = "",
         .value = value,
         .threshold = {},
         .passed = {},
         .n = static_cast<std::int64_t>(guesses.size()),
         .sentence = fmt::format("Baseline without any gradient: the mean training image of {} scores {:.1f} dB.",
                                 std::filesystem::path(s.data).filename().string(), value)});
  }
  return rows;
}

}  // namespace pellucid::gradients
