// An audit of private training: what membership of one example can be inferred from its noisy gradients, as a lower
// bound on epsilon, beside what is claimed.
#include "pellucid/privacy/gaussian.h"
#include "pellucid/stats/distribution.h"
#include "pellucid/stats/interval.h"
#include "pellucid/training/gradient.h"

#include "tests/evasion/tiny.h"

namespace pellucid::training {
namespace {

constexpr double kClip = 0.1, kDelta = 1e-5;

// The step that is audited: a batch of the others, and the canary where it is a member.
struct Audited {
  nets::Network network = tiny::balanced_lenet();
  TrainingOptions options{.batch_size = 4, .clip_norm = kClip, .noise_multiplier = 1};

  // The sum that a step has before it is divided: along the canary's gradient, in clip norms.
  [[nodiscard]] std::vector<double> drawn(bool member, int draws, const std::vector<Tensor>& direction) const {
    std::vector<double> along;
    for (int i = 0; i < draws; ++i) {
      TrainingOptions now = options;
      now.seed = static_cast<std::uint64_t>(i) * 2 + (member ? 1 : 0);
      const auto found = step(member ? 4 : 3, now);
      double sum = 0;
      for (std::size_t t = 0; t < found.size(); ++t) sum += (found[t] * direction[t]).sum().item<double>();
      along.push_back(sum * 4 / kClip);
    }
    return along;
  }

  // The gradient of the first so many images; the canary is the last of four.
  [[nodiscard]] std::vector<Tensor> step(std::int64_t images, const TrainingOptions& now) const {
    const Batch batch{.images = tiny::images(4).narrow(0, 0, images),
                      .labels = tiny::labels(4).narrow(0, 0, images),
                      .ids = torch::arange(images),
                      .part = {},
                      .epoch = 0,
                      .step = 0};
    return gradient({.network = network}, batch, batch.images, now, {}).parameters;
  }
};

// A lower bound on the epsilon at `kDelta` of a step that takes every example, which holds with probability 0.95: of
// the Gaussian mechanism whose trade-off between the two errors these draws still allow.
//
// Source: Nasr et al. 2023, Tight Auditing of Differentially Private Machine Learning, arXiv:2302.07956, section 4. The
// threshold is fixed before the draws. That the mechanism is Gaussian is assumed.
double audited_epsilon(const Audited& audited, int draws) {
  TrainingOptions silent = audited.options;
  silent.noise_multiplier = 0;
  const auto with = audited.step(4, silent), without = audited.step(3, silent);
  std::vector<Tensor> direction;
  double square = 0, middle = 0;
  for (std::size_t t = 0; t < with.size(); ++t) {
    direction.push_back(with[t] - without[t]);
    square += direction[t].square().sum().item<double>();
  }
  for (std::size_t t = 0; t < with.size(); ++t) {
    direction[t] = direction[t] / std::sqrt(square);
    middle += ((with[t] + without[t]) / 2 * direction[t]).sum().item<double>() * 4 / kClip;
  }
  const auto above = [&](bool member) {
    return std::ranges::count_if(audited.drawn(member, draws, direction), [&](double x) { return x > middle; });
  };
  constexpr double kEach = 0.95;  // two-sided for each: one-sided 0.975, together 0.95
  const double hits = stats::proportion_interval(above(true), draws, kEach).low,
               false_alarms = stats::proportion_interval(above(false), draws, kEach).high;
  const double separation = stats::normal_quantile(hits) - stats::normal_quantile(false_alarms);
  return separation <= 0 ? 0 : privacy::gaussian_epsilon(1 / separation, kDelta);
}

TEST(Audit, OfAStepStaysBelowItsClaim) {
  const double claimed = privacy::gaussian_epsilon(1, kDelta), found = audited_epsilon({}, 2000);
  EXPECT_LT(found, claimed);
  EXPECT_GT(found, 0.7 * claimed);  // and is near it, so that the faults below are seen
}

TEST(Audit, FindsNoiseThatIsMissingAndClippingThatIsNotDone) {
  const double claimed = privacy::gaussian_epsilon(1, kDelta);
  Audited silent, half, unclipped;
  silent.options.noise_multiplier = 1e-3;
  half.options.noise_multiplier = 0.5;
  unclipped.options.clip_norm = 10 * kClip;
  unclipped.options.noise_multiplier = 0.1;  // the same noise
  for (const auto& faulty : {silent, half, unclipped}) EXPECT_GT(audited_epsilon(faulty, 500), claimed);
}

}  // namespace
}  // namespace pellucid::training
