// Parameters declared once: from one list of fields come the flags, the TOML keys, the help, the checks and the JSON.
#pragma once

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pellucid::core {

using Json = nlohmann::ordered_json;

/// A number in the units of the pixels, kept as it was typed: 0.0314 is not 8/255 and is never shown as such.
struct Number {
  double value = 0;
  std::string typed = "0";

  Number() = default;
  /// @param text a decimal number or a fraction: "0.3", "8/255".
  /// @throws Error(kUsage) if it is neither.
  explicit Number(std::string_view text);
};

/// An amount of memory as people type it: "4G", "500M", "100000".
struct Size {
  std::uint64_t bytes = 0;
  std::string typed = "0";

  Size() = default;
  /// @param text a whole number, maybe followed by K, M, G or T (powers of 1,024).
  /// @throws Error(kUsage) if it is something else, or more than 64 bits hold.
  explicit Size(std::string_view text);
};

/// One adjustable parameter of an options struct.
///
/// A field points into the struct it was made from: the struct must outlive it and must not move.
struct Field {
  std::string name;        ///< the TOML key; the flag is --name with '-' for '_'
  std::string help;        ///< one sentence: meaning, unit, what switches it off
  std::string expected;    ///< the values it takes: "a whole number from 1 to 64"
  std::string metavar;     ///< how help names a value: "N", "X", "a|b|c"
  bool is_switch = false;  ///< true or false: its flags are --name and --no-name
  std::function<Json()> get;
  std::function<bool(const Json&)> set;              ///< false if the value is not `expected`
  std::function<bool(const std::string&)> set_text;  ///< the same from a flag's text
};

using Fields = std::vector<Field>;

[[nodiscard]] Field field(std::string name, bool& value, std::string help);
[[nodiscard]] Field field(std::string name, std::string& value, std::string help);
[[nodiscard]] Field field(std::string name, std::int64_t& value, std::string help, std::int64_t low, std::int64_t high);
[[nodiscard]] Field field(std::string name, std::uint64_t& value, std::string help);
[[nodiscard]] Field field(std::string name, double& value, std::string help, double low,
                          double high = std::numeric_limits<double>::infinity());
[[nodiscard]] Field field(std::string name, Number& value, std::string help, double low, double high);
[[nodiscard]] Field field(std::string name, Size& value, std::string help);
/// A list of whole numbers; as a flag "0,1,10".
[[nodiscard]] Field field(std::string name, std::vector<std::int64_t>& value, std::string help, std::int64_t low,
                          std::int64_t high);
/// A list of numbers; as a flag "0.3,1,8/255".
[[nodiscard]] Field field(std::string name, std::vector<double>& value, std::string help, double low, double high);

/// The names of an enumeration's values, in the order in which help lists them.
template <typename Enum>
using Choices = std::vector<std::pair<std::string, Enum>>;

/// "a, b or c".
[[nodiscard]] std::string join_choices(const std::vector<std::string>& names);

/// A field that takes one of the named values of an enumeration.
template <typename Enum>
[[nodiscard]] Field field(std::string name, Enum& value, std::string help, Choices<Enum> choices) {
  std::vector<std::string> names;
  for (const auto& [text, unused] : choices) names.push_back(text);
  auto set_text = [&value, choices](const std::string& text) {
    for (const auto& [choice, e] : choices) {
      if (choice == text) return value = e, true;
    }
    return false;
  };
  return {.name = std::move(name),
          .help = std::move(help),
          .expected = join_choices(names),
          .metavar = fmt::format("{}", fmt::join(names, "|")),
          .get =
              [&value, choices] {
                for (const auto& [choice, e] : choices) {
                  if (e == value) return Json(choice);
                }
                return Json();
              },
          .set = [set_text](const Json& json) { return json.is_string() && set_text(json.get<std::string>()); },
          .set_text = set_text};
}

/// The values of the fields, by name, in order.
[[nodiscard]] Json to_json(const Fields& fields);

/// Sets the fields that `table` names.
/// @param where names the table in messages: "demo.toml: [training]".
/// @throws Error(kUsage) for a key that no field has, naming the nearest that one has.
/// @throws Error(kUsage) for a value that the field does not take, saying what it got and what it takes.
void assign(const Fields& fields, const Json& table, const std::string& where);

/// Sets one field from the text of a flag.
/// @throws Error(kUsage) as `assign`.
void assign_text(const Field& field, const std::string& text, const std::string& where);

/// The candidate most like `name` (Damerau-Levenshtein distance), or "" if none is near enough to be what was meant.
[[nodiscard]] std::string nearest(std::string_view name, const std::vector<std::string>& candidates);

/// " (did you mean X?)" for a name that is near one of the candidates, else "".
[[nodiscard]] std::string suggestion(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace pellucid::core
