#include "pellucid/study/controls.h"

#include "pellucid/core/tensor.h"
#include "pellucid/metrics/image.h"
#include "pellucid/nets/zoo.h"
#include "pellucid/stats/interval.h"
#include "pellucid/study/read_back.h"

#include <algorithm>
#include <set>
#include <tuple>

namespace pellucid::study {
namespace {

using core::Json;

constexpr int kControlsVersion = 3;  // 3: images are drawn
constexpr double kMustReach = 30;           // dB, the positive control
constexpr std::int64_t kControlImages = 4;  // at most

Json attack_json(inversion::InversionOptions options) { return core::to_json(inversion::fields(options)); }

// "residual (residual, l2)": a preset with what makes it another kind of attack.
std::string kind_name(const Settings& settings) {
  const Json attack = attack_json(settings.attack);
  return fmt::format("{} ({}, {})", settings.preset, attack["functional"].get<std::string>(), attack["objective"].get<std::string>());
}

inversion::InversionOptions strong(inversion::InversionOptions options) {
  options.iterations = std::max<std::int64_t>(options.iterations, 2000);
  options.restarts = std::max<std::int64_t>(options.restarts, 4);
  return options;
}

Truth truth_of(const data::Dataset& set, std::int64_t index) {
  const Tensor at = torch::tensor({index});
  return {.images = data::pixels(set, at), .labels = data::labels(set, at)};
}

// An untrained network for a study's images. Through a layer that begins at zero no gradient passes, so it is initialised
// as any other.
nets::Network untrained(nets::Spec spec) {
  auto architecture = nets::build(std::move(spec));
  for (auto& layer : architecture.layers) {
    auto* linear = std::get_if<nets::Linear>(&layer.op);
    if (linear != nullptr && linear->init == nets::Init::kZero) linear->init = nets::Init::kPyTorch;
  }
  auto state = nets::initialise(architecture, 0);
  return {.architecture = std::move(architecture), .state = std::move(state)};
}

nets::Spec spec_of(const std::string& net, const data::Dataset& set) {
  return {.net = net,
          .input = set.images.sizes().slice(1).vec(),
          .classes = static_cast<std::int64_t>(set.classes.size())};
}

double positive(const Study& study, const Control& control, Datasets& datasets) {
  const auto& set = datasets.all_test(control.training.settings);
  const auto network = untrained(spec_of("lenet", set));
  double best = 0;
  for (std::int64_t i = 0; i < std::min(study.images, kControlImages) && best < kMustReach; ++i) {
    const auto index = datasets.drawn(control.training.settings, study.first_image + i);
    const auto read = read_back(network, truth_of(set, index), index, strong(control.training.settings.attack));
    if (read.result["psnr"].is_number()) best = std::max(best, read.result["psnr"].get<double>());
  }
  return best;
}

// The PSNR of each image that comes back from the study's own network, untrained.
std::vector<double> on_network(const Study& study, const Control& control, Datasets& datasets) {
  const auto& settings = control.training.settings;
  const auto& set = datasets.all_test(settings);
  auto spec = spec_of(settings.net, set);
  if (settings.normalise) std::tie(spec.mean, spec.deviation) = data::channel_statistics(datasets.train(settings));
  const auto network = untrained(spec);
  std::vector<double> scores;
  for (std::int64_t i = 0; i < std::min(study.images, kControlImages); ++i) {
    const auto index = datasets.drawn(settings, study.first_image + i);
    const auto read = read_back(network, truth_of(set, index), index, settings.attack, {.mode = settings.mode, .seed = 0});
    if (read.result["psnr"].is_number()) scores.push_back(read.result["psnr"]);
  }
  return scores;
}

std::vector<double> null_gains(const Study& study, const Control& control, const std::filesystem::path& trained,
                               Datasets& datasets) {
  const auto& settings = control.training.settings;
  const auto& set = datasets.all_test(settings);
  const auto network = load(control.training, trained);
  std::vector<double> gains;
  for (std::int64_t i = 0; i < std::min(study.images, kControlImages); ++i) {
    const auto index = datasets.drawn(settings, study.first_image + i);
    const auto truth = truth_of(set, index);
    sharing::Observation observation{.network = network,
                                     .update = sharing::compute_update(network, truth.images, truth.labels),
                                     .labels = {},
                                     .id = index};
    std::uint64_t number = 0;
    for (auto& [name, tensor] : observation.update.gradient) {
      const Tensor noise =
          core::normal(core::Stream(static_cast<std::uint64_t>(index), "null control", number++), tensor.sizes());
      tensor = noise * (tensor.norm() / noise.norm());
    }
    const auto read = read_back(observation, truth, settings.attack);
    if (!read.image.defined()) continue;  // nothing came out, as it should
    gains.push_back(read.result["psnr"].get<double>() -
                    metrics::psnr(datasets.mean_image(settings)[0], truth.images[0]));
  }
  return gains;
}

}  // namespace

std::string attack_name(const Study& study, const Settings& settings) {
  const auto& attack = settings.attack;
  std::string name = kind_name(settings) + ", ";
  if (attack.restarts > 1) name += fmt::format("{} x ", attack.restarts);
  name += fmt::format("{} iterations", attack.iterations);
  const auto differs = [&](auto member) {
    return std::any_of(study.groups.begin(), study.groups.end(), [&](const Group& g) { return member(g.settings) != member(settings); });
  };
  if (differs([](const Settings& s) { return s.attack.tv; })) name += fmt::format(", TV {}", attack.tv);
  if (differs([](const Settings& s) { return s.attack.precision; }) && attack.precision != inversion::Precision::kFloat32)
    name += attack.precision == inversion::Precision::kFloat64 ? ", float64" : ", mixed";
  if (differs([](const Settings& s) { return s.mode; }) && settings.mode == nets::Mode::kTraining) name += ", training mode";
  if (differs([](const Settings& s) { return s.net; })) name += ", " + settings.net;
  return name;
}

std::vector<Control> controls(const Study& study, Datasets& datasets) {
  std::vector<Control> list;
  if (study.images == 0) return list;
  std::vector<Json> known;
  const auto add = [&](const std::string& kind, const Json& key, const std::string& name, const Training& training, Json determinants) {
    const Json whole = {kind, key};
    if (std::find(known.begin(), known.end(), whole) != known.end()) return;
    known.push_back(whole);
    list.push_back({kind, name, training, std::move(determinants)});
  };
  for (const auto& group : study.groups) {
    const auto& s = group.settings;
    Json attack = attack_json(s.attack);
    const auto training = training_of(s, 0, datasets);
    const Json data = {{"data", datasets.identity(s)},
                       {"first_image", study.first_image},
                       {"images", std::min(study.images, kControlImages)}};
    const Json kind = {s.data, attack["functional"], attack["objective"]};
    add("positive", kind, kind_name(s), training,
        {{"control", "positive"}, {"version", kControlsVersion}, {"attack", attack_json(strong(s.attack))}, {"on", data}});
    add("null", kind, kind_name(s), training,
        {{"control", "null"},
         {"version", kControlsVersion},
         {"attack", attack},
         {"on", data},
         {"training", training.id},
         {"checkpoint", training.settings.checkpoint},
         {"logit_scale", training.settings.logit_scale},
         {"train_images", training.settings.train_images}});
    attack.erase("seed");  // of the start noise: one start vouches for the others
    const Json own = {{"control", "network"},
                      {"version", kControlsVersion},
                      {"attack", attack},
                      {"on", data},
                      {"net", s.net},
                      {"normalise", s.normalise},
                      {"train_images", s.normalise ? s.train_images : 0},
                      {"mode", s.mode == nets::Mode::kTraining ? "training" : "evaluation"}};
    add("network", own, attack_name(study, s), training, own);
  }
  return list;
}

Json run_control(const Study& study, const Control& control, const std::filesystem::path& trained, Datasets& datasets) {
  return attempt([&]() -> Json {
    if (control.kind == "positive") return {{"status", "ok"}, {"value", positive(study, control, datasets)}, {"n", 1}};
    const auto scores = control.kind == "network" ? on_network(study, control, datasets)
                                                  : null_gains(study, control, trained, datasets);
    return {{"status", "ok"}, {"value", scores.empty() ? Json() : Json(stats::mean(scores))}, {"n", scores.size()}};
  });
}

namespace {

// A control's row: whether it passed, and what it says.
Json row_of(const Control& control, const Json& result) {
  const bool failed = result["status"] == "failed", null = control.kind == "null";
  const Json value = failed ? Json() : result["value"];
  Json passed;
  std::string sentence;
  if (failed) {
    sentence = "not run: " + result["reason"].get<std::string>();
  } else if (null) {
    passed = value.is_null() || value.get<double>() <= 0;
    sentence = value.is_null() ? "From a random gradient nothing was reconstructed, as it should be."
                               : fmt::format("From a random gradient the attack's image is {:.1f} dB {} than the mean training image.",
                                             std::abs(value.get<double>()), passed.get<bool>() ? "worse" : "BETTER");
  } else {
    passed = value.is_number() && value.get<double>() >= kMustReach;
    const auto reached = value.is_null() ? std::string("no image") : fmt::format("{:.1f} dB", value.get<double>());
    sentence = control.kind == "positive"
                   ? fmt::format("From an untrained LeNet the attack reaches {}; {}.", reached,
                                 passed.get<bool>() ? "it works" : "too weak for its failures to be evidence of anything")
                   : fmt::format("Positive control at this budget: {} on the untrained {}, where {:.0f} dB are asked for; {}.", reached,
                                 control.training.settings.net, kMustReach,
                                 passed.get<bool>() ? "passed" : "failed, so a low score is no evidence of privacy");
  }
  return {{"kind", control.kind},
          {"attack", control.attack},
          {"value", value},
          {"threshold", null ? 0.0 : kMustReach},
          {"passed", passed},
          {"n", failed ? Json() : result["n"]},
          {"sentence", sentence}};
}

}  // namespace

Json control_rows(const Study& study, const std::vector<Control>& controls, const std::vector<Json>& results,
                  const std::vector<Cell>& cells) {
  Json rows = Json::array();
  for (std::size_t i = 0; i < controls.size(); ++i) rows.push_back(row_of(controls[i], results[i]));
  // One guess a data set: the cells of the first group that reads it.
  std::set<std::string> seen;
  for (std::size_t g = 0; g < study.groups.size(); ++g) {
    const auto& settings = study.groups[g].settings;
    if (!seen.insert(settings.data + " " + settings.data_dir).second) continue;
    std::vector<double> guesses;
    for (const auto& cell : cells) {
      if (cell.group == g && cell.seed == 0 && cell.result.contains("guess_psnr"))
        guesses.push_back(cell.result["guess_psnr"]);
    }
    if (guesses.empty()) continue;
    const double value = stats::mean(guesses);
    rows.push_back(
        {{"kind", "guess"},
         {"attack", ""},
         {"value", value},
         {"threshold", Json()},
         {"passed", Json()},
         {"n", guesses.size()},
         {"sentence",
          fmt::format(
              "Baseline without any gradient: the mean training image of {} scores {:.1f} dB.",
              std::filesystem::path(settings.data).filename().string(), value)}});
  }
  return rows;
}

}  // namespace pellucid::study
