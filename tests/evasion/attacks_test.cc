#include "pellucid/evasion/attacks.h"

#include "tests/core/expect_error.h"
#include "tests/evasion/models.h"
#include <rapidcheck/gtest.h>

namespace pellucid::evasion {
namespace {

constexpr Norm kNorms[] = {Norm::kLinf, Norm::kL2};

TEST(Dlr, IsThatOfThePaper) {
  const Tensor logits = tiny::formula({5, 6}, 30, 2), labels = torch::tensor({0, 1, 2, 3, 4}),
               targets = torch::tensor({5, 0, 1, 2, 3});
  EXPECT_LT(tiny::apart(dlr(labels)(logits), tiny::golden()["dlr"]), 1e-12);
  EXPECT_LT(tiny::apart(dlr_towards(labels, targets)(logits), tiny::golden()["dlr_towards"]), 1e-12);
  EXPECT_TRUE(torch::allclose(dlr(labels)(7 * logits - 3), dlr(labels)(logits)));
  EXPECT_TRUE(torch::allclose(dlr_towards(labels, targets)(7 * logits - 3), dlr_towards(labels, targets)(logits)));
}

TEST(Dlr, NeedsClasses) {
  const Tensor labels = torch::zeros({1}, torch::kInt64);
  core::expect_error(
      [&] {
        (void)dlr(labels)(torch::zeros({1, 2}));
      },
      core::ErrorKind::kUsage, "got 2 classes, expected at least 3");
  core::expect_error(
      [&] {
        (void)dlr_towards(labels, labels)(torch::zeros({1, 3}));
      },
      core::ErrorKind::kUsage, "attack with apgd-ce");
}

TEST(Logits, AreReadRight) {
  const Tensor logits = torch::tensor({{1.0, 3.0, 2.0}, {5.0, 3.0, 2.0}, {std::nan(""), 0.0, 9.0}}),
               labels = torch::tensor({1, 1, 2});
  EXPECT_TRUE(torch::equal(margins(logits, labels).slice(0, 0, 2), torch::tensor({1.0, -2.0})));
  EXPECT_TRUE(torch::equal(errs(logits, labels), torch::tensor({false, true, true})));
  EXPECT_TRUE(torch::equal(likely_targets(logits, labels, 9).slice(0, 0, 2), torch::tensor({{2, 0}, {0, 2}})));
  EXPECT_EQ(likely_targets(logits, labels, 1).size(1), 1);
}

TEST(Slope, IsZeroWhereTheModelDoesNotDependOnTheImage) {
  const Tensor images = tiny::images(2);
  const Model constant = [](const Tensor& x) { return torch::ones({x.size(0), 3}); };
  EXPECT_TRUE(
      torch::equal(slope(constant, cross_entropy(torch::tensor({0, 1})), images).gradient, torch::zeros_like(images)));
}

TEST(Fgsm, IsThatOfPyTorch) {
  const Tensor images = tiny::golden_images();
  const Tensor x = fgsm(model_of(tiny::golden_network()), images, cross_entropy(tiny::golden_labels()),
                        tiny::ball(Norm::kLinf, "0.1"));
  EXPECT_LT(tiny::apart(x, tiny::golden()["fgsm"]), 1e-12);
}

TEST(MiFgsm, IsThatOfThePaper) {
  const Tensor images = tiny::golden_images();
  const Tensor x = mi_fgsm(model_of(tiny::golden_network()), images, cross_entropy(tiny::golden_labels()),
                           tiny::ball(Norm::kLinf, "0.2"), {.iterations = 5, .decay = 0.9});
  EXPECT_LT(tiny::apart(x, tiny::golden()["mi_fgsm"]), 1e-12);
}

// A linear classifier of two classes: label 0 loses most at the ball's far end.
struct TwoClasses {
  Tensor weight = core::normal(core::Stream(3, "weight"), {64}).to(torch::kFloat64);
  Model model = tiny::linear_model(torch::stack({weight, -weight}) / 2, torch::zeros({2}, torch::kFloat64));
  Tensor images = 0.4 + 0.2 * tiny::images(4).to(torch::kFloat64);
  Tensor labels = (images.flatten(1) * weight).sum(1).lt(0).to(torch::kInt64);
  Tensor ids = torch::arange(4);

