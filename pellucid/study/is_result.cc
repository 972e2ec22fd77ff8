#include "pellucid/study/is_result.h"

#include <algorithm>

namespace pellucid::study {
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
bool text_or_null(const Json& x) { return x.is_string() || x.is_null(); }

bool has(const Json& json, const std::vector<Part>& parts) {
  return json.is_object() && std::all_of(parts.begin(), parts.end(), [&](const Part& part) {
           const auto found = json.find(part.key);
           return found != json.end() && part.fits(*found);
         });
}

bool accuracy(const Json& x) {
  return has(x, {{"value", number}, {"low", number}, {"high", number}, {"correct", whole}, {"n", whole}}) && x["n"] > 0 && 0 <= x["correct"] &&
         x["correct"] <= x["n"];
}
bool curve(const Json& x) {
  const auto numbers = [](const Json& list) { return list.is_array() && std::all_of(list.begin(), list.end(), number_or_null); };
  return x.is_null() || (x.is_object() && std::all_of(x.begin(), x.end(), numbers));
}
bool diagnoses(const Json& x) {
  const auto diagnosis = [](const Json& d) { return has(d, {{"code", text}, {"sentence", text}}); };
  return x.is_array() && std::all_of(x.begin(), x.end(), diagnosis);
}

}  // namespace

bool is_result(const Json& cell, const Json& result) {
  if (!has(result, {{"status", text}})) return false;
  if (result["status"] == "failed" && result.size() == 2) return has(result, {{"reason", text}});
  if (cell.contains("network") && cell.contains("training")) {
    return has(result, {{"reason", text}, {"fingerprint", text}, {"natural", accuracy}, {"robust", accuracy}, {"robust_attack", text},
                        {"description", text}, {"architecture", text}, {"parameters", whole}, {"kept_epoch", whole_or_null}, {"curve", curve}});
  }
  if (cell.contains("control")) return has(result, {{"value", number_or_null}, {"n", whole}}) && (cell["control"] != "positive" || number(result["value"]));
  if (!cell.contains("reading")) return true;
  std::vector<Part> parts = {{"reason", text},      {"guess_psnr", number}, {"png", text_or_null}, {"method", text},
                             {"label", whole},      {"restart", whole},     {"restarts", whole},   {"label_read", whole_or_null},
                             {"diagnoses", diagnoses}};
  for (const char* key : {"psnr", "gain", "ssim", "mse", "fmse_logits", "fmse_features", "oracle_psnr", "matching_loss", "margin", "p_true", "gradient_norm"})
    parts.push_back({key, number_or_null});
  return has(result, parts);
}

}  // namespace pellucid::study
