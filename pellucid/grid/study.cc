#include "pellucid/grid/study.h"

#include "pellucid/core/config.h"
#include "pellucid/core/error.h"
#include "pellucid/core/file.h"
#include "pellucid/core/text.h"
#include "pellucid/grid/system.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace pellucid::grid {
namespace {

namespace fs = std::filesystem;
using core::Error;
using core::ErrorKind;
using core::Json;

// What a study may ask for. A larger one would be counted for minutes before its first training.
constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 20;  // of a file
constexpr std::int64_t kMostGroups = 10'000, kMostRepetitions = 10'000, kMostCells = 1'000'000;
constexpr std::int64_t kMostItems = 100'000;
constexpr std::size_t kMostAxes = 20, kMostBases = 16;
constexpr int kDeepest = 16;

Json take(Json& table, const char* key) {
  if (!table.contains(key)) return {};
  Json value = table[key];
  table.erase(key);
  return value;
}

std::string text_of(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

// A value in a message.
std::string shown(const Json& value) {
  return core::printable(value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

// A document that is not too deep for what walks through it, and whose numbers are numbers.
void check_tree(const Json& json, const std::string& where, int depth = 0) {
  if (depth > kDeepest)
    throw Error(ErrorKind::kUsage, "{}: tables and lists are nested more than {} deep", where, kDeepest);
  if (json.is_number_float() && !std::isfinite(json.get<double>()))
    throw Error(ErrorKind::kUsage, "{}: got inf or nan, expected a number", where);
  if (json.is_object()) {
    for (const auto& [key, value] : json.items())
      check_tree(value, fmt::format("{}: {}", where, core::printable(key)), depth + 1);
  } else if (json.is_array()) {
    for (const auto& value : json) check_tree(value, where, depth + 1);
  }
}

void overlay(Json& whole, const Json& over);

// Axes laid over others: by name, those of a new name before the rest. A name that stands twice stays, to be refused.
Json overlaid(const Json& axes, const Json& over) {
  const auto same = [](const Json& a, const Json& b) {
    return a.is_object() && b.is_object() && a.value("name", Json()) == b.value("name", Json());
  };
  const auto none = [&](const Json& axis, const Json& list) {
    return std::none_of(list.begin(), list.end(), [&](const Json& other) { return same(axis, other); });
  };
  Json merged = Json::array();
  for (const auto& axis : over) {
    if (none(axis, axes)) merged.push_back(axis);
  }
  for (const auto& axis : axes) {
    if (none(axis, over)) merged.push_back(axis);
    for (const auto& other : over) {
      if (!same(axis, other)) continue;
      merged.push_back(axis);
      for (const char* key : other.contains("levels") ? std::vector{"key", "values"} : std::vector{"levels"})
        merged.back().erase(key);
      overlay(merged.back(), other);
    }
  }
  return merged;
}

// Lays a document over another: tables merge, axes by name, and everything else is replaced.
void overlay(Json& whole, const Json& over) {
  for (const auto& [key, value] : over.items()) {
    Json& place = whole[key];
    if (place.is_object() && value.is_object()) {
      overlay(place, value);
    } else {
      place = key == "axis" && place.is_array() && value.is_array() ? overlaid(place, value) : value;
    }
  }
}

Json read_document(const fs::path& file) {
  const auto content = core::read_file(file, kMostBytes);
  Json document = core::parse_toml({reinterpret_cast<const char*>(content.data()), content.size()}, file.string());
  check_tree(document, file.string());
  return document;
}

Json read_with_base(const fs::path& file, std::vector<fs::path> extended = {}) {
  std::error_code none;  // the same file by another name is found one round later
  fs::path itself = fs::weakly_canonical(file, none);
  if (none) itself = file;
  if (std::find(extended.begin(), extended.end(), itself) != extended.end()) {
    throw Error(ErrorKind::kUsage, "{}: extends: got a file that extends itself, expected an end", file.string());
  }
  if (extended.size() == kMostBases)
    throw Error(ErrorKind::kUsage, "{}: extends: got a chain of more than {} files, expected an end", file.string(),
                kMostBases);
  extended.push_back(itself);
  Json document = read_document(file);
  const Json base = take(document, "extends");
  if (base.is_null()) return document;
  if (!base.is_string() || base.get_ref<const std::string&>().empty())
    throw Error(ErrorKind::kUsage, "{}: extends: got {}, expected a file's name", file.string(), shown(base));
  Json whole = read_with_base(file.parent_path() / base.get<std::string>(), std::move(extended));
  overlay(whole, document);
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

// @param recipes settings by name, which levels may share.
Level read_level(Json table, const Json& recipes, const std::string& where) {
  if (!table.is_object())
    throw Error(ErrorKind::kUsage, "{}: got a level {}, expected a table with a label", where, shown(table));
  const Json label = take(table, "label"), x = take(table, "x"), recipe = take(table, "recipe");
  if (label.is_null()) throw Error(ErrorKind::kUsage, "{}: got a level without label, expected one", where);
  if (!label.is_string() && !label.is_number())
    throw Error(ErrorKind::kUsage, "{}: label: got {}, expected text or a number", where, shown(label));
  if (!x.is_null() && !number_of(x))
    throw Error(ErrorKind::kUsage, "{}: x: got {}, expected a number", where, shown(x));
  Json settings = Json::object();
  if (!recipe.is_null()) {
    if (!recipe.is_string() || !recipes.contains(recipe.get_ref<const std::string&>())) {
      std::vector<std::string> names;
      for (const auto& [name, unused] : recipes.items()) names.push_back(core::printable(name));
      throw Error(ErrorKind::kUsage, "{}: recipe: got {}, expected {}{}", where, shown(recipe),
                  names.empty() ? "none: there are no tables [recipe.NAME]" : core::join_choices(names),
                  recipe.is_string() ? core::suggestion(recipe.get<std::string>().substr(0, 80), names) : "");
    }
    settings = recipes[recipe.get_ref<const std::string&>()];
  }
  settings.merge_patch(table);
  return {text_of(label), number_of(x.is_null() ? label : x), std::move(settings)};
}

Axis read_axis(Json table, const Json& recipes, const std::string& where) {
  if (!table.is_object()) throw Error(ErrorKind::kUsage, "{}: got {}, expected a table", where, shown(table));
  Axis axis;
  const Json key = take(table, "key"), values = take(table, "values"), levels = take(table, "levels");
  core::assign({core::field("name", axis.name, "name"), core::field("title", axis.title, "title")}, table, where);
  if (axis.name.empty()) throw Error(ErrorKind::kUsage, "{}: got no name, expected one", where);
  if (axis.title.empty()) axis.title = axis.name;
  const std::string here = fmt::format("{} ({})", where, core::printable(axis.name));
  if (key.is_string() && values.is_array() && levels.is_null()) {
    const auto& name = key.get_ref<const std::string&>();
    if (std::count(name.begin(), name.end(), '.') >= kDeepest)
      throw Error(ErrorKind::kUsage, "{}: key: got {}, expected a key such as training.attack.epsilon", here,
                  core::quoted(name));
    for (const auto& value : values) axis.levels.push_back({text_of(value), number_of(value), nested(name, value)});
  } else if (levels.is_array() && key.is_null() && values.is_null()) {
    for (const auto& level : levels) axis.levels.push_back(read_level(level, recipes, here));
  } else {
    throw Error(ErrorKind::kUsage, "{}: expected either key and values, or levels", here);
  }
  std::set<std::string> labels;
  for (const auto& level : axis.levels) {
    if (!labels.insert(level.label).second)
      throw Error(ErrorKind::kUsage, "{}: got the label {} twice", here, core::quoted(level.label));
  }
  return axis;
}

// Figures of others: {source, note, rows = [{label, levels = {axis: label}, values = {metric: number}}]}.
void check_published(const Json& published, const std::string& where) {
  const auto refuse = [&](const std::string& what, const Json& got, const char* expected) {
    throw Error(ErrorKind::kUsage, "{}: published{}: got {}, expected {}", where, what, shown(got), expected);
  };
  const auto check_texts = [&](const Json& table, const std::vector<const char*>& keys, const std::string& in) {
    for (const char* key : keys) {
      if (!table.contains(key) || !table[key].is_string())
        refuse(fmt::format("{}.{}", in, key), table.value(key, Json()), "text");
    }
  };
  if (published.is_null()) return;
  if (!published.is_object()) refuse("", published, "a table with source, note and rows");
  check_texts(published, {"source", "note"}, "");
  const Json rows = published.value("rows", Json());
  if (!rows.is_array()) refuse(".rows", rows, "a list of tables");
  for (const auto& row : rows) {
    if (!row.is_object()) refuse(".rows", row, "tables with label, levels and values");
    check_texts(row, {"label"}, ".rows");
    const Json levels = row.value("levels", Json()), values = row.value("values", Json());
    if (!levels.is_object() || !std::all_of(levels.begin(), levels.end(), [](const Json& x) { return x.is_string(); }))
      refuse(".rows.levels", levels, "a table of an axis' name and the label of a level");
    if (!values.is_object() || !std::all_of(values.begin(), values.end(), [](const Json& x) { return x.is_number(); }))
      refuse(".rows.values", values, "a table of numbers");
  }
}

void check_axis(const Study& study, const char* key, const std::string& name, const std::string& where) {
  std::vector<std::string> names;
  for (const auto& axis : study.axes) names.push_back(axis.name);
  if (name.empty() || std::find(names.begin(), names.end(), name) != names.end()) return;
  throw Error(ErrorKind::kUsage, "{}: {}: got {}, expected an axis: {}{}", where, key, core::quoted(name),
              core::printable(core::join_choices(names)), core::printable(core::suggestion(name, names)));
}

void check_metric(const Study& study, const System& system, const std::string& where) {
  std::vector<std::string> keys;
  for (const auto& metric : system.metrics()) {
    if (metric.summed && !metric.oracle && metric.better != record::Better::kNeither) keys.push_back(metric.key);
  }
  if (study.metric.empty() || std::find(keys.begin(), keys.end(), study.metric) != keys.end()) return;
  throw Error(ErrorKind::kUsage, "{}: metric: got {}, expected {}{}", where, core::quoted(study.metric),
              core::join_choices(keys), core::printable(core::suggestion(study.metric, keys)));
}

// Items are paired: what is compared reads the same ones.
void check_pairs(const Study& study, const System& system, const std::string& where) {
  std::size_t apart = 1;  // groups between two that differ by one level of the compared axis
  for (std::size_t a = study.axes.size(); a-- > 0; apart *= study.axes[a].levels.size()) {
    if (study.axes[a].name != study.compare) continue;
    for (std::size_t g = 0; g < study.groups.size(); ++g) {
      const auto reference = g - study.groups[g].levels[a] * apart;
      const auto one = system.source(study.groups[g].settings), other = system.source(study.groups[reference].settings);
      if (one == other) continue;
      throw Error(ErrorKind::kUsage,
                  "{}: compare: got the axis {}, whose levels read different data ({}, {}); expected one along which "
                  "{} are the same",
                  where, core::quoted(study.compare), core::printable(other), core::printable(one),
                  system.words().items());
    }
  }
}

// The product, or one more than `most` where it is larger.
std::int64_t product(std::int64_t a, std::int64_t b, std::int64_t most) {
  return b == 0 ? 0 : a > most / b ? most + 1 : a * b;
}

// Counts a study before it is built.
// @return the number of groups.
std::size_t check_size(const Study& study, const System& system, const std::string& where) {
  const auto refuse = [&](const std::string& what, std::int64_t count, std::int64_t most, const std::string& fix) {
    if (count <= most) return;
    std::vector<std::string> axes;
    for (const auto& axis : study.axes) axes.push_back(fmt::format("{}", axis.levels.size()));
    throw Error(ErrorKind::kUsage, "{}: got more than {} {} ({} levels x {} seeds x {} {}), expected at most {}: {}",
                where, most, what, fmt::join(axes, " x "), study.seeds, study.items, system.words().items(), most, fix);
  };
  const auto& words = system.words();
  std::int64_t groups = 1;
  for (const auto& axis : study.axes)
    groups = product(groups, static_cast<std::int64_t>(axis.levels.size()), kMostGroups);
  refuse("groups", groups, kMostGroups, "take levels out, or split the study");
  refuse(words.repetitions(), product(groups, study.seeds, kMostRepetitions), kMostRepetitions,
         "take levels or seeds out");
  refuse("cells", product(groups * study.seeds, study.items, kMostCells), kMostCells,
         fmt::format("take levels, seeds or {} out", words.items()));
  return static_cast<std::size_t>(groups);
}

void check_tables(const Json& settings, const std::vector<std::string>& tables, const std::string& where) {
  for (const auto& [key, unused] : settings.items()) {
    if (std::find(tables.begin(), tables.end(), key) != tables.end()) continue;
    throw Error(ErrorKind::kUsage, "{}: unknown table [{}]{}", where, core::printable(key),
                core::suggestion(key.substr(0, 80), tables));
  }
}

}  // namespace

bool tests_first_metric(const Study& study, const System& system) {
  return study.metric.empty() || study.metric == system.metrics().front().key;
}

std::vector<record::Metric> metrics(const Study& study, const System& system) {
  auto list = system.metrics();
  if (tests_first_metric(study, system)) return list;
  list.front().contrast = true;  // not tested, it stands beside what is
  const auto tested = std::ranges::find(list, study.metric, &record::Metric::key);
  tested->contrast = false;
  std::rotate(list.begin(), tested, tested + 1);
  return list;
}

core::Fields fields(Study& s, const System& system) {
  const auto items = system.words().items(), first = "first_" + system.words().item;
  return {core::field("title", s.title, "title"),
          core::field("question", s.question, "question"),
          core::field("compare", s.compare, "axis whose levels are compared with its first one"),
          core::field("metric", s.metric, "the score that is tested; none is " + system.metrics().front().key),
          core::field("x", s.x, "axis that charts run along"),
          core::field(items, s.items, fmt::format("{} to read back, drawn from all", items), 0, kMostItems),
          core::field(first, s.first_item, "the place of the first of them in the order in which they are drawn", 0,
                      INT64_MAX - kMostItems),
          core::field("seeds", s.seeds, "repetitions", 1, 1000),
          core::field("gallery", s.gallery, fmt::format("{} that the report shows", items), 0, 1000)};
}

Json nested(const std::string& key, const Json& value) {
  const auto dot = key.find('.');
  if (dot == std::string::npos) return {{key, value}};
  return {{key.substr(0, dot), nested(key.substr(dot + 1), value)}};
}

std::vector<std::string> scales(const fs::path& file) {
  std::vector<std::string> names;
  const Json scales = read_with_base(file).value("scale", Json::object());
  if (!scales.is_object())
    throw Error(ErrorKind::kUsage, "{}: scale: got {}, expected tables [scale.NAME]", file.string(), shown(scales));
  for (const auto& [name, unused] : scales.items()) names.push_back(name);
  return names;
}

Study read_study(const System& system, const fs::path& file, const std::string& scale,
                 const std::vector<std::string>& changes) {
  const std::string where = core::printable(file.string(), 200);
  Json document = read_with_base(file);
  const Json by_scale = take(document, "scale");
  if (!by_scale.is_null() && !by_scale.is_object())
    throw Error(ErrorKind::kUsage, "{}: scale: got {}, expected tables [scale.NAME]", where, shown(by_scale));
  if (!scale.empty()) {
    if (by_scale.is_null() || !by_scale.contains(scale)) {
      std::vector<std::string> names;
      for (const auto& [name, unused] : by_scale.items()) names.push_back(core::printable(name));
      throw Error(ErrorKind::kUsage, "{}: scale: got {}, expected {}{}", where, core::quoted(scale),
                  names.empty() ? "none: the file has no scales" : core::join_choices(names),
                  core::suggestion(scale, names));
    }
    if (!by_scale[scale].is_object())
      throw Error(ErrorKind::kUsage, "{}: scale.{}: got {}, expected a table", where, core::printable(scale),
                  shown(by_scale[scale]));
    overlay(document, by_scale[scale]);
  }
  for (const auto& change : changes) {
    const auto name = "--set " + core::printable(change);
    Json patch = core::parse_toml(change, name);
    check_tree(patch, name);
    system.take_typed(patch);
    document.merge_patch(patch);
  }

  Study study;
  study.name = core::printable(file.stem().string());
  study.scale = scale;
  study.published = take(document, "published");
  study.document = document;
  check_published(study.published, where);
  const Json axes = take(document, "axis");
  if (!axes.is_null() && !axes.is_array())
    throw Error(ErrorKind::kUsage, "{}: axis: got {}, expected [[axis]] tables", where, shown(axes));
  if (axes.size() > kMostAxes)
    throw Error(ErrorKind::kUsage, "{}: got {} axes, expected at most {}", where, axes.size(), kMostAxes);
  Json recipes = take(document, "recipe");
  if (recipes.is_null()) recipes = Json::object();
  if (!recipes.is_object() || !std::all_of(recipes.begin(), recipes.end(), [](const Json& r) { return r.is_object(); }))
    throw Error(ErrorKind::kUsage, "{}: recipe: got {}, expected tables [recipe.NAME]", where, shown(recipes));
  for (const auto& [name, recipe] : recipes.items())
    check_tables(recipe, system.tables(), fmt::format("{}: recipe.{}", where, core::printable(name)));
  for (const auto& table : axes) {
    auto axis = read_axis(table, recipes, where + ": [[axis]]");
    if (axis.levels.empty()) continue;
    const auto same = [&](const Axis& other) { return other.name == axis.name; };
    if (std::any_of(study.axes.begin(), study.axes.end(), same))
      throw Error(ErrorKind::kUsage, "{}: [[axis]]: got the name {} twice", where, core::quoted(axis.name));
    study.axes.push_back(std::move(axis));
  }
  Json tables_of = Json::object(), top = Json::object();
  for (const auto& [key, value] : document.items()) (value.is_object() ? tables_of : top)[key] = value;
  for (const auto& table : system.tables()) {
    if (top.contains(table))
      throw Error(ErrorKind::kUsage, "{}: {}: got {}, expected a table", where, table, shown(top[table]));
  }
  core::assign(fields(study, system), top, where);
  check_axis(study, "compare", study.compare, where);
  check_axis(study, "x", study.x, where);
  check_metric(study, system, where);

  check_tables(tables_of, system.tables(), where);
  const auto groups = check_size(study, system, where);
  for (const auto& axis : study.axes) {
    for (const auto& level : axis.levels)
      check_tables(level.settings, system.tables(),
                   fmt::format("{}: {} = {}", where, core::printable(axis.name), core::printable(level.label)));
  }
  for (std::size_t g = 0; g < groups; ++g) {
    Group group{.levels = std::vector<std::size_t>(study.axes.size()), .settings = {}};
    std::size_t rest = g;
    for (std::size_t a = study.axes.size(); a-- > 0; rest /= study.axes[a].levels.size())
      group.levels[a] = rest % study.axes[a].levels.size();
    Json settings = tables_of;
    for (std::size_t a = 0; a < study.axes.size(); ++a)
      settings.merge_patch(study.axes[a].levels[group.levels[a]].settings);
    const auto name = core::printable(describe(study, group));
    group.settings = system.resolve(settings, file.parent_path(), name.empty() ? where : where + ": " + name);
    study.groups.push_back(std::move(group));
  }
  if (study.axes.empty())
    throw Error(ErrorKind::kUsage, "{}: got no [[axis]], expected one at least: what the study varies", where);
  system.check(study, where);
  check_pairs(study, system, where);
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

std::string describe(const Study& study, std::size_t group, std::int64_t seed) {
  const auto text = describe(study, study.groups[group]);
  return fmt::format("{}{}seed {}", text, text.empty() ? "" : ", ", seed);
}

}  // namespace pellucid::grid
