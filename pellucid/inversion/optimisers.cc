#include "pellucid/inversion/optimisers.h"

#include <algorithm>
#include <cmath>
#include <memory>

namespace pellucid::inversion {
namespace {

Tensor on_device(const std::vector<double>& values, const Tensor& z) {
  return torch::tensor(values, torch::kFloat64).to(z.options());
}

Step adam(const Tensor& z, std::int64_t /*trials*/, const std::vector<double>& learning_rates) {
  constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kEpsilon = 1e-8;
  std::vector<double> rates, roots;  // of each iteration: the rate, and the second moment's correction
  for (std::size_t i = 0; i < learning_rates.size(); ++i) {
    const auto step = static_cast<double>(i + 1);
    rates.push_back(-learning_rates[i] / (1 - std::pow(kBeta1, step)));
    roots.push_back(std::sqrt(1 - std::pow(kBeta2, step)));
  }
  return [rates = on_device(rates, z), roots = on_device(roots, z), first = torch::zeros_like(z),
          second = torch::zeros_like(z)](Tensor& at, const Tensor& gradient, const Tensor& iteration) {
    first.mul_(kBeta1).add_(gradient, 1 - kBeta1);
    second.mul_(kBeta2).addcmul_(gradient, gradient, 1 - kBeta2);
    const Tensor rate = rates.index_select(0, iteration), root = roots.index_select(0, iteration);
    at.add_(first * rate / (second.sqrt() / root).add_(kEpsilon));
  };
}

Step sgd(const Tensor& z, std::int64_t /*trials*/, const std::vector<double>& learning_rates) {
  return [rates = on_device(learning_rates, z)](Tensor& at, const Tensor& gradient, const Tensor& iteration) {
    at.sub_(gradient * rates.index_select(0, iteration));
  };
}

// Limited-memory BFGS as torch.optim.LBFGS runs it without a line search: a pair of steps whose curvature is not
// positive is left out (its inverse curvature is 0), and the first step is no longer than the gradient is small.
class Lbfgs {
 public:
  Lbfgs(const Tensor& z, std::int64_t trials, const std::vector<double>& rates)
      : trials_(trials),
        rates_(on_device(rates, z)),
        steps_(torch::zeros({kPairs, trials, z.numel() / trials}, z.options())),
        changes_(torch::zeros_like(steps_)),
        curvatures_(torch::zeros({kPairs, trials, 1}, z.options())),
        scale_(torch::ones({trials, 1}, z.options())),
        place_(rows(z).clone()),
        gradient_(torch::zeros_like(place_)) {}

  void operator()(Tensor& z, const Tensor& gradient, const Tensor& iteration) {
    const Tensor g = rows(gradient), step = rows(z) - place_, change = g - gradient_;
    const Tensor along = inner(step, change), first = iteration == 0;
    const Tensor sound = (along > 1e-10).logical_and(first.logical_not());
    const Tensor slot = (iteration + kPairs - 1).remainder(kPairs);
    steps_.index_copy_(0, slot, step.unsqueeze(0));
    changes_.index_copy_(0, slot, change.unsqueeze(0));
    curvatures_.index_copy_(0, slot, torch::where(sound, along.reciprocal(), torch::zeros_like(along)).unsqueeze(0));
    scale_.copy_(torch::where(sound, along / inner(change, change), scale_));

    // On the cpu the pairs that there are; elsewhere, where nothing may be read back, the empty ones too.
    const auto pairs =
        iteration.device().is_cpu() ? std::min<std::int64_t>(iteration.item<std::int64_t>(), kPairs) : kPairs;
    Tensor direction = -g;
    std::vector<Tensor> shares;
    for (std::int64_t k = 0; k < pairs; ++k) {
      shares.push_back(at(curvatures_, slot, k) * inner(at(steps_, slot, k), direction));
      direction = direction - shares.back() * at(changes_, slot, k);
    }
    direction = direction * scale_;
    for (std::int64_t k = pairs; k-- > 0;) {
      const Tensor share = at(curvatures_, slot, k) * inner(at(changes_, slot, k), direction);
      direction = direction + (shares[static_cast<std::size_t>(k)] - share) * at(steps_, slot, k);
    }
    direction = torch::where(inner(direction, g) < 0, direction, -g * scale_);
    const Tensor shortened = sum(g.abs()).reciprocal().clamp_max(1);
    const Tensor rate = rates_.index_select(0, iteration) * torch::where(first, shortened, torch::ones_like(shortened));
    place_.copy_(rows(z));
    gradient_.copy_(g);
    z.add_((rate * direction).view(z.sizes()));
  }

 private:
  static constexpr std::int64_t kPairs = 100;

  [[nodiscard]] Tensor rows(const Tensor& z) const { return z.reshape({trials_, -1}); }
  // Of each trial by itself: how a sum along one axis is rounded depends on how many others there are.
  [[nodiscard]] static Tensor sum(const Tensor& values) {
    std::vector<Tensor> sums;
    for (const auto& row : values.unbind(0)) sums.push_back(row.sum());
    return torch::stack(sums).unsqueeze(1);
  }
  [[nodiscard]] static Tensor inner(const Tensor& a, const Tensor& b) { return sum(a * b); }
  // Of the k-th pair before the last.
  [[nodiscard]] static Tensor at(const Tensor& pairs, const Tensor& slot, std::int64_t k) {
    return pairs.index_select(0, (slot - k).remainder(kPairs)).squeeze(0);
  }

  std::int64_t trials_;
  Tensor rates_, steps_, changes_, curvatures_;  // of the last pairs: what z and the gradient moved by
  Tensor scale_, place_, gradient_;
};

Step lbfgs(const Tensor& z, std::int64_t trials, const std::vector<double>& rates) {
  return [state = std::make_shared<Lbfgs>(z, trials, rates)](
             Tensor& at, const Tensor& gradient, const Tensor& iteration) { (*state)(at, gradient, iteration); };
}

}  // namespace

const std::vector<Optimiser>& optimisers() {
  static const std::vector<Optimiser> rows = {
      {"adam", "beta .9 and .999, epsilon 1e-8", "Kingma and Ba 2015, arXiv:1412.6980", adam},
      {"sgd", "the gradient times the learning rate", "Robbins and Monro 1951", sgd},
      {"lbfgs", "limited-memory BFGS, the last 100 pairs, no line search",
       "Liu and Nocedal 1989; as torch.optim.LBFGS with its defaults", lbfgs},
  };
  return rows;
}

}  // namespace pellucid::inversion
