#include "pellucid/sharing/update.h"

#include "pellucid/core/error.h"
#include "pellucid/nets/safetensors.h"

namespace pellucid::sharing {
namespace {

using core::Error;
using core::ErrorKind;
using core::Json;

constexpr const char* kSchema = "pellucid.update/1";

const char* name(nets::Mode mode) { return mode == nets::Mode::kTraining ? "training" : "evaluation"; }

// Checks that the file's tensors are exactly the network's parameters.
void check_gradient(const nets::TensorMap& gradient, const nets::Architecture& architecture, const std::string& file) {
  std::size_t parameters = 0;
  for (const auto& entry : nets::entries(architecture)) {
    if (entry.kind != nets::Entry::Kind::kParameter) continue;
    ++parameters;
    const auto found = gradient.find(entry.name);
    if (found == gradient.end()) throw Error(ErrorKind::kModel, "{}: the gradient of \"{}\" is missing", file, entry.name);
    const Tensor& tensor = found->second;
    if (tensor.sizes() != at::IntArrayRef(entry.shape) || tensor.scalar_type() != torch::kFloat32) {
      throw Error(ErrorKind::kModel, "{}: the gradient of \"{}\": got {} [{}], expected Float [{}]", file, entry.name,
                  torch::toString(tensor.scalar_type()), fmt::join(tensor.sizes(), ", "), fmt::join(entry.shape, ", "));
    }
  }
  if (gradient.size() != parameters) {
    throw Error(ErrorKind::kModel, "{}: got {} gradients, expected {}: one for each parameter of {}", file, gradient.size(), parameters,
                architecture.spec.net);
  }
}

}  // namespace

Update compute_update(const nets::Network& network, const Tensor& images, const Tensor& labels, nets::Mode mode,
                      std::optional<core::Stream> dropout) {
  const nets::Leaves leaves = nets::with_gradients(network);
  const auto device = nets::device_of(network);
  const nets::Output output = nets::evaluate(network.architecture, leaves.state, images.to(device), mode, std::move(dropout));
  const Tensor loss = at::cross_entropy_loss(output.logits, labels.to(device));
  const auto gradients = torch::autograd::grad({loss}, leaves.parameters);
  const auto names = nets::parameter_names(network.architecture);
  Update update{.gradient = {}, .batch_size = images.size(0), .mode = mode, .model = nets::fingerprint(network)};
  for (std::size_t i = 0; i < names.size(); ++i) update.gradient[names[i]] = gradients[i].detach().to(torch::kCPU);
  return update;
}

double gradient_norm(const Update& update) {
  double sum = 0;
  for (const auto& [unused, tensor] : update.gradient) {
    sum += tensor.to(torch::kFloat64).square().sum().item<double>();  // the square of the smallest float32 is a float64
  }
  return std::sqrt(sum);
}

std::string describe(const Observation& observation) {
  const auto& update = observation.update;
  return fmt::format("the attacker is given the network ({}), the float32 gradient of the mean cross-entropy over {} image{}, computed in {} mode, and {}",
                     observation.network.architecture.spec.net, update.batch_size, update.batch_size == 1 ? "" : "s", name(update.mode),
                     observation.labels.empty() ? "no labels" : "the labels");
}

void save_observation(const Observation& observation, const std::filesystem::path& path) {
  const Json given = {{"batch_size", observation.update.batch_size},
                      {"mode", name(observation.update.mode)},
                      {"model", observation.update.model},
                      {"labels", observation.labels.empty() ? Json() : Json(observation.labels)},
                      {"id", observation.id}};
  core::write_file(path, nets::write_safetensors({.tensors = observation.update.gradient,
                                                  .metadata = {{"schema", kSchema},
                                                               {"observation", given.dump()},
                                                               {"threat_model", describe(observation)}}}));
}

Observation load_observation(const std::filesystem::path& path, const nets::Network& network) {
  nets::SafeTensors file = nets::read_safetensors(path);
  const std::string name = path.string();
  const auto schema = file.metadata.find("schema");
  if (schema == file.metadata.end() || schema->second != kSchema) {
    throw Error(ErrorKind::kModel, "{}: schema: got {}, expected {}: is this an update?", name,
                schema == file.metadata.end() ? "none" : schema->second, kSchema);
  }
  Observation observation{.network = network, .update = {}, .labels = {}};
  Update& update = observation.update;
  try {
    const Json given = Json::parse(file.metadata.at("observation"));
    update.batch_size = given.at("batch_size");
    const auto mode = nets::mode_field("mode", update.mode, "");
    if (!mode.set(given.at("mode"))) throw Error(ErrorKind::kModel, "mode: got {}, expected {}", given.at("mode").dump(), mode.expected);
    update.model = given.at("model");
    if (!given.at("labels").is_null()) observation.labels = given.at("labels").get<std::vector<std::int64_t>>();
    observation.id = given.at("id");
  } catch (const std::exception& error) {
    throw Error(ErrorKind::kModel, "{}: metadata \"observation\": {}", name, error.what());
  }
  const std::int64_t classes = network.architecture.spec.classes;
  for (const auto label : observation.labels) {
    if (label < 0 || label >= classes) throw Error(ErrorKind::kModel, "{}: label: got {}, expected 0 to {}", name, label, classes - 1);
  }
  if (update.batch_size < 1) throw Error(ErrorKind::kModel, "{}: batch_size: got {}, expected at least 1", name, update.batch_size);
  if (!observation.labels.empty() && static_cast<std::int64_t>(observation.labels.size()) != update.batch_size) {
    throw Error(ErrorKind::kModel, "{}: labels: got {}, expected {}: one for each image", name, observation.labels.size(), update.batch_size);
  }
  update.gradient = std::move(file.tensors);
  check_gradient(update.gradient, network.architecture, name);
  const auto fingerprint = nets::fingerprint(network);
  if (update.model != fingerprint) {
    throw Error(ErrorKind::kModel, "{}: computed with the network {:.12}, not with the one given, {:.12}", name, update.model, fingerprint);
  }
  return observation;
}

}  // namespace pellucid::sharing
