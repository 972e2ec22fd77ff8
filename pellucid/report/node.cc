#include "pellucid/report/node.h"

#include "pellucid/core/error.h"
#include "pellucid/report/format.h"

#include <fmt/format.h>

namespace pellucid::report {
namespace {

using core::Json;

std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Value to_value(const Json& json) { return json.is_null() ? Value() : json.get<double>(); }

}  // namespace

void Node::fail(const std::string& expected) const {
  std::string got = dump(*json_);
  if (got.size() > 60) got = fmt::format("a value of type {}", json_->type_name());
  throw core::Error(core::ErrorKind::kData, "{}: got {}, expected {}", where_, got, expected);
}

Node Node::operator[](const std::string& name) const {
  if (!json_->is_object()) fail("an object");
  const auto found = json_->find(name);
  if (found == json_->end()) {
    throw core::Error(core::ErrorKind::kData, "{}.{}: got no such field, expected one", where_, name);
  }
  return {&*found, where_ + "." + name};
}

bool Node::has(const std::string& name) const {
  if (!json_->is_object()) fail("an object");
  const auto found = json_->find(name);
  return found != json_->end() && !found->is_null();
}

std::vector<Node> Node::items() const {
  if (!json_->is_array()) fail("a list");
  std::vector<Node> nodes;
  for (const Json& item : *json_) nodes.push_back({&item, fmt::format("{}[{}]", where_, nodes.size())});
  return nodes;
}

std::vector<std::pair<std::string, Node>> Node::fields() const {
  if (!json_->is_object()) fail("an object");
  std::vector<std::pair<std::string, Node>> nodes;
  for (const auto& [name, value] : json_->items()) nodes.push_back({name, {&value, where_ + "." + name}});
  return nodes;
}

std::string Node::text() const {
  if (!json_->is_string()) fail("text");
  return json_->get<std::string>();
}

std::string Node::html() const { return escape(text()); }

std::int64_t Node::whole() const {
  if (!json_->is_number_integer()) fail("a whole number");
  return json_->get<std::int64_t>();
}

bool Node::boolean() const {
  if (!json_->is_boolean()) fail("true or false");
  return json_->get<bool>();
}

Value Node::number() const {
  if (!json_->is_number() && !json_->is_null()) fail("a number or null");
  return to_value(*json_);
}

std::vector<Value> Node::numbers() const {
  if (!json_->is_array()) fail("a list of numbers");
  std::vector<Value> values;
  for (const Json& item : *json_) {
    if (!item.is_number() && !item.is_null()) items()[values.size()].fail("a number or null");
    values.push_back(to_value(item));
  }
  return values;
}

std::string Node::as_written() const { return json_->is_string() ? json_->get<std::string>() : dump(*json_); }

Interval interval(const Node& node) {
  if (node.is_null()) return {};
  return {node["value"].number(), node["low"].number(), node["high"].number()};
}

}  // namespace pellucid::report
