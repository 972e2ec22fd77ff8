#include "pellucid/evasion/lint.h"

#include "tests/evasion/models.h"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pellucid::evasion {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;

constexpr std::int64_t kLinted = 16;

std::vector<std::string> codes(const std::vector<Finding>& findings) {
  std::vector<std::string> list;
  for (const auto& f : findings) list.push_back(f.code);
  return list;
}

// What is found of a model on noise that it answers rightly.
std::vector<std::string> codes(const Model& model, const Tensor& images,
                               const Ball& ball = tiny::ball(Norm::kLinf, "0.1")) {
  return codes(lint(model, images, tiny::answers(model, images), torch::arange(images.size(0)), ball, 0));
}
std::vector<std::string> codes(const Model& model) { return codes(model, tiny::images(kLinted)); }

Model sound() { return tiny::random_linear(4, 0, torch::kFloat32); }

// The same answers as a model's, but with a gradient of its own.
Model with_gradient_of(const Model& answers, const Model& gradients) {
  return [=](const Tensor& x) {
    const Tensor g = gradients(x);
    return answers(x).detach() + g - g.detach();
  };
}

TEST(Lint, FindsNothingInSoundModels) {
  EXPECT_THAT(codes(sound()), IsEmpty());
  EXPECT_THAT(codes(model_of(tiny::balanced_lenet())), IsEmpty());
  EXPECT_THAT(codes(model_of(tiny::normed())), IsEmpty());
  EXPECT_THAT(codes(sound(), tiny::images(kLinted), tiny::ball(Norm::kL2, "0.5")), IsEmpty());
  EXPECT_THAT(codes(sound(), tiny::images(kLinted), tiny::ball(Norm::kLinf, "0")), IsEmpty());
}

TEST(Lint, FindsPixelsThatAreNotInRange) {
  EXPECT_THAT(codes(sound(), tiny::images(kLinted) * 255), Contains("pixel-range"));
  EXPECT_THAT(codes(sound(), (tiny::images(kLinted) - 0.5) / 0.3), Contains("pixel-range"));
  EXPECT_THAT(codes(sound(), tiny::images(kLinted) / 255), Contains("pixel-range"));
}

TEST(Lint, FindsAnAttackWithoutBudgetThatChangesSomething) {
  EXPECT_THAT(codes(sound(), tiny::images(kLinted) * 1.2 - 0.1), Contains("epsilon-zero"));
  EXPECT_THAT(codes(sound()), Not(Contains("epsilon-zero")));
}

TEST(Lint, FindsDropoutAndOtherRandomness) {
  std::uint64_t calls = 0;
  const Model random = [&](const Tensor& x) {
    return sound()(x) + 0.1 * core::normal(core::Stream(0, "noise", calls++), {x.size(0), 4});
  };
  EXPECT_THAT(codes(random), Contains("random"));
  const Model dropping = [&](const Tensor& x) {
    const Tensor keep = core::uniform(core::Stream(0, "dropout", calls++), x.sizes()) < 0.5;
    return sound()(2 * x * keep);
  };
  EXPECT_THAT(codes(dropping), Contains("random"));
}

TEST(Lint, FindsTrainingMode) {
  EXPECT_THAT(codes(model_of(tiny::normed(), nets::Mode::kTraining)), Contains("training-mode"));
  const Model fixed_dropout = [](const Tensor& x) {
    return sound()(2 * x * (core::uniform(core::Stream(0, "dropout"), x.sizes()) < 0.5));
  };
  EXPECT_THAT(codes([&](const Tensor& x) { return fixed_dropout(x); }), Contains("training-mode"))
      << "the mask depends on the place in the batch";
}

TEST(Lint, FindsAModelThatIsAttackedInAnotherMode) {
  const Model two_faced = [](const Tensor& x) { return torch::GradMode::is_enabled() ? sound()(x) * 0.5 : sound()(x); };
  EXPECT_THAT(codes(two_faced), ElementsAre("attack-mode"));
}

