#include "cli/settings.h"

#include "pellucid/core/config.h"
#include "pellucid/core/error.h"

#include <algorithm>

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
  if (takes_config) app.add_option("--config", config_path_, "TOML file with these settings; flags win over it")->option_text("FILE");
}

void Settings::add(Section section, const std::string& heading) {
  sections_.push_back(std::move(section));
  const Section& kept = sections_.back();
  for (const auto& field : kept.fields) {
    const std::string name = flag_name(kept.table, field);
    CLI::Option* option = nullptr;
    if (field.is_switch) {
      option = app_.add_flag_callback("--" + name, [this, &field, name] { typed_.push_back({&field, "--" + name, "true"}); });
      app_.add_flag_callback("--no-" + name, [this, &field, name] { typed_.push_back({&field, "--no-" + name, "false"}); })
          ->group("");  // works, without doubling the help
    } else {
      option = app_.add_option_function<std::string>(
          "--" + name, [this, &field, name](const std::string& text) { typed_.push_back({&field, "--" + name, text}); });
      option->take_last();
    }
    const std::string value = shown(field.get());
    std::string text = field.help;
    if (field.is_switch) {
      text += value == "true" ? fmt::format(" [on; --no-{} switches it off]", name) : " [off]";
    } else {
      text += fmt::format(" [{}]", value.empty() ? "none" : value);
    }
    option->description(text)->option_text(field.is_switch ? " " : field.metavar)->group(heading);
  }
}

void Settings::apply() {
  if (!config_path_.empty()) {
    const core::Json config = core::read_toml(config_path_);
    core::Json top = core::Json::object();
    std::vector<std::string> tables;
    for (const auto& section : sections_) tables.push_back(section.table);
    for (const auto& [key, value] : config.items()) {
      if (!value.is_object()) {
        top[key] = value;
        continue;
      }
      const auto section = std::find_if(sections_.begin(), sections_.end(), [&](const Section& s) { return s.table == key; });
      if (section == sections_.end()) {
        throw core::Error(core::ErrorKind::kUsage, "{}: unknown table [{}]{}", config_path_, key, core::suggestion(key, tables));
      }
      core::assign(section->fields, value, fmt::format("{}: [{}]", config_path_, key));
    }
    core::Fields top_fields;
    for (const auto& section : sections_) {
      if (section.table.empty()) top_fields.insert(top_fields.end(), section.fields.begin(), section.fields.end());
    }
    core::assign(top_fields, top, config_path_);
  }
  for (const auto& typed : typed_) core::assign_text(*typed.field, typed.text, typed.flag);
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
