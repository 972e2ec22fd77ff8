#include "cli/settings.h"

#include "pellucid/core/config.h"
#include "pellucid/core/error.h"
#include "pellucid/core/text.h"

#include <algorithm>
#include <functional>

namespace pellucid::cli {
namespace {

std::string flag_name(const std::string& table, const core::Field& field) {
  std::string name = (table.empty() ? "" : table + ".") + field.name;
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

// The default as help shows it.
std::string shown(const core::Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return value.dump();
  std::vector<std::string> items;
  for (const auto& item : value) items.push_back(item.is_string() ? item.get<std::string>() : item.dump());
  return fmt::format("{}", fmt::join(items, ","));
}

}  // namespace

Settings::Settings(CLI::App& app, bool takes_config) : app_(app) {
  if (takes_config)
    app.add_option("--config", config_path_, "file with these settings, TOML or a run's config.json; flags win over it")
        ->option_text("FILE");
}

void Settings::add(Section section, const std::string& heading) {
  sections_.push_back(std::move(section));
  const Section& kept = sections_.back();
  for (const auto& field : kept.fields) {
    const std::string name = flag_name(kept.table, field);
    const auto names = [&](const std::string& dashes) {
      return dashes + name + (kept.full_name.empty() ? "" : "," + dashes + flag_name(kept.full_name, field));
    };
    CLI::Option* option = nullptr;
    if (field.is_switch) {
      // A value may stand behind the flag: --box=false.
      option = app_.add_flag(names("--"));
      option->each([this, &kept, &field, name](const std::string& text) {
        typed_.push_back({&kept, &field, "--" + name, text});
      });
      CLI::Option* off = app_.add_flag(names("--no-"));
      off->group("");  // works, without doubling the help
      off->each([this, &kept, &field, name](const std::string& text) {
        typed_.push_back({&kept, &field, "--no-" + name, text == "true" ? "false" : text == "false" ? "true" : text});
      });
    } else {
      option = app_.add_option_function<std::string>(names("--"), [this, &kept, &field, name](const std::string& text) {
        typed_.push_back({&kept, &field, "--" + name, text});
      });
      option->take_last();
    }
    option->option_text(field.is_switch ? " " : field.metavar)->group(heading);
    shown_.push_back({option, &field, name});
  }
  show_defaults();
}

void Settings::show_defaults() const {
  for (const auto& [option, field, name] : shown_) {
    const std::string value = shown(field->get());
    std::string text = field->help;
    if (field->is_switch && (value == "true" || value == "false")) {
      text += value == "true" ? fmt::format(" [on; --no-{} disables it]", name) : " [off]";
    } else {
      text += fmt::format(" [{}]", value.empty() ? "none" : value);
    }
    option->description(text);
  }
}

std::string Settings::given(const std::string& path) const {
  for (auto typed = typed_.rbegin(); typed != typed_.rend(); ++typed) {
    if (typed->section->table + "." + typed->field->name == path) return typed->text;
  }
  if (config_path_.empty()) return "";
  const auto config = core::read_config(config_path_);
  const core::Json* value = &config.values;
  for (std::size_t begin = 0; begin <= path.size();) {
    const auto end = std::min(path.find('.', begin), path.size());
    const auto found = value->is_object() ? value->find(path.substr(begin, end - begin)) : value->end();
    if (!value->is_object() || found == value->end()) return "";
    value = &*found;
    begin = end + 1;
  }
  return value->is_string() ? value->get<std::string>() : "";
}

void Settings::apply() {
  if (!config_path_.empty()) apply(core::read_config(config_path_));
  for (const auto& typed : typed_) core::assign_text(*typed.field, typed.text, typed.flag);
}

void Settings::apply(const core::Config& config) {
  const auto place = [&](const std::string& path) {
    const auto line = config.lines.find(path);
    return line == config.lines.end() ? config_path_ : fmt::format("{}:{}", config_path_, line->second);
  };
  const auto fields_of = [&](const std::string& table) {
    core::Fields fields;
    for (const auto& section : sections_) {
      if (section.table == table || (!table.empty() && section.full_name == table))
        fields.insert(fields.end(), section.fields.begin(), section.fields.end());
    }
    return fields;
  };
  std::vector<std::string> tables;
  for (const auto& section : sections_) {
    tables.push_back(section.table);
    if (!section.full_name.empty()) tables.push_back(section.full_name);
  }

  // A table's settings, and the tables in it: [training] and [training.attack].
  const std::function<void(const std::string&, const core::Json&)> apply_table = [&](const std::string& table,
                                                                                     const core::Json& values) {
    const core::Fields fields = fields_of(table);
    for (const auto& [key, value] : values.items()) {
      const auto path = table.empty() ? key : table + "." + key;
      if (value.is_object() && std::find(tables.begin(), tables.end(), path) != tables.end()) {
        apply_table(path, value);
      } else if (value.is_object()) {
        throw core::Error(core::ErrorKind::kUsage, "{}: unknown table [{}]{}", place(path), core::printable(path),
                          core::suggestion(path, tables));
      } else {
        const auto where = table.empty() ? place(path) : fmt::format("{}: [{}]", place(path), table);
        core::assign(fields, core::Json::object({{key, value}}), where);
      }
    }
  };

  for (const auto& [key, value] : config.values.items()) {
    if (key == "verb") {  // a run's config.json
      if (value == app_.get_name()) continue;
      throw core::Error(
          core::ErrorKind::kUsage, "{}: verb: got {}, expected \"{}\": these are the settings of another verb",
          place(key), value.is_string() ? core::quoted(value.get<std::string>()) : value.type_name(), app_.get_name());
    }
    apply_table("", core::Json::object({{key, value}}));
  }
}

std::vector<std::string> Settings::changes() const {
  std::vector<std::string> list;
  for (const auto& typed : typed_) {
    const auto& table = typed.section->table;
    if (!typed.section->change) continue;
    list.push_back(
        fmt::format("{}{}{} = {}", table, table.empty() ? "" : ".", typed.field->name, typed.field->get().dump()));
  }
  return list;
}

core::Json Settings::resolved() const {
  core::Json json = core::Json::object();
  for (const auto& section : sections_) {
    if (!section.recorded) continue;
    core::Json& table = section.table.empty() ? json : json[section.table];
    for (const auto& field : section.fields) table[field.name] = field.get();
  }
  return json;
}

}  // namespace pellucid::cli
