#include "pellucid/training/checkpoint.h"

#include "pellucid/core/error.h"
#include "pellucid/nets/safetensors.h"

namespace pellucid::training {
namespace {

using core::Error;
using core::ErrorKind;
using core::Json;

const std::string kNetwork = "network/", kClean = "clean norms/", kFirst = "optimiser/first/", kSecond = "optimiser/second/";
const std::string kPerturbation = "perturbation";

Json pair(const evasion::Accuracy& accuracy) { return {accuracy.correct, accuracy.n}; }
evasion::Accuracy accuracy(const Json& json) { return {.correct = json.at(0), .n = json.at(1)}; }

Json record_to_json(const EpochRecord& r) {
  return {{"epoch", r.epoch}, {"train_loss", r.train_loss}, {"train_accuracy", r.train_accuracy}, {"natural", pair(r.natural)}, {"robust", pair(r.robust)}, {"guard", pair(r.guard)}};
}

EpochRecord record_from_json(const Json& json) {
  return {.epoch = json.at("epoch"),
          .train_loss = json.at("train_loss"),
          .train_accuracy = json.at("train_accuracy"),
          .natural = accuracy(json.at("natural")),
          .robust = accuracy(json.at("robust")),
          .guard = accuracy(json.at("guard"))};
}

// "options.epochs: got 3, expected 4" for the first leaf in which two trees differ.
std::string first_difference(const Json& got, const Json& expected) {
  const Json patch = Json::diff(got, expected);
  if (patch.empty()) return "";
  const Json::json_pointer where(patch.front().at("path").get<std::string>());
  auto text = [&](const Json& tree) { return tree.contains(where) ? tree.at(where).dump() : "nothing"; };
  return fmt::format("{}: got {}, the run there has {}", where.to_string(), text(got), text(expected));
}

// What the optimiser remembers under a prefix: a tensor for each parameter, or none.
std::vector<Tensor> take(const nets::SafeTensors& file, const std::string& prefix, const std::vector<std::string>& names) {
  std::vector<Tensor> list;
  for (const auto& name : names) {
    const auto found = file.tensors.find(prefix + name);
    if (found != file.tensors.end()) list.push_back(found->second);
  }
  if (!list.empty() && list.size() != names.size()) throw std::out_of_range(prefix);
  return list;
}

}  // namespace

Json to_json(const std::vector<EpochRecord>& curve) {
  Json json = {{"epoch", Json::array()}, {"train_loss", Json::array()}, {"natural", Json::array()}, {"robust", Json::array()}, {"guard", Json::array()}};
  auto share = [](const evasion::Accuracy& accuracy) { return accuracy.n > 0 ? Json(accuracy.interval().value) : Json(); };
  for (const auto& r : curve) {
    json["epoch"].push_back(r.epoch);
    json["train_loss"].push_back(r.train_loss);
    json["natural"].push_back(r.natural.interval().value);
    json["robust"].push_back(share(r.robust));
    json["guard"].push_back(share(r.guard));
  }
  return json;
}

void save_state(const TrainingState& state, const Json& identity, const std::filesystem::path& path) {
  nets::SafeTensors file;
  for (const auto& [name, tensor] : state.model.network.state) file.tensors[kNetwork + name] = tensor;
  for (const auto& [name, tensor] : state.model.clean_norms) file.tensors[kClean + name] = tensor;
  if (state.perturbation.defined()) file.tensors[kPerturbation] = state.perturbation;
  const auto names = parameters(state.model).names;
  for (std::size_t i = 0; i < state.optimiser.first.size(); ++i) file.tensors[kFirst + names[i]] = state.optimiser.first[i];
  for (std::size_t i = 0; i < state.optimiser.second.size(); ++i) file.tensors[kSecond + names[i]] = state.optimiser.second[i];
  Json curve = Json::array();
  for (const auto& record : state.curve) curve.push_back(record_to_json(record));
  file.metadata["identity"] = identity.dump();
  file.metadata["state"] = Json{{"epoch", state.epoch},       {"batch", state.batch},           {"loss_sum", state.loss_sum},
                                {"correct", state.correct},   {"steps", state.optimiser.steps}, {"curve", curve}}
                               .dump();
  core::write_file(path, nets::write_safetensors(file));
}

std::optional<TrainingState> load_state(const Model& initial, const Json& identity, const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  const nets::SafeTensors file = nets::read_safetensors(path);
  try {
    const auto difference = first_difference(identity, Json::parse(file.metadata.at("identity")));
    if (!difference.empty()) {
      throw Error(ErrorKind::kUsage, "{}: this run folder holds another training ({}); give another --out", path.string(), difference);
    }
    const Json json = Json::parse(file.metadata.at("state"));
    const auto names = parameters(initial).names;
    const auto& architecture = initial.network.architecture;
    TrainingState state{.model = {.network = {.architecture = architecture, .state = {}}},
                        .optimiser = {.steps = json.at("steps"), .first = take(file, kFirst, names), .second = take(file, kSecond, names)},
                        .epoch = json.at("epoch"),
                        .batch = json.at("batch"),
                        .loss_sum = json.at("loss_sum"),
                        .correct = json.at("correct"),
                        .curve = {}};
    for (const auto& entry : nets::entries(architecture)) state.model.network.state[entry.name] = file.tensors.at(kNetwork + entry.name);
    for (const auto& [name, tensor] : initial.clean_norms) state.model.clean_norms[name] = file.tensors.at(kClean + name);
    if (const auto carried = file.tensors.find(kPerturbation); carried != file.tensors.end()) state.perturbation = carried->second;
    for (const auto& record : json.at("curve")) state.curve.push_back(record_from_json(record));
    return state;
  } catch (const Json::exception& error) {
    throw Error(ErrorKind::kModel, "{}: no training state: {}", path.string(), error.what());
  } catch (const std::out_of_range&) {
    throw Error(ErrorKind::kModel, "{}: no training state of {}: something is missing", path.string(), initial.network.architecture.spec.net);
  }
}

}  // namespace pellucid::training
