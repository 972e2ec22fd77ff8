#include "pellucid/study/plan.h"

#include "pellucid/core/config.h"
#include "pellucid/core/error.h"
#include "pellucid/core/file.h"

#include <algorithm>
#include <charconv>

namespace pellucid::study {
namespace {

namespace fs = std::filesystem;
using core::Error;
using core::ErrorKind;
using core::Json;

// The tables of Settings, each with its fields.
using Tables = std::vector<std::pair<std::string, core::Fields>>;

Tables tables(Settings& s) {
  return {{"model",
           {core::field("data", s.data, "data set"), core::field("data_dir", s.data_dir, "where it lies"),
            core::field("net", s.net, "network"),
            core::field("normalise", s.normalise, "standardise in the network's first layer"),
            core::field("train_images", s.train_images, "train on the first images only; 0 is all", 0, INT64_MAX),
            core::field("test_images", s.test_images, "measure on the first test images only; 0 is all", 0, INT64_MAX),
            core::field("judge_images", s.judge_images, "test images attacked at the end", 1, INT64_MAX)}},
          {"training", training::fields(s.training)},
          {"training.attack", evasion::fields(s.training.attack)},
          {"training.test_attack", evasion::fields(s.training.test_attack)},
          {"client",
           {core::field("checkpoint", s.checkpoint, "whose weights: end, epoch N or step N"),
            nets::mode_field("mode", s.mode, "how the client evaluates the network"),
            core::field("logit_scale", s.logit_scale, "the last layer times this", 1e-6, 1e6)}},
          {"attack", inversion::fields(s.attack)}};
}

core::Fields study_fields(Study& s) {
  return {core::field("title", s.title, "title"),
          core::field("question", s.question, "question"),
          core::field("compare", s.compare, "axis whose levels are compared with its first one"),
          core::field("x", s.x, "axis that charts run along"),
          core::field("images", s.images, "test images to read back", 0, 100'000),
          core::field("first_image", s.first_image, "the first of them", 0, INT64_MAX),
          core::field("seeds", s.seeds, "trainings", 1, 1000),
          core::field("gallery", s.gallery, "images that the report shows", 0, 1000)};
}

Json take(Json& table, const char* key) {
  if (!table.contains(key)) return {};
  Json value = table[key];
  table.erase(key);
  return value;
}

std::string text_of(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

// {"a": {"b": value}} for "a.b".
Json nested(const std::string& key, const Json& value) {
  const auto dot = key.find('.');
  if (dot == std::string::npos) return {{key, value}};
  return {{key.substr(0, dot), nested(key.substr(dot + 1), value)}};
}

Json read_with_base(const fs::path& file, std::vector<fs::path> extended = {}) {
  const auto itself = fs::weakly_canonical(file);
  if (std::find(extended.begin(), extended.end(), itself) != extended.end()) {
    throw Error(ErrorKind::kUsage, "{}: extends: got a file that extends itself, expected an end", file.string());
  }
  extended.push_back(itself);
  Json document = core::read_toml(file);
  const Json base = take(document, "extends");
  if (base.is_null()) return document;
  if (!base.is_string())
    throw Error(ErrorKind::kUsage, "{}: extends: got {}, expected a file's name", file.string(), base.dump());
  Json whole = read_with_base(file.parent_path() / base.get<std::string>(), std::move(extended));
  whole.merge_patch(document);
  return whole;
}

// A number that a label stands for: 0.3, "8/255".
std::optional<double> number_of(const Json& value) {
  if (value.is_number()) return value.get<double>();
  if (!value.is_string()) return std::nullopt;
  try {
    return core::Number(value.get<std::string>()).value;
  } catch (const Error&) {
    return std::nullopt;
  }
}

Axis read_axis(Json table, const std::string& where) {
  if (!table.is_object()) throw Error(ErrorKind::kUsage, "{}: got {}, expected a table", where, table.type_name());
  Axis axis;
  const Json key = take(table, "key"), values = take(table, "values"), levels = take(table, "levels");
  core::assign({core::field("name", axis.name, "name"), core::field("title", axis.title, "title")}, table, where);
  if (axis.name.empty()) throw Error(ErrorKind::kUsage, "{}: got no name, expected one", where);
  if (axis.title.empty()) axis.title = axis.name;
  const std::string here = fmt::format("{} ({})", where, axis.name);
  if (key.is_string() && values.is_array() && levels.is_null()) {
    for (const auto& value : values) axis.levels.push_back({text_of(value), number_of(value), nested(key, value)});
  } else if (levels.is_array() && key.is_null() && values.is_null()) {
    for (Json level : levels) {
      if (!level.is_object())
        throw Error(ErrorKind::kUsage, "{}: got a level {}, expected a table with a label", here, level.dump());
      const Json label = take(level, "label"), x = take(level, "x");
      if (label.is_null()) throw Error(ErrorKind::kUsage, "{}: got a level without label, expected one", here);
      axis.levels.push_back({text_of(label), number_of(x.is_null() ? label : x), level});
    }
  } else {
    throw Error(ErrorKind::kUsage, "{}: expected either key and values, or levels", here);
  }
  if (axis.levels.empty()) throw Error(ErrorKind::kUsage, "{}: got no levels, expected at least one", here);
  for (std::size_t i = 0; i < axis.levels.size(); ++i) {
    for (std::size_t k = 0; k < i; ++k) {
      if (axis.levels[i].label == axis.levels[k].label)
        throw Error(ErrorKind::kUsage, "{}: got the label \"{}\" twice", here, axis.levels[i].label);
    }
  }
  return axis;
}

// What training does not look at must not tell two trainings apart.
void without_what_does_not_matter(training::TrainingOptions& o) {
  const training::TrainingOptions defaults;
  if (o.method == training::Method::kStandard) {
    o.attack = defaults.attack;
    o.attack_start = defaults.attack_start;
    o.epsilon_warmup = defaults.epsilon_warmup;
    o.attack_mode = defaults.attack_mode;
    o.guard_images = 0;
    o.guard_fall = defaults.guard_fall;
  }
  if (o.method != training::Method::kTrades && o.method != training::Method::kMart) o.beta = defaults.beta;
  if (o.method != training::Method::kFree) o.replays = defaults.replays;
}

void check_checkpoint(const Settings& s, const std::string& where) {
  const auto& steps = s.training.checkpoint_steps;
  const auto at = checkpoint(s.checkpoint);
  if (s.checkpoint == "end" || (at && at->kind == "epoch" && 1 <= at->number && at->number <= s.training.epochs) ||
      (at && at->kind == "step" && std::find(steps.begin(), steps.end(), at->number) != steps.end())) {
    return;
  }
  throw Error(ErrorKind::kUsage, "{}: client.checkpoint: got \"{}\", expected end, epoch 1 to {}, or step {}", where,
              s.checkpoint, s.training.epochs, fmt::join(steps, ", "));
}

Settings read_settings(Json document, const std::string& where) {
  Settings settings;
  auto& attack = document["attack"];
  if (attack.is_null()) attack = Json::object();
  const Json preset = attack.is_object() ? take(attack, "preset") : Json();
  if (!preset.is_null()) settings.preset = text_of(preset);
  settings.attack = inversion::preset(settings.preset).options;
  for (auto& [name, fields] : tables(settings)) {
    Json* table = &document;
    for (std::size_t begin = 0; begin <= name.size();) {
      const auto end = std::min(name.find('.', begin), name.size());
      table = &(*table)[name.substr(begin, end - begin)];
      begin = end + 1;
    }
    if (table->is_null()) continue;
    Json own = *table;
    if (name == "training" && own.is_object()) own.erase("attack"), own.erase("test_attack");
    core::assign(fields, own, fmt::format("{}: [{}]", where, name));
  }
  without_what_does_not_matter(settings.training);
  try {
    training::check(settings.training);
  } catch (Error& error) {
    throw error.add_context(where);
  }
  check_checkpoint(settings, where);
  return settings;
}

void check_axis(const Study& study, const char* key, const std::string& name, const std::string& where) {
  std::vector<std::string> names;
  for (const auto& axis : study.axes) names.push_back(axis.name);
  if (name.empty() || std::find(names.begin(), names.end(), name) != names.end()) return;
  throw Error(ErrorKind::kUsage, "{}: {}: got \"{}\", expected an axis: {}{}", where, key, name,
              core::join_choices(names), core::suggestion(name, names));
}

// Images are paired: what is compared reads the same ones.
void check_pairs(const Study& study, const std::string& where) {
  for (std::size_t a = 0; a < study.axes.size(); ++a) {
    if (study.axes[a].name != study.compare) continue;
    for (const auto& group : study.groups) {
      for (const auto& other : study.groups) {
        auto levels = group.levels;
        levels[a] = other.levels[a];
        const auto &s = group.settings, &t = other.settings;
        if (levels != other.levels || (s.data == t.data && s.data_dir == t.data_dir)) continue;
        throw Error(ErrorKind::kUsage,
                    "{}: compare: got the axis \"{}\", whose levels read different data ({}, {}); expected one along "
                    "which images are the same",
                    where, study.compare, s.data, t.data);
      }
    }
  }
}

}  // namespace

std::optional<Checkpoint> checkpoint(const std::string& text) {
  const auto space = text.find(' ');
  if (space == std::string::npos) return std::nullopt;
  Checkpoint found{.kind = text.substr(0, space)};
  const char *begin = text.data() + space + 1, *end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(begin, end, found.number);
  if (error != std::errc() || stop != end || found.number < 0 || (found.kind != "epoch" && found.kind != "step"))
    return std::nullopt;
  return found;
}

Json to_json(const Settings& settings) {
  Settings copy = settings;
  Json json = Json::object();
  for (auto& [name, fields] : tables(copy)) json.merge_patch(nested(name, core::to_json(fields)));
  json["attack"]["preset"] = settings.preset;
  return json;
}

std::vector<std::string> scales(const fs::path& file) {
  std::vector<std::string> names;
  const Json document = read_with_base(file);
  if (document.contains("scale")) {
    for (const auto& [name, unused] : document["scale"].items()) names.push_back(name);
  }
  return names;
}

Study read_study(const fs::path& file, const std::string& scale, const std::vector<std::string>& changes) {
  const std::string where = file.string();
  Json document = read_with_base(file);
  const Json by_scale = take(document, "scale");
  if (!scale.empty()) {
    if (!by_scale.is_object() || !by_scale.contains(scale)) {
      std::vector<std::string> names;
      if (by_scale.is_object()) {
        for (const auto& [name, unused] : by_scale.items()) names.push_back(name);
      }
      throw Error(ErrorKind::kUsage, "{}: scale: got \"{}\", expected {}{}", where, scale,
                  names.empty() ? "none: the file has no scales" : core::join_choices(names),
                  core::suggestion(scale, names));
    }
    document.merge_patch(by_scale[scale]);
  }
  for (const auto& change : changes) document.merge_patch(core::parse_toml(change, "--set " + change));

  Study study;
  study.name = file.stem().string();
  study.scale = scale;
  study.published = take(document, "published");
  study.document = document;
  const Json axes = take(document, "axis");
  if (!axes.is_null() && !axes.is_array())
    throw Error(ErrorKind::kUsage, "{}: axis: got {}, expected [[axis]] tables", where, axes.type_name());
  for (const auto& table : axes) {
    auto axis = read_axis(table, where + ": [[axis]]");
    const auto same = [&](const Axis& other) { return other.name == axis.name; };
    if (std::any_of(study.axes.begin(), study.axes.end(), same))
      throw Error(ErrorKind::kUsage, "{}: [[axis]]: got the name \"{}\" twice", where, axis.name);
    study.axes.push_back(std::move(axis));
  }
  Json tables_of = Json::object(), top = Json::object();
  for (const auto& [key, value] : document.items()) (value.is_object() ? tables_of : top)[key] = value;
  core::assign(study_fields(study), top, where);
  check_axis(study, "compare", study.compare, where);
  check_axis(study, "x", study.x, where);

  const std::vector<std::string> known = {"model", "training", "client", "attack"};
  const auto check_tables = [&](const Json& settings, const std::string& from) {
    for (const auto& [key, unused] : settings.items()) {
      if (std::find(known.begin(), known.end(), key) != known.end()) continue;
      throw Error(ErrorKind::kUsage, "{}: unknown table [{}]{}", from, key, core::suggestion(key, known));
    }
  };
  check_tables(tables_of, where);
  std::size_t groups = 1;
  for (const auto& axis : study.axes) {
    for (const auto& level : axis.levels)
      check_tables(level.settings, fmt::format("{}: {} = {}", where, axis.name, level.label));
    groups *= axis.levels.size();
  }
  for (std::size_t g = 0; g < groups; ++g) {
    Group group{.levels = std::vector<std::size_t>(study.axes.size()), .settings = {}};
    std::size_t rest = g;
    for (std::size_t a = study.axes.size(); a-- > 0; rest /= study.axes[a].levels.size())
      group.levels[a] = rest % study.axes[a].levels.size();
    Json settings = tables_of;
    for (std::size_t a = 0; a < study.axes.size(); ++a)
      settings.merge_patch(study.axes[a].levels[group.levels[a]].settings);
    const auto name = describe(study, group);
    group.settings = read_settings(std::move(settings), name.empty() ? where : where + ": " + name);
    study.groups.push_back(std::move(group));
  }
  if (study.axes.empty())
    throw Error(ErrorKind::kUsage, "{}: got no [[axis]], expected one at least: what the study varies", where);
  check_pairs(study, where);
  return study;
}

Json labels(const Study& study, const Group& group) {
  Json json = Json::object();
  for (std::size_t a = 0; a < study.axes.size(); ++a)
    json[study.axes[a].name] = study.axes[a].levels[group.levels[a]].label;
  return json;
}

std::string name_of(const Axis& axis, const std::string& label) {
  return number_of(Json(label)) ? axis.title + " " + label : label;
}

std::string describe(const Study& study, const Group& group) {
  std::vector<std::string> parts;
  for (std::size_t a = 0; a < study.axes.size(); ++a) {
    if (study.axes[a].levels.size() < 2) continue;
    parts.push_back(name_of(study.axes[a], study.axes[a].levels[group.levels[a]].label));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

}  // namespace pellucid::study
