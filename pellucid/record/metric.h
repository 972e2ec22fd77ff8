// A score that is kept for each item of a study: described once, in a row.
#pragma once

#include "pellucid/core/fields.h"

#include <string>
#include <vector>

namespace pellucid::record {

enum class Better { kHigher, kLower, kNeither };

/// What a score is. A system's metrics are rows of these; cells, result.json, tables and charts follow from them.
struct Metric {
  std::string key = {};    ///< in `Reading::scores` and in result.json
  std::string label = {};  ///< "PSNR"
  std::string unit = {};
  /// Decimals in sentences and tables of means, one more for a single item; -1: three significant digits.
  int digits = -1;
  Better better = Better::kNeither;  ///< which way the reconstruction is closer, that is, more leaks
  bool main = false;                 ///< stands in the table of groups
  bool contrast = false;             ///< its difference stands beside the tested one in the table of contrasts
  bool summed = true;                ///< summarised for each group; else it stands only with each cell
  bool optional = false;             ///< left out of results in which no reading has it
  bool oracle = false;               ///< chosen with the truth in hand, which no attacker has
  std::string summary = {};          ///< one line for lists
  std::string source = {};           ///< the convention, and the paper that defines it
};

/// "24.1 dB", or with its sign "+2.0 dB".
[[nodiscard]] std::string to_text(const Metric& metric, double value, bool with_sign = false);

/// {"key", "label", "unit", "digits", "better": "higher", "lower" or "", "main", "oracle"}
[[nodiscard]] core::Json to_json(const Metric& metric);

}  // namespace pellucid::record
