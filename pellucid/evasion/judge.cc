#include "pellucid/evasion/judge.h"

namespace pellucid::evasion {
namespace {

constexpr double kLevels = 255, kSlack = 1e-6;  // room for the rounding of float32

Tensor to_8bit(const Tensor& x, const Tensor& images, const Ball& ball) {
  const double epsilon = ball.epsilon.value;
  const Ball with_slack{.norm = ball.norm, .epsilon = core::Number(fmt::format("{}", epsilon + kSlack))};
  Tensor levels = (x * kLevels).round();
  if (ball.norm == Norm::kLinf) {
    const Tensor low = ((images - epsilon - kSlack) * kLevels).ceil(),
                 high = ((images + epsilon + kSlack) * kLevels).floor();
    levels = torch::min(torch::max(levels, low), high);
  } else {
    const Tensor towards_image = (images * kLevels + ((x - images) * kLevels).trunc()).round();
    const Tensor inside = lengths(levels / kLevels - images, ball.norm) <= with_slack.epsilon.value;
    levels = torch::where(per_image(inside), levels, towards_image);
  }
  return inside_or_image((levels / kLevels).clamp(0, 1), images, with_slack);
}

}  // namespace

Judged judge(const Model& model, const Tensor& points, const Tensor& images, const Tensor& labels, const Ball& ball) {
  const torch::NoGradGuard no_gradient;
  const Tensor finite = points.isfinite().flatten(1).all(1);
  const Tensor proper = torch::where(per_image(finite), points, images);
  Judged judged;
  judged.x = project(proper, images, ball);
  judged.corrected = (judged.x - proper).abs().flatten(1).amax(1).gt(kSlack).logical_or(finite.logical_not());
  judged.broken = errs(model(judged.x), labels);
  judged.x_8bit = to_8bit(judged.x, images, ball);
  judged.broken_8bit = errs(model(judged.x_8bit), labels);
  judged.distance = lengths(judged.x - images, ball.norm);
  return judged;
}

}  // namespace pellucid::evasion
