#include "pellucid/record/reading.h"

#include <algorithm>
#include <array>
#include <utility>

namespace pellucid::record {
namespace {

using core::Json;

constexpr std::array<std::pair<Status, const char*>, 4> kStatuses = {{{Status::kOk, "ok"},
                                                                      {Status::kDiverged, "diverged"},
                                                                      {Status::kNotApplicable, "not_applicable"},
                                                                      {Status::kFailed, "failed"}}};

template <typename T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

}  // namespace

std::string to_string(Status status) {
  const auto* found =
      std::find_if(kStatuses.begin(), kStatuses.end(), [&](const auto& s) { return s.first == status; });
  return found->second;
}

std::optional<double> Reading::score(const std::string& key) const {
  const auto found = scores.find(key);
  return found == scores.end() ? std::nullopt : std::optional(found->second);
}

Json to_json(const Reading& r) {
  Json scores = Json::object(), diagnoses = Json::array();
  for (const auto& [key, value] : r.scores) scores[key] = value;
  for (const auto& d : r.diagnoses) diagnoses.push_back({{"code", d.code}, {"sentence", d.sentence}});
  return {{"status", to_string(r.status)}, {"reason", r.reason},   {"scores", scores},
          {"diagnoses", diagnoses},        {"picture", r.picture}, {"more", r.more}};
}

std::optional<Reading> reading(const Json& json) {
  if (!json.is_object() || json.size() != 6) return std::nullopt;
  const auto at = [&](const char* key) -> const Json& {
    static const Json kNone;
    const auto found = json.find(key);
    return found == json.end() ? kNone : *found;
  };
  const Json &status = at("status"), &reason = at("reason"), &scores = at("scores"), &diagnoses = at("diagnoses"),
             &picture = at("picture"), &more = at("more");
  if (!status.is_string() || !reason.is_string() || !scores.is_object() || !diagnoses.is_array() ||
      !picture.is_string() || !more.is_object())
    return std::nullopt;
  Reading r{.reason = reason, .picture = picture, .more = more};
  const auto* named =
      std::find_if(kStatuses.begin(), kStatuses.end(), [&](const auto& s) { return status == s.second; });
  if (named == kStatuses.end()) return std::nullopt;
  r.status = named->first;
  for (const auto& [key, value] : scores.items()) {
    if (!value.is_number()) return std::nullopt;
    r.scores[key] = value;
  }
  for (const auto& d : diagnoses) {
    const bool whole = d.is_object() && d.size() == 2 && d.contains("code") && d["code"].is_string() &&
                       d.contains("sentence") && d["sentence"].is_string();
    if (!whole) return std::nullopt;
    r.diagnoses.push_back({d["code"], d["sentence"]});
  }
  return r;
}

Json to_json(const Control& c) {
  return {{"kind", c.kind},
          {"attack", c.attack},
          {"value", or_null(c.value)},
          {"threshold", or_null(c.threshold)},
          {"passed", or_null(c.passed)},
          {"n", or_null(c.n)},
          {"sentence", c.sentence}};
}

}  // namespace pellucid::record
