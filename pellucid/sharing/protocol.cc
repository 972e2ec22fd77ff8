#include "pellucid/sharing/protocol.h"

#include "pellucid/core/error.h"

namespace pellucid::sharing {

std::string to_string(Arithmetic arithmetic) { return arithmetic == Arithmetic::kFloat64 ? "float64" : "float32"; }

core::Field arithmetic_field(std::string name, Arithmetic& value, std::string help) {
  return core::field(std::move(name), value, std::move(help),
                     {{"float32", Arithmetic::kFloat32}, {"float64", Arithmetic::kFloat64}});
}

core::Fields fields(LocalTraining& local) {
  return {core::field("local_epochs", local.epochs,
                      "epochs of SGD that the client trains, to share the change of the weights; 0 shares a gradient",
                      0, 1000),
          core::field("step_images", local.step_images, "images of a step of local training; 0 is all of the batch", 0,
                      4096),
          core::field("learning_rate", local.learning_rate, "learning rate of local training", 1e-9, 1e3),
          core::field("hide_schedule", local.hidden,
                      "the server does not know the epochs, steps and learning rate of local training")};
}

void require_equal_shares(const Protocol& protocol) {
  if (protocol.batch_size % protocol.clients == 0) return;
  throw core::Error(core::ErrorKind::kUsage, "clients: got {} with {} images in all, expected as many for each",
                    protocol.clients, protocol.batch_size);
}

std::int64_t steps(const Protocol& protocol) {
  const std::int64_t n = protocol.batch_size / protocol.clients,
                     each = protocol.local.step_images == 0 ? n : protocol.local.step_images;
  return protocol.local.epochs * ((n + each - 1) / each);
}

double gradients_in(const Protocol& protocol) {
  const auto& local = protocol.local;
  return local.epochs == 0 || local.hidden ? 1 : local.learning_rate * static_cast<double>(steps(protocol));
}

namespace {

// One client.
Simulated simulate_one(const Protocol& protocol, const nets::Architecture& architecture, const nets::Leaves& leaves,
                       const Tensor& images, const Loss& loss, std::optional<core::Stream> randomness,
                       bool differentiable) {
  const std::int64_t n = images.size(0);
  const auto numbers = torch::TensorOptions(images.device()).dtype(torch::kInt64);
  nets::TensorMap state = leaves.state;
  Simulated result;
  const auto gradient = [&](const std::vector<Tensor>& parameters, const Tensor& some, const Tensor& which,
                            const std::optional<core::Stream>& dropout) {
    auto output = nets::evaluate(architecture, state, some, protocol.mode, dropout);
    result.running = std::move(output.running);
    return torch::autograd::grad({loss(output.logits, which)}, parameters, {}, /*retain_graph=*/differentiable,
                                 /*create_graph=*/differentiable);
  };
  if (protocol.local.epochs == 0) {
    result.gradient = gradient(leaves.parameters, images, torch::arange(n, numbers), randomness);
    return result;
  }

  std::vector<Tensor> weights = leaves.parameters;
  const auto names = nets::parameter_names(architecture);
  const std::int64_t each = protocol.local.step_images == 0 ? n : protocol.local.step_images;
  std::uint64_t step = 0;
  for (std::int64_t epoch = 0; epoch < protocol.local.epochs; ++epoch) {
    Tensor order = torch::arange(n, numbers);
    if (randomness) {
      const core::Stream stream(randomness->bits(), "order of local training", static_cast<std::uint64_t>(epoch));
      order = torch::tensor(core::permutation(stream, n), torch::kInt64).to(images.device());
    }
    for (std::int64_t begin = 0; begin < n; begin += each, ++step) {
      const Tensor which = order.slice(0, begin, begin + each);
      std::optional<core::Stream> dropout;
      if (randomness) dropout = core::Stream(randomness->bits(), "dropout of local training", step);
      const auto gradients = gradient(weights, images.index_select(0, which), which, dropout);
      for (std::size_t i = 0; i < weights.size(); ++i) {
        weights[i] = weights[i] - protocol.local.learning_rate * gradients[i];
        if (!differentiable) weights[i] = weights[i].detach().requires_grad_(true);
        state[names[i]] = weights[i];
      }
      for (const auto& [name, value] : result.running) state[name] = value;
    }
  }
  for (std::size_t i = 0; i < weights.size(); ++i) result.gradient.push_back(leaves.parameters[i] - weights[i]);
  return result;
}

}  // namespace

std::vector<Simulated> simulate(const Protocol& protocol, const nets::Architecture& architecture,
                                const nets::Leaves& leaves, const Tensor& images, const Loss& loss,
                                std::optional<core::Stream> randomness, bool differentiable) {
  require_equal_shares(protocol);
  const std::int64_t each = images.size(0) / protocol.clients;
  std::vector<Simulated> clients;
  for (std::int64_t k = 0; k < protocol.clients; ++k) {
    const auto own = [&, k](const Tensor& logits, const Tensor& which) { return loss(logits, which + k * each); };
    auto stream = randomness;
    if (randomness && k > 0) stream = core::Stream(stream->bits(), "client", static_cast<std::uint64_t>(k));
    clients.push_back(
        simulate_one(protocol, architecture, leaves, images.narrow(0, k * each, each), own, stream, differentiable));
  }
  return clients;
}

}  // namespace pellucid::sharing
