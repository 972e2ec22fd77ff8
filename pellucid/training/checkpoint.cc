#include "pellucid/training/checkpoint.h"

#include "pellucid/core/config.h"
#include "pellucid/core/error.h"
#include "pellucid/core/text.h"

#include <cmath>
#include <set>

namespace pellucid::training {
namespace {

namespace fs = std::filesystem;
using core::Error;
using core::ErrorKind;
using core::Json;

const std::string kNetwork = "network/", kClean = "clean norms/", kFirst = "optimiser/first/",
                  kSecond = "optimiser/second/";
const std::string kPerturbation = "perturbation";

std::string text(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json pair(const evasion::Accuracy& accuracy) { return {accuracy.correct, accuracy.n, accuracy.undefined}; }

Json record_to_json(const EpochRecord& r) {
  return {{"epoch", r.epoch},           {"train_loss", r.train_loss}, {"train_accuracy", r.train_accuracy},
          {"natural", pair(r.natural)}, {"robust", pair(r.robust)},   {"guard", pair(r.guard)}};
}

// Takes a document of the file apart; what is not as expected is an error that names the place.
struct Reader {
  const Json& json;
  std::string where;

  [[noreturn]] void fail(const std::string& expected) const {
    throw Error(ErrorKind::kModel, "{}: got {}, expected {}", where, core::printable(text(json)), expected);
  }
  [[nodiscard]] Reader at(const char* key) const {
    const auto found = object().find(key);
    if (found == json.end()) throw Error(ErrorKind::kModel, "{}: {} is missing", where, key);
    return {*found, where + "." + key};
  }
  [[nodiscard]] const Json& object() const {
    if (!json.is_object()) fail("an object");
    return json;
  }
  [[nodiscard]] std::vector<Reader> list() const {
    if (!json.is_array()) fail("a list");
    std::vector<Reader> items;
    for (std::size_t i = 0; i < json.size(); ++i) items.push_back({json[i], fmt::format("{}[{}]", where, i)});
    return items;
  }
  [[nodiscard]] std::int64_t whole(std::int64_t low, std::int64_t high) const {
    const bool fits = json.is_number_integer() && !(json.is_number_unsigned() && json.get<std::uint64_t>() > INT64_MAX);
    if (!fits || json.get<std::int64_t>() < low || json.get<std::int64_t>() > high)
      fail(fmt::format("a whole number from {} to {}", low, high));
    return json.get<std::int64_t>();
  }
  [[nodiscard]] double number(double low, double high) const {
    if (!json.is_number() || !(json.get<double>() >= low && json.get<double>() <= high))
      fail(fmt::format("a number from {} to {}", low, high));
    return json.get<double>();
  }
  [[nodiscard]] evasion::Accuracy accuracy() const {
    const auto items = list();
    if (items.size() != 3) fail("right answers, images, and answers that are not numbers");
    const auto n = items[1].whole(0, INT64_MAX);
    return {.correct = items[0].whole(0, n), .n = n, .undefined = items[2].whole(0, n)};
  }
};

constexpr double kLargest = std::numeric_limits<double>::max();

std::vector<EpochRecord> curve_of(const Reader& reader, std::int64_t epochs) {
  std::vector<EpochRecord> curve;
  for (const auto& item : reader.list()) {
    const auto place = static_cast<std::int64_t>(curve.size()) + 1;
    curve.push_back({.epoch = item.at("epoch").whole(place, place),
                     .train_loss = item.at("train_loss").number(-kLargest, kLargest),
                     .train_accuracy = item.at("train_accuracy").number(0, 1),
                     .natural = item.at("natural").accuracy(),
                     .robust = item.at("robust").accuracy(),
                     .guard = item.at("guard").accuracy()});
  }
  if (static_cast<std::int64_t>(curve.size()) != epochs) reader.fail(fmt::format("{} epochs", epochs));
  return curve;
}

std::vector<Workers> workers_of(const Reader& reader) {
  std::vector<Workers> workers;
  for (const auto& item : reader.list()) {
    const auto numbers = item.list();
    if (numbers.size() != 2) item.fail("processes and threads");
    workers.push_back({.processes = numbers[0].whole(1, INT32_MAX), .threads = numbers[1].whole(1, INT32_MAX)});
  }
  return workers;
}

Json parse_metadata(const nets::SafeTensors& file, const char* key, const std::string& name) {
  const auto found = file.metadata.find(key);
  if (found == file.metadata.end())
    throw Error(ErrorKind::kModel, "{}: no training state: metadata \"{}\" is missing", name, key);
  try {
    return core::parse_json(found->second, key);
  } catch (const Error&) {
  }
  throw Error(ErrorKind::kModel, "{}: no training state: metadata \"{}\" is not JSON of a state", name, key);
}

// The first leaf in which two trees differ: "/options/epochs: got 3, the run there has 4".
std::string first_difference(const Json& got, const Json& expected) {
  const Json patch = Json::diff(got, expected);
  if (patch.empty()) return "";
  const Json::json_pointer where(patch.front().at("path").get<std::string>());
  auto at = [&](const Json& tree) { return tree.contains(where) ? core::printable(text(tree.at(where))) : "nothing"; };
  return fmt::format("{}: got {}, the run there has {}", core::printable(where.to_string()), at(got), at(expected));
}

void check_identity(const Json& there, const Expected& expected, const std::string& name) {
  const auto difference = first_difference(expected.identity, there);
  if (difference.empty()) return;
  const char* more = difference.starts_with("/options/epochs")
                         ? "; the learning rate of this schedule depends on the number of epochs: "
                           "a training that is to be made longer needs schedule constant or step from its beginning"
                         : "";
  throw Error(ErrorKind::kUsage, "{}: this run folder holds another training ({}); name another folder{}", name,
              difference, more);
}

// The tensors of a file, each taken once and as it must be.
class Tensors {
 public:
  Tensors(const nets::SafeTensors& file, const std::string& name) : file_(file), name_(name) {}

  [[nodiscard]] bool has(const std::string& tensor) const { return file_.tensors.contains(tensor); }

  Tensor take(const std::string& tensor, at::IntArrayRef shape, torch::ScalarType type) {
    const auto found = file_.tensors.find(tensor);
    if (found == file_.tensors.end())
      throw Error(ErrorKind::kModel, "{}: tensor {} is missing", name_, core::quoted(tensor));
    const Tensor& value = found->second;
    if (value.sizes() != shape || value.scalar_type() != type) {
      throw Error(ErrorKind::kModel, "{}: tensor {}: got {} of shape [{}], expected {} of [{}]", name_,
                  core::quoted(tensor), torch::toString(value.scalar_type()), fmt::join(value.sizes(), ", "),
                  torch::toString(type), fmt::join(shape, ", "));
    }
    if (value.is_floating_point() && !value.isfinite().all().item<bool>()) {
      throw Error(ErrorKind::kModel, "{}: tensor {}: got values that are not finite", name_, core::quoted(tensor));
    }
    taken_.insert(tensor);
    return value;
  }
  Tensor like(const std::string& tensor, const Tensor& model) {
    return take(tensor, model.sizes(), model.scalar_type());
  }

  // What the optimiser remembers under a prefix, a tensor for each parameter.
  std::vector<Tensor> like_parameters(const std::string& prefix, const Parameters& parameters) {
    std::vector<Tensor> list;
    for (std::size_t i = 0; i < parameters.names.size(); ++i)
      list.push_back(like(prefix + parameters.names[i], parameters.tensors[i]));
    return list;
  }
  void refuse_others() const {
    for (const auto& [tensor, unused] : file_.tensors) {
      if (!taken_.contains(tensor))
        throw Error(ErrorKind::kModel, "{}: tensor {} is none of this training", name_, core::quoted(tensor));
    }
  }

 private:
  const nets::SafeTensors& file_;
  const std::string& name_;
  std::set<std::string> taken_;
};

bool is_damage(const Error& error) { return error.kind() == ErrorKind::kModel || error.kind() == ErrorKind::kData; }

}  // namespace

Json to_json(const std::vector<EpochRecord>& curve) {
  Json json = {{"epoch", Json::array()},
               {"train_loss", Json::array()},
               {"natural", Json::array()},
               {"robust", Json::array()},
               {"guard", Json::array()}};
  auto share = [](const evasion::Accuracy& accuracy) {
    return accuracy.n > 0 ? Json(accuracy.interval().value) : Json();
  };
  for (const auto& r : curve) {
    json["epoch"].push_back(r.epoch);
    json["train_loss"].push_back(r.train_loss);
    json["natural"].push_back(share(r.natural));
    json["robust"].push_back(share(r.robust));
    json["guard"].push_back(share(r.guard));
  }
  return json;
}

TrainingState parse_state(const nets::SafeTensors& file, const Expected& expected, const std::string& name) {
  const auto& [initial, options, images, identity] = expected;
  check_identity(parse_metadata(file, "identity", name), expected, name);
  const Json document = parse_metadata(file, "state", name);
  const Reader json{document, name + ": state"};
  const std::int64_t batches = (images + options.batch_size - 1) / options.batch_size;
  const std::int64_t replays = options.method == Method::kFree ? options.replays : 1;

  TrainingState state{.model = initial, .optimiser = {}};
  state.epoch = json.at("epoch").whole(0, INT64_MAX / (batches * replays) - 1);
  if (state.epoch > options.epochs) {
    throw Error(ErrorKind::kUsage,
                "{}: the training there has {} epochs behind it, got epochs {}, expected at least {}; the weights "
                "after each epoch "
                "are beside this file",
                name, state.epoch, options.epochs, state.epoch);
  }
  state.batch = json.at("batch").whole(0, batches);  // all of them: it stopped before the epoch was measured
  const std::int64_t steps = (state.epoch * batches + state.batch) * replays;
  state.optimiser.steps = json.at("steps").whole(steps, steps);
  state.loss_sum = json.at("loss_sum").number(-kLargest, kLargest);
  const std::int64_t most = is_private(options) ? expected.images : options.batch_size;  // images of a step
  state.correct = json.at("correct").whole(0, state.batch * most);
  state.curve = curve_of(json.at("curve"), state.epoch);
  state.judging = json.at("judging").object();
  state.workers = workers_of(json.at("workers"));

  Tensors tensors(file, name);
  for (auto& [entry, tensor] : state.model.network.state) tensor = tensors.like(kNetwork + entry, tensor);
  for (auto& [entry, tensor] : state.model.clean_norms) tensor = tensors.like(kClean + entry, tensor);
  if (steps > 0) {
    const Parameters trained = parameters(initial);
    state.optimiser.first = tensors.like_parameters(kFirst, trained);
    if (options.optimiser == Optimiser::kAdam) state.optimiser.second = tensors.like_parameters(kSecond, trained);
    for (const auto& second : state.optimiser.second) {
      if (second.lt(0).any().item<bool>()) throw Error(ErrorKind::kModel, "{}: {}: got squares below 0", name, kSecond);
    }
  }
  if (options.method == Method::kFree && steps > 0) {
    auto shape = initial.network.architecture.spec.input;
    shape.insert(shape.begin(), std::min(options.batch_size, images));
    state.perturbation = tensors.take(kPerturbation, shape, torch::kFloat32);
  }
  tensors.refuse_others();
  return state;
}

std::optional<TrainingState> StateFiles::load(const Expected& expected, std::string& note) {
  auto read = [&](const fs::path& path) {
    return parse_state(nets::read_safetensors(path), expected, core::printable(path.string(), 4096));
  };
  std::optional<Error> damage;
  if (fs::exists(newest())) {
    try {
      TrainingState state = read(newest());
      if (state.batch == 0) ended_ = state.epoch;
      return state;
    } catch (const Error& error) {
      if (!is_damage(error)) throw;
      damage = error;
    }
  }
  if (fs::exists(before())) {
    try {
      TrainingState state = read(before());
      if (damage)
        note = fmt::format("{}: damaged, left out: the training goes on from the end of epoch {}", damage->what(),
                           state.epoch);
      return state;
    } catch (const Error& error) {
      if (!is_damage(error)) throw;
      if (!damage) damage = error;
    }
  }
  if (!damage) return std::nullopt;
  throw Error(damage->kind(), "{}: damaged; remove {}, and the training begins again", damage->what(),
              core::printable((folder_ / "resume*.safetensors").string(), 4096));
}

void StateFiles::save(const TrainingState& state, const Json& identity) {
  nets::SafeTensors file;
  for (const auto& [name, tensor] : state.model.network.state) file.tensors[kNetwork + name] = tensor;
  for (const auto& [name, tensor] : state.model.clean_norms) file.tensors[kClean + name] = tensor;
  if (state.perturbation.defined()) file.tensors[kPerturbation] = state.perturbation;
  const auto names = parameters(state.model).names;
  for (std::size_t i = 0; i < state.optimiser.first.size(); ++i)
    file.tensors[kFirst + names[i]] = state.optimiser.first[i];
  for (std::size_t i = 0; i < state.optimiser.second.size(); ++i)
    file.tensors[kSecond + names[i]] = state.optimiser.second[i];
  Json curve = Json::array(), workers = Json::array();
  for (const auto& record : state.curve) curve.push_back(record_to_json(record));
  for (const auto& w : state.workers) workers.push_back({w.processes, w.threads});
  file.metadata["identity"] = text(identity);
  file.metadata["state"] = text({{"epoch", state.epoch},
                                 {"batch", state.batch},
                                 {"loss_sum", state.loss_sum},
                                 {"correct", state.correct},
                                 {"steps", state.optimiser.steps},
                                 {"curve", curve},
                                 {"judging", state.judging},
                                 {"workers", workers}});
  if (ended_ && (*ended_ < state.epoch || state.batch > 0)) {
    std::error_code error;
    fs::rename(newest(), before(), error);
    if (error) throw Error(ErrorKind::kIo, "{}: cannot rename: {}", newest().string(), error.message());
    ended_.reset();
  }
  nets::save_safetensors(file, newest());
  ended_ = state.batch == 0 ? std::optional(state.epoch) : std::nullopt;
}

}  // namespace pellucid::training
