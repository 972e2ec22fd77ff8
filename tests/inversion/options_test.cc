#include "pellucid/inversion/options.h"

#include "tests/core/expect_error.h"

namespace pellucid::inversion {
namespace {

TEST(Presets, HoldThePublishedAttack) {
  const InversionOptions& ig = preset("ig").options;
  EXPECT_EQ(ig.functional, Functional::kLoss);
  EXPECT_EQ(ig.objective, Objective::kCosine);
  EXPECT_EQ(ig.iterations, 4800);
  EXPECT_EQ(ig.restarts, 1);
  EXPECT_EQ(ig.tv, 1e-4);
  EXPECT_EQ(ig.learning_rate, 0.1);
  EXPECT_TRUE(ig.sign && ig.box);
  EXPECT_EQ(ig.decay, Decay::kStep);
  EXPECT_EQ(ig.features, 0);
  EXPECT_EQ(ig.l1, 0);
  EXPECT_EQ(ig.start, Start::kNormal);
  EXPECT_EQ(ig.keep, Keep::kLast);
}

TEST(Presets, BeginWithTheDefault) { EXPECT_EQ(presets().front().options, InversionOptions{}); }

TEST(Presets, NameTheNearestToAnUnknownOne) {
  core::expect_error([] { (void)preset("residul"); }, core::ErrorKind::kUsage,
                     "got \"residul\", expected residual or ig (did you mean residual?)");
}

TEST(InversionOptions, ComeBackFromTheirJson) {
  const InversionOptions other{.functional = Functional::kLoss,
                               .objective = Objective::kCosine,
                               .features = 2,
                               .iterations = 7,
                               .restarts = 3,
                               .tv = 0.5,
                               .l1 = 0.125,
                               .learning_rate = 0.25,
                               .decay = Decay::kNone,
                               .sign = false,
                               .box = false,
                               .start = Start::kZero,
                               .keep = Keep::kLast,
                               .method = Method::kDoubleBackward,
                               .precision = Precision::kFloat64,
                               .seed = 9};
  InversionOptions from = other, to;
  core::assign(fields(to), core::to_json(fields(from)), "test");
  EXPECT_EQ(to, other);
}

}  // namespace
}  // namespace pellucid::inversion
