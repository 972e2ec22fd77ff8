#include "pellucid/study/score.h"

#include "pellucid/core/error.h"
#include "pellucid/metrics/feature.h"
#include "pellucid/metrics/image.h"
#include "pellucid/nets/safetensors.h"

namespace pellucid::study {

using core::Error;
using core::ErrorKind;

void save_truth(const Truth& truth, const std::filesystem::path& path) {
  core::write_file(path, nets::write_safetensors({.tensors = {{"images", truth.images}, {"labels", truth.labels}},
                                                  .metadata = {{"schema", "pellucid.truth/1"}}}));
}

Truth load_truth(const std::filesystem::path& path, const nets::Spec& spec) {
  auto file = nets::read_safetensors(path);
  const Tensor images = file.tensors["images"], labels = file.tensors["labels"];
  const bool shaped = images.defined() && labels.defined() && images.dim() == 4 && labels.dim() == 1 &&
                      images.sizes().slice(1) == at::IntArrayRef(spec.input) && images.size(0) == labels.size(0) &&
                      images.scalar_type() == torch::kFloat32 && labels.scalar_type() == torch::kInt64;
  if (!shaped) {
    throw Error(ErrorKind::kModel, "{}: got no truth of {}, expected float images [B, {}] and a label for each", path.string(), spec.net,
                fmt::join(spec.input, ", "));
  }
  const bool in_range = images.ge(0).logical_and(images.le(1)).all().item<bool>() &&
                        labels.ge(0).logical_and(labels.lt(spec.classes)).all().item<bool>();
  if (!in_range) throw Error(ErrorKind::kModel, "{}: got pixels outside [0, 1] or labels outside 0 to {}", path.string(), spec.classes - 1);
  return {.images = images, .labels = labels};
}

std::vector<Score> score(const nets::Network& network, const Tensor& reconstruction, const Truth& truth) {
  const torch::NoGradGuard no_gradient;
  const auto read = nets::evaluate(network.architecture, network.state, reconstruction);
  const auto real = nets::evaluate(network.architecture, network.state, truth.images);
  std::vector<Score> scores;
  for (std::int64_t i = 0; i < truth.images.size(0); ++i) {
    const Tensor a = reconstruction[i], b = truth.images[i];
    scores.push_back({.psnr = metrics::psnr(a, b),
                      .mse = metrics::mse(a, b),
                      .ssim = metrics::ssim(a, b),
                      .fmse_logits = metrics::fmse(read.logits[i], real.logits[i]),
                      .fmse_features = metrics::fmse(read.features[i], real.features[i])});
  }
  return scores;
}

core::Json to_json(const Score& s) {
  return {{"psnr", s.psnr}, {"mse", s.mse}, {"ssim", s.ssim}, {"fmse_logits", s.fmse_logits}, {"fmse_features", s.fmse_features}};
}

}  // namespace pellucid::study
