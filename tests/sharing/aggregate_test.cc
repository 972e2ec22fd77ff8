#include "pellucid/sharing/aggregate.h"

#include "pellucid/core/file.h"
#include "pellucid/nets/safetensors.h"
#include "pellucid/sharing/formats.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"
#include "tests/evasion/tiny.h"

namespace pellucid::sharing {
namespace {

using core::ErrorKind;
using nlohmann::json;

struct Aggregate : testing::Test {
  core::Folder folder;
  const std::filesystem::path path = folder / "update.safetensors", out = folder / "mean.safetensors";
  const nets::Network network = tiny::network(tiny::spec());

  [[nodiscard]] Observation client(int seed) const {
    torch::manual_seed(seed);
    return {.network = network,
            .update = compute_update(network, tiny::images(2), torch::randint(0, 4, {2}, torch::kInt64),
                                     {.mechanisms = {{"clip", 1}}}),
            .labels = {1, 2}};
  }
};

TEST_F(Aggregate, TheMeanOfTwoIsWhatTwoClientsTogetherShare) {
  std::vector<double> mean;
  std::string layout;
  nets::TensorMap expected;
  for (const int seed : {1, 2}) {
    const Observation one = client(seed);
    save_observation(one, path);
    const FlatUpdate flat = read_flat(path);
    EXPECT_TRUE(layout.empty() || layout == flat.layout);
    layout = flat.layout;
    mean.resize(flat.values.size());
    for (std::size_t i = 0; i < mean.size(); ++i) mean[i] += flat.values[i] / 2;
    for (const auto& [name, tensor] : one.update.gradient)
      expected[name] = expected.contains(name) ? expected[name] + tensor / 2 : tensor / 2;
  }
  save_mean(layout, mean, {.clients = 2, .range = 8, .scheme = "masked", .step = 1e-8}, out);
  const Observation read = load_observation(out, network);
  for (const auto& [name, tensor] : expected) EXPECT_TRUE(torch::allclose(read.update.gradient.at(name), tensor, 1e-6));
  EXPECT_EQ(read.update.protocol.clients, 2);
  EXPECT_EQ(read.update.protocol.batch_size, 4);
  EXPECT_EQ(to_string(read.update.protocol.mechanisms), "clip 1, limit 8");
  EXPECT_TRUE(read.labels.empty());  // what the clients' files hold of labels is not passed on
  EXPECT_EQ(layout.find("[1,2]"), std::string::npos);
  const auto recorded = json::parse(nets::read_safetensors(out).metadata.at("aggregation"));
  EXPECT_EQ(recorded, (json{{"scheme", "masked"}, {"step", 1e-8}}));
}

TEST_F(Aggregate, RefusesWhatIsNoUpdate) {
  save_observation(client(1), path);
  const auto good = nets::read_safetensors(path);
  const auto refused = [&](const std::string& message, auto change) {
    auto file = good;
    change(file);
    core::write_file(path, nets::write_safetensors(file));
    core::expect_error([&] { (void)read_flat(path); }, ErrorKind::kModel, message);
  };
  refused("schema: got none, expected pellucid.update/2", [](auto& file) { file.metadata.erase("schema"); });
  refused("schema: got pellucid.truth/1", [](auto& file) { file.metadata["schema"] = "pellucid.truth/1"; });
  refused("expected an object", [](auto& file) { file.metadata["observation"] = "[]"; });
  refused("got Int, expected float32 or float64",
          [](auto& file) { file.tensors["x"] = torch::zeros({2}, torch::kInt32); });
  core::expect_error([&] { (void)read_flat(folder / "none"); }, ErrorKind::kIo, "none");
}

TEST_F(Aggregate, RefusesALayoutThatIsNone) {
  save_observation(client(1), path);
  const FlatUpdate flat = read_flat(path);
  const MeanOf of{.clients = 2, .range = 8, .scheme = "masked", .step = 1e-8};
  const auto refused = [&](const std::string& layout, const std::string& message) {
    core::expect_error([&] { save_mean(layout, flat.values, of, out); }, ErrorKind::kModel, message);
    EXPECT_FALSE(std::filesystem::exists(out));
  };
  const auto changed = [&](auto change) {
    json layout = json::parse(flat.layout);
    change(layout);
    return layout.dump();
  };
  refused("", "the clients' layout: got \"\", expected that of an update");
  refused("{}", "expected that of an update");
  refused("[1]", "expected that of an update");
  refused(changed([](auto& l) { l["observation"] = 3; }), "expected that of an update");
  refused(changed([](auto& l) { l["observation"]["batch_size"] = 0; }), "batch_size: got 0, expected a number above 0");
  refused(changed([](auto& l) { l["observation"]["batch_size"] = INT64_MAX; }), "batch_size: got");
  refused(changed([](auto& l) { l["observation"]["mechanisms"] = "magic"; }), "mechanisms: got \"magic\"");
  refused(changed([](auto& l) { l["tensors"].erase(l["tensors"].begin()); }), "got places for");
  for (const json& shape : {json{-1}, json{INT64_MAX, INT64_MAX, INT64_MAX}, json{4294967296, 4294967296}})
    refused(changed([&](auto& l) { l["tensors"].begin().value()["shape"] = shape; }), "got more values than the");
  refused(changed([](auto& l) { l["tensors"].begin().value()["type"] = "I8"; }), "got more values than the");
}

}  // namespace
}  // namespace pellucid::sharing
