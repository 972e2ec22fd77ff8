#include "pellucid/sharing/update.h"

#include "pellucid/core/error.h"
#include "pellucid/core/memory.h"
#include "pellucid/core/text.h"
#include "pellucid/nets/architecture_json.h"
#include "pellucid/nets/safetensors.h"

#include <algorithm>
#include <cmath>

namespace pellucid::sharing {

void require_memory(const nets::Architecture& architecture, std::int64_t batch_size) {
  double values = 0;  // for one image: its pixels and what each layer gives
  const auto count = [&](const std::vector<std::int64_t>& shape) {
    double product = 1;
    for (const auto n : shape) product *= static_cast<double>(n);
    values += product;
  };
  count(architecture.spec.input);
  for (const auto& shape : nets::output_shapes(architecture)) count(shape);
  const double bytes = 2 * sizeof(float) * values * static_cast<double>(batch_size);
  core::require_memory(static_cast<std::uint64_t>(std::min(bytes, 0x1p63)),
                       fmt::format("the gradient of a batch of {} through {} on images of {}", batch_size,
                                   architecture.spec.net, fmt::join(architecture.spec.input, "x")));
}

namespace {

// Adds one client's part of an average.
void add_share(nets::TensorMap& sum, const nets::TensorMap& one, std::size_t clients) {
  for (const auto& [name, tensor] : one) {
    const Tensor share = clients == 1 ? tensor : tensor / static_cast<double>(clients);
    const auto at = sum.try_emplace(name, share);
    if (!at.second) at.first->second = at.first->second + share;
  }
}

// Means and variances, without the counters.
nets::TensorMap statistics_of(const nets::TensorMap& running) {
  nets::TensorMap statistics;
  for (const auto& [name, tensor] : running) {
    if (tensor.is_floating_point()) statistics[name] = tensor.detach().to(torch::kCPU);
  }
  return statistics;
}

}  // namespace

Update compute_update(const nets::Network& network, const Tensor& images, const Tensor& labels, Protocol protocol,
                      std::optional<core::Stream> randomness, std::uint64_t noise,
                      std::vector<nets::TensorMap>* memory) {
  require_memory(network.architecture, images.size(0));
  protocol.batch_size = images.size(0);
  const auto type = protocol.arithmetic == Arithmetic::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  nets::Network exact = network;
  if (type != torch::kFloat32) exact.state = nets::converted(network.state, type);
  const nets::Leaves leaves = nets::with_gradients(exact);
  const auto device = nets::device_of(network);
  const auto loss = [labels = labels.to(device)](const Tensor& logits, const Tensor& which) {
    return at::cross_entropy_loss(logits, labels.index_select(0, which));
  };
  const auto clients =
      simulate(protocol, network.architecture, leaves, images.to(device, type), loss, randomness, false);
  const auto names = nets::parameter_names(network.architecture);
  Update update{.gradient = {}, .statistics = {}, .protocol = std::move(protocol), .model = nets::fingerprint(network)};
  for (std::size_t k = 0; k < clients.size(); ++k) {
    nets::TensorMap shared;
    for (std::size_t i = 0; i < names.size(); ++i) shared[names[i]] = clients[k].gradient[i].detach().to(torch::kCPU);
    const std::int64_t images_each = images.size(0) / static_cast<std::int64_t>(clients.size());
    const Own own{.seed = k == 0 ? noise : core::Stream(noise, "noise of a client", k).bits(),
                  .network = &network,
                  .images = images.narrow(0, static_cast<std::int64_t>(k) * images_each, images_each)};
    if (memory != nullptr) memory->resize(clients.size());
    apply(update.protocol.mechanisms, shared, own, memory == nullptr ? nullptr : &(*memory)[k]);
    add_share(update.gradient, shared, clients.size());
    if (update.protocol.share_statistics)
      add_share(update.statistics, statistics_of(clients[k].running), clients.size());
  }
  if (update.protocol.share_statistics && update.statistics.empty()) {
    throw core::Error(core::ErrorKind::kUsage,
                      "share_statistics: got {} in {} mode, expected a network with batch norm in training mode: only "
                      "there are new ones",
                      network.architecture.spec.net, nets::to_string(update.protocol.mode));
  }
  auto& local = update.protocol.local;
  if (local.hidden) local = {.epochs = std::min<std::int64_t>(local.epochs, 1), .hidden = true};
  return update;
}

Update as_gradient(Update update) {
  if (steps(update.protocol) != 1 || update.protocol.local.hidden) return update;
  for (auto& [unused, tensor] : update.gradient) tensor = tensor / update.protocol.local.learning_rate;
  update.protocol.local = {};
  return update;
}

Observation as_gradient(Observation observation) {
  observation.update = as_gradient(std::move(observation.update));
  for (auto& round : observation.further) round.update = as_gradient(std::move(round.update));
  return observation;
}

nets::Network next(const nets::Network& network, const Update& update, double rate) {
  nets::Network moved = network;
  const double times = update.protocol.local.epochs == 0 ? rate : 1;
  for (const auto& [name, shared] : update.gradient) {
    Tensor& weights = moved.state.at(name);
    weights = weights - times * shared.to(weights.device(), weights.scalar_type());
  }
  for (const auto& [name, statistic] : update.statistics) {
    Tensor& running = moved.state.at(name);
    running = statistic.to(running.device(), running.scalar_type());
  }
  return moved;
}

std::vector<Observation> rounds(const Observation& observation) {
  std::vector<Observation> all = {observation};
  all.front().further.clear();
  for (const auto& [state, update] : observation.further) {
    all.push_back(all.front());
    all.back().network.state = state;
    all.back().update = update;
  }
  return all;
}

namespace {

// "float32 gradient of the mean cross-entropy over 1 image, computed in evaluation mode"
std::string describe(const Protocol& protocol) {
  const auto mechanisms =
      protocol.mechanisms.empty() ? "" : fmt::format(", changed by {}", to_string(protocol.mechanisms));
  const auto plural = [](std::int64_t n, const char* one) { return fmt::format("{} {}{}", n, one, n == 1 ? "" : "s"); };
  const auto& local = protocol.local;
  std::string shared = to_string(protocol.arithmetic);
  if (local.epochs == 0)
    shared += " gradient of the mean cross-entropy";
  else if (local.hidden)
    shared = fmt::format("change of its {} weights by SGD at an unknown rate, in unknown steps,", shared);
  else
    shared = fmt::format("change of its {} weights by {} of SGD at {} ({})", shared, plural(local.epochs, "epoch"),
                         local.learning_rate, plural(steps(protocol), "step"));
  const auto images = protocol.clients == 1
                          ? plural(protocol.batch_size, "image")
                          : fmt::format("{} images of {} clients, on average", protocol.batch_size, protocol.clients);
  return fmt::format("{} over {}, computed in {} mode{}", shared, images, nets::to_string(protocol.mode), mechanisms);
}

}  // namespace

Observation together(const std::vector<Observation>& rounds) {
  const auto refuse = [](std::size_t round, const std::string& got, const std::string& expected) {
    throw core::Error(core::ErrorKind::kModel, "round {}: got {}, expected {}", round + 1, got, expected);
  };
  const auto sorted = [](std::vector<std::int64_t> labels) {
    std::sort(labels.begin(), labels.end());
    return labels;
  };
  Observation all = rounds.front();
  const auto architecture = nets::to_json(all.network.architecture);
  std::vector<std::string> digests = {digest(all.update)};
  for (std::size_t i = 1; i < rounds.size(); ++i) {
    const auto& [network, update, labels, unused_id, unused_rounds] = rounds[i];
    if (nets::to_json(network.architecture) != architecture)
      refuse(i, "another architecture (" + network.architecture.spec.net + ")",
             "that of round 1 (" + all.network.architecture.spec.net + ")");
    if (update.protocol != all.update.protocol)
      refuse(i, "the " + describe(update.protocol), "as in round 1 the " + describe(all.update.protocol));
    if (!labels.empty() && !all.labels.empty() && sorted(labels) != sorted(all.labels))
      refuse(i, "other labels than before", "those of the same images");
    if (all.labels.empty()) all.labels = labels;
    digests.push_back(digest(update));
    if (const auto same = std::ranges::find(digests, digests.back()) - digests.begin();
        same != static_cast<std::ptrdiff_t>(i))
      refuse(i, fmt::format("the update of round {} again", same + 1), "another one");
    all.further.push_back({.state = network.state, .update = update});
  }
  return all;
}

std::string digest(const Update& update) {
  nets::TensorMap shared = update.gradient;
  shared.insert(update.statistics.begin(), update.statistics.end());
  return core::sha256(nets::write_safetensors({.tensors = shared}));
}

double gradient_norm(const Update& update) {
  double sum = 0;
  for (const auto& [unused, tensor] : update.gradient) {
    sum += tensor.to(torch::kFloat64).square().sum().item<double>();  // the square of the smallest float32 is a float64
  }
  return std::sqrt(sum);
}

std::string describe(const Observation& observation) {
  const auto rounds =
      observation.further.empty() ? "" : fmt::format(", in each of {} rounds", 1 + observation.further.size());
  return fmt::format("the attacker is given the network ({}), the {}{}, and {}{}",
                     observation.network.architecture.spec.net, describe(observation.update.protocol),
                     observation.update.statistics.empty() ? "" : ", the new statistics of batch norm",
                     observation.labels.empty() ? "no labels" : "the labels", rounds);
}

}  // namespace pellucid::sharing
