#include "pellucid/sharing/fisher.h"

#include "pellucid/core/error.h"
#include "pellucid/core/tensor.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace pellucid::sharing {
namespace {

using core::Error;
using core::ErrorKind;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The mechanisms up to the noise.
struct Noise {
  std::vector<double> clips;  // norms, in order
  double deviation = 0;
};

Noise noise_of(const std::vector<MechanismUse>& uses) {
  Noise noise;
  for (const auto& use : uses) {
    if (use.name == "gaussian") {
      noise.deviation = use.value;
      return noise;
    }
    if (use.name != "clip") {
      throw Error(ErrorKind::kUsage, "mechanisms: got {} before gaussian, expected clip or nothing for a bound",
                  use.name);
    }
    noise.clips.push_back(use.value);
  }
  throw Error(ErrorKind::kUsage,
              "mechanisms: got \"{}\", expected gaussian among them: without noise there is no bound", to_string(uses));
}

template <typename Layer>
bool has(const nets::Architecture& architecture) {
  return std::ranges::any_of(architecture.layers, [](const auto& l) { return std::holds_alternative<Layer>(l.op); });
}

void require_noise_alone(const Protocol& protocol, const nets::Architecture& architecture) {
  if (protocol.share_statistics)
    throw Error(ErrorKind::kUsage, "share_statistics: got true, expected false for a bound: they carry no noise");
  if (protocol.mode == nets::Mode::kTraining && has<nets::Dropout>(architecture))
    throw Error(ErrorKind::kUsage, "mode: got training, expected evaluation for a bound: dropout is drawn");
  if (steps(protocol) > protocol.local.epochs) {
    throw Error(ErrorKind::kUsage,
                "step_images: got {}, expected all of a client's images for a bound: the order of steps is drawn",
                protocol.local.step_images);
  }
}

// As the mechanism does it.
std::vector<Tensor> clipped(std::vector<Tensor> update, const std::vector<double>& norms) {
  for (const double most : norms) {
    Tensor square = torch::zeros({}, torch::kFloat64);
    for (const auto& tensor : update) square = square + tensor.square().sum();
    const double norm = std::sqrt(square.item<double>());
    if (!(norm > most)) continue;
    const Tensor factor = most / square.sqrt();
    for (auto& tensor : update) tensor = tensor * factor;
  }
  return update;
}

// tr((F + (L L^T)^-1)^-1), without an inverse.
Tensor trace_of_inverse(const Tensor& information, const Tensor& factor) {
  const auto unit = torch::eye(factor.size(0), factor.options());
  const Tensor root = at::linalg_cholesky(unit + factor.t().matmul(information).matmul(factor));
  return at::linalg_solve_triangular(root, factor.t(), /*upper=*/false).square().sum();
}

}  // namespace

FisherProduct fisher_product(const nets::Network& network, const Tensor& images, const Tensor& labels,
                             Protocol protocol, std::int64_t which) {
  const Noise noise = noise_of(protocol.mechanisms);
  protocol.batch_size = images.size(0);
  require_equal_shares(protocol);
  require_noise_alone(protocol, network.architecture);
  nets::Network exact = network;
  exact.state = nets::converted(network.state, torch::kFloat64);
  const auto leaves = nets::with_gradients(exact);
  const Tensor all = images.to(torch::kFloat64);
  const Tensor pixels = all.narrow(0, which, 1).clone().requires_grad_();
  const Tensor batch =
      torch::cat({all.narrow(0, 0, which), pixels, all.narrow(0, which + 1, images.size(0) - which - 1)});
  const Loss loss = [&labels](const Tensor& logits, const Tensor& places) {
    return at::cross_entropy_loss(logits, labels.index_select(0, places));
  };
  const auto clients =
      simulate(protocol, network.architecture, leaves, batch, loss, std::nullopt, /*differentiable=*/true);
  const auto each = images.size(0) / protocol.clients;
  std::vector<Tensor> shared, cotangent;
  for (const auto& tensor : clipped(clients[static_cast<std::size_t>(which / each)].gradient, noise.clips)) {
    if (!tensor.requires_grad()) continue;
    shared.push_back(tensor);
    cotangent.push_back(torch::zeros_like(tensor).detach().requires_grad_());
  }
  // J^T u is linear in u: its derivative by u, along v, is J v.
  const Tensor back =
      torch::autograd::grad(shared, {pixels}, cotangent, /*retain_graph=*/true, /*create_graph=*/true)[0];
  const double scale = 1 / (noise.deviation * noise.deviation * static_cast<double>(protocol.clients));
  return [=](const Tensor& direction) {
    auto forward = torch::autograd::grad({back}, cotangent, {direction.reshape(pixels.sizes())}, /*retain_graph=*/true,
                                         /*create_graph=*/false, /*allow_unused=*/true);
    for (std::size_t i = 0; i < forward.size(); ++i) {
      if (!forward[i].defined()) forward[i] = torch::zeros_like(cotangent[i]);
    }
    return scale * torch::autograd::grad(shared, {pixels}, forward, /*retain_graph=*/true)[0].flatten();
  };
}

Tensor fisher_information(const nets::Network& network, const Tensor& images, const Tensor& labels,
                          const Protocol& protocol, std::int64_t which) {
  const auto product = fisher_product(network, images, labels, protocol, which);
  const Tensor unit = torch::eye(images[0].numel(), torch::kFloat64);
  std::vector<Tensor> rows;
  for (std::int64_t i = 0; i < unit.size(0); ++i) rows.push_back(product(unit[i]));
  const Tensor information = torch::stack(rows);
  return (information + information.t()) / 2;
}

