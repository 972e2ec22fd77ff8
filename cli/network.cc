#include "cli/network.h"

#include "pellucid/core/error.h"

#include "cli/terminal.h"

#include <cmath>
#include <cstdio>
#include <sstream>

namespace pellucid::cli {
namespace {

using core::Json;

// A list of numbers, one a channel; as a flag "0.4914,0.4822,0.4465".
core::Field per_channel(std::string name, std::vector<double>& value, std::string help) {
  auto set = [&value](const Json& json) {
    if (!json.is_array()) return false;
    std::vector<double> numbers;
    for (const auto& item : json) {
      if (!item.is_number()) return false;
      numbers.push_back(item.get<double>());
      if (!std::isfinite(numbers.back())) return false;
    }
    value = numbers;
    return true;
  };
  auto set_text = [set](const std::string& text) {
    Json list = Json::array();
    std::istringstream items(text);
    try {
      for (std::string item; std::getline(items, item, ',');) list.push_back(core::Number(item).value);
    } catch (const core::Error&) {
      return false;
    }
    return set(list);
  };
  return {.name = std::move(name),
          .help = std::move(help),
          .expected = "numbers, one for each channel: 0.4914,0.4822,0.4465",
          .metavar = "X,...",
          .get = [&value] { return Json(value); },
          .set = set,
          .set_text = set_text};
}

}  // namespace

core::Fields fields(nets::Foreign& foreign) {
  return {
      core::field(
          "net", foreign.net,
          "the network that the weights are of, where the file does not say (a state dict of PyTorch, as safetensors)"),
      core::field("input", foreign.input,
                  "channels, height and width that it takes; none is 1,28,28 or 3,32,32, by its first layer", 1,
                  1 << 16),
      per_channel("mean", foreign.mean,
                  "mean of each channel, in [0, 1], that its images are normalised with; none is no normalisation"),
      per_channel("deviation", foreign.deviation, "their standard deviation")};
}

nets::Network load_network(const std::string& path, const nets::Foreign& foreign) {
  std::vector<std::string> notes;
  auto network = nets::load_network(path, foreign, &notes);
  end_progress();
  for (const auto& note : notes) remark("Note: {}\n", note);
  return network;
}

bool same_file(const std::filesystem::path& a, const std::filesystem::path& b) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (fs::equivalent(a, b, error)) return true;
  const auto target = [&](fs::path path) {  // where a link leads, though nothing be there
    path = fs::absolute(path);
    for (int links = 0; links < 40 && fs::is_symlink(path, error); ++links)
      path = path.parent_path() / fs::read_symlink(path, error);
    return fs::weakly_canonical(path, error);
  };
  return target(a) == target(b);
}

}  // namespace pellucid::cli
