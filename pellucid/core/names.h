// A field that takes a list of names.
#pragma once

#include "pellucid/core/fields.h"

namespace pellucid::core {

/// A list of at least one name, each one of the choices and none twice; as a flag "pgd,square".
[[nodiscard]] Field names_field(std::string name, std::vector<std::string>& value, std::string help,
                                std::vector<std::string> choices);

}  // namespace pellucid::core
