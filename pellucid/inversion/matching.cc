#include "pellucid/inversion/matching.h"

#include "pellucid/core/tensor.h"
#include "pellucid/inversion/double_backward.h"
#include "pellucid/inversion/engine/engine.h"
#include "pellucid/inversion/engine/tensor_engine.h"

#include <algorithm>
#include <array>
#include <memory>

namespace pellucid::inversion {
namespace {

Matching by_double_backward(const Problem& problem, const Attack& attack, const torch::Device& device,
                            const std::string& why) {
  const auto precision = attack.precision == Precision::kFloat64 ? Precision::kFloat64 : Precision::kFloat32;
  auto reference = std::make_shared<DoubleBackward>(on(problem, device), precision);
  const std::int64_t batch = problem.protocol.batch_size;
  return {.method = fmt::format("double backward, {}{}", precision == Precision::kFloat64 ? "float64" : "float32", why),
          .at =
              [reference, batch](const Tensor& pixels, const Tensor& labels) {
                std::vector<Tensor> gradients, by_labels;
                std::vector<double> losses;
                for (std::int64_t i = 0; i < pixels.size(0); i += batch) {
                  Matched matched =
                      (*reference)(pixels.narrow(0, i, batch), labels.defined() ? labels.narrow(0, i, batch) : labels);
                  losses.push_back(matched.matching_loss);
                  gradients.push_back(std::move(matched.gradient));
                  by_labels.push_back(std::move(matched.by_labels));
                }
                return Evaluated{.losses = torch::tensor(losses, torch::kFloat64).to(pixels.device()),
                                 .gradient = torch::cat(gradients),
                                 .by_labels = labels.defined() ? torch::cat(by_labels) : Tensor()};
              },
          .reads_back = true};
}

Matching by_tensors(const Problem& problem, const Attack& attack, std::int64_t trials, const torch::Device& device) {
  if (const auto reason = TensorEngine::lacks(problem.architecture))
    return by_double_backward(problem, attack, device, fmt::format(": the network has {}", *reason));
  auto engine = std::make_shared<TensorEngine>(problem, trials, attack.precision, device);
  constexpr auto kNames = std::to_array<std::pair<Precision, const char*>>({{Precision::kFloat32, "float32"},
                                                                            {Precision::kTf32, "tf32"},
                                                                            {Precision::kMixed, "mixed"},
                                                                            {Precision::kFloat64, "float64"}});
  const auto name = std::ranges::find(kNames, attack.precision, &std::pair<Precision, const char*>::first);
  return {.method = fmt::format("tensor engine, {}", name->second),
          .at = [engine](const Tensor& pixels, const Tensor& labels) { return engine->evaluate(pixels, labels); }};
}

Matching of_one(const Problem& problem, const Attack& attack, std::int64_t trials, const torch::Device& device) {
  if (attack.method == Method::kDoubleBackward) return by_double_backward(problem, attack, device, "");
  if (!problem.low.empty() || problem.any_size)
    return by_double_backward(problem, attack, device, ": through what the client's mechanisms may have hidden");
  if (problem.protocol.local.epochs > 0)
    return by_double_backward(problem, attack, device, ": through the client's steps");
  if (problem.protocol.clients > 1 && problem.protocol.mode == nets::Mode::kTraining)
    return by_double_backward(problem, attack, device, ": through each client's batch");
  if (!in_engines(problem.objective))
    return by_double_backward(problem, attack, device,
                              fmt::format(": the engines have no {}", to_string(problem.objective)));
  if (attack.method == Method::kTensor || !device.is_cpu()) return by_tensors(problem, attack, trials, device);
  if (attack.precision == Precision::kFloat64)
    return by_double_backward(problem, attack, device, ": the engine has no float64");
  if (const auto reason = Engine::lacks(problem.architecture))
    return by_double_backward(problem, attack, device, fmt::format(": the network has {}", *reason));
  const bool asked = attack.precision == Precision::kMixed, mixed = asked && has_brain_floats();
  auto engine = std::make_shared<Engine>(problem, trials, mixed ? Precision::kMixed : Precision::kFloat32);
  return {.method = fmt::format("engine, {}", mixed   ? "mixed"
                                              : asked ? "float32: this processor has no brain floats for mixed"
                                                      : "float32"),
          .at = [engine, trials](const Tensor& pixels, const Tensor& labels) {
            std::vector<double> losses(trials);
            const auto gradients = labels.defined()
                                       ? engine->evaluate(pixels, labels, losses)
                                       : Engine::Gradients{.images = engine->evaluate(pixels, losses), .labels = {}};
            return Evaluated{.losses = torch::tensor(losses, torch::kFloat64),
                             .gradient = gradients.images,
                             .by_labels = gradients.labels};
          }};
}

}  // namespace

Matching make_matching(const Problem& problem, const Attack& attack, std::int64_t trials, const torch::Device& device) {
  if (problem.further.empty()) return of_one(problem, attack, trials, device);
  std::vector<std::pair<double, Matching>> all;
  for (const auto& round : rounds(problem)) all.emplace_back(round.share, of_one(round, attack, trials, device));
  const Matching& first = all.front().second;
  return {.method = fmt::format("{}; {} rounds", first.method, all.size()),
          .at =
              [all](const Tensor& pixels, const Tensor& labels) {
                Evaluated sum;
                for (const auto& [share, matching] : all) {
                  const Evaluated one = matching.at(pixels, labels);
                  for (const auto part : {&Evaluated::losses, &Evaluated::gradient, &Evaluated::by_labels}) {
                    if (!(one.*part).defined()) continue;
                    sum.*part = (sum.*part).defined() ? sum.*part + share * (one.*part) : share * (one.*part);
                  }
                }
                return sum;
              },
          .reads_back = first.reads_back};
}

}  // namespace pellucid::inversion
