#include "cli/measurement.h"

#include "pellucid/core/config.h"
#include "pellucid/core/error.h"
#include "pellucid/core/text.h"

#include "cli/terminal.h"
#include <fmt/ranges.h>

#include <algorithm>

namespace pellucid::cli {
namespace {

// Whether a result file says that these settings gave it.
bool is_of(const std::filesystem::path& result, const core::Json& settings) {
  try {
    const core::Json json = core::read_json(result);
    return json.is_object() && json.contains("config") && json["config"] == settings;
  } catch (const core::Error&) {
    return false;
  }
}

}  // namespace

void begin(const core::RunFolder& folder, const core::Json& settings) {
  const auto result = folder.path() / "result.json";
  std::error_code none;
  if (std::filesystem::exists(result, none) && !is_of(result, settings)) std::filesystem::remove(result, none);
  folder.write_config(settings);
}

std::string describe_data(const data::Dataset& dataset) {
  constexpr std::size_t kNamed = 12, kLongest = 30;
  std::vector<std::string> names;
  for (std::size_t c = 0; c < std::min(dataset.classes.size(), kNamed); ++c)
    names.push_back(core::quoted(dataset.classes[c], kLongest));
  if (dataset.classes.size() > kNamed) names.push_back("...");
  return fmt::format("{} ({}): {} images of {} classes, {}", core::printable(dataset.name),
                     core::printable(dataset.source, 1000), dataset.size(), dataset.classes.size(),
                     fmt::join(names, ", "));
}

void print_findings(const std::vector<evasion::Finding>& findings) {
  end_progress();
  for (const auto& f : findings) {
    say("{} {}: {}\n", bold(f.severity == evasion::Severity::kError ? "error" : "warning"), f.code, f.sentence);
  }
}

}  // namespace pellucid::cli
