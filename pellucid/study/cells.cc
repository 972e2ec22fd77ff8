#include "pellucid/study/cells.h"

#include "pellucid/data/image_file.h"
#include "pellucid/metrics/image.h"
#include "pellucid/study/read_back.h"

namespace pellucid::study {
namespace {

using core::Json;

// Of what a cell computes: a new one where old results must not be taken up.
// 2: "image" is the image's own number; labels are matched by their classes' names.
constexpr int kReadingVersion = 2;

}  // namespace

Parts parts_of(const Study& study, Datasets& datasets) {
  Parts parts;
  std::map<std::string, std::size_t> known;
  for (std::size_t g = 0; g < study.groups.size(); ++g) {
    for (std::int64_t seed = 0; seed < study.seeds; ++seed) {
      auto training = training_of(study.groups[g].settings, seed, datasets);
      auto& s = training.settings;
      const auto key = fmt::format("{} {} {} {} {} {}", training.id, s.checkpoint, s.judge_images, s.test_images, s.training.test_attack_images,
                                   core::to_json(evasion::fields(s.training.test_attack)).dump());
      const auto [found, fresh] = known.emplace(key, parts.trainings.size());
      if (fresh) parts.trainings.push_back(std::move(training));
      parts.blocks.push_back({g, found->second, seed});
    }
  }
  return parts;
}

std::string describe(const Study& study, const Block& block) {
  const auto text = describe(study, study.groups[block.group]);
  return fmt::format("{}{}seed {}", text, text.empty() ? "" : ", ", block.seed);
}

Json determinants(const Study& study, const Block& block, const Json& network, Datasets& datasets) {
  inversion::InversionOptions attack = study.groups[block.group].settings.attack;
  const Settings& s = study.groups[block.group].settings;
  return {{"reading", kReadingVersion},
          {"network", network["fingerprint"]},
          {"logit_scale", s.logit_scale},
          {"mode", s.mode == nets::Mode::kTraining ? "training" : "evaluation"},
          {"attack", core::to_json(inversion::fields(attack))},
          {"data", datasets.identity(s)},
          {"train_images", s.train_images}};
}

Json read_cell(const nets::Network& network, const Settings& s, std::int64_t image, Datasets& datasets) {
  const Tensor at = torch::tensor({image});
  const auto& set = datasets.all_test(s);
  const Truth truth{.images = data::pixels(set, at), .labels = data::labels(set, at)};
  auto [json, picture] = read_back(network, truth, image, s.attack, {.mode = s.mode, .seed = 0});
  const auto label = truth.labels.item<std::int64_t>();
  const double guess = metrics::psnr(datasets.mean_image(s)[0], truth.images[0]);
  json.erase("curve");
  json["label"] = label;
  json["guess_psnr"] = guess;
  json["gain"] = json["psnr"].is_number() ? Json(json["psnr"].get<double>() - guess) : Json();
  if (json["label_read"].is_number() && json["label_read"] != label) {
    json["diagnoses"].push_back(
        {{"code", "label-wrong"}, {"sentence", "the label read off the last layer's gradient is not the image's"}});
  }
  json["png"] = picture.defined() ? Json(core::base64(data::encode_png(picture))) : Json();
  return json;
}

}  // namespace pellucid::study