TEST(Lint, FindsProbabilities) {
  EXPECT_THAT(codes([](const Tensor& x) { return sound()(x).softmax(1); }), Contains("probabilities"));
  EXPECT_THAT(codes([](const Tensor& x) { return sound()(x).log_softmax(1); }), Not(Contains("probabilities")));
}

TEST(Lint, FindsAnswersAndGradientsThatAreNotNumbers) {
  EXPECT_THAT(codes([](const Tensor& x) { return sound()(x) / 0 * 0; }), Contains("non-finite-logits"));
  const Model root_at_zero = [](const Tensor& x) {
    return sound()(x) + (x.flatten(1).select(1, 0).unsqueeze(1) * 0).sqrt();
  };
  EXPECT_THAT(codes(root_at_zero), Contains("non-finite-gradient"));
}

TEST(Lint, FindsGradientsThatVanish) {
  EXPECT_THAT(codes([](const Tensor& x) { return sound()((x * 255).round() / 255); }), Contains("zero-gradient"))
      << "rounded input";
  EXPECT_THAT(codes([](const Tensor& x) { return sound()(x) * 1e4; }), Contains("zero-gradient"))
      << "saturated softmax";
}

TEST(Lint, FindsALossThatDoesNotRise) {
  const Model reversed = with_gradient_of(sound(), [](const Tensor& x) { return -sound()(x); });
  EXPECT_THAT(codes(reversed), Contains("loss-does-not-rise"));
}

TEST(Lint, FindsMaskedGradients) {
  const Model reversed = with_gradient_of(sound(), [](const Tensor& x) { return -sound()(x); });
  EXPECT_THAT(codes(reversed), Contains("square-beats-white-box"));
  EXPECT_THAT(codes(sound()), Not(Contains("square-beats-white-box")));
}

TEST(Lint, PutsErrorsFirstAndKnowsItsCodes) {
  const Model masked = with_gradient_of([](const Tensor& x) { return sound()(x).softmax(1); },
                                        [](const Tensor& x) { return 0 * sound()(x); });
  const Tensor images = tiny::images(kLinted) * 1.5;
  const auto findings =
      lint(masked, images, tiny::answers(masked, images), torch::arange(kLinted), tiny::ball(Norm::kLinf, "0.1"), 0);
  ASSERT_GT(findings.size(), 2u);
  EXPECT_EQ(findings.front().severity, Severity::kError);
  EXPECT_EQ(findings.back().severity, Severity::kWarning);
  for (const auto& finding : findings) {
    EXPECT_TRUE(std::any_of(lint_codes().begin(), lint_codes().end(), [&](const auto& code) {
      return code.first == finding.code;
    })) << finding.code;
  }
  const core::Json json = to_json(findings);
  EXPECT_EQ(json[0]["severity"], "error");
  EXPECT_EQ(json[0]["code"], findings[0].code);
  EXPECT_EQ(json[0]["sentence"], findings[0].sentence);
}

TEST(LintOfPgd, FindsStepsThatDoNotFitTheBall) {
  const auto of = [](const char* epsilon, const char* step, std::int64_t iterations, Norm norm = Norm::kLinf) {
    PgdOptions attack{.epsilon = core::Number(epsilon), .iterations = iterations, .norm = norm};
    if (*step != 0) attack.step = core::Number(step);
    return codes(lint(attack, "pgd"));
  };
  EXPECT_THAT(of("3", "0.01", 40, Norm::kL2), ElementsAre("cannot-reach"));
  EXPECT_THAT(of("0.5", "0.01", 40), ElementsAre("cannot-reach"));
  EXPECT_THAT(of("0.3", "0.1", 0), ElementsAre("cannot-reach"));
  EXPECT_THAT(of("2/255", "0.01", 40), ElementsAre("step-too-large"));
  EXPECT_THAT(of("0", "0.01", 40), ElementsAre("no-budget"));
  EXPECT_THAT(of("8/255", "2/255", 4), IsEmpty()) << "it just reaches";
  EXPECT_THAT(of("8/255", "10/255", 1), IsEmpty()) << "FGSM-RS";
  for (const Norm norm : {Norm::kLinf, Norm::kL2}) {
    for (const char* epsilon : {"3", "0.3", "2/255"}) EXPECT_THAT(of(epsilon, "", 40, norm), IsEmpty()) << epsilon;
  }
}