UnbiasedBound unbiased_bound(const Tensor& information) {
  const std::int64_t d = information.size(0);
  const auto pixels = static_cast<double>(d);
  const Tensor eigenvalues = at::linalg_eigvalsh(information).clamp_min(0);
  const double largest = eigenvalues.max().item<double>(),
               rounding = pixels * std::numeric_limits<double>::epsilon() * largest;
  return {.error = (eigenvalues + rounding).reciprocal().mean().item<double>(),
          .by_trace = pixels / information.trace().item<double>(),
          .largest = std::sqrt(largest),
          .rank = (eigenvalues > rounding).sum().item<std::int64_t>(),
          .pixels = d};
}

UnbiasedBound estimated_bound(const FisherProduct& product, std::int64_t pixels, std::int64_t products,
                              std::uint64_t seed) {
  const auto exact = torch::TensorOptions(torch::kFloat64);
  std::vector<double> traces;
  for (std::int64_t i = 0; i < products; ++i) {
    const core::Stream stream(seed, "directions of Fisher information", static_cast<std::uint64_t>(i));
    const Tensor signs = core::uniform(stream, {pixels}, -1, 1).sign().to(torch::kFloat64);
    traces.push_back(signs.dot(product(signs)).item<double>());
  }
  const Tensor all = torch::tensor(traces, exact);
  const double trace = all.mean().item<double>();

  Tensor v = core::normal(core::Stream(seed, "start of Lanczos"), {pixels}).to(torch::kFloat64);
  std::vector<Tensor> basis = {v / v.norm()};
  Tensor tridiagonal = torch::zeros({products, products}, exact);
  for (std::int64_t i = 0; i < products; ++i) {
    Tensor w = product(basis.back());
    tridiagonal[i][i] = w.dot(basis.back());
    for (int twice = 0; twice < 2; ++twice) {  // orthogonal also after rounding
      for (const auto& b : basis) w = w - w.dot(b) * b;
    }
    const double next = w.norm().item<double>();
    if (i + 1 == products || !(next > 1e-12 * tridiagonal[0][0].item<double>())) break;
    tridiagonal[i][i + 1] = next;
    tridiagonal[i + 1][i] = next;
    basis.push_back(w / next);
  }
  const double largest = at::linalg_eigvalsh(tridiagonal).max().item<double>();
  return {.error = kInfinity,
          .by_trace = static_cast<double>(pixels) / trace,
          .largest = std::sqrt(std::max(0.0, largest)),
          .pixels = pixels,
          .trace_deviation = all.std().item<double>() / std::sqrt(static_cast<double>(products)) / trace};
}

Prior fitted_prior(const Tensor& images, double ridge) {
  const Tensor rows = images.flatten(1).to(torch::kFloat64), mean = rows.mean(0), centred = rows - mean;
  const Tensor covariance = centred.t().matmul(centred) / static_cast<double>(rows.size(0) - 1);
  return {.mean = mean, .covariance = covariance + ridge * torch::eye(rows.size(1), torch::kFloat64)};
}

double linear_error(const Tensor& information, const Prior& prior) {
  return trace_of_inverse(information, at::linalg_cholesky(prior.covariance)).item<double>() /
         static_cast<double>(prior.mean.numel());
}

BayesBound bayes_bound(const std::vector<Tensor>& informations, const Prior& prior) {
  const auto n = static_cast<double>(informations.size()), d = static_cast<double>(prior.mean.numel());
  const Tensor factor = at::linalg_cholesky(prior.covariance);
  Tensor sum = torch::zeros_like(prior.covariance);
  for (const auto& f : informations) sum = sum + f;
  std::vector<double> without;  // each in turn
  for (const auto& f : informations)
    without.push_back(trace_of_inverse((sum - f) / (n - 1), factor).item<double>() / d);
  const Tensor left = torch::tensor(without, torch::kFloat64);
  const double plain = trace_of_inverse(sum / n, factor).item<double>() / d, mean = left.mean().item<double>();
  return {.error = std::max(0.0, n * plain - (n - 1) * mean),
          .by_trace = d / (sum.trace().item<double>() / n + at::cholesky_inverse(factor).trace().item<double>()),
          .prior = prior.covariance.trace().item<double>() / d,
          .deviation = std::sqrt((n - 1) / n * (left - mean).square().sum().item<double>()),
          .draws = static_cast<std::int64_t>(informations.size())};
}

BayesBound bayes_bound(const nets::Network& network, std::int64_t label, const Protocol& protocol, const Prior& prior,
                       std::int64_t draws, std::uint64_t seed) {
  const auto& net = network.architecture;
  if (has<nets::Relu>(net) || has<nets::LeakyRelu>(net) || has<nets::MaxPool>(net)) {
    throw Error(ErrorKind::kUsage,
                "got {}, expected a network without ReLU and max pooling: where these switch the gradient jumps, and "
                "the bound for all attacks does not hold",
                net.spec.net);
  }
  if (protocol.batch_size != 1 || protocol.clients != 1) {
    throw Error(ErrorKind::kUsage, "got {} images of {} clients, expected one image for the bound for all attacks",
                protocol.batch_size, protocol.clients);
  }
  const Tensor factor = at::linalg_cholesky(prior.covariance);
  std::vector<Tensor> informations;
  for (std::int64_t i = 0; i < draws; ++i) {
    const core::Stream stream(seed, "images of the prior", static_cast<std::uint64_t>(i));
    const Tensor image = prior.mean + factor.mv(core::normal(stream, {prior.mean.numel()}).to(torch::kFloat64));
    const auto& shape = net.spec.input;
    informations.push_back(fisher_information(network, image.reshape({1, shape[0], shape[1], shape[2]}),
                                              torch::tensor({label}), protocol));
  }
  return bayes_bound(informations, prior);
}

double psnr_of(double error) { return -10 * std::log10(error); }

}  // namespace pellucid::sharing
