#include "pellucid/gradients/estimate.h"

#include "pellucid/core/environment.h"
#include "pellucid/core/parallel.h"
#include "pellucid/core/tensor.h"
#include "pellucid/inversion/reconstruct.h"
#include "pellucid/nets/zoo.h"
#include "pellucid/training/gradient.h"
#include "pellucid/training/optimiser.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace pellucid::gradients {
namespace {

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

nets::Architecture architecture(const Settings& s, const data::Dataset& set) {
  return nets::build({.net = s.net,
                      .input = set.images.sizes().slice(1).vec(),
                      .classes = static_cast<std::int64_t>(set.classes.size())});
}

}  // namespace

double training_seconds(const Training& training, Datasets& datasets) {
  const Settings& s = training.settings;
  const auto& set = datasets.train(s);
  const auto size = std::min(s.training.batch_size, set.size());
  const Tensor ids = torch::arange(size);
  const training::Batch batch{
      .images = data::pixels(set, ids), .labels = data::labels(set, ids), .ids = ids, .part = {}};
  auto model = training::initial_model(architecture(s, set), s.training);
  training::OptimiserState optimiser;
  const auto options = training::computable(s.training, core::has_bfloat16());  // as it will be trained
  double step = 0;
  for (int i = 0; i < 2; ++i) {  // the first prepares
    const auto begin = std::chrono::steady_clock::now();
    const auto points = training::inner_attack(model.network, batch, options);
    const auto found = training::gradient(model, batch, points, options, {});
    training::step(options, 1e-3, training::parameters(model).tensors, found.parameters, optimiser);
    step = seconds_since(begin);
  }
  return step * static_cast<double>(s.training.epochs) *
         std::ceil(static_cast<double>(set.size()) / static_cast<double>(size));
}

double reading_seconds(const Settings& s, Datasets& datasets) {
  constexpr std::int64_t kFew = 2, kMore = 12;
  constexpr double kLong = 2;  // seconds beside which a first run's preparations do not count
  const auto& set = datasets.test(s);
  const auto net = architecture(s, set);
  nets::Network network{.architecture = net, .state = nets::initialise(net, 0)};
  for (auto& [name, tensor] : network.state) {  // a last layer that begins at zero would leave nothing to do
    if (tensor.is_floating_point() && tensor.count_nonzero().item<std::int64_t>() == 0)
      tensor = core::normal(core::Stream(0, name), tensor.sizes()) * 0.05;
  }
  const Tensor ids = torch::arange(std::min(s.protocol.batch_size, set.size()));
  const Tensor labels = data::labels(set, ids);
  const sharing::Observation observation{
      .network = network,
      .update = sharing::compute_update(network, data::pixels(set, ids), labels, s.protocol),
      .labels = {labels.data_ptr<std::int64_t>(), labels.data_ptr<std::int64_t>() + labels.numel()}};
  double few = 0, more = 0;
  const auto trial = [&](std::int64_t iterations) {
    auto options = s.attack;
    options.iterations = iterations;
    const auto begin = std::chrono::steady_clock::now();
    (void)inversion::run_trial(observation, options, 0);
    return seconds_since(begin);
  };
  core::parallel_for(1, 1, [&](std::int64_t) {
    few = trial(kFew);
    if (few < kLong) few = trial(kFew);
    more = trial(kMore);
  });
  const double iteration = std::max(0.0, (more - few) / (kMore - kFew));
  const double rest = std::max(0.0, few - kFew * iteration);  // a search, a solve
  return static_cast<double>(s.attack.restarts) * (rest + iteration * static_cast<double>(s.attack.iterations));
}

}  // namespace pellucid::gradients
