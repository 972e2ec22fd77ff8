#include "pellucid/nets/weights.h"

#include "pellucid/nets/safetensors.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"
#include "tests/nets/formula.h"

#include <limits>

namespace pellucid::nets {
namespace {

using core::ErrorKind;
using core::expect_error;

const Spec kSpec{.net = "convnet", .input = {1, 9, 9}, .classes = 3, .mean = {0.1}, .deviation = {0.3}};

class Weights : public testing::Test {
 protected:
  // The file of the network after `change` to its content.
  template <typename Change>
  void write(Change change) const {
    save_network(network, path, {{"epochs", "3"}});
    SafeTensors content = read_safetensors(path);
    change(content);
    core::write_file(path, write_safetensors(content));
  }
  template <typename Change>
  void expect_refusal(Change change, const std::string& message) const {
    write(change);
    expect_error([&] { (void)load_network(path); }, ErrorKind::kModel, path.string() + ": " + message);
  }

  core::Folder folder;
  std::filesystem::path path = folder / "net.safetensors";
  Network network = formula_network(kSpec);
};

TEST_F(Weights, RoundTripBitForBit) {
  save_network(network, path);
  const Network again = load_network(path);
  EXPECT_EQ(again.architecture.spec, kSpec);
  EXPECT_EQ(write_safetensors({.tensors = again.state}), write_safetensors({.tensors = network.state}));
  EXPECT_EQ(fingerprint(again), fingerprint(network));
}

TEST_F(Weights, KeepTheClassesNames) {
  network.classes = {"cat", "d\xE9j\xE0", "字"};
  save_network(network, path);
  EXPECT_EQ(load_network(path).classes, (std::vector<std::string>{"cat", "d\xEF\xBF\xBDj\xEF\xBF\xBD", "字"})) << "what is not UTF-8 is replaced";
  EXPECT_TRUE(read_metadata(path).empty());
  network.classes.clear();
  save_network(network, path);
  EXPECT_TRUE(load_network(path).classes.empty()) << "a file of before";
}

TEST_F(Weights, RefuseClassesThatAreNoListOfNames) {
  for (const char* bad : {"[", "3", "[1, 2, 3]", "[\"a\", \"b\"]", "[\"a\", \"b\", \"a\"]"}) {
    expect_refusal([&](SafeTensors& content) { content.metadata["pellucid.classes"] = bad; }, "metadata \"pellucid.classes\"");
  }
}

TEST_F(Weights, KeepMetadata) {
  save_network(network, path, {{"epochs", "3"}});
  EXPECT_EQ(read_metadata(path), (std::map<std::string, std::string>{{"epochs", "3"}}));
  EXPECT_EQ(read_safetensors(path).metadata.at("format"), "pt");  // without it, Python's transformers refuse the file
}

TEST_F(Weights, RefuseAMissingFile) {
  expect_error([&] { (void)load_network(path); }, ErrorKind::kIo, path.string());
  expect_error([&] { (void)read_metadata(path); }, ErrorKind::kIo, path.string());
}

TEST_F(Weights, RefuseAFolderThatCannotBeWritten) {
  core::write_file(folder / "file", std::string_view("x"));
  expect_error([&] { save_network(network, folder / "file" / "net.safetensors"); }, ErrorKind::kIo, "file");
}

TEST_F(Weights, RefuseAnotherFormat) {
  core::write_file(path, std::string_view("PK\3\4 is how torch.save begins"));
  expect_error([&] { (void)load_network(path); }, ErrorKind::kModel, path.string() + ": offset 0: header length");
}

TEST_F(Weights, RefuseAMissingTensor) {
  expect_refusal([](SafeTensors& content) { content.tensors.erase("model.bn2.running_var"); },
                 "tensor \"model.bn2.running_var\" is missing");
}

TEST_F(Weights, RefuseASuperfluousTensor) {
  expect_refusal([](SafeTensors& content) { content.tensors["sub_block1.weight"] = torch::zeros({1}); },
                 "tensor \"sub_block1.weight\" is not one of convnet's");
}

TEST_F(Weights, RefuseAnotherShape) {
  expect_refusal(
      [](SafeTensors& content) {
        content.tensors["model.conv0.bias"] = torch::zeros({1, 64});
      },
      "tensor \"model.conv0.bias\": got shape [1, 64], expected [64]");
}

TEST_F(Weights, RefuseAnotherType) {
  expect_refusal(
      [](SafeTensors& content) { content.tensors["model.conv0.bias"] = torch::zeros({64}, torch::kFloat64); },
      "tensor \"model.conv0.bias\": got type Double, expected Float");
  expect_refusal([](SafeTensors& content) { content.tensors["model.bn1.num_batches_tracked"] = torch::zeros({}); },
                 "tensor \"model.bn1.num_batches_tracked\": got type Float, expected Long");
}

TEST_F(Weights, RefuseValuesThatAreNotFinite) {
  for (const float value : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    expect_refusal([&](SafeTensors& content) { content.tensors["model.linear.weight"][2][200] = value; },
                   "tensor \"model.linear.weight\": got values that are not finite");
  }
}

TEST_F(Weights, TolerateMissingCounters) {
  write([](SafeTensors& content) {
    std::erase_if(content.tensors, [](const auto& tensor) { return tensor.first.ends_with(".num_batches_tracked"); });
  });
  const Network again = load_network(path);
  EXPECT_TRUE(torch::equal(again.state.at("model.bn7.num_batches_tracked"), torch::zeros({}, torch::kInt64)));
  EXPECT_EQ(again.state.size(), network.state.size());
}

TEST_F(Weights, OfUnsaidNetworkNeedToBeToldIt) {
  auto forget = [](SafeTensors& content) { content.metadata.clear(); };
  expect_refusal(forget,
                 "the file does not say which network it holds (metadata \"pellucid.spec\"); name it with --net");
  EXPECT_EQ(load_network(path, kSpec).architecture.spec, kSpec);
  expect_error([&] { (void)load_network(path, Spec{.net = "lenet"}); }, ErrorKind::kModel,
               "tensor \"body.0.weight\" is missing");
  expect_error([&] { (void)load_network(path, Spec{.net = "convnet", .classes = 0}); }, ErrorKind::kUsage, "classes");
}

TEST_F(Weights, SayWhatTheyAreLouderThanTheCaller) {
  save_network(network, path);
  EXPECT_EQ(load_network(path, Spec{.net = "lenet"}).architecture.spec, kSpec);
}

TEST_F(Weights, RefuseADescriptionThatIsNone) {
  auto describe = [](const char* text) {
    return [text](SafeTensors& content) { content.metadata["pellucid.spec"] = text; };
  };
  expect_refusal(describe("{"), "metadata \"pellucid.spec\" is not JSON");
  expect_refusal(describe("{}"), "metadata \"pellucid.spec\": the description of the network: ");
  expect_refusal(describe(R"({"net":"convnett","input":[1,9,9],"classes":3,"mean":[],"deviation":[]})"),
                 "metadata \"pellucid.spec\": network: got \"convnett\"");
}

}  // namespace
}  // namespace pellucid::nets
