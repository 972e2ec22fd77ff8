#!/usr/bin/env python3
"""Makes tests/golden/nets.json: the networks of the zoo as PyTorch evaluates them in float64.

Needs python3-torch and python3-numpy. Weights and images come from a formula that tests/nets/formula.h repeats. The
modules carry the published names and stand beside the C++ ones: written from the papers, not from each other.
"""
import json
import math
import pathlib
from collections import OrderedDict

import numpy
import torch
from torch import nn
from torch.nn import functional

BATCH = 2
LABELS = [3, 8]


class SmallCnn(nn.Module):
    """Zhang et al. 2019 (TRADES)."""

    def __init__(self):
        super().__init__()
        self.feature_extractor = nn.Sequential(OrderedDict(
            conv1=nn.Conv2d(1, 32, 3), relu1=nn.ReLU(),
            conv2=nn.Conv2d(32, 32, 3), relu2=nn.ReLU(), pool1=nn.MaxPool2d(2),
            conv3=nn.Conv2d(32, 64, 3), relu3=nn.ReLU(),
            conv4=nn.Conv2d(64, 64, 3), relu4=nn.ReLU(), pool2=nn.MaxPool2d(2),
        ))
        self.classifier = nn.Sequential(OrderedDict(
            fc1=nn.Linear(1024, 200), relu1=nn.ReLU(), drop=nn.Dropout(0.5),
            fc2=nn.Linear(200, 200), relu2=nn.ReLU(), fc3=nn.Linear(200, 10),
        ))

    def forward(self, x):
        return self.classifier(self.feature_extractor(x).flatten(1))


class LeNet(nn.Module):
    """Zhu et al. 2019 (Deep Leakage from Gradients), for 28x28 images."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 12, 5, stride=2, padding=2), nn.Sigmoid(),
            nn.Conv2d(12, 12, 5, stride=2, padding=2), nn.Sigmoid(),
            nn.Conv2d(12, 12, 5, stride=1, padding=2), nn.Sigmoid(),
        )
        self.fc = nn.Sequential(nn.Linear(12 * 7 * 7, 10))

    def forward(self, x):
        return self.fc(self.body(x).flatten(1))


class Cnn6(nn.Module):
    """Zhu and Blaschko 2021 (R-GAP), with an output for each class and a bias there."""

    def __init__(self):
        super().__init__()
        widths, kernels, strides = [3, 12, 36, 36, 36, 64, 128], [4, 3, 3, 3, 3, 3], [2, 2, 1, 1, 2, 1]
        blocks = [OrderedDict(layer=nn.Conv2d(widths[i], widths[i + 1], kernels[i], stride=strides[i],
                                              padding=kernels[i] // 2, bias=False), act=nn.LeakyReLU(0.2))
                  for i in range(6)]
        blocks.append(OrderedDict(flatten=nn.Flatten(), layer=nn.Linear(128 * 5 * 5, 10)))
        self.body = nn.Sequential(*[nn.Sequential(block) for block in blocks])

    def forward(self, x):
        return self.body(x)


class ConvNet(nn.Module):
    """Geiping et al. 2020 (Inverting Gradients), ConvNet64."""

    def __init__(self):
        super().__init__()
        widths = [3, 64, 128, 128, 256, 256, 256, 256, 256]
        layers = OrderedDict()
        for i in range(8):
            layers[f"conv{i}"] = nn.Conv2d(widths[i], widths[i + 1], 3, padding=1)
            layers[f"bn{i}"] = nn.BatchNorm2d(widths[i + 1])
            layers[f"relu{i}"] = nn.ReLU()
            if i in (5, 7):
                layers[f"pool{i}"] = nn.MaxPool2d(3)
        layers["flatten"] = nn.Flatten()
        layers["linear"] = nn.Linear(256 * 3 * 3, 10)
        self.model = nn.Sequential(layers)

    def forward(self, x):
        return self.model(x)


def conv3x3(inputs, outputs, stride):
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)


def stages(block, widths, inputs):
    """Four stages of two blocks; all but the first halve the image."""
    for i, width in enumerate(widths):
        yield nn.Sequential(block(inputs, width, 1 if i == 0 else 2), block(width, width, 1))
        inputs = width


class Autoencoder(nn.Module):
    """Ours: as many outputs as a 28x28 image has pixels."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 64))
        self.decoder = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 784))

    def forward(self, x):
        return self.decoder(self.encoder(x.flatten(1)))


class BasicBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = conv3x3(inputs, outputs, stride)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = conv3x3(outputs, outputs, 1)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            projection = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(outputs))

    def forward(self, x):
        residual = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(residual + self.shortcut(x))


class ResNet18(nn.Module):
    """He et al. 2015; the variant of pytorch-cifar. Normalises its input first, where told to."""

    def __init__(self, mean=None, deviation=None):
        super().__init__()
        self.normalisation = (mean, deviation)
        self.conv1 = conv3x3(3, 64, 1)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages(BasicBlock, [64, 128, 256, 512], 64)
        self.linear = nn.Linear(512, 10)

    def forward(self, x):
        mean, deviation = self.normalisation
        if mean:
            x = (x - x.new_tensor(mean)[:, None, None]) / x.new_tensor(deviation)[:, None, None]
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.linear(functional.avg_pool2d(x, 4).flatten(1))


