#include "pellucid/evasion/lint.h"

#include "pellucid/core/text.h"

#include <algorithm>

namespace pellucid::evasion {
namespace {

constexpr double kSame = 1e-4;     // answers that differ by less, relative to the largest, differ by rounding
constexpr double kOften = 0.1;     // share of images past which a trouble is reported
constexpr double kMasking = 0.02;  // share that Square alone breaks past which gradients look masked

// The attack that other attacks are held against.
PgdOptions ten_steps(const Ball& ball) {
  return {.epsilon = ball.epsilon,
          .step = core::Number(fmt::format("{}", ball.epsilon.value / 4)),
          .iterations = 10,
          .random_start = false,
          .norm = ball.norm};
}

struct Linter {
  const Model& model;
  const Tensor &images, &labels, &ids;
  const Ball& ball;
  std::uint64_t seed;
  std::vector<Finding> findings = {};

  template <typename... Args>
  void error(const char* code, fmt::format_string<Args...> text, Args&&... args) {
    findings.push_back({code, Severity::kError, fmt::format(text, std::forward<Args>(args)...)});
  }
  template <typename... Args>
  void warning(const char* code, fmt::format_string<Args...> text, Args&&... args) {
    findings.push_back({code, Severity::kWarning, fmt::format(text, std::forward<Args>(args)...)});
  }

  [[nodiscard]] Tensor answer(const Tensor& x) const {
    const torch::NoGradGuard no_gradient;
    return model(x);
  }
  // The largest difference of two answers, relative to the larger of them.
  static double difference(const Tensor& a, const Tensor& b) {
    const double scale = std::max({a.abs().max().item<double>(), b.abs().max().item<double>(), 1e-30});
    return (a - b).abs().max().item<double>() / scale;
  }
  static double share(const Tensor& mask) { return mask.to(torch::kFloat64).mean().item<double>(); }

  void pixels() {
    const double low = images.min().item<double>(), high = images.max().item<double>();
    if (!(low >= 0 && high <= 1)) {
      error("pixel-range",
            "pixels go from {:.3g} to {:.3g}, expected [0, 1]: scale the images, and normalise inside the network", low,
            high);
    } else if (high < 0.05) {
      error("pixel-range", "no pixel is brighter than {:.3g}: the images look scaled twice, expected [0, 1]", high);
    }
  }

  void answers() {
    const Tensor logits = answer(images), again = answer(images);
    if (!logits.isfinite().all().item<bool>()) {
      error("non-finite-logits", "the model's answers are not all finite: its weights or its input's scale are broken");
      return;
    }
    if (const double d = difference(logits, again); d > kSame) {
      error("random",
            "two answers to the same images differ by {:.2g} of the largest logit: dropout is on or the model is "
            "randomised; switch it to evaluation, or average over its randomness",
            d);
    } else {
      Tensor singly = torch::empty_like(logits);
      for (std::int64_t i = 0; i < images.size(0); ++i)
        singly.slice(0, i, i + 1).copy_(answer(images.slice(0, i, i + 1)));
      if (const double apart = difference(logits, singly); apart > kSame) {
        error("training-mode",
              "an image's answer changes by {:.2g} of the largest logit with the batch around it: batch norm or "
              "dropout is in training mode; switch the model to evaluation",
              apart);
      }
      if (const Tensor with_gradient = model(images.detach().requires_grad_(true));
          difference(logits, with_gradient.detach()) > kSame) {
        error("attack-mode",
              "the model answers differently while gradients are taken: it is attacked in one mode and judged in "
              "another");
      }
    }
    const bool probabilities =
        logits.min().item<double>() >= -1e-6 && (logits.sum(1) - 1).abs().max().item<double>() < 1e-3;
    if (probabilities) {
      error("probabilities",
            "the answers of each image are at least 0 and sum to 1: they are probabilities, expected logits; take the "
            "softmax off, or gradients vanish on confident images");
    }
  }

  void epsilon_zero() {
    const PgdOptions nothing{.epsilon = core::Number("0"),
                             .step = core::Number("0.1"),
                             .iterations = 2,
                             .random_start = true,
                             .norm = ball.norm};
    const Tensor noise = start_noise(seed, "lint", ids, images.sizes().slice(1)).to(images.options());
    const Tensor x = pgd(model, images, cross_entropy(labels), nothing, noise);
    const Tensor before = answer(images), after = answer(x);
    if (!torch::equal(x, images) || (before.isfinite().all().item<bool>() && difference(before, after) > kSame)) {
      error("epsilon-zero",
            "an attack with epsilon 0 changes images or answers: the ball is not around these images, or the model is "
            "random");
    }
  }

