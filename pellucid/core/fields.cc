#include "pellucid/core/fields.h"

#include "pellucid/core/error.h"
#include "pellucid/core/text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <type_traits>

namespace pellucid::core {
namespace {

template <typename T>
std::optional<T> parse(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// True for a whole number that T holds: JSON's conversion would wrap a larger one around.
template <typename T>
bool holds(const Json& json) {
  if constexpr (std::is_same_v<T, std::int64_t>) {
    if (json.is_number_unsigned()) return json.get<std::uint64_t>() <= INT64_MAX;
    return json.is_number_integer();
  } else if constexpr (std::is_same_v<T, std::uint64_t>) {
    return json.is_number_unsigned();
  } else {
    return json.is_number();
  }
}

// A field whose values are checked by `accept` whether they come from JSON or from a flag's text.
template <typename T>
Field scalar(std::string name, T& value, std::string help, std::string expected, std::function<bool(const T&)> accept) {
  auto set = [&value, accept](const T& candidate) { return accept(candidate) && (value = candidate, true); };
  return {.name = std::move(name),
          .help = std::move(help),
          .expected = std::move(expected),
          .metavar = std::is_integral_v<T> ? "N" : "X",
          .get = [&value] { return Json(value); },
          .set = [set](const Json& json) { return holds<T>(json) && set(json.get<T>()); },
          .set_text =
              [set](const std::string& text) {
                const auto candidate = parse<T>(text);
                return candidate && set(*candidate);
              }};
}

std::string whole_numbers(std::int64_t low, std::int64_t high) {
  if (high == INT64_MAX) return fmt::format("whole number from {}", low);
  return fmt::format("whole number from {} to {}", low, high);
}

std::string numbers(double low, double high) {
  if (std::isinf(high)) return fmt::format("number from {}", low);
  return fmt::format("number from {} to {}", low, high);
}

// A field of values from `low` to `high`; as a flag, with commas between what `read` takes.
template <typename T, typename Read>
Field list(std::string name, std::vector<T>& value, std::string help, std::string expected, std::string metavar, T low,
           T high, Read read) {
  auto set = [&value, low, high](const std::vector<T>& items) {
    for (const auto x : items) {
      if (!(x >= low && x <= high)) return false;
    }
    value = items;
    return true;
  };
  return {.name = std::move(name),
          .help = std::move(help),
          .expected = std::move(expected),
          .metavar = std::move(metavar),
          .get = [&value] { return Json(value); },
          .set =
              [set](const Json& json) {
                const bool fits = json.is_array() && std::all_of(json.begin(), json.end(), holds<T>);
                return fits && set(json.get<std::vector<T>>());
              },
          .set_text =
              [set, read](const std::string& text) {
                std::vector<T> items;
                for (std::size_t begin = 0; begin < text.size();) {
                  const auto end = std::min(text.find(',', begin), text.size());
                  const std::optional<T> x = read(std::string_view(text).substr(begin, end - begin));
                  if (!x) return false;
                  items.push_back(*x);
                  begin = end + 1;
                }
                return set(items);
              }};
}

[[noreturn]] void refuse(const Field& field, const std::string& got, const std::string& where) {
  throw Error(ErrorKind::kUsage, "{}: got {}, expected {}", where, got, field.expected);
}

}  // namespace

Number::Number(std::string_view text) : typed(text) {
  const auto slash = text.find('/');
  const auto numerator = parse<double>(text.substr(0, slash));
  const auto denominator = slash == std::string_view::npos ? 1.0 : parse<double>(text.substr(slash + 1));
  if (!numerator || !denominator || *denominator == 0 || !std::isfinite(*numerator / *denominator)) {
    throw Error(ErrorKind::kUsage, "got {}, expected a number or a fraction such as 0.3 or 8/255", core::quoted(text));
  }
  value = *numerator / *denominator;
}

Size::Size(std::string_view text) : typed(text) {
  constexpr std::string_view kUnits = "KMGT";
  const auto unit = text.empty() ? std::string_view::npos : kUnits.find(text.back());
  const int shift = unit == std::string_view::npos ? 0 : 10 * (static_cast<int>(unit) + 1);
  const auto count = parse<std::uint64_t>(shift == 0 ? text : text.substr(0, text.size() - 1));
  if (!count || *count > UINT64_MAX >> shift) {
    throw Error(ErrorKind::kUsage, "got {}, expected a size such as 500M or 4G", core::quoted(text));
  }
  bytes = *count << shift;
}

Field field(std::string name, bool& value, std::string help) {
  return {.name = std::move(name),
          .help = std::move(help),
          .expected = "true or false",
          .metavar = "",
          .is_switch = true,
          .get = [&value] { return Json(value); },
          .set = [&value](const Json& json) { return json.is_boolean() && (value = json.get<bool>(), true); },
          .set_text =
              [&value](const std::string& text) {
                if (text != "true" && text != "false") return false;
                value = text == "true";
                return true;
              }};
}

Field field(std::string name, std::string& value, std::string help) {
  return {.name = std::move(name),
          .help = std::move(help),
          .expected = "text",
          .metavar = "TEXT",
          .get = [&value] { return Json(value); },
          .set = [&value](const Json& json) { return json.is_string() && (value = json.get<std::string>(), true); },
          .set_text = [&value](const std::string& text) { return value = text, true; }};
}

Field field(std::string name, std::int64_t& value, std::string help, std::int64_t low, std::int64_t high) {
  return scalar<std::int64_t>(std::move(name), value, std::move(help), "a " + whole_numbers(low, high),
                              [low, high](const std::int64_t& x) { return x >= low && x <= high; });
}

Field field(std::string name, std::uint64_t& value, std::string help) {
  return scalar<std::uint64_t>(std::move(name), value, std::move(help), "a whole number from 0",
                               [](const std::uint64_t&) { return true; });
}

Field field(std::string name, double& value, std::string help, double low, double high) {
  return scalar<double>(std::move(name), value, std::move(help), "a " + numbers(low, high),
                        [low, high](const double& x) { return x >= low && x <= high && std::isfinite(x); });
}

Field field(std::string name, Number& value, std::string help, double low, double high) {
  auto set_text = [&value, low, high](const std::string& text) {
    try {
      Number candidate(text);
      if (candidate.value < low || candidate.value > high) return false;
      value = std::move(candidate);
      return true;
    } catch (const Error&) {
      return false;
    }
  };
  return {.name = std::move(name),
          .help = std::move(help),
          .expected = fmt::format("a {}, or a fraction such as 8/255", numbers(low, high)),
          .metavar = "X",
          .get = [&value] { return Json(value.typed); },
          .set = [set_text](
                     const Json& json) { return set_text(json.is_string() ? json.get<std::string>() : json.dump()); },
          .set_text = set_text};
}

Field field(std::string name, Size& value, std::string help) {
  auto set_text = [&value](const std::string& text) {
    try {
      value = Size(text);
      return true;
    } catch (const Error&) {
      return false;
    }
  };
  return {.name = std::move(name),
          .help = std::move(help),
          .expected = "a size such as 500M or 4G",
          .metavar = "SIZE",
          .get = [&value] { return Json(value.typed); },
          .set = [set_text](
                     const Json& json) { return set_text(json.is_string() ? json.get<std::string>() : json.dump()); },
          .set_text = set_text};
}

Field field(std::string name, std::vector<std::int64_t>& value, std::string help, std::int64_t low, std::int64_t high) {
  return list<std::int64_t>(std::move(name), value, std::move(help),
                            fmt::format("a list, each a {}", whole_numbers(low, high)), "N,N,..", low, high,
                            parse<std::int64_t>);
}

Field field(std::string name, std::vector<double>& value, std::string help, double low, double high) {
  return list<double>(std::move(name), value, std::move(help),
                      fmt::format("a list, each a {}, or a fraction such as 8/255", numbers(low, high)), "X,X,..", low,
                      high, [](std::string_view text) -> std::optional<double> {
                        try {
                          return Number(text).value;
                        } catch (const Error&) {
                          return std::nullopt;
                        }
                      });
}

std::string join_choices(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i)
    text += (i == 0 ? "" : i + 1 == names.size() ? " or " : ", ") + names[i];
  return text;
}

Json to_json(const Fields& fields) {
  Json table = Json::object();
  for (const auto& f : fields) table[f.name] = f.get();
  return table;
}

void assign(const Fields& fields, const Json& table, const std::string& where) {
  if (!table.is_object()) throw Error(ErrorKind::kUsage, "{}: got {}, expected a table", where, table.type_name());
  for (const auto& item : table.items()) {
    const std::string& key = item.key();
    const Json& value = item.value();
    const auto found = std::find_if(fields.begin(), fields.end(), [&](const Field& f) { return f.name == key; });
    if (found == fields.end()) {
      std::vector<std::string> names;
      for (const auto& f : fields) names.push_back(f.name);
      throw Error(ErrorKind::kUsage, "{}: unknown key {}{}", where, core::quoted(key), suggestion(key, names));
    }
    if (!found->set(value))
      refuse(*found, printable(value.dump(-1, ' ', false, Json::error_handler_t::replace)), where + ": " + key);
  }
}

void assign_text(const Field& field, const std::string& text, const std::string& where) {
  if (!field.set_text(text)) refuse(field, core::quoted(text), where);
}

std::string nearest(std::string_view name, const std::vector<std::string>& candidates) {
  auto distance = [](std::string_view a, std::string_view b) {
    std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
    for (std::size_t i = 0; i <= a.size(); ++i) {
      for (std::size_t j = 0; j <= b.size(); ++j) {
        if (i == 0 || j == 0) {
          d[i][j] = i + j;
          continue;
        }
        d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
          d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
    return d[a.size()][b.size()];
  };
  constexpr std::size_t kLongest = 100;  // no name of ours is nearly so long
  std::string best;
  if (name.size() > kLongest) return best;
  std::size_t best_distance = std::max<std::size_t>(2, name.size() / 3) + 1;
  for (const auto& candidate : candidates) {
    const auto d = distance(name, candidate);
    if (d < best_distance) best = candidate, best_distance = d;
  }
  return best;
}

std::string suggestion(std::string_view name, const std::vector<std::string>& candidates) {
  const auto meant = nearest(name, candidates);
  return meant.empty() ? "" : fmt::format(" (did you mean {}?)", meant);
}

}  // namespace pellucid::core