class TanhCnn(nn.Module):
    """Tramer and Boneh 2021, for CIFAR-10."""

    def __init__(self):
        super().__init__()
        layers, inputs = [], 3
        for width in (32, 64, 128):
            for _ in range(2):
                layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.Tanh()]
                inputs = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Linear(128 * 4 * 4, 128), nn.Tanh(), nn.Linear(128, 10))

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class SmallTanhCnn(nn.Module):
    """Papernot et al. 2021, for MNIST, with one max pooling."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 16, 8, 2, 3), nn.Tanh(), nn.MaxPool2d(2),
                                      nn.Conv2d(16, 32, 4), nn.Tanh())
        self.classifier = nn.Sequential(nn.Linear(512, 32), nn.Tanh(), nn.Linear(32, 10))

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class PreActBlock(nn.Module):
    """The projection takes the activated input and has no batch norm."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = conv3x3(inputs, outputs, stride)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = conv3x3(outputs, outputs, 1)
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False))

    def forward(self, x):
        activated = functional.relu(self.bn1(x))
        shortcut = self.shortcut(activated) if hasattr(self, "shortcut") else x
        return self.conv2(functional.relu(self.bn2(self.conv1(activated)))) + shortcut


class PreActResNet18(nn.Module):
    """He et al. 2016; the variant of Rice et al. 2020, with a final batch norm and ReLU."""

    def __init__(self):
        super().__init__()
        self.conv1 = conv3x3(3, 64, 1)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages(PreActBlock, [64, 128, 256, 512], 64)
        self.bn = nn.BatchNorm2d(512)
        self.linear = nn.Linear(512, 10)

    def forward(self, x):
        x = self.layer4(self.layer3(self.layer2(self.layer1(self.conv1(x)))))
        return self.linear(functional.avg_pool2d(functional.relu(self.bn(x)), 4).flatten(1))


class PreActResNet8(nn.Module):
    """Ours: one such block in each of three stages, behind a stem of stride 2."""

    def __init__(self):
        super().__init__()
        self.conv1 = conv3x3(3, 64, 2)
        for i, (inputs, outputs) in enumerate([(64, 64), (64, 128), (128, 256)]):
            setattr(self, f"layer{i + 1}", nn.Sequential(PreActBlock(inputs, outputs, 2 if i else 1)))
        self.bn = nn.BatchNorm2d(256)
        self.linear = nn.Linear(256, 10)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        return self.linear(functional.avg_pool2d(functional.relu(self.bn(x)), 4).flatten(1))