  void gradients() {
    const Slope at_images = slope(model, cross_entropy(labels), images);
    const Tensor gradient = at_images.gradient.flatten(1);
    if (const double bad = share(gradient.isfinite().all(1).logical_not()); bad > 0) {
      error("non-finite-gradient",
            "the gradient is not finite at {:.0f} % of the images: steps of white-box attacks mean nothing there",
            100 * bad);
      return;
    }
    const Tensor right = errs(at_images.logits, labels).logical_not();
    if (!right.any().item<bool>()) return;
    const double zero = share(gradient.abs().amax(1).index({right}).lt(1e-30));
    if (zero > kOften) {
      warning("zero-gradient",
              "the cross-entropy's gradient is 0 at {:.0f} % of the images: the model is too sure for float32, or does "
              "not pass gradients; use apgd-t and square",
              100 * zero);
    }
  }

  void ascent_works() {
    if (ball.epsilon.value == 0) return;
    const Tensor x = pgd(model, images, cross_entropy(labels), ten_steps(ball), Tensor());
    const Tensor logits = answer(images), attacked = answer(x);
    const Tensor right = errs(logits, labels).logical_not();
    if (!right.any().item<bool>() || !attacked.isfinite().all().item<bool>()) return;
    const Tensor loss = cross_entropy(labels)(logits), loss_then = cross_entropy(labels)(attacked);
    const double flat = share((loss_then <= loss).index({right}));
    if (flat > kOften) {
      warning("loss-does-not-rise",
              "ten steps of PGD do not raise the loss of {:.0f} % of the images: the gradient does not point uphill",
              100 * flat);
    }
    const Tensor found = square(model, images, labels, ids, ball, {.queries = 100}, seed);
    const Tensor only_square = right.logical_and(errs(attacked, labels).logical_not())
                                   .logical_and(judge(model, found, images, labels, ball).broken);
    const auto masked = only_square.sum().item<std::int64_t>();
    if (masked > 1 && static_cast<double>(masked) > kOften * static_cast<double>(images.size(0))) {
      warning("square-beats-white-box",
              "100 random queries break {} of {} images that 10 steps of PGD do not: gradients look masked; trust only "
              "a worst case with square",
              masked, images.size(0));
    }
  }
};

std::vector<Finding> worst_first(std::vector<Finding> findings) {
  std::stable_sort(findings.begin(), findings.end(),
                   [](const Finding& a, const Finding& b) { return a.severity > b.severity; });
  return findings;
}

}  // namespace

core::Json to_json(const std::vector<Finding>& findings) {
  core::Json list = core::Json::array();
  for (const auto& f : findings) {
    list.push_back({{"code", f.code},
                    {"severity", f.severity == Severity::kError ? "error" : "warning"},
                    {"sentence", f.sentence}});
  }
  return list;
}

const std::vector<std::pair<std::string, std::string>>& lint_codes() {
  static const std::vector<std::pair<std::string, std::string>> codes = {
      {"pixel-range", "pixels outside [0, 1], or scaled twice"},
      {"non-finite-logits", "answers that are not numbers"},
      {"random", "two answers to the same images that differ: dropout, or a randomised model"},
      {"training-mode", "answers that depend on the other images of the batch: batch norm or dropout in training mode"},
      {"attack-mode", "answers that depend on whether gradients are taken"},
      {"probabilities", "a softmax where logits are expected"},
      {"epsilon-zero", "an attack without budget that changes something"},
      {"non-finite-gradient", "gradients that are not numbers"},
      {"zero-gradient", "gradients that vanish"},
      {"loss-does-not-rise", "PGD that does not raise the loss"},
      {"square-beats-white-box", "random search that breaks what gradients do not: gradient masking"},
      {"attack-left-ball", "an attack whose points had to be taken back into the ball"},
      {"cannot-reach", "PGD whose steps together are shorter than epsilon"},
      {"step-too-large", "PGD whose steps are longer than epsilon"},
      {"no-budget", "an attack with epsilon 0, which moves nothing"},
      {"weak-attack", "attacks that leave images standing which ten steps of PGD break"},
      {"not-applicable", "attacks that need more classes than the model has, and were left out"},
      {"constant-answer", "an accuracy that answering the commonest class always might reach"},
      {"missing-class", "a class without images: the accuracy says nothing of it"},
      {"labels-by-place", "labels matched by place, not by name: the weight file does not name its classes"},
  };
  return codes;
}

std::vector<Finding> lint(const Model& model, const Tensor& images, const Tensor& labels, const Tensor& ids,
                          const Ball& ball, std::uint64_t seed) {
  Linter linter{.model = model, .images = images, .labels = labels, .ids = ids, .ball = ball, .seed = seed};
  linter.pixels();
  linter.answers();
  linter.epsilon_zero();
  linter.gradients();
  linter.ascent_works();
  return worst_first(std::move(linter.findings));
}

std::vector<Finding> lint(const PgdOptions& attack, const std::string& where) {
  const double step = attack.step_size(), radius = attack.epsilon.value;
  const auto warn = [](const char* code, const std::string& sentence) -> std::vector<Finding> {
    return {{code, Severity::kWarning, sentence}};
  };
  if (radius == 0)
    return warn("no-budget",
                fmt::format("{}: epsilon is 0: the attack moves nothing, and its figures are those without it", where));
  constexpr double kRounding = 1 - 1e-9;  // four steps of 2/255 reach 8/255
  if (step * static_cast<double>(attack.iterations) < radius * kRounding) {
    return warn(
        "cannot-reach",
        fmt::format(
            "{}: {} steps of {:.4g} end within {:.4g} of their start, epsilon is {}: most of the ball is out of reach; "
            "set step none, or iterations times step to more than epsilon",
            where, attack.iterations, step, step * static_cast<double>(attack.iterations), attack.epsilon.typed));
  }
  if (step > radius && attack.iterations > 1) {
    return warn("step-too-large", fmt::format("{}: each step, {:.4g}, is longer than epsilon, {}: the attack jumps "
                                              "across the ball; set step none or a part of epsilon",
                                              where, step, attack.epsilon.typed));
  }
  return {};
}

std::vector<Finding> lint(const Accuracy& natural, const data::Dataset& dataset) {
  std::vector<Finding> findings;
  if (natural.undefined > 0) {
    findings.push_back({"non-finite-logits", Severity::kError,
                        fmt::format("the answers to {} of {} images are not numbers and count as wrong: the weights or "
                                    "the input's scale are broken",
                                    natural.undefined, natural.n)});
  }
  if (const auto common = commonest_class(dataset); common.accuracy.interval().value >= natural.interval().low) {
    findings.push_back(
        {"constant-answer", Severity::kWarning,
         fmt::format("{:.1f} % of the images are of the class {}: always answering it might be as accurate as the "
                     "network, {:.1f} % "
                     "[{:.1f}, {:.1f}]",
                     100 * common.accuracy.interval().value, core::quoted(common.name), 100 * natural.interval().value,
                     100 * natural.interval().low, 100 * natural.interval().high)});
  }
  constexpr std::int64_t kNamed = 3;
  const Tensor counts = torch::bincount(dataset.labels, {}, static_cast<std::int64_t>(dataset.classes.size()));
  std::vector<std::string> missing;
  for (std::size_t c = 0; c < dataset.classes.size(); ++c) {
    if (counts[static_cast<std::int64_t>(c)].item<std::int64_t>() == 0)
      missing.push_back(core::quoted(dataset.classes[c]));
  }
  if (const auto n = static_cast<std::int64_t>(missing.size()); n > 0) {
    missing.resize(static_cast<std::size_t>(std::min(n, kNamed)));
    findings.push_back(
        {"missing-class", Severity::kWarning,
         fmt::format("no image is of the class {}{}: the accuracy says nothing of {}", fmt::join(missing, ", "),
                     n > kNamed ? fmt::format(" and {} more", n - kNamed) : "", n > 1 ? "them" : "it")});
  }
  return worst_first(std::move(findings));
}

std::vector<Finding> lint(const WorstCase& result, const Model& model, const Tensor& images, const Tensor& labels,
                          const Tensor& rows, const Ball& ball) {
  if (!result.complete || ball.epsilon.value == 0) return {};
  std::vector<std::int64_t> kept;
  for (std::int64_t i = 0; i < rows.size(0); ++i) {
    if (result.broken_by.at(static_cast<std::size_t>(rows[i].item<std::int64_t>())).empty()) kept.push_back(i);
  }
  if (kept.empty()) return {};
  const Tensor standing = torch::tensor(kept, torch::kInt64);
  const Tensor left = images.index_select(0, standing), wanted = labels.index_select(0, standing);
  const Tensor found = pgd(model, left, cross_entropy(wanted), ten_steps(ball), Tensor());
  const auto broken = judge(model, found, left, wanted, ball).broken.sum().item<std::int64_t>();
  if (broken < 2 || static_cast<double>(broken) <= kMasking * static_cast<double>(images.size(0))) return {};
  return {{"weak-attack", Severity::kWarning,
           fmt::format("ten steps of PGD of epsilon / 4 break {} of {} images that all attacks left standing: they are "
                       "weak, and the figures "
                       "too high; raise their iterations, leave step at none, or add apgd-ce and square",
                       broken, standing.size(0))}};
}

std::vector<Finding> lint(const WorstCase& result) {
  std::vector<Finding> findings;
  bool white_box = false;
  for (const auto& a : result.attacks) {
    if (a.corrected > 0) {
      findings.push_back(
          {"attack-left-ball", Severity::kWarning,
           fmt::format(
               "{}: {} of its {} points lay outside the ball or [0, 1] and were taken back before they were judged",
               a.title, a.corrected, a.attacked)});
    }
    if (a.name == "square" && white_box && a.broken_first > 1 &&
        static_cast<double>(a.broken_first) > kMasking * static_cast<double>(result.natural.n)) {
      findings.push_back({"square-beats-white-box", Severity::kWarning,
                          fmt::format("Square broke {} of {} images that the attacks with gradients before it had not: "
                                      "gradients look masked; more of them may be breakable",
                                      a.broken_first, result.natural.n)});
    }
    white_box = white_box || a.name != "square";
  }
  return worst_first(std::move(findings));
}

}  // namespace pellucid::evasion
