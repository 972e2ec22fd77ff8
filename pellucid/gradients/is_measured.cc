#include "pellucid/gradients/is_measured.h"

#include <algorithm>

namespace pellucid::gradients {
namespace {

using core::Json;

// A key of a result and what may stand there.
struct Part {
  const char* key;
  bool (*fits)(const Json&);
};

bool text(const Json& x) { return x.is_string(); }
bool number(const Json& x) { return x.is_number(); }
bool whole(const Json& x) { return x.is_number_integer(); }
bool number_or_null(const Json& x) { return x.is_number() || x.is_null(); }
bool whole_or_null(const Json& x) { return x.is_number_integer() || x.is_null(); }
bool has(const Json& json, const std::vector<Part>& parts) {
  return json.is_object() && std::all_of(parts.begin(), parts.end(), [&](const Part& part) {
           const auto found = json.find(part.key);
           return found != json.end() && part.fits(*found);
         });
}

bool accuracy(const Json& x) {
  return has(x, {{"value", number}, {"low", number}, {"high", number}, {"correct", whole}, {"n", whole}}) &&
         x["n"] > 0 && 0 <= x["correct"] && x["correct"] <= x["n"];
}
bool curve(const Json& x) {
  const auto numbers = [](const Json& list) {
    return list.is_array() && std::all_of(list.begin(), list.end(), number_or_null);
  };
  return x.is_null() || (x.is_object() && std::all_of(x.begin(), x.end(), numbers));
}
}  // namespace

bool is_measured(const Json& result) {
  if (!has(result, {{"status", text}, {"reason", text}})) return false;
  if (result["status"] == "failed") return result.size() == 2;
  return has(result, {{"fingerprint", text},
                      {"natural", accuracy},
                      {"robust", accuracy},
                      {"robust_attack", text},
                      {"description", text},
                      {"architecture", text},
                      {"parameters", whole},
                      {"kept_epoch", whole_or_null},
                      {"curve", curve}});
}

}  // namespace pellucid::gradients
