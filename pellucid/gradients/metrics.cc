#include "pellucid/gradients/metrics.h"

#include "pellucid/metrics/assignment.h"
#include "pellucid/metrics/feature.h"
#include "pellucid/metrics/image.h"

#include <optional>

namespace pellucid::gradients {
namespace {

using record::Better;

// A reconstruction beside its original.
struct Compared {
  Tensor image, original;              // (C, H, W)
  Tensor logits, original_logits;      // (classes)
  Tensor features, original_features;  // what the last layer takes
  Tensor others, alike;                // (n, C, H, W): images among which it has to be recognised; those of its class
};

// 100 where the original is the closest to the image, by squared error, and 0 where another is; nothing without others.
std::optional<double> recognised(const Compared& c, const Tensor& others) {
  if (!others.defined()) return std::nullopt;
  const auto apart = [&](const Tensor& from) { return (others - from).square().flatten(1).mean(1); };
  const Tensor own = (c.original.unsqueeze(0) - c.image).square().flatten(1).mean(1);  // as the others' are taken
  const Tensor closer = apart(c.image) <= own;
  return closer.logical_and(apart(c.original) > 0).any().item<bool>() ? 0 : 100;
}

struct Row {
  record::Metric metric;
  std::optional<double> (*take)(const Compared&) = nullptr;  // none: `System::read` says it, or it is another one's
};

const std::vector<Row>& rows() {
  static const std::vector<Row> all = {
      {{.key = "psnr",
        .label = "PSNR",
        .unit = "dB",
        .digits = 1,
        .better = Better::kHigher,
        .main = true,
        .summary = "peak signal-to-noise ratio in dB; higher is closer",
        .source =
            "Pixels clamped to [0, 1], peak 1, per image: 10 log10(1 / MSE), at most 100. Papers that compute it on "
            "normalised pixels without the factor read 10.2 dB lower on MNIST and 12.0 dB lower on CIFAR-10."},
       [](const Compared& c) { return std::optional(pellucid::metrics::psnr(c.image, c.original)); }},
      {{.key = "gain",
        .label = "Gain over the mean image",
        .unit = "dB",
        .digits = 1,
        .better = Better::kHigher,
        .main = true,
        .summary = "PSNR above that of the mean training image",
        .source = "What the gradient adds to the best guess without it, in squared error. Studies only."}},
      {{.key = "ssim",
        .label = "SSIM",
        .digits = 2,
        .better = Better::kHigher,
        .main = true,
        .contrast = true,
        .summary = "structural similarity in [-1, 1]; 1 is equal",
        .source = "Source: Wang et al. 2004. Gaussian window of 11x11, deviation 1.5, K1 = 0.01, K2 = 0.03, range 1; "
                  "equal to "
                  "scikit-image's. Not of images smaller than the window."},
       [](const Compared& c) {
         return pellucid::metrics::ssim_applies(c.original)
                    ? std::optional(pellucid::metrics::ssim(c.image, c.original))
                    : std::nullopt;
       }},
      {{.key = "mse",
        .label = "MSE",
        .better = Better::kLower,
        .main = true,
        .summary = "mean squared error of the pixels in [0, 1]; lower is closer",
        .source = "On pixels in [0, 1], per image."},
       [](const Compared& c) { return std::optional(pellucid::metrics::mse(c.image, c.original)); }},
      {{.key = "fmse_logits",
        .label = "FMSE (logits)",
        .better = Better::kLower,
        .main = true,
        .summary = "mean squared difference of the logits of image and reconstruction",
        .source = "Source: the published code of Geiping et al. 2020 calls this FMSE."},
       [](const Compared& c) { return std::optional(pellucid::metrics::fmse(c.logits, c.original_logits)); }},
      {{.key = "fmse_features",
        .label = "FMSE (features)",
        .better = Better::kLower,
        .main = true,
        .summary = "mean squared difference of what the last linear layer takes",
        .source = "What most readers believe FMSE to be: the penultimate features."},
       [](const Compared& c) { return std::optional(pellucid::metrics::fmse(c.features, c.original_features)); }},
      {{.key = "matching_loss",
        .label = "Matching loss",
        .better = Better::kLower,
        .summary = "distance of the reconstruction's gradient from the shared one, which the attacker sees",
        .source = "Of the chosen restart, without the priors. Losses of different functionals or objectives do not "
                  "compare."}},
      {{.key = "isolated",
        .label = "Isolated",
        .unit = "%",
        .digits = 0,
        .better = Better::kHigher,
        .main = true,
        .contrast = true,
        .optional = true,
        .summary = "share of the batch's images whose part of the gradient was isolated",
        .source = "By the attack's own check, without the truth (see `pellucid explain disaggregate`). Batches only."}},
      {{.key = "labels_right",
        .label = "Labels right",
        .unit = "%",
        .digits = 0,
        .better = Better::kHigher,
        .optional = true,
        .summary = "share of the batch's labels that were read off it, as counts of each class",
        .source = "Of the update alone: 100 where the labels were shared. Batches only."}},
      {{.key = "above_20",
        .label = "Images above 20 dB",
        .unit = "%",
        .digits = 0,
        .better = Better::kHigher,
        .main = true,
        .contrast = true,
        .optional = true,
        .summary = "share of the batch's images that are reconstructed above 20 dB",
        .source = "Each compared with the original that it is matched with. Batches only."}},
      {{.key = "identified",
        .label = "Identified among 1,000",
        .unit = "%",
        .digits = 0,
        .better = Better::kHigher,
        .optional = true,
        .summary = "share of the images whose reconstruction is closer to them than to 999 other test images",
        .source = "By mean squared error; by chance 0.1 %. Studies of data with 1,000 test images or more."},
       [](const Compared& c) { return recognised(c, c.others); }},
      {{.key = "identified_in_class",
        .label = "Identified in its class",
        .unit = "%",
        .digits = 0,
        .better = Better::kHigher,
        .optional = true,
        .summary = "the same among those of the 999 that are of the image's class",
        .source = "An attack that finds only what the class looks like does not pass it."},
       [](const Compared& c) { return recognised(c, c.alike); }},
      {{.key = "margin",
        .label = "Logit margin",
        .summary = "the true class's logit minus the largest other one",
        .source =
            "Of the original: how confident the network is of it. Past ln 2^24 = 16.6 float32 rounds p(true) to 1: the "
            "shared gradient loses the true class, and an attack that recomputes the loss fails for a reason that "
            "has nothing to do with privacy. Bits are lost before: from margins of 13 to 14 on double precision may "
            "help. The residual attack does not recompute the loss."}},
      {{.key = "gradient_norm",
        .label = "Gradient norm",
        .summary = "Euclidean norm of the shared gradient",
        .source = "Over all tensors."}},
      {{.key = "oracle_psnr",
        .label = "PSNR, oracle's choice",
        .unit = "dB",
        .digits = 1,
        .better = Better::kHigher,
        .oracle = true,
        .summary = "PSNR of the best restart, chosen with the truth in hand",
        .source = "No attacker can choose so. See `pellucid explain oracle`."}},
      {{.key = "unbiased_psnr",
        .label = "PSNR, bound of unbiased estimates",
        .unit = "dB",
        .digits = 1,
        .optional = true,
        .summary = "PSNR of the least mean squared error of any estimate that is right on average over the noise",
        .source =
            "Cramer and Rao, at the original: Hannun, Guo, van der Maaten 2021, arXiv:2102.11673; see "
            "sharing/fisher.h. Attacks that know that pixels lie in [0, 1], or what images look like, are biased: "
            "they may be, and are, far above. Studies with client.bound, and gaussian noise."}},
      {{.key = "linear_psnr",
        .label = "PSNR, linear update and normal images",
        .unit = "dB",
        .digits = 1,
        .optional = true,
        .summary = "what the best estimate would reach if the update were linear and images were normally distributed",
        .source = "The posterior's variance, with the mean and covariance of the training images. A picture of what "
                  "noise leaves, and no bound: see sharing/fisher.h. Studies with client.bound, and gaussian noise."}},
      {{.key = "p_true",
        .label = "p(true)",
        .summed = false,
        .summary = "probability that the network gives the true class",
        .source = "Of the original."}},
      {{.key = "guess_psnr",
        .label = "PSNR of the mean image",
        .unit = "dB",
        .digits = 1,
        .summed = false,
        .summary = "what the mean training image scores as a guess without any gradient",
        .source = "Studies only."}},
  };
  return all;
}

}  // namespace

const std::vector<record::Metric>& metrics() {
  static const std::vector<record::Metric> all = [] {
    std::vector<record::Metric> list;
    for (const auto& row : rows()) list.push_back(row.metric);
    return list;
  }();
  return all;
}

std::vector<Score> score(const nets::Network& network, const Tensor& reconstruction, const Truth& truth,
                         const Truth& others) {
  const torch::NoGradGuard no_gradient;
  const auto originals = pellucid::metrics::match(reconstruction, truth.images);
  const auto read = nets::evaluate(network.architecture, network.state, reconstruction);
  const auto real = nets::evaluate(network.architecture, network.state, truth.images);
  std::vector<Score> scores;
  for (std::int64_t i = 0; i < reconstruction.size(0); ++i) {
    const std::int64_t o = originals[static_cast<std::size_t>(i)];
    const Compared compared{
        .image = reconstruction[i],
        .original = truth.images[o],
        .logits = read.logits[i],
        .original_logits = real.logits[o],
        .features = read.features[i],
        .original_features = real.features[o],
        .others = others.images,
        .alike = others.images.defined() ? others.images.index({others.labels == truth.labels[o]}) : Tensor()};
    Score s{.values = {}, .original = o};
    for (const auto& row : rows()) {
      if (const auto value = row.take != nullptr ? row.take(compared) : std::nullopt) s.values[row.metric.key] = *value;
    }
    scores.push_back(std::move(s));
  }
  return scores;
}

core::Json to_json(const Score& s) {
  core::Json json = core::Json::object();
  for (const auto& row : rows()) {
    if (row.take == nullptr) continue;
    const auto found = s.values.find(row.metric.key);
    if (row.metric.optional && found == s.values.end()) continue;
    json[row.metric.key] = found == s.values.end() ? core::Json() : core::Json(found->second);
  }
  return json;
}

}  // namespace pellucid::gradients
