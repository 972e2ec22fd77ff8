#include "pellucid/evasion/fab.h"

#include "pellucid/evasion/standing.h"

#include <limits>

namespace pellucid::evasion {
namespace {

constexpr double kLeastWay = 1e-8;

}  // namespace

core::Fields fields(FabOptions& o) {
  return {
      core::field("iterations", o.iterations, "steps towards the border, for each target", 1, 100000),
      core::field("targets", o.targets, "wrong classes aimed at, the likeliest first", 1, 1000),
      core::field("overshoot", o.overshoot, "how far past the border a step goes; 1 ends on it", 1, 10),
      core::field("pull", o.pull, "the largest share of a step that starts at the image itself", 0, 1),
      core::field("backward", o.backward, "how far from the image the run goes on after it has crossed the border", 0,
                  1),
  };
}

Tensor step_to_plane(const Tensor& x, const Tensor& w, const Tensor& b, Norm norm) {
  // Pixel i moves by min(theta * rate_i, room_i) in the direction that closes the gap, which gains |w_i| times that.
  // The gain grows with theta, linearly between the values of theta at which a pixel runs out of room.
  const Tensor gap = b - (w * x).sum(1);
  const Tensor direction = w.sign() * gap.sign().unsqueeze(1), weight = w.abs();
  const Tensor room = torch::where(direction > 0, 1 - x, torch::where(direction < 0, x, torch::zeros_like(x)));
  const Tensor rate = norm == Norm::kLinf ? torch::ones_like(w) : weight;
  const auto [full_at, order] = (room / rate.clamp_min(kTiny)).sort(1);
  const Tensor slope_of = weight * rate;
  const Tensor gained = (weight * room).gather(1, order).cumsum(1);                    // by pixels that are full
  const Tensor growing = slope_of.sum(1, true) - slope_of.gather(1, order).cumsum(1);  // slope left to the others
  const Tensor gain = gained + full_at * growing;                                      // at each of those thetas
  const Tensor k = (gain < gap.abs().unsqueeze(1)).sum(1, true);                       // the piece that closes the gap
  const Tensor last = (k - 1).clamp_min(0), first = k == 0, never = k == w.size(1);
  const Tensor gained_before = torch::where(first, torch::zeros_like(gain.slice(1, 0, 1)), gained.gather(1, last));
  const Tensor growing_before = torch::where(first, slope_of.sum(1, true), growing.gather(1, last));
  const Tensor theta = (gap.abs().unsqueeze(1) - gained_before) / growing_before.clamp_min(kTiny);
  return direction * torch::min(torch::where(never, full_at.slice(1, -1), theta) * rate, room);
}

Tensor fab(const Model& model, const Tensor& images, const Tensor& labels, const Tensor& targets, Norm norm,
           const FabOptions& options) {
  const Objective border = [&](const Tensor& logits) {
    return (logits.gather(1, targets.unsqueeze(1)) - logits.gather(1, labels.unsqueeze(1))).squeeze(1);
  };
  const Tensor origin = images.flatten(1);
  Tensor x = images, nearest = images;
  Tensor distance = torch::full(labels.sizes(), std::numeric_limits<double>::infinity(), images.options());
  for (std::int64_t i = 0; i < options.iterations; ++i) {
    const Slope here = slope(model, border, x);
    const Tensor w = here.gradient.flatten(1), flat = x.flatten(1);
    const Tensor b = (w * flat).sum(1) - here.values;
    const Tensor from_x = step_to_plane(flat, w, b, norm), from_image = step_to_plane(origin, w, b, norm);
    const Tensor way = lengths(from_x, norm).clamp_min(kLeastWay),
                 way_of_image = lengths(from_image, norm).clamp_min(kLeastWay);
    const Tensor share = (way / (way + way_of_image)).clamp(0, options.pull).unsqueeze(1);
    x = ((1 - share) * (flat + options.overshoot * from_x) + share * (origin + options.overshoot * from_image))
            .clamp(0, 1)
            .view_as(images);

    const torch::NoGradGuard no_gradient;
    const Tensor wrong = errs(model(x), labels), length = lengths(x - images, norm);
    const Tensor nearer = wrong.logical_and(length < distance);
    nearest = torch::where(per_image(nearer), x, nearest);
    distance = torch::where(nearer, length, distance);
    x = torch::where(per_image(wrong), images + options.backward * (x - images), x);
  }
  return nearest;
}

Tensor fab_t(const Model& model, const Tensor& images, const Tensor& labels, const Tensor& ids, const Ball& ball,
             const FabOptions& options) {
  const Tensor targets = likely_targets(
      [&] {
        const torch::NoGradGuard no_gradient;
        return model(images);
      }(),
      labels, options.targets);
  return attack_standing(model, images, labels, ids, targets.size(1), [&](std::int64_t k, const Standing& s) {
    const Tensor target = targets.select(1, k).index({s.which});
    return inside_or_image(fab(model, s.images, s.labels, target, ball.norm, options), s.images, ball);
  });
}

}  // namespace pellucid::evasion