TEST(LintOfAnAccuracy, FindsWhatAConstantAnswerWouldReach) {
  auto set = tiny::noise(100);
  set.labels = torch::arange(100).remainder(20).eq(0).to(torch::kInt64);  // 95 a, 5 b
  EXPECT_THAT(codes(lint(Accuracy{.correct = 95, .n = 100}, set)), ElementsAre("constant-answer", "missing-class"));
  EXPECT_THAT(lint(Accuracy{.correct = 95, .n = 100}, set)[0].sentence,
              testing::HasSubstr("95.0 % of the images are of the class \"a\""));
  EXPECT_THAT(lint(Accuracy{.correct = 95, .n = 100}, set)[1].sentence,
              testing::HasSubstr("no image is of the class \"c\", \"d\""));
  set = tiny::noise(400);  // balanced
  EXPECT_THAT(codes(lint(Accuracy{.correct = 140, .n = 400}, set)), IsEmpty());
  EXPECT_THAT(codes(lint(Accuracy{.correct = 100, .n = 400}, set)), ElementsAre("constant-answer"));
  EXPECT_THAT(codes(lint(Accuracy{.correct = 390, .n = 400, .undefined = 3}, set)), ElementsAre("non-finite-logits"));
}

TEST(LintOfTheAttacksThatWereRun, FindsThemWeakWhereTenStepsAreStronger) {
  const Model model = sound();
  auto set = tiny::dataset(tiny::images(40), tiny::labels(40));
  const Tensor rows = torch::arange(40), images = data::pixels(set, rows);
  set.labels = tiny::answers(model, images);
  const auto found = [&](const std::string& step, std::int64_t iterations) {
    AttackSettings settings;
    settings.pgd = {
        .epsilon = core::Number("0.1"), .step = core::Number(step), .iterations = iterations, .random_start = false};
    const auto judged = worst_case(model, set, settings, {});
    return codes(lint(judged, model, images, set.labels, rows, settings.ball()));
  };
  EXPECT_THAT(found("0.0001", 10), ElementsAre("weak-attack")) << "it cannot reach the ball";
  EXPECT_THAT(found("0", 10), ElementsAre("weak-attack"));
  EXPECT_THAT(found("0.025", 10), IsEmpty());
}

WorstCase after_attacks(std::int64_t square_first, std::int64_t corrected = 0) {
  WorstCase result;
  result.natural = {.correct = 100, .n = 100};
  result.attacks = {{.name = "pgd",
                     .title = "PGD",
                     .description = "",
                     .attacked = 100,
                     .broken = 10,
                     .broken_first = 10,
                     .corrected = corrected},
                    {.name = "square",
                     .title = "Square",
                     .description = "",
                     .attacked = 90,
                     .broken = square_first,
                     .broken_first = square_first}};
  return result;
}

TEST(LintOfAWorstCase, FindsSquareBetterThanGradients) {
  EXPECT_THAT(codes(lint(after_attacks(5))), ElementsAre("square-beats-white-box"));
  EXPECT_THAT(codes(lint(after_attacks(2))), IsEmpty());
  WorstCase alone = after_attacks(50);
  alone.attacks.erase(alone.attacks.begin());
  EXPECT_THAT(codes(lint(alone)), IsEmpty()) << "nothing to be better than";
}

TEST(LintOfAWorstCase, FindsAttacksThatLeftTheBall) {
  EXPECT_THAT(codes(lint(after_attacks(0, 3))), ElementsAre("attack-left-ball"));
}

}  // namespace
}  // namespace pellucid::evasion
