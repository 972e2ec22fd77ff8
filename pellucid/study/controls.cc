#include "pellucid/study/controls.h"

#include "pellucid/core/tensor.h"
#include "pellucid/metrics/image.h"
#include "pellucid/nets/zoo.h"
#include "pellucid/stats/interval.h"
#include "pellucid/study/read_back.h"

#include <algorithm>
#include <set>

namespace pellucid::study {
namespace {

using core::Json;

constexpr int kVersion = 3;  // 3: images are drawn
constexpr double kMustReach = 30;           // dB, the positive control
constexpr std::int64_t kControlImages = 4;  // at most

Json attack_json(inversion::InversionOptions options) { return core::to_json(inversion::fields(options)); }

inversion::InversionOptions strong(inversion::InversionOptions options) {
  options.iterations = std::max<std::int64_t>(options.iterations, 2000);
  options.restarts = std::max<std::int64_t>(options.restarts, 4);
  return options;
}

Truth truth_of(const data::Dataset& set, std::int64_t index) {
  const Tensor at = torch::tensor({index});
  return {.images = data::pixels(set, at), .labels = data::labels(set, at)};
}

double positive(const Study& study, const Control& control, Datasets& datasets) {
  const auto& set = datasets.all_test(control.training.settings);
  const auto architecture = nets::build({.net = "lenet",
                                         .input = set.images.sizes().slice(1).vec(),
                                         .classes = static_cast<std::int64_t>(set.classes.size())});
  const nets::Network network{.architecture = architecture, .state = nets::initialise(architecture, 0)};
  double best = 0;
  for (std::int64_t i = 0; i < std::min(study.images, kControlImages) && best < kMustReach; ++i) {
    const auto index = datasets.drawn(control.training.settings, study.first_image + i);
    const auto read = read_back(network, truth_of(set, index), index, strong(control.training.settings.attack));
    if (read.result["psnr"].is_number()) best = std::max(best, read.result["psnr"].get<double>());
  }
  return best;
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

std::vector<Control> controls(const Study& study, Datasets& datasets) {
  std::vector<Control> list;
  if (study.images == 0) return list;
  std::vector<Json> kinds;
  for (const auto& group : study.groups) {
    const Json attack = attack_json(group.settings.attack);
    const Json kind = {group.settings.data, attack["functional"], attack["objective"]};
    if (std::find(kinds.begin(), kinds.end(), kind) != kinds.end()) continue;
    kinds.push_back(kind);
    const auto training = training_of(group.settings, 0, datasets);
    std::string name =
        fmt::format("{} ({}, {})", group.settings.preset, kind[1].get<std::string>(), kind[2].get<std::string>());
    const Json data = {{"data", datasets.identity(group.settings)},
                       {"first_image", study.first_image},
                       {"images", std::min(study.images, kControlImages)}};
    list.push_back({"positive",
                    name,
                    training,
                    {{"control", "positive"},
                     {"version", kVersion},
                     {"attack", attack_json(strong(group.settings.attack))},
                     {"on", data}}});
    list.push_back({"null",
                    name,
                    training,
                    {{"control", "null"},
                     {"version", kVersion},
                     {"attack", attack},
                     {"on", data},
                     {"training", training.id},
                     {"checkpoint", training.settings.checkpoint},
                     {"logit_scale", training.settings.logit_scale},
                     {"train_images", training.settings.train_images}}});
  }
  return list;
}

Json run_control(const Study& study, const Control& control, const std::filesystem::path& trained, Datasets& datasets) {
  return attempt([&]() -> Json {
    if (control.kind == "positive") return {{"status", "ok"}, {"value", positive(study, control, datasets)}, {"n", 1}};
    const auto gains = null_gains(study, control, trained, datasets);
    return {{"status", "ok"}, {"value", gains.empty() ? Json() : Json(stats::mean(gains))}, {"n", gains.size()}};
  });
}

Json control_rows(const Study& study, const std::vector<Control>& controls, const std::vector<Json>& results,
                  const std::vector<Cell>& cells) {
  Json rows = Json::array();
  for (std::size_t i = 0; i < controls.size(); ++i) {
    const auto& control = controls[i];
    const Json& result = results[i];
    const bool positive = control.kind == "positive";
    const bool failed = result["status"] == "failed";
    const Json value = failed ? Json() : result["value"];
    const Json passed =
        failed ? Json()
               : Json(positive ? value.get<double>() >= kMustReach : value.is_null() || value.get<double>() <= 0);
    std::string sentence;
    if (failed) {
      sentence = "not run: " + result["reason"].get<std::string>();
    } else if (positive) {
      sentence = fmt::format(
          "An untrained LeNet's gradient gives an image away at {:.1f} dB; {}.", value.get<double>(),
          passed.get<bool>() ? "the attack works" : "the attack is too weak for any failure to mean something");
    } else if (value.is_null()) {
      sentence = "Nothing came out of a random gradient, as it should be.";
    } else {
      sentence =
          fmt::format("From a random gradient the attack makes an image {:.1f} dB {} than the mean training image.",
                      std::abs(value.get<double>()), passed.get<bool>() ? "worse" : "BETTER");
    }
    rows.push_back({{"kind", control.kind},
                    {"attack", control.attack},
                    {"value", value},
                    {"threshold", positive ? kMustReach : 0.0},
                    {"passed", passed},
                    {"n", failed ? Json() : result["n"]},
                    {"sentence", sentence}});
  }
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
              "Who knows nothing of the gradient and answers with the mean training image of {} scores {:.1f} dB.",
              std::filesystem::path(settings.data).filename().string(), value)}});
  }
  return rows;
}

}  // namespace pellucid::study
