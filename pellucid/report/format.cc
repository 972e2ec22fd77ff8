#include "pellucid/report/format.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>

namespace pellucid::report {
namespace {

constexpr std::string_view kMinus = "−";
constexpr std::string_view kSuperscripts[] = {"⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"};

// The hyphen that fmt writes in front of a negative number becomes a minus sign; "-0.00" becomes "0.00".
std::string with_minus(const std::string& text) {
  if (!text.starts_with('-')) return text;
  const std::string magnitude = text.substr(1);
  return magnitude.find_first_not_of("0.") == std::string::npos ? magnitude : std::string(kMinus) + magnitude;
}

}  // namespace

std::string escape(std::string_view text) {
  std::string safe;
  safe.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&': safe += "&amp;"; break;
      case '<': safe += "&lt;"; break;
      case '>': safe += "&gt;"; break;
      case '"': safe += "&quot;"; break;
      case '\'': safe += "&#39;"; break;
      default: safe += c;
    }
  }
  return safe;
}

std::string significant(Value value) {
  if (!value) return std::string(kNothing);
  if (*value == 0) return "0";
  // fmt rounds first and only then shows the exponent, so 0.9996 is 1.00 and not 0.1000.
  const std::string scientific = fmt::format("{:.2e}", *value);
  const auto e = scientific.find('e');
  const int exponent = std::atoi(scientific.c_str() + e + 1);
  if (exponent >= -3 && exponent < 5) return with_minus(fmt::format("{:.{}f}", *value, std::max(0, 2 - exponent)));
  return with_minus(scientific.substr(0, e)) + "×" + power_of_ten(exponent);
}

std::string power_of_ten(int exponent) {
  std::string text = exponent < 0 ? "10⁻" : "10";
  for (const char digit : std::to_string(std::abs(exponent))) text += kSuperscripts[digit - '0'];
  return text;
}

std::string decimals(Value value, int count) {
  return value ? with_minus(fmt::format("{:.{}f}", *value, count)) : std::string(kNothing);
}

std::string count(Value value) {
  if (!value) return std::string(kNothing);
  std::string digits = fmt::format("{:.0f}", std::abs(*value));
  for (auto at = static_cast<int>(digits.size()) - 3; at > 0; at -= 3)
    digits.insert(static_cast<std::size_t>(at), 1, ',');
  return *value < 0 ? fmt::format("{}{}", kMinus, digits) : digits;
}

std::string counted(Value value, std::string_view noun) {
  return fmt::format("{} {}{}", count(value), noun, value == 1.0 ? "" : "s");
}

std::string capital(std::string noun) {
  if (!noun.empty() && noun[0] >= 'a' && noun[0] <= 'z') noun[0] = static_cast<char>(noun[0] - 'a' + 'A');
  return escape(noun);
}

std::string percent(Value fraction) {
  return fraction ? with_minus(fmt::format("{:.2f}", *fraction * 100)) + " %" : std::string(kNothing);
}

std::string probability(Value value) {
  if (value && *value < 1 && *value > 0.999999) return "> 0.999999";
  if (value && *value > 0 && *value < 0.000001) return "< 0.000001";
  return decimals(value, 6);
}

std::string p_value(Value value) {
  if (!value) return std::string(kNothing);
  return *value < 0.001 ? "< 0.001" : fmt::format("= {:.3f}", *value);
}

std::string metric(Value value, std::string_view unit) {
  return unit == "dB" ? decimals(value, 2) : significant(value);
}

std::string signed_metric(Value value, std::string_view unit) {
  return fmt::format("{}{}", value && *value > 0 ? "+" : "", metric(value, unit));
}

}  // namespace pellucid::report
