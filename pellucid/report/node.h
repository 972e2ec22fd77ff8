// A place in result.json that knows its name: what is missing or of the wrong type there is reported with file and
// path.
#pragma once

#include "pellucid/core/fields.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pellucid::report {

/// A number, or nothing where the result says null.
using Value = std::optional<double>;

/// A value inside a JSON document, with its JSONPath for messages: "runs/1/result.json: $.models[0].label".
///
/// It points into the document, which must outlive it. Every member function that returns a value has the same
/// @throws Error(kData) if the value is not of that kind, naming file and path, what was got and what was expected.
class Node {
 public:
  /// The document's root. @param file what to call the document in messages.
  Node(const core::Json& json, const std::string& file) : json_(&json), where_(file + ": $") {}

  /// The field of an object. @throws Error(kData) if it is missing.
  [[nodiscard]] Node operator[](const std::string& name) const;
  /// Whether the object has that field and it is not null.
  [[nodiscard]] bool has(const std::string& name) const;
  /// The elements of a list.
  [[nodiscard]] std::vector<Node> items() const;
  /// The fields of an object, in order.
  [[nodiscard]] std::vector<std::pair<std::string, Node>> fields() const;

  [[nodiscard]] std::string text() const;
  /// The text, escaped for HTML.
  [[nodiscard]] std::string html() const;
  [[nodiscard]] std::int64_t whole() const;
  [[nodiscard]] bool boolean() const;
  /// A number or null.
  [[nodiscard]] Value number() const;
  /// A list of numbers and nulls.
  [[nodiscard]] std::vector<Value> numbers() const;
  /// A value of any kind, as it was written.
  [[nodiscard]] std::string as_written() const;

  [[nodiscard]] bool is_null() const { return json_->is_null(); }
  [[nodiscard]] bool is_object() const { return json_->is_object(); }
  /// File and path, for messages.
  [[nodiscard]] const std::string& where() const { return where_; }
  /// Reports that this value is not what it should be. @throws Error(kData) always.
  [[noreturn]] void fail(const std::string& expected) const;

 private:
  Node(const core::Json* json, std::string where) : json_(json), where_(std::move(where)) {}

  const core::Json* json_;
  std::string where_;
};

/// An estimate with its interval; any part may be missing.
struct Interval {
  Value value, low, high;
};

/// From {"value", "low", "high"} or null.
[[nodiscard]] Interval interval(const Node& node);

}  // namespace pellucid::report
