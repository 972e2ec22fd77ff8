#include "pellucid/record/metric.h"

namespace pellucid::record {

std::string to_text(const Metric& m, double value, bool with_sign) {
  const auto number = m.digits < 0 ? (with_sign ? fmt::format("{:+.3g}", value) : fmt::format("{:.3g}", value))
                      : with_sign  ? fmt::format("{:+.{}f}", value, m.digits)
                                   : fmt::format("{:.{}f}", value, m.digits);
  return m.unit.empty() ? number : fmt::format("{} {}", number, m.unit);
}

core::Json to_json(const Metric& m) {
  return {{"key", m.key},
          {"label", m.label},
          {"unit", m.unit},
          {"digits", m.digits},
          {"better", m.better == Better::kHigher  ? "higher"
                     : m.better == Better::kLower ? "lower"
                                                  : ""},
          {"main", m.main},
          {"oracle", m.oracle}};
}

}  // namespace pellucid::record
