// result.json of a run, and the page, the tables and the events that are made of it.
#include "pellucid/core/sealed.h"
#include "pellucid/report/html.h"
#include "pellucid/report/side_by_side.h"
#include "pellucid/report/tidy.h"

#include "tests/fuzz/fuzz.h"

#include <algorithm>
#include <random>

using pellucid::core::Json;

#ifdef PELLUCID_FUZZ
namespace {

// Any value inside a document.
Json& some_value(Json& json, std::mt19937& random) {
  Json* place = &json;
  while ((place->is_object() || place->is_array()) && !place->empty() && random() % 8 != 0)
    place = &*std::next(place->begin(), static_cast<long>(random() % place->size()));
  return *place;
}

Json some_json(const Json& document, std::mt19937& random) {
  switch (random() % 10) {
    case 0: return {};
    case 1: return static_cast<std::int64_t>(random()) - (1LL << 31);
    case 2: return 1e300;
    case 3: return random() % 2 == 0;
    case 4: return "text";
    case 5: return Json::array();
    case 6: return Json::object();
    case 7: return INT64_MAX;
    case 8: return -1;
    default: {
      Json copy = document;
      return some_value(copy, random);
    }
  }
}

}  // namespace

// Half of the time a value of the document becomes another one, or is gone: bytes alone hardly ever make another
// document.
extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t limit);
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t limit, unsigned seed) {
  std::mt19937 random(seed);
  Json json = Json::parse(data, data + size, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded() || random() % 2 == 0) return LLVMFuzzerMutate(data, size, limit);
  Json& place = some_value(json, random);
  if (place.is_object() && !place.empty() && random() % 4 == 0) {
    place.erase(std::next(place.begin(), static_cast<long>(random() % place.size())).key());
  } else if (place.is_array() && random() % 4 == 0) {
    place.push_back(some_json(json, random));
  } else {
    Json other = some_json(json, random);
    place = std::move(other);
  }
  const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > limit) return LLVMFuzzerMutate(data, size, limit);
  std::copy(text.begin(), text.end(), data);
  return text.size();
}
#endif

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return pellucid::read_or_refuse(pellucid::core::ErrorKind::kData, [&] {
    namespace report = pellucid::report;
    const Json json = pellucid::core::parse_sealed({reinterpret_cast<const char*>(data), size}, "result.json");
    const auto study = report::open_study(json, "run");
    (void)report::render(json, "run");
    (void)report::side_by_side({"run", json}, {"run", json});
    (void)report::csv(study);
    for (const char c : report::latex(study)) {
      if (c != '\n' && (c < 32 || c > 126)) std::abort();
    }
    (void)report::event_file(study, "run");
  });
}
