#include "pellucid/evasion/ball.h"

#include "pellucid/core/error.h"
#include "pellucid/core/tensor.h"

namespace pellucid::evasion {
namespace {

template <typename Draw>
Tensor drawn(const Tensor& ids, Draw draw) {
  std::vector<Tensor> rows;
  for (std::int64_t i = 0; i < ids.size(0); ++i) rows.push_back(draw(ids[i].item<std::int64_t>()));
  return torch::stack(rows);
}

}  // namespace

void check(const Ball& ball, const std::string& where) {
  if (ball.norm != Norm::kLinf || ball.epsilon.value <= 1) return;
  throw core::Error(core::ErrorKind::kUsage,
                    "{}epsilon: got {}, expected at most 1 with norm linf: pixels are in [0, 1]; is {}/255 meant?",
                    where.empty() ? "" : where + ": ", ball.epsilon.typed, ball.epsilon.typed);
}

std::string to_string(Norm norm) { return norm == Norm::kLinf ? "L-inf" : "L2"; }

core::Field norm_field(Norm& value) {
  return core::field("norm", value, "the norm that the ball is measured in",
                     core::Choices<Norm>{{"linf", Norm::kLinf}, {"l2", Norm::kL2}});
}

Tensor per_image(const Tensor& values) { return values.view({-1, 1, 1, 1}); }

Tensor lengths(const Tensor& delta, Norm norm) {
  const Tensor flat = delta.flatten(1);
  return norm == Norm::kLinf ? flat.abs().amax(1) : flat.norm(2, 1);
}

Tensor ascent(const Tensor& gradient, Norm norm) {
  if (norm == Norm::kLinf) return gradient.sign();
  return gradient / per_image(lengths(gradient, norm).clamp_min(kTiny));
}

Tensor project(const Tensor& points, const Tensor& images, const Ball& ball) {
  const double epsilon = ball.epsilon.value;
  check(ball, "");
  if (ball.norm == Norm::kLinf) return torch::min(torch::max(points, images - epsilon), images + epsilon).clamp(0, 1);
  const Tensor delta = points - images;
  const Tensor scale = (epsilon / lengths(delta, ball.norm).clamp_min(kTiny)).clamp_max(1);
  return (images + delta * per_image(scale)).clamp(0, 1);
}

Tensor inside_or_image(const Tensor& points, const Tensor& images, const Ball& ball) {
  return torch::where(per_image(lengths(points - images, ball.norm) <= ball.epsilon.value), points, images);
}

Tensor start_noise(std::uint64_t seed, std::string_view purpose, const Tensor& ids, at::IntArrayRef image_shape) {
  return drawn(ids,
               [&](std::int64_t id) { return core::uniform(core::Stream(seed, purpose, id), image_shape, -1, 1); });
}

Tensor normal_noise(std::uint64_t seed, std::string_view purpose, const Tensor& ids, at::IntArrayRef image_shape) {
  return drawn(ids, [&](std::int64_t id) { return core::normal(core::Stream(seed, purpose, id), image_shape); });
}

}  // namespace pellucid::evasion
