#include "pellucid/study/store.h"

#include "pellucid/core/config.h"
#include "pellucid/core/file.h"

namespace pellucid::study {

std::string cell_name(const core::Json& determinants) { return core::sha256(determinants.dump()).substr(0, 16); }

core::Json cell(const std::filesystem::path& folder, const core::Json& determinants, const std::function<core::Json()>& compute) {
  const auto path = folder / "cells" / (cell_name(determinants) + ".json");
  if (std::filesystem::exists(path)) return core::read_json(path).at("result");
  core::Json result = compute();
  core::write_file(path, core::to_text({{"cell", determinants}, {"result", result}}));
  return result;
}

}  // namespace pellucid::study
