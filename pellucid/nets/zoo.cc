#include "pellucid/nets/zoo.h"

#include "pellucid/core/error.h"

#include <algorithm>

namespace pellucid::nets {
namespace {

// Appends layers, each fed by the one before unless told otherwise.
struct Builder {
  Architecture& net;

  [[nodiscard]] int last() const { return static_cast<int>(net.layers.size()) - 1; }

  int add(Op op, std::string name = "") { return add_to(last(), std::move(op), std::move(name)); }
  int add_to(int input, Op op, std::string name = "") {
    net.layers.push_back({std::move(op), std::move(name), {input}});
    return last();
  }
  int sum(int a, int b) {
    net.layers.push_back({Add{}, "", {a, b}});
    return last();
  }
  [[nodiscard]] std::int64_t channels() const { return net.spec.input[0]; }
  [[nodiscard]] std::int64_t classes() const { return net.spec.classes; }
  // The number of values that the last layer gives for one image.
  [[nodiscard]] std::int64_t features() const {
    const auto shape = output_shapes(net).back();
    std::int64_t count = 1;
    for (auto n : shape) count *= n;
    return count;
  }
};

void small_cnn(Architecture& net) {
  Builder b{net};
  auto conv_relu = [&](std::int64_t in, std::int64_t out, const char* name) {
    b.add(Conv{.in = in, .out = out, .kernel = 3, .init = Init::kHeFanIn}, name);
    b.add(Relu{});
  };
  conv_relu(b.channels(), 32, "feature_extractor.conv1");
  conv_relu(32, 32, "feature_extractor.conv2");
  b.add(MaxPool{2});
  conv_relu(32, 64, "feature_extractor.conv3");
  conv_relu(64, 64, "feature_extractor.conv4");
  b.add(MaxPool{2});
  b.add(Flatten{});
  b.add(Linear{b.features(), 200}, "classifier.fc1");
  b.add(Relu{});
  b.add(Dropout{0.5});
  b.add(Linear{200, 200}, "classifier.fc2");
  b.add(Relu{});
  // As published, the last layer starts at zero: untrained, nothing but its own gradient leaks.
  b.add(Linear{200, b.classes(), Init::kZero}, "classifier.fc3");
}

void lenet(Architecture& net) {
  Builder b{net};
  auto conv_sigmoid = [&](std::int64_t in, std::int64_t stride, const char* name) {
    b.add(Conv{.in = in, .out = 12, .kernel = 5, .stride = stride, .padding = 2, .init = Init::kUniformHalf}, name);
    b.add(Sigmoid{});
  };
  conv_sigmoid(b.channels(), 2, "body.0");
  conv_sigmoid(12, 2, "body.2");
  conv_sigmoid(12, 1, "body.4");
  b.add(Flatten{});
  b.add(Linear{b.features(), b.classes(), Init::kUniformHalf}, "fc.0");
}

void cnn6(Architecture& net) {
  Builder b{net};
  int number = 0;
  auto conv_leaky = [&](std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride) {
    b.add(Conv{.in = in, .out = out, .kernel = kernel, .stride = stride, .padding = kernel / 2, .bias = false},
          fmt::format("body.{}.layer", number++));
    b.add(LeakyRelu{0.2});
  };
  conv_leaky(b.channels(), 12, 4, 2);
  conv_leaky(12, 36, 3, 2);
  conv_leaky(36, 36, 3, 1);
  conv_leaky(36, 36, 3, 1);
  conv_leaky(36, 64, 3, 2);
  conv_leaky(64, 128, 3, 1);
  b.add(Flatten{});
  // As published it has one output and no bias.
  b.add(Linear{b.features(), b.classes()}, "body.6.layer");
}

void tanh_cnn(Architecture& net) {
  Builder b{net};
  int number = 0;
  auto conv_tanh = [&](std::int64_t in, std::int64_t out) {
    b.add(Conv{.in = in, .out = out, .kernel = 3, .padding = 1}, fmt::format("features.{}", number));
    b.add(Tanh{});
    number += 2;
  };
  std::int64_t in = b.channels();
  for (const std::int64_t width : {32, 64, 128}) {
    conv_tanh(in, width);
    conv_tanh(width, width);
    b.add(MaxPool{2});
    ++number;
    in = width;
  }
  b.add(Flatten{});
  b.add(Linear{b.features(), 128}, "classifier.0");
  b.add(Tanh{});
  b.add(Linear{128, b.classes()}, "classifier.2");
}

// As published both convolutions have stride 2 and a max pooling of stride 1 behind them: the same parameters.
void small_tanh_cnn(Architecture& net) {
  Builder b{net};
  b.add(Conv{.in = b.channels(), .out = 16, .kernel = 8, .stride = 2, .padding = 3}, "features.0");
  b.add(Tanh{});
  b.add(MaxPool{2});
  b.add(Conv{.in = 16, .out = 32, .kernel = 4}, "features.3");
  b.add(Tanh{});
  b.add(Flatten{});
  b.add(Linear{b.features(), 32}, "classifier.0");
  b.add(Tanh{});
  b.add(Linear{32, b.classes()}, "classifier.2");
}

void convnet(Architecture& net) {
  constexpr std::int64_t kWidth = 64;
  Builder b{net};
  int number = 0;
  auto conv_norm_relu = [&](std::int64_t in, std::int64_t out) {
    b.add(Conv{.in = in, .out = out, .kernel = 3, .padding = 1}, fmt::format("model.conv{}", number));
    b.add(BatchNorm{out}, fmt::format("model.bn{}", number++));
    b.add(Relu{});
  };
  conv_norm_relu(b.channels(), kWidth);
  conv_norm_relu(kWidth, 2 * kWidth);
  conv_norm_relu(2 * kWidth, 2 * kWidth);
  conv_norm_relu(2 * kWidth, 4 * kWidth);
  conv_norm_relu(4 * kWidth, 4 * kWidth);
  conv_norm_relu(4 * kWidth, 4 * kWidth);
  b.add(MaxPool{3});
  conv_norm_relu(4 * kWidth, 4 * kWidth);
  conv_norm_relu(4 * kWidth, 4 * kWidth);
  b.add(MaxPool{3});
  b.add(Flatten{});
  b.add(Linear{b.features(), b.classes()}, "model.linear");
}

void resnet18(Architecture& net) {
  Builder b{net};
  auto conv_norm = [&](int input, const Conv& conv, const std::string& conv_name, const std::string& norm_name) {
    b.add_to(input, conv, conv_name);
    return b.add(BatchNorm{conv.out}, norm_name);
  };
  auto conv3 = [](std::int64_t in, std::int64_t out, std::int64_t stride) {
    return Conv{.in = in, .out = out, .kernel = 3, .stride = stride, .padding = 1, .bias = false};
  };
  conv_norm(b.last(), conv3(b.channels(), 64, 1), "conv1", "bn1");
  int x = b.add(Relu{});
  std::int64_t in = 64;
  for (int stage = 1; stage <= 4; ++stage) {
    const std::int64_t out = 32 << stage;
    for (int block = 0; block < 2; ++block) {
      const auto name = fmt::format("layer{}.{}.", stage, block);
      const std::int64_t stride = stage > 1 && block == 0 ? 2 : 1;
      conv_norm(x, conv3(in, out, stride), name + "conv1", name + "bn1");
      b.add(Relu{});
      const int residual = conv_norm(b.last(), conv3(out, out, 1), name + "conv2", name + "bn2");
      int shortcut = x;
      if (stride != 1 || in != out) {
        const Conv projection{.in = in, .out = out, .kernel = 1, .stride = stride, .bias = false};
        shortcut = conv_norm(x, projection, name + "shortcut.0", name + "shortcut.1");
      }
      b.sum(residual, shortcut);
      x = b.add(Relu{});
      in = out;
    }
  }
  b.add(GlobalAveragePool{});
  b.add(Flatten{});
  b.add(Linear{in, b.classes()}, "linear");
}

Op batch_norm(std::int64_t channels) { return BatchNorm{channels}; }
Op group_norm(std::int64_t channels) { return GroupNorm{.channels = channels, .groups = 16}; }

// How the pre-activation networks name the parts of a block, and what normalises there.
struct BlockNames {
  const char *norm1, *conv1, *norm2, *conv2, *shortcut;
  Op (*norm)(std::int64_t channels) = batch_norm;
};

// A pre-activation block: x + conv2(relu(norm2(conv1(a)))) with a = relu(norm1(x)). Where the shape changes, the
// shortcut is a 1x1 convolution of the activated input a, without batch norm.
int preact_block(Builder& b, int x, std::int64_t in, std::int64_t out, std::int64_t stride, const std::string& prefix,
                 const BlockNames& names, Init init) {
  b.add_to(x, names.norm(in), prefix + names.norm1);
  const int activated = b.add(Relu{});
  b.add(Conv{.in = in, .out = out, .kernel = 3, .stride = stride, .padding = 1, .bias = false, .init = init},
        prefix + names.conv1);
  b.add(names.norm(out), prefix + names.norm2);
  b.add(Relu{});
  const int residual =
      b.add(Conv{.in = out, .out = out, .kernel = 3, .padding = 1, .bias = false, .init = init}, prefix + names.conv2);
  int shortcut = x;
  if (stride != 1 || in != out) {
    const Conv projection{.in = in, .out = out, .kernel = 1, .stride = stride, .bias = false, .init = init};
    shortcut = b.add_to(activated, projection, prefix + names.shortcut);
  }
  return b.sum(residual, shortcut);
}

constexpr BlockNames kPreActNames = {"bn1", "conv1", "bn2", "conv2", "shortcut.0"};

// What ends a pre-activation network: norm, ReLU, the mean over positions, a linear layer.
void preact_head(Builder& b, std::int64_t in, const Op& norm, const char* norm_name, const char* linear,
                 Init init = Init::kPyTorch) {
  b.add(norm, norm_name);
  b.add(Relu{});
  b.add(GlobalAveragePool{});
  b.add(Flatten{});
  b.add(Linear{in, b.classes(), init}, linear);
}

void preact_resnet18(Architecture& net) {
  Builder b{net};
  int x = b.add(Conv{.in = b.channels(), .out = 64, .kernel = 3, .padding = 1, .bias = false}, "conv1");
  std::int64_t in = 64;
  for (int stage = 1; stage <= 4; ++stage) {
    const std::int64_t out = 32 << stage;
    for (int block = 0; block < 2; ++block) {
      const std::int64_t stride = stage > 1 && block == 0 ? 2 : 1;
      x = preact_block(b, x, in, out, stride, fmt::format("layer{}.{}.", stage, block), kPreActNames, Init::kPyTorch);
      in = out;
    }
  }
  preact_head(b, in, batch_norm(in), "bn", "linear");
}

// The same blocks for two cores: the stem halves the image, one block a stage, narrow. 49 M multiply-accumulates.
void preact_resnet8_with(Architecture& net, const BlockNames& names, const char* last_norm) {
  Builder b{net};
  std::int64_t in = 64;
  int x = b.add(Conv{.in = b.channels(), .out = in, .kernel = 3, .stride = 2, .padding = 1, .bias = false}, "conv1");
  for (int stage = 1; stage <= 3; ++stage) {
    const std::int64_t out = 32 << stage;
    x = preact_block(b, x, in, out, stage > 1 ? 2 : 1, fmt::format("layer{}.0.", stage), names, Init::kPyTorch);
    in = out;
  }
  preact_head(b, in, names.norm(in), last_norm, "linear");
}

void preact_resnet8(Architecture& net) { preact_resnet8_with(net, kPreActNames, "bn"); }

void preact_resnet8_gn(Architecture& net) {
  preact_resnet8_with(net, {"gn1", "conv1", "gn2", "conv2", "shortcut.0", group_norm}, "gn");
}

void wide_resnet34_10(Architecture& net) {
  constexpr int kBlocks = (34 - 4) / 6, kWiden = 10;
  Builder b{net};
  int x = b.add(Conv{.in = b.channels(), .out = 16, .kernel = 3, .padding = 1, .bias = false, .init = Init::kHeFanOut},
                "conv1");
  std::int64_t in = 16;
  for (int group = 1; group <= 3; ++group) {
    const std::int64_t out = (8 << group) * kWiden;
    for (int block = 0; block < kBlocks; ++block) {
      const std::int64_t stride = group > 1 && block == 0 ? 2 : 1;
      x = preact_block(b, x, in, out, stride, fmt::format("block{}.layer.{}.", group, block),
                       {"bn1", "conv1", "bn2", "conv2", "convShortcut"}, Init::kHeFanOut);
      in = out;
    }
  }
  preact_head(b, in, batch_norm(in), "bn1", "fc", Init::kZeroBias);
}

void autoencoder(Architecture& net) {
  constexpr std::int64_t kHidden = 256, kCode = 64;
  Builder b{net};
  b.add(Flatten{});
  b.add(Linear{b.features(), kHidden}, "encoder.0");
  b.add(Relu{});
  b.add(Linear{kHidden, kCode}, "encoder.2");
  b.add(Linear{kCode, kHidden}, "decoder.0");
  b.add(Relu{});
  b.add(Linear{kHidden, b.classes()}, "decoder.2");
}

// Specs come from files too: within these sizes, no count of values overflows.
constexpr std::int64_t kMostPixels = 1 << 16, kMostClasses = 1 << 20;

const ZooEntry& entry_of(const std::string& net) {
  std::vector<std::string> names;
  for (const ZooEntry& entry : zoo()) {
    if (entry.name == net) return entry;
    names.push_back(entry.name);
  }
  throw core::Error(core::ErrorKind::kUsage, "network: got \"{}\", expected {}{}", net, core::join_choices(names),
                    core::suggestion(net, names));
}

[[noreturn]] void refuse(const Spec& spec, const std::string& problem) {
  throw core::Error(core::ErrorKind::kUsage, "{}: {}", spec.net, problem);
}

}  // namespace

const std::vector<ZooEntry>& zoo() {
  const std::vector<std::int64_t> grey{1, 28, 28}, colour{3, 32, 32};
  static const std::vector<ZooEntry> list = {
      {"small_cnn", "four convolutions and three linear layers with dropout, for MNIST; its last layer starts at zero",
       "Zhang et al. 2019 (TRADES), models/small_cnn.py", grey, small_cnn},
      {"lenet", "three sigmoid convolutions and one linear layer, the classic target of gradient inversion",
       "Zhu et al. 2019 (Deep Leakage from Gradients), models/vision.py", grey, lenet},
      {"cnn6", "six convolutions with leaky ReLU, without bias, and one linear layer: each layer can be inverted",
       "Zhu and Blaschko 2021 (R-GAP), models/CNN6.py", colour, cnn6},
      {"tanh_cnn", "six convolutions and two linear layers with tanh, for training with differential privacy",
       "Tramer and Boneh 2021, arXiv:2011.11660, the network for CIFAR-10", colour, tanh_cnn},
      {"small_tanh_cnn", "two convolutions and two linear layers with tanh, for differential privacy on MNIST",
       "Papernot et al. 2021 (Tempered Sigmoid Activations), arXiv:2007.14191, with one max pooling; ours", grey,
       small_tanh_cnn},
      {"convnet", "eight convolutions with batch norm, width 64",
       "Geiping et al. 2020 (Inverting Gradients), ConvNet64", colour, convnet},
      {"preact_resnet18",
       "pre-activation ResNet-18 with a final batch norm and ReLU; shortcuts take the activated input",
       "He et al. 2016; the variant of Rice et al. 2020", colour, preact_resnet18},
      {"preact_resnet8",
       "three pre-activation blocks of width 64, 128 and 256 behind a stem of stride 2: robust training on two cores",
       "the blocks of preact_resnet18; ours", colour, preact_resnet8},
      {"preact_resnet8_gn", "preact_resnet8 with group norm: images do not see one another",
       "the blocks of preact_resnet18 with Wu and He 2018; ours", colour, preact_resnet8_gn},
      {"resnet18", "ResNet-18 for small images: 3x3 stem, no max pooling",
       "He et al. 2015; the variant of pytorch-cifar", colour, resnet18},
      {"wide_resnet34_10", "Wide ResNet of depth 34 and width 10",
       "Zagoruyko and Komodakis 2016; without the unused block of TRADES", colour, wide_resnet34_10},
      {"autoencoder", "four linear layers, through 64 values, with an output for each pixel: a prior on images", "ours",
       grey, autoencoder, 784},
  };
  return list;
}

Spec usual_spec(const std::string& net) {
  const ZooEntry& entry = entry_of(net);
  return {.net = net, .input = entry.input, .classes = entry.outputs};
}

Architecture build(const Spec& spec) {
  const ZooEntry& entry = entry_of(spec.net);
  auto sensible = [](std::int64_t size) { return size >= 1 && size <= kMostPixels; };
  if (spec.input.size() != 3 || !std::all_of(spec.input.begin(), spec.input.end(), sensible)) {
    refuse(spec, fmt::format("input shape: got [{}], expected channels, height and width, each from 1 to {}",
                             fmt::join(spec.input, ", "), kMostPixels));
  }
  if (spec.classes < 2 || spec.classes > kMostClasses) {
    refuse(spec, fmt::format("classes: got {}, expected from 2 to {}", spec.classes, kMostClasses));
  }
  if (spec.mean.size() != spec.deviation.size() ||
      (!spec.mean.empty() && static_cast<std::int64_t>(spec.mean.size()) != spec.input[0])) {
    refuse(spec, fmt::format("normalisation: got {} means and {} deviations, expected {} of each or none",
                             spec.mean.size(), spec.deviation.size(), spec.input[0]));
  }
  for (const double deviation : spec.deviation) {
    if (!(deviation > 0))
      refuse(spec, fmt::format("normalisation: got a deviation of {}, expected above 0", deviation));
  }
  Architecture architecture{.spec = spec, .layers = {}};
  if (!spec.mean.empty()) architecture.layers.push_back({Normalise{spec.mean, spec.deviation}, "", {kNetworkInput}});
  entry.add_layers(architecture);
  static_cast<void>(output_shapes(architecture));  // refuses images that are too small
  return architecture;
}

}  // namespace pellucid::nets
