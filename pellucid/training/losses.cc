#include "pellucid/training/losses.h"

namespace pellucid::training {
namespace {

Tensor cross_entropy(const Tensor& logits, const Tensor& labels) {
  return at::cross_entropy_loss(logits, labels, {}, at::Reduction::None);
}

}  // namespace

Tensor divergence(const Tensor& clean, const Tensor& moved) {
  const Tensor log_clean = torch::log_softmax(clean, 1);
  return (log_clean.exp() * (log_clean - torch::log_softmax(moved, 1))).sum(1);
}

Tensor trades(const Tensor& clean, const Tensor& moved, const Tensor& labels, double beta) {
  return cross_entropy(clean, labels) + beta * divergence(clean, moved);
}

Tensor mart(const Tensor& clean, const Tensor& moved, const Tensor& labels, double beta) {
  constexpr double kTiny = 1e-12;
  const Tensor p_clean = torch::softmax(clean, 1), p_moved = torch::softmax(moved, 1);
  const Tensor label = labels.unsqueeze(1);
  const Tensor largest_wrong = p_moved.scatter(1, label, 0).amax(1);
  const Tensor boosted = cross_entropy(moved, labels) - torch::log(1.0001 - largest_wrong + kTiny);
  const Tensor moves = (p_clean * (torch::log(p_clean.clamp_min(kTiny)) - torch::log(p_moved + kTiny))).sum(1);
  return boosted + beta * moves * (1.0000001 - p_clean.gather(1, label).squeeze(1));
}

}  // namespace pellucid::training