class GroupBlock(nn.Module):
    """PreActBlock with group norm."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.gn1 = nn.GroupNorm(16, inputs)
        self.conv1 = conv3x3(inputs, outputs, stride)
        self.gn2 = nn.GroupNorm(16, outputs)
        self.conv2 = conv3x3(outputs, outputs, 1)
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False))

    def forward(self, x):
        activated = functional.relu(self.gn1(x))
        shortcut = self.shortcut(activated) if hasattr(self, "shortcut") else x
        return self.conv2(functional.relu(self.gn2(self.conv1(activated)))) + shortcut


class PreActResNet8Gn(nn.Module):
    """PreActResNet8 with group norm."""

    def __init__(self):
        super().__init__()
        self.conv1 = conv3x3(3, 64, 2)
        for i, (inputs, outputs) in enumerate([(64, 64), (64, 128), (128, 256)]):
            setattr(self, f"layer{i + 1}", nn.Sequential(GroupBlock(inputs, outputs, 2 if i else 1)))
        self.gn = nn.GroupNorm(16, 256)
        self.linear = nn.Linear(256, 10)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(self.conv1(x))))
        return self.linear(functional.avg_pool2d(functional.relu(self.gn(x)), 4).flatten(1))


class WideBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = conv3x3(inputs, outputs, stride)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = conv3x3(outputs, outputs, 1)
        self.convShortcut = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False) if inputs != outputs else None

    def forward(self, x):
        activated = functional.relu(self.bn1(x))
        residual = self.conv2(functional.relu(self.bn2(self.conv1(activated))))
        return residual + (x if self.convShortcut is None else self.convShortcut(activated))


class WideGroup(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        others = [WideBlock(outputs, outputs, 1) for _ in range(4)]
        self.layer = nn.Sequential(WideBlock(inputs, outputs, stride), *others)

    def forward(self, x):
        return self.layer(x)


class WideResNet34x10(nn.Module):
    """Zagoruyko and Komodakis 2016, with the names of TRADES and without its unused sub_block1."""

    def __init__(self):
        super().__init__()
        self.conv1 = conv3x3(3, 16, 1)
        self.block1 = WideGroup(16, 160, 1)
        self.block2 = WideGroup(160, 320, 2)
        self.block3 = WideGroup(320, 640, 2)
        self.bn1 = nn.BatchNorm2d(640)
        self.fc = nn.Linear(640, 10)

    def forward(self, x):
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        return self.fc(functional.avg_pool2d(functional.relu(self.bn1(x)), 8).flatten(1))


NETS = {
    "small_cnn": SmallCnn, "lenet": LeNet, "cnn6": Cnn6, "convnet": ConvNet,
    "resnet18": ResNet18, "preact_resnet18": PreActResNet18, "preact_resnet8": PreActResNet8,
    "wide_resnet34_10": WideResNet34x10, "autoencoder": Autoencoder, "tanh_cnn": TanhCnn,
    "small_tanh_cnn": SmallTanhCnn,
    "preact_resnet8_gn": PreActResNet8Gn,
}
GREY = (1, 28, 28)
COLOUR = (3, 32, 32)


def formula(name, shape, low, high):
    """Value i: 24 bits of number i of the SplitMix64 sequence that starts at the FNV-1a hash of the name,
    in [low, high), as float32."""
    start = 0xCBF29CE484222325
    for byte in name.encode():
        start = (start ^ byte) * 0x100000001B3 % 2**64
    count = numpy.arange(1, math.prod(shape) + 1, dtype=numpy.uint64)
    x = count * numpy.uint64(0x9E3779B97F4A7C15) + numpy.uint64(start)
    x = (x ^ (x >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    unit = ((x ^ (x >> numpy.uint64(31))) >> numpy.uint64(40)).astype(numpy.float64) * 2.0**-24
    return torch.from_numpy((low + (high - low) * unit).astype(numpy.float32)).reshape(shape)


def formula_entry(name, shape):
    """The value of a state-dict entry: of a size that keeps what the network computes near 1."""
    if name.endswith(".num_batches_tracked"):
        return torch.tensor(7)
    if name.endswith(".running_mean"):
        return formula(name, shape, -0.1, 0.1)
    if name.endswith(".running_var"):
        return formula(name, shape, 0.5, 1.5)
    if name.endswith(".bias"):
        return formula(name, shape, -0.1, 0.1)
    if len(shape) == 1:
        return formula(name, shape, 0.75, 1.25)
    bound = math.sqrt(3 / math.prod(shape[1:]))
    return formula(name, shape, -bound, bound)


def formula_images(shape, count=BATCH):
    return formula("images", (count, *shape), 0, 1)


def fill(model):
    model.load_state_dict({name: formula_entry(name, tensor.shape) for name, tensor in model.state_dict().items()})
    return model.double()


def rounded(values):
    return [float(f"{value:.12g}") for value in values]


def digest(name, tensor):
    """[norm, inner product with a formula direction, the first four values]."""
    direction = formula("direction " + name, tensor.shape, -1, 1)
    return rounded([tensor.norm().item(), (tensor * direction).sum().item(), *tensor.flatten()[:4].tolist()])


def case(net, input_shape, training=False, **normalisation):
    model = fill(NETS[net](**normalisation)).eval()
    images, labels = formula_images(input_shape).double(), torch.tensor(LABELS)
    taken = []
    last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    hook = last.register_forward_pre_hook(lambda module, inputs: taken.append(inputs[0].detach()))
    logits = model(images)
    hook.remove()
    loss = functional.cross_entropy(logits, labels)
    loss.backward()
    result = {
        "spec": {"net": net, "input": input_shape, "classes": logits.shape[1], "mean": [], "deviation": [],
                 **normalisation},
        "entries": list(model.state_dict()),
        "labels": LABELS,
        "logits": [rounded(row) for row in logits.tolist()],
        "features": digest("features", taken[0]),
        "loss": loss.item(),
        "gradients": {name: digest(name, parameter.grad) for name, parameter in model.named_parameters()},
    }
    if training:
        with torch.no_grad():
            logits = model.train()(images)
        running = {name: value for name, value in model.state_dict().items() if "running_" in name}
        result["training"] = {
            "logits": [rounded(row) for row in logits.tolist()],
            "running": {name: digest(name, value) for name, value in running.items()},
        }
    return result


def main():
    cases = [
        case("small_cnn", GREY),
        case("lenet", GREY),
        case("cnn6", COLOUR),
        case("tanh_cnn", COLOUR),
        case("small_tanh_cnn", GREY),
        case("convnet", COLOUR, training=True),
        case("resnet18", COLOUR, mean=[0.4914, 0.4822, 0.4465], deviation=[0.2023, 0.1994, 0.201]),
        case("preact_resnet18", COLOUR, training=True),
        case("preact_resnet8", COLOUR, training=True),
        case("preact_resnet8_gn", COLOUR),
        case("wide_resnet34_10", COLOUR),
        case("autoencoder", GREY),
    ]
    lines = ",\n".join(json.dumps(one, separators=(",", ":")) for one in cases)
    path = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/nets.json"
    path.write_text(f'{{"made_by":"tools/golden/nets.py with PyTorch {torch.__version__}","cases":[\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
