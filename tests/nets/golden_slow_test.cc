// The networks that take seconds.
#include "tests/nets/golden.h"

namespace pellucid::nets {
namespace {

TEST(GoldenWideResNet, EvaluationAndGradientsAreThoseOfPyTorch) { expect_golden_evaluation("wide_resnet34_10"); }

TEST(GoldenWideResNet, Float32FollowsFloat64) { expect_golden_float32("wide_resnet34_10"); }

}  // namespace
}  // namespace pellucid::nets
