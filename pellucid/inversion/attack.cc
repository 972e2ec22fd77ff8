#include "pellucid/inversion/attack.h"

#include "pellucid/core/config.h"
#include "pellucid/core/error.h"
#include "pellucid/inversion/labels.h"
#include "pellucid/inversion/optimisers.h"
#include "pellucid/inversion/solvers.h"
#include "pellucid/inversion/starts.h"
#include "pellucid/inversion/terms.h"
#include "pellucid/inversion/threat_model.h"
#include "pellucid/nets/weights.h"

#include <algorithm>

namespace pellucid::inversion {

std::vector<std::pair<std::string, std::string_view>> embedded_presets();  // presets/*.toml, written by the build

namespace {

using core::Error;
using core::ErrorKind;

constexpr const char* kDefaultPreset = "residual";

const core::Choices<Objective>& objectives() {
  static const core::Choices<Objective> list = {{"cosine", Objective::kCosine},
                                                {"angular", Objective::kAngular},
                                                {"l2", Objective::kL2},
                                                {"l1", Objective::kL1},
                                                {"fisher", Objective::kFisher}};
  return list;
}

// The names of a registry's rows, as values of a setting.
template <typename Row>
core::Choices<std::string> names(const std::vector<Row>& rows, std::vector<std::string> before = {}) {
  core::Choices<std::string> list;
  for (const auto& name : before) list.emplace_back(name, name);
  for (const auto& row : rows) list.emplace_back(row.name, row.name);
  return list;
}

// "what it is for: name (summary), name (summary)".
template <typename Row>
std::string help(const std::string& what, const std::vector<Row>& rows) {
  std::vector<std::string> each;
  for (const auto& row : rows) each.push_back(fmt::format("{} ({})", row.name, row.summary));
  return fmt::format("{}: {}", what, fmt::join(each, ", "));
}

// The weight of a term, looked up by its name on each use: where an attack is assigned, the map's values move.
core::Field term_field(Attack& o, const TermEntry& term) {
  const auto now = [&o, name = term.name, help = term.summary + "; 0 disables it"] {
    return core::field(name, o.terms[name], help, 0, 1e6);
  };
  core::Field field = now();
  field.get = [now] { return now().get(); };
  field.set = [now](const core::Json& value) { return now().set(value); };
  field.set_text = [now](const std::string& text) { return now().set_text(text); };
  return field;
}

// A switch with a third position: off, on or soft.
core::Field sign_field(Sign& sign) {
  core::Field field =
      core::field("sign", sign, "feed the optimiser the gradient's sign; =soft: tanh(s g) / s, s falling from 1 to 0",
                  core::Choices<Sign>{{"false", Sign::kNone}, {"true", Sign::kHard}, {"soft", Sign::kSoft}});
  field.is_switch = true;
  field.get = [&sign] { return sign == Sign::kSoft ? core::Json("soft") : core::Json(sign == Sign::kHard); };
  field.set = [set_text = field.set_text](const core::Json& json) {
    return set_text(json.is_string() ? json.get<std::string>() : json.dump());
  };
  return field;
}

}  // namespace

std::string to_string(Objective objective) {
  return std::ranges::find(objectives(), objective, &std::pair<std::string, Objective>::second)->first;
}

core::Fields fields(Attack& o) {
  core::Fields list = {
      core::field("solver", o.solver, help("how images are found", solvers()), names(solvers())),
      core::field("threat_model", o.threat_model,
                  help("what the attacker has beside the update; an attack that uses more is refused", threat_models()),
                  names(threat_models(), {"any"})),
      core::field("functional", o.functional, "whose gradient is matched: the loss at the label, or <residual, logits>",
                  core::Choices<Functional>{{"loss", Functional::kLoss}, {"residual", Functional::kResidual}}),
      core::field(
          "objective", o.objective,
          "how two gradients are compared: cosine distance, their angle, squared distance over |g*|^2, sum of absolute "
          "differences over that of g*, or (fisher) the mean of each coordinate's squared difference over its square "
          "in g*",
          objectives()),
      core::field("layers", o.layers,
                  "how much each parameter counts in that, from the images on: all the same, falling in a line, or by "
                  "a factor of e",
                  core::Choices<Layers>{
                      {"equal", Layers::kEqual}, {"linear", Layers::kLinear}, {"exponential", Layers::kExponential}}),
      core::field(
          "mechanisms", o.mechanisms,
          "what the attacker makes of what the client did to its update: nothing, or (known) it matches the "
          "nearest of the gradients that may be behind it: within a quantiser's cells, of any size where it was "
          "clipped, free where values were left out",
          core::Choices<Mechanisms>{{"ignored", Mechanisms::kIgnored}, {"known", Mechanisms::kKnown}}),
      core::field("features", o.features,
                  "weight of the distance from the first linear layer's input, read off its gradient; one image; 0 "
                  "disables it",
                  0, 1e6),
      core::field("labels", o.labels,
                  help("where the labels come from; auto takes the first that applies, joint has the descent find them "
                       "with the images",
                       label_strategies()),
                  names(label_strategies(), {"auto", kJointLabels})),
      core::field("iterations", o.iterations, "steps of the optimiser in each restart", 1, 10'000'000),
      core::field("restarts", o.restarts, "independent starts; the lowest matching loss is chosen", 1, 10'000),
  };
  for (const auto& term : terms()) list.push_back(term_field(o, term));
  const core::Fields rest = {
      core::field("prior", o.prior, "weight file of the autoencoder that anomaly looks through"),
      core::field("learning_rate", o.learning_rate, "learning rate of the optimiser, in the network's normalised units",
                  0, 1e6),
      core::field("decay", o.decay,
                  "how the learning rate falls: not at all, to a tenth after 3/8, 5/8 and 7/8, or along a cosine",
                  core::Choices<Decay>{{"none", Decay::kNone}, {"step", Decay::kStep}, {"cosine", Decay::kCosine}}),
      core::field("warm_up", o.warm_up, "iterations over which the learning rate rises from 0, in a line", 0,
                  10'000'000),
      core::field("langevin", o.langevin,
                  "Langevin noise: so many learning rates times normal noise join the gradient; 0 disables it", 0, 1e6),
      core::field("optimiser", o.optimiser, "what steps along the gradient", names(optimisers())),
      sign_field(o.sign),
      core::field("box", o.box, "clamp the pixels to [0, 1] after each step"),
      core::field("start", o.start, help("where a restart begins", starts()), names(starts())),
      core::field("keep", o.keep, "which iterate is the result",
                  core::Choices<Keep>{{"last", Keep::kLast}, {"best", Keep::kBest}}),
      core::field(
          "method", o.method,
          "what computes the matching: the engine (on a CUDA device the tensor engine), the tensor engine, or "
          "double backward, their reference",
          core::Choices<Method>{
              {"engine", Method::kEngine}, {"tensor", Method::kTensor}, {"double_backward", Method::kDoubleBackward}}),
      core::field("precision", o.precision,
                  "the attacker's arithmetic; tf32 needs a CUDA device; mixed is float32 on a processor without brain "
                  "floats (AVX-512); float64 goes by double backward or the tensor engine",
                  core::Choices<Precision>{{"float32", Precision::kFloat32},
                                           {"tf32", Precision::kTf32},
                                           {"mixed", Precision::kMixed},
                                           {"float64", Precision::kFloat64}}),
      core::field("seed", o.seed, "seed of the starts and of the noise"),
  };
  list.insert(list.end(), rest.begin(), rest.end());
  return list;
}

core::Json determinants(Attack attack) {
  // Each and what it is where it is off.
  static const core::Json kLater = {{"threat_model", "any"}, {"opponent_tv", 0.0},     {"l2", 0.0},
                                    {"batch_norm", 0.0},     {"group", 0.0},           {"warm_up", 0},
                                    {"langevin", 0.0},       {"layers", "equal"},      {"anomaly", 0.0},
                                    {"prior", ""},           {"mechanisms", "ignored"}};
  core::Json json = core::to_json(fields(attack));
  for (const auto& [key, off] : kLater.items()) {
    if (json[key] == off) json.erase(key);
  }
  if (!attack.prior.empty()) json["prior"] = nets::fingerprint(nets::load_network(attack.prior));
  return json;
}

Preset parse_preset(const std::string& name, std::string_view toml) {
  Preset preset{.name = name, .summary = {}, .source = {}, .attack = {}};
  const auto where = fmt::format("presets/{}.toml", name);
  core::Json document = core::parse_toml(toml, where);
  const core::Json attack = document.value("attack", core::Json::object());
  document.erase("attack");
  core::assign({core::field("summary", preset.summary, ""), core::field("source", preset.source, "")}, document, where);
  if (preset.summary.empty() || preset.source.empty())
    throw Error(ErrorKind::kUsage, "{}: got no summary or no source, expected both", where);
  core::assign(fields(preset.attack), attack, where + ": [attack]");
  return preset;
}

const std::vector<Preset>& presets() {
  static const std::vector<Preset> list = [] {
    std::vector<Preset> read;
    for (const auto& [name, text] : embedded_presets())
      read.insert(name == kDefaultPreset ? read.begin() : read.end(), parse_preset(name, text));
    return read;
  }();
  return list;
}

const Preset& preset(const std::string& name) {
  std::vector<std::string> known;
  for (const auto& candidate : presets()) {
    if (candidate.name == name) return candidate;
    known.push_back(candidate.name);
  }
  throw Error(ErrorKind::kUsage, "attack: got \"{}\", expected {}{}", name, core::join_choices(known),
              core::suggestion(name, known));
}

}  // namespace pellucid::inversion
