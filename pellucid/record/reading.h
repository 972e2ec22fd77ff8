// What came of one item that was read back, and of one control.
#pragma once

#include "pellucid/core/fields.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace pellucid::record {

enum class Status {
  kOk,             ///< ran to the end
  kDiverged,       ///< ended early; what it had by then is the result
  kNotApplicable,  ///< the attack does not apply to this observation
  kFailed,         ///< not run: settings that do not go together, or what it needs failed
};

/// "ok", "diverged", "not_applicable" or "failed".
[[nodiscard]] std::string to_string(Status status);

/// A cause of failure, or of a figure that says less than it seems to.
struct Diagnosis {
  std::string code;  ///< "not-converged"
  std::string sentence;
};

/// One item read back.
struct Reading {
  Status status = Status::kOk;
  std::string reason = {};  ///< why, where the status is not ok
  /// By `Metric::key`; finite; absent where nothing came out or none applies.
  std::map<std::string, double> scores = {};
  std::vector<Diagnosis> diagnoses = {};
  std::string picture = {};                ///< PNG in base64; empty where there is none
  core::Json more = core::Json::object();  ///< what else the system keeps of it

  /// The score, or nothing.
  [[nodiscard]] std::optional<double> score(const std::string& key) const;
};

/// {"status", "reason", "scores", "diagnoses": [{"code", "sentence"}], "picture", "more"}
[[nodiscard]] core::Json to_json(const Reading& reading);

/// What `to_json` wrote; nothing for whatever else.
[[nodiscard]] std::optional<Reading> reading(const core::Json& json);

/// A case whose outcome is known: where the attack must win, where it must fail, and the score of no attack at all.
struct Control {
  std::string kind = {};    ///< "positive", "network", "null", "guess"
  std::string attack = {};  ///< which attack, for the reader; may be empty
  std::optional<double> value = {}, threshold = {};
  std::optional<bool> passed = {};  ///< nothing: not run, or nothing to pass
  std::optional<std::int64_t> n = {};
  std::string sentence = {};
};

/// {"kind", "attack", "value", "threshold", "passed", "n", "sentence"}, null where there is nothing.
[[nodiscard]] core::Json to_json(const Control& control);

}  // namespace pellucid::record
