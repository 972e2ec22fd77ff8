#include "pellucid/nets/weights.h"

#include "pellucid/core/memory.h"
#include "pellucid/core/random.h"
#include "pellucid/nets/architecture_json.h"
#include "pellucid/nets/safetensors.h"

#include "tests/core/expect_error.h"
#include "tests/core/folder.h"
#include "tests/nets/formula.h"

#include <cstring>
#include <limits>

namespace pellucid::nets {
namespace {

using core::ErrorKind;
using core::expect_error;

const Spec kSpec{.net = "convnet", .input = {1, 9, 9}, .classes = 3, .mean = {0.1}, .deviation = {0.3}};
const Foreign kForeign{.net = "convnet", .input = {1, 9, 9}, .mean = {0.1}, .deviation = {0.3}};

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

TEST_F(Weights, SayTheirArchitectureLayerByLayer) {
  auto& layers = network.architecture.layers;  // no network of the zoo any more: its last layer's scores are squashed
  layers.push_back({Sigmoid{}, "", {static_cast<int>(layers.size()) - 1}});
  save_network(network, path);
  const Network again = load_network(path);
  EXPECT_EQ(to_json(again.architecture), to_json(network.architecture));
  EXPECT_EQ(fingerprint(again), fingerprint(network));
  EXPECT_NE(fingerprint(again), fingerprint(formula_network(kSpec))) << "the same spec and state";
}

TEST_F(Weights, OfBeforeHoldTheSpecAlone) {
  write([&](SafeTensors& content) {
    content.metadata.erase("pellucid.architecture");
    content.metadata["pellucid.spec"] = to_json(network.architecture.spec).dump();
  });
  EXPECT_EQ(to_json(load_network(path).architecture), to_json(network.architecture));
}

TEST_F(Weights, RefuseAnArchitectureThatIsNone) {
  expect_refusal([](SafeTensors& content) { content.metadata["pellucid.architecture"] = "[]"; },
                 "metadata \"pellucid.architecture\": expected an object with a spec and layers");
}

TEST_F(Weights, AreReadInAnyFormatOfTheList) {
  for (const auto& reader : readers()) EXPECT_FALSE(reader.name.empty() || reader.summary.empty());
  save_network(network, folder / "net");  // without an extension
  EXPECT_EQ(fingerprint(load_network(folder / "net")), fingerprint(network));
}

TEST_F(Weights, KeepTheClassesNames) {
  network.classes = {"cat", "d\xE9j\xE0", "字"};
  save_network(network, path);
  EXPECT_EQ(load_network(path).classes, (std::vector<std::string>{"cat", "d\xEF\xBF\xBDj\xEF\xBF\xBD", "字"}))
      << "what is not UTF-8 is replaced";
  EXPECT_TRUE(read_metadata(path).empty());
  network.classes.clear();
  save_network(network, path);
  EXPECT_TRUE(load_network(path).classes.empty()) << "a file of before";
}

TEST_F(Weights, RefuseClassesThatAreNoListOfNames) {
  for (const char* bad : {"[", "3", "[1, 2, 3]", "[\"a\", \"b\"]", "[\"a\", \"b\", \"a\"]"}) {
    expect_refusal([&](SafeTensors& content) { content.metadata["pellucid.classes"] = bad; },
                   "metadata \"pellucid.classes\"");
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
  expect_error([&] { (void)load_network(path); }, ErrorKind::kModel,
               path.string() + ": got a zip archive, as torch.save");
  core::write_file(path, std::string_view("GGUF is another"));
  expect_error([&] { (void)load_network(path); }, ErrorKind::kModel, path.string() + ": offset 0: header length");
}

TEST_F(Weights, RefuseAMissingTensor) {
  expect_refusal([](SafeTensors& content) { content.tensors.erase("model.bn2.running_var"); },
                 "tensor \"model.bn2.running_var\" is missing");
}

TEST_F(Weights, RefuseATensorInsideAPartOfTheNetwork) {
  expect_refusal([](SafeTensors& content) { content.tensors["model.conv8.weight"] = torch::zeros({1}); },
                 "tensor \"model.conv8.weight\" is not one of convnet's: is it another network?");
}

TEST_F(Weights, LeaveOutTensorsBesideTheNetworkAndNameThem) {
  write([](SafeTensors& content) {
    content.tensors["optimizer.step"] = torch::tensor(7);
    content.tensors["sub_block1.weight\n"] = torch::full({3}, std::nan(""));
  });
  std::vector<std::string> notes;
  EXPECT_EQ(fingerprint(load_network(path, {}, &notes)), fingerprint(network));
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_EQ(
      notes[0],
      path.string() + ": 2 tensors that are not convnet's were left out: \"optimizer.step\", \"sub_block1.weight\\n\"");
  EXPECT_EQ(fingerprint(load_network(path)), fingerprint(network));
}

TEST_F(Weights, LeaveOutALargeTensorWithoutReadingIt) {
  write([](SafeTensors& content) { content.tensors["unused"] = torch::zeros({1 << 20}); });
  core::set_memory_budget(3 << 20);  // its four MiB would not fit; the network's largest tensor does
  EXPECT_EQ(fingerprint(load_network(path)), fingerprint(network));
  core::set_memory_budget(0);
}

TEST_F(Weights, RefuseAnotherShape) {
  expect_refusal(
      [](SafeTensors& content) {
        content.tensors["model.conv0.bias"] = torch::zeros({1, 64});
      },
      "tensor \"model.conv0.bias\": got shape [1, 64], expected [64]");
}

TEST_F(Weights, SayWhichTensorIsOfTheImagesSize) {
  expect_refusal(
      [](SafeTensors& content) {
        content.tensors["model.linear.weight"] = torch::zeros({3, 1024});
      },
      "tensor \"model.linear.weight\": got shape [3, 1024], expected [3, 256] for images of 1x9x9: does the network "
      "take others?");
}

TEST_F(Weights, BecomeFloat32FromOtherFloats) {
  for (const auto type : {torch::kFloat64, torch::kFloat16, torch::kBFloat16}) {
    write([&](SafeTensors& content) {
      for (auto& [name, tensor] : content.tensors)
        tensor = tensor.to(type);  // as model.half() does; Tensor.half() converts counters too
    });
    std::vector<std::string> notes;
    const Network again = load_network(path, {}, &notes);
    ASSERT_EQ(notes.size(), 1u);
    EXPECT_EQ(notes[0], path.string() + ": converted to float32 from " + torch::toString(type));
    for (const auto& [name, tensor] : network.state) {
      EXPECT_EQ(again.state.at(name).scalar_type(), tensor.scalar_type()) << name;
      EXPECT_TRUE(torch::equal(again.state.at(name), tensor.to(type).to(tensor.scalar_type()))) << name;
    }
  }
}

TEST_F(Weights, RefuseParametersThatAreWholeNumbers) {
  expect_refusal([](SafeTensors& content) { content.tensors["model.conv0.bias"] = torch::zeros({64}, torch::kInt64); },
                 "tensor \"model.conv0.bias\": got type Long, expected Float");
}

TEST_F(Weights, RefuseFloat64ThatFloat32CannotHold) {
  expect_refusal(
      [](SafeTensors& content) { content.tensors["model.conv0.bias"] = torch::full({64}, 1e300, torch::kFloat64); },
      "tensor \"model.conv0.bias\": got values that are not finite in float32");
}

TEST_F(Weights, LoadFromBehindAPrefix) {
  for (const std::string prefix : {"module.", "_orig_mod.module.", "model."}) {
    write([&](SafeTensors& content) {
      std::map<std::string, Tensor> renamed;
      for (const auto& [name, tensor] : content.tensors) renamed[prefix + name] = tensor;
      renamed["epoch"] = torch::tensor(3);
      content.tensors = renamed;
    });
    std::vector<std::string> notes;
    EXPECT_EQ(fingerprint(load_network(path, {}, &notes)), fingerprint(network));
    EXPECT_EQ(notes.back(), path.string() + ": read without the prefix \"" + prefix + "\" of its names");
  }
}

TEST_F(Weights, RefuseTwoNetworksInAFile) {
  write([&](SafeTensors& content) {
    std::map<std::string, Tensor> both;
    for (const auto& [name, tensor] : content.tensors) both["a." + name] = tensor, both["b." + name] = tensor + 1;
    content.tensors = both;
  });
  expect_error([&] { (void)load_network(path); }, ErrorKind::kModel, "holds several networks, below \"a.\" and \"b.\"");
}

TEST_F(Weights, ThatWereDamagedAreRefused) {
  network = formula_network({.net = "lenet", .input = {1, 8, 8}, .classes = 3});
  network.classes = {"cat", "dog", "owl"};
  save_network(network, path, {{"epochs", "3"}});
  const auto whole = core::read_file(path);
  std::uint64_t header = 0;
  std::memcpy(&header, whole.data(), 8);
  core::Stream stream(0, "damage");
  for (int i = 0; i < 200; ++i) {
    auto damaged = whole;
    const auto at = stream.below(i % 3 == 0 ? whole.size() : 8 + header);  // in the header each bit means something
    damaged[at] ^= static_cast<std::uint8_t>(1 << stream.below(8));
    core::write_file(path, damaged);
    SCOPED_TRACE(at);
    expect_error([&] { (void)load_network(path); }, ErrorKind::kModel, "net.safetensors");
    EXPECT_THROW((void)load_network(path, {.net = "lenet"}), core::Error);
    expect_error([&] { (void)read_metadata(path); }, ErrorKind::kModel, "net.safetensors");
    damaged = whole;
    damaged.resize(stream.below(whole.size()));
    core::write_file(path, damaged);
    expect_error([&] { (void)load_network(path); }, ErrorKind::kModel, "net.safetensors");
  }
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
  expect_refusal(
      forget, "the file does not say which network it holds (metadata \"pellucid.architecture\"); name it with --net");
  std::vector<std::string> notes;
  EXPECT_EQ(load_network(path, kForeign, &notes).architecture.spec, kSpec) << "three classes, by the last layer";
  EXPECT_EQ(notes, (std::vector{path.string() +
                                ": taken for convnet on images of 1x9x9 with 3 classes, normalised as given"}));
  expect_error([&] { (void)load_network(path, {.net = "lenet"}); }, ErrorKind::kModel,
               "tensor \"body.0.weight\" is missing: is it another network");
  expect_error([&] { (void)load_network(path, {.net = "convnett"}); }, ErrorKind::kUsage, "did you mean convnet?");
  expect_error(
      [&] {
        (void)load_network(path, {.net = "convnet", .input = {1, 0, 9}});
      },
      ErrorKind::kUsage, "input shape");
  expect_error([&] { (void)load_network(path, {.net = "convnet"}); }, ErrorKind::kModel,
               "for images of 1x28x28: does the network take others?");
}

TEST_F(Weights, MayBeToldNothingElseThanTheySay) {
  save_network(network, path);
  EXPECT_EQ(load_network(path, kForeign).architecture.spec, kSpec);
  const auto refused = [&](const Foreign& foreign, const std::string& message) {
    expect_error([&] { (void)load_network(path, foreign); }, ErrorKind::kUsage, message);
  };
  refused({.net = "lenet"}, "network: got \"lenet\", but the file itself says convnet; leave it out");
  refused({.input = {1, 8, 9}}, "input: got [1, 8, 9], but the file itself says [1, 9, 9]");
  refused({.mean = {0.2}}, "mean: got [0.2], but the file itself says [0.1]");
  refused({.deviation = {0.2}}, "deviation: got [0.2], but the file itself says [0.3]");
}

TEST_F(Weights, RefuseADescriptionThatIsNone) {
  auto describe = [](const char* text) {
    return [text](SafeTensors& content) {  // of a file of before
      content.metadata.erase("pellucid.architecture");
      content.metadata["pellucid.spec"] = text;
    };
  };
  expect_refusal(describe("{"), "metadata \"pellucid.spec\" is not JSON");
  expect_refusal(describe("{}"), "metadata \"pellucid.spec\": the description of the network: ");
  expect_refusal(describe(R"({"net":"convnett","input":[1,9,9],"classes":3,"mean":[],"deviation":[]})"),
                 "metadata \"pellucid.spec\": network: got \"convnett\"");
}

}  // namespace
}  // namespace pellucid::nets