  // The least margin in the ball, the box not being in the way; and the distance to the border.
  [[nodiscard]] double gain(Norm norm) const {
    return (norm == Norm::kLinf ? weight.abs().sum() : weight.norm()).item<double>();
  }
  [[nodiscard]] Tensor margin(const Tensor& x) const { return margins(model(x), labels); }
};

TEST(Pgd, ReachesTheOptimumOfALinearClassifier) {
  const TwoClasses two;
  for (const Norm norm : kNorms) {
    const PgdOptions options{
        .epsilon = core::Number("0.3"), .step = core::Number("0.3"), .iterations = 40, .norm = norm};
    const Tensor x =
        pgd(two.model, two.images, cross_entropy(two.labels), options, start_noise(0, "p", two.ids, {1, 8, 8}));
    EXPECT_TRUE(torch::allclose(two.margin(x), two.margin(two.images) - 0.3 * two.gain(norm), 0, 1e-6))
        << to_string(norm);
  }
}

TEST(Pgd, AimsAtATarget) {
  const Model model = tiny::double_lenet();
  const Tensor images = tiny::images(6).to(torch::kFloat64), labels = tiny::answers(model, images);
  const Tensor targets = likely_targets(model(images), labels, 3).select(1, 2);  // the least likely class
  const AttackSettings s = tiny::quick(Norm::kLinf, "0.5");
  const Tensor x = pgd(model, images, towards(targets), s.pgd, start_noise(0, "p", torch::arange(6), {1, 8, 8}));
  EXPECT_TRUE((towards(targets)(model(x)) > towards(targets)(model(images))).all().item<bool>());
  EXPECT_GE(tiny::answers(model, x).eq(targets).sum().item<std::int64_t>(), 4);
}

TEST(PgdRestarts, AreThoseOneByOne) {
  const Model model = tiny::double_lenet();
  const Tensor images = tiny::images(5).to(torch::kFloat64), labels = tiny::answers(model, images),
               ids = torch::arange(5);
  AttackSettings s = tiny::quick(Norm::kLinf, "0.02");
  s.pgd.iterations = 2;
  const Tensor packed = pgd_restarts(model, images, labels, ids, s.pgd, 3, 0);
  Tensor highest = torch::full({5}, -1.0, torch::kFloat64);
  bool differ = false;
  for (const char* purpose : {"evasion start", "evasion start 1", "evasion start 2"}) {
    const Tensor x = pgd(model, images, cross_entropy(labels), s.pgd, start_noise(0, purpose, ids, {1, 8, 8}));
    const Tensor loss = cross_entropy(labels)(model(x));
    differ = differ || (highest.min().item<double>() >= 0 && !torch::equal(highest, loss));
    highest = torch::max(highest, loss);
  }
  EXPECT_TRUE(differ);
  EXPECT_TRUE(torch::allclose(cross_entropy(labels)(model(packed)), highest, 0, 1e-9));
}

TEST(PgdRestarts, KeepTheOneThatBreaks) {
  // Brighter, the other two classes nearly tie with the label: the loss is high but the model is right. Darker, it errs
  // at a lower loss.
  const Model model = [](const Tensor& x) {
    const Tensor p = x.flatten(1).select(1, 0) - 0.5;
    return torch::stack({torch::zeros_like(p), torch::where(p > 0, p - 0.5, -p - 0.2),
                         torch::where(p > 0, p - 0.5, torch::full_like(p, -10))},
                        1);
  };
  const Tensor images = torch::full({1, 1, 1, 1}, 0.5), labels = torch::zeros({1}, torch::kInt64);
  const PgdOptions options{.epsilon = core::Number("0.4"), .step = core::Number("0.2"), .iterations = 5};
  const Tensor x = pgd_restarts(model, images, labels, torch::zeros({1}, torch::kInt64), options, 16, 0);
  EXPECT_TRUE(errs(model(x), labels).item<bool>());
}

// The shortest way is unique; what it must satisfy: it reaches the plane, stays in the box, and each pixel has either
// moved by the same theta (times its rate) or run out of room.
RC_GTEST_PROP(StepToPlane, IsTheShortestWayInTheBox, ()) {
  const Norm norm = *rc::gen::element(Norm::kLinf, Norm::kL2);
  const core::Stream stream(*rc::gen::inRange<std::uint64_t>(0, 1000), "plane");
  const Tensor x = core::uniform(stream, {1, 6}).to(torch::kFloat64),
               w = core::normal(core::Stream(stream), {1, 6}).to(torch::kFloat64);
  const double low = w.clamp_max(0).sum().item<double>(), high = w.clamp_min(0).sum().item<double>();
  const double b = low + (high - low) * (*rc::gen::inRange(-2, 12)) / 10.0;
  const Tensor step = step_to_plane(x, w, torch::tensor({b}, torch::kFloat64), norm), end = x + step;
  RC_ASSERT(end.min().item<double>() >= -1e-9 && end.max().item<double>() <= 1 + 1e-9);
  const double reached = (w * end).sum().item<double>();
  RC_ASSERT(std::abs(reached - std::min(std::max(b, low), high)) < 1e-9);
  const double theta = (step.abs() / (norm == Norm::kLinf ? torch::ones_like(w) : w.abs())).max().item<double>();
  for (std::int64_t i = 0; i < 6; ++i) {
    const double moved = step[0][i].abs().item<double>(),
                 whole = theta * (norm == Norm::kLinf ? 1 : w[0][i].abs().item<double>());
    const double at = end[0][i].item<double>();
    RC_ASSERT(std::abs(moved - whole) < 1e-9 || at < 1e-9 || at > 1 - 1e-9);
  }
}

TEST(Fab, FindsTheDistanceOfALinearBorder) {
  const TwoClasses two;
  for (const Norm norm : kNorms) {
    const Tensor x = fab(two.model, two.images, two.labels, 1 - two.labels, norm, {.iterations = 30});
    const Tensor shortest = two.margin(two.images) / two.gain(norm), found = lengths(x - two.images, norm);
    EXPECT_TRUE(errs(two.model(x), two.labels).all().item<bool>());
    EXPECT_TRUE((found >= shortest).all().item<bool>());
    EXPECT_TRUE((found <= 1.06 * shortest).all().item<bool>()) << to_string(norm) << found / shortest;
  }
}

TEST(FabT, ReturnsTheImageWhereTheBorderIsOutsideTheBall) {
  const TwoClasses two;
  const double shortest = (two.margin(two.images) / two.gain(Norm::kL2)).min().item<double>();
  const Ball small = tiny::ball(Norm::kL2, fmt::format("{}", shortest * 0.9)), large = tiny::ball(Norm::kL2, "5");
  EXPECT_TRUE(torch::equal(fab_t(two.model, two.images, two.labels, two.ids, small, {}), two.images));
  EXPECT_TRUE(
      errs(two.model(fab_t(two.model, two.images, two.labels, two.ids, large, {})), two.labels).all().item<bool>());
}

TEST(Cw, FindsTheDistanceOfALinearBorder) {
  const TwoClasses two;
  const Tensor x = cw(two.model, two.images, two.labels, {.iterations = 200, .searches = 8});
  const Tensor shortest = two.margin(two.images) / two.gain(Norm::kL2), found = lengths(x - two.images, Norm::kL2);
  EXPECT_TRUE(errs(two.model(x), two.labels).all().item<bool>());
  EXPECT_TRUE((found <= 1.05 * shortest + 1e-3).all().item<bool>()) << torch::stack({found, shortest});
}

TEST(Square, HalvesItsSquaresAsPublished) {
  const std::vector<std::pair<std::int64_t, double>> expected = {
      {0, 0.8},      {10, 0.8},      {11, 0.4},       {51, 0.2},        {201, 0.1},       {501, 0.05},
      {1001, 0.025}, {2001, 0.0125}, {4001, 0.00625}, {6001, 0.003125}, {8001, 0.0015625}};
  for (const auto& [query, share] : expected) EXPECT_DOUBLE_EQ(square_share(0.8, query), share) << query;
}

TEST(Square, AsksWithinItsBudgetAndNeverForAGradient) {
  const TwoClasses two;
  std::int64_t asked = 0;
  const Model watched = [&](const Tensor& x) {
    EXPECT_FALSE(torch::GradMode::is_enabled());
    asked += x.size(0);
    return two.model(x);
  };
  (void)square(watched, two.images, two.labels, two.ids, tiny::ball(Norm::kLinf, "0.0001"), {.queries = 7}, 0);
  EXPECT_EQ(asked, 4 * 7);
  asked = 0;
  (void)square(watched, two.images, 1 - two.labels, two.ids, tiny::ball(Norm::kLinf, "0.0001"), {.queries = 7}, 0);
  EXPECT_EQ(asked, 4) << "broken at the first query";
}

TEST(Square, LowersTheMarginAndStaysOnTheSurface) {
  const TwoClasses two;
  const Ball ball = tiny::ball(Norm::kLinf, "0.1");
  const Tensor x = square(two.model, two.images, two.labels, two.ids, ball, {.queries = 300}, 0);
  const Tensor gained = (two.margin(two.images) - two.margin(x)) / (0.1 * two.gain(Norm::kLinf));
  const Tensor stands = errs(two.model(x), two.labels).logical_not();
  EXPECT_TRUE((gained.index({stands}) > 0.5).all().item<bool>()) << gained << " of the possible gain";
  EXPECT_TRUE(torch::allclose((x - two.images).abs(), torch::full_like(x, 0.1), 0, 1e-9));
  EXPECT_FALSE(torch::equal(x, square(two.model, two.images, two.labels, two.ids, ball, {.queries = 300}, 1)));
}

TEST(Square, LowersTheMarginInL2) {
  const TwoClasses two;
  const Ball ball = tiny::ball(Norm::kL2, "0.2");
  const Tensor few = square(two.model, two.images, two.labels, two.ids, ball, {.queries = 1}, 0);
  const Tensor many = square(two.model, two.images, two.labels, two.ids, ball, {.queries = 500}, 0);
  const Tensor stands = errs(two.model(many), two.labels).logical_not();
  EXPECT_TRUE((two.margin(many) < two.margin(few)).index({stands}).all().item<bool>());
  EXPECT_TRUE(torch::allclose(lengths(many - two.images, Norm::kL2), torch::full({4}, 0.2, torch::kFloat64), 0, 1e-6));
}

class EveryAttack : public testing::TestWithParam<std::pair<std::string, Norm>> {
 protected:
  const Attack& attack = find_attack(GetParam().first);
  Norm norm = GetParam().second;
  Model model = tiny::double_lenet();
  Tensor images = tiny::images(6).to(torch::kFloat64), labels = tiny::answers(model, images), ids = torch::arange(6);
};

TEST_P(EveryAttack, StaysInTheBallAndChangesNothingElse) {
  const Tensor copy = images.clone();
  for (const char* epsilon : {"0", "0.05", "0.4"}) {
    const AttackSettings s = tiny::quick(norm, epsilon);
    const Tensor x = attack.run(model, images, labels, ids, s);
    EXPECT_LE(lengths(x - images, norm).max().item<double>(), s.ball().epsilon.value + 1e-9);
    EXPECT_GE(x.min().item<double>(), 0);
    EXPECT_LE(x.max().item<double>(), 1);
    EXPECT_FALSE(x.requires_grad());
    EXPECT_TRUE(torch::equal(images, copy));
  }
}

TEST_P(EveryAttack, BreaksANetworkThatWasNotTrainedAgainstIt) {
  const AttackSettings s = tiny::quick(norm, norm == Norm::kLinf ? "0.3" : "2");
  EXPECT_GE(errs(model(attack.run(model, images, labels, ids, s)), labels).sum().item<std::int64_t>(), 5);
}

TEST_P(EveryAttack, DoesNotDependOnTheBatch) {
  const AttackSettings s = tiny::quick(norm, norm == Norm::kLinf ? "0.05" : "0.3");
  const Tensor together = attack.run(model, images, labels, ids, s);
  const Tensor order = torch::tensor({4, 1, 5});
  const Tensor some = attack.run(model, images.index({order}), labels.index({order}), ids.index({order}), s);
  EXPECT_LT((some - together.index({order})).abs().max().item<double>(), 1e-7);
}

std::vector<std::pair<std::string, Norm>> every_attack() {
  std::vector<std::pair<std::string, Norm>> list;
  for (const auto& attack : attacks()) {
    if (!attack.l2_only) list.emplace_back(attack.name, Norm::kLinf);
    list.emplace_back(attack.name, Norm::kL2);
  }
  return list;
}

INSTANTIATE_TEST_SUITE_P(All, EveryAttack, testing::ValuesIn(every_attack()));

TEST(EnsembleName, IsAutoAttackOnlyForAllFourWithTheirDefaults) {
  const AttackSettings defaults;
  EXPECT_EQ(ensemble_name({"apgd-ce", "apgd-t", "fab-t", "square"}, defaults), "AutoAttack");
  EXPECT_EQ(ensemble_name({"pgd", "square", "fab-t", "apgd-t", "apgd-ce"}, defaults),
            "worst case of PGD and AutoAttack");
  EXPECT_EQ(ensemble_name({"apgd-ce", "apgd-t", "square"}, defaults), "worst case of APGD-CE, APGD-T and Square");
  EXPECT_EQ(ensemble_name({"pgd"}, defaults), "worst case of PGD");
  AttackSettings fewer;
  fewer.square.queries = 4999;
  EXPECT_EQ(ensemble_name({"apgd-ce", "apgd-t", "fab-t", "square"}, fewer),
            "worst case of APGD-CE, APGD-T, FAB-T and Square");
}

TEST(AttackList, DescribesWithNumbersAsTyped) {
  AttackSettings s;
  s.pgd.epsilon = core::Number("8/255");
  s.restarts = 5;
  EXPECT_EQ(describe(find_attack("pgd"), s), "PGD-40, L-inf, eps 8/255, step 0.001046, random start, 5 restarts");
  EXPECT_EQ(describe(find_attack("square"), s), "Square, L-inf, eps 8/255");
  s.square.queries = 100;
  EXPECT_EQ(describe(find_attack("square"), s), "Square, L-inf, eps 8/255, queries 100");
}

TEST(AttackList, NamesTheNearest) {
  core::expect_error([] { (void)find_attack("sqare"); }, core::ErrorKind::kUsage, "did you mean square?");
}

}  // namespace
}  // namespace pellucid::evasion
