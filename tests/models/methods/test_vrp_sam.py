"""VRP-SAM: its encoder against the authors' forward pass written out, its decoder against SAM's."""

import copy
import itertools
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.backbones.resnet import Bottleneck
from models.catalog import load_model
from models.check import check_segmenter
from models.errors import ModelError
from models.methods.sam import Sam
from models.methods.vrp_sam import VRPSAM
from models.methods.vrp_sam.attention import sine_positions
from models.methods.vrp_sam.backbone import advance, bare_layers, resnet_layers, vgg_layers
from models.methods.vrp_sam.encoder import ReferenceEncoder, prior
from models.weights.pretrained import Pretrained


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def some_mask(kind: str, side: int = 32) -> Tensor:
    mask = torch.zeros(side, side)
    if kind == "box":
        mask[4:20, 9:25] = 1
    elif kind == "pixel":
        mask[0, 0] = 1
    elif kind == "full":
        mask[:] = 1
    return mask


# A direct transcription of `VRP_encoder.forward`, dense and without any reuse


def slow_attention(attention: nn.Module, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Multi-head attention of N×C with M×C, head by head."""
    weight, bias = (
        attention.get_parameter("in_proj_weight"),
        attention.get_parameter("in_proj_bias"),
    )
    width = query.shape[1]
    q, k, v = (
        x @ weight[i * width : (i + 1) * width].T + bias[i * width : (i + 1) * width]
        for i, x in enumerate((query, key, value))
    )
    heads = []
    for part in torch.arange(width).chunk(4):
        scores = q[:, part] @ k[:, part].T / math.sqrt(len(part))
        heads.append(scores.softmax(1) @ v[:, part])
    return attention.get_submodule("out_proj")(torch.cat(heads, 1))


def slow_positions(channels: int, height: int, width: int) -> Tensor:
    """DETR's formula, one number after the other."""
    out = torch.zeros(height * width, channels)
    half = channels // 2
    for row, column, i in itertools.product(range(height), range(width), range(half)):
        period = 10_000 ** (2 * (i // 2) / half)
        turn = math.sin if i % 2 == 0 else math.cos
        position = row * width + column
        out[position, i] = turn((row + 1) / (height + 1e-6) * 2 * math.pi / period)
        out[position, half + i] = turn((column + 1) / (width + 1e-6) * 2 * math.pi / period)
    return out


def slow_decoder(encoder: ReferenceEncoder, query: Tensor, support: Tensor) -> Tensor:
    """`transformer_decoder.forward` on C×h×w maps."""
    decoder = encoder.transformer_decoder
    places = slow_positions(*query.shape)

    def step(tokens: Tensor, layer: nn.Module, name: str, rows: Tensor | None) -> Tensor:
        keys = tokens if rows is None else rows + places
        values = tokens if rows is None else rows
        return layer.norm(tokens + slow_attention(layer.get_submodule(name), tokens, keys, values))

    tokens = decoder.supp_q_feat.weight
    rows = support.flatten(1).T
    tokens = step(tokens, decoder.transformer_cross_attention_layers_0[0], "multihead_attn", rows)
    tokens = step(tokens, decoder.transformer_self_attention_layers_0[0], "self_attn", None)
    rows = query.flatten(1).T
    tokens = step(tokens, decoder.transformer_cross_attention_layers[0], "multihead_attn", rows)
    return step(tokens, decoder.transformer_self_attention_layers[0], "self_attn", None)


def slow_prompts(encoder: ReferenceEncoder, query: Tensor, support: Tensor, mask: Tensor) -> Tensor:
    """`VRP_encoder.forward` of one query and one support, 3×H×W and normalised."""
    maps = []
    for image in (query, support):
        second = advance(encoder.layers[:3], image[None])
        third = advance([encoder.layers[3]], second)
        size = third.shape[2:]
        second = F.interpolate(second, size, mode="bilinear", align_corners=True)
        maps.append((second, third))
    size = maps[0][1].shape[2:]
    small = F.interpolate(mask[None, None], size, mode="nearest")
    query4 = advance([encoder.layers[4]], maps[0][1])[0]
    support4 = (advance([encoder.layers[4]], maps[1][1] * small) * small)[0]
    pseudo = torch.zeros(size)
    for i, j in itertools.product(range(size[0]), range(size[1])):
        a = query4[:, i, j]
        pseudo[i, j] = max(
            float(a @ b / (a.norm() * b.norm() + 1e-7)) for b in support4.flatten(1).T
        )
    features = [encoder.downsample_query(torch.cat(pair, 1)) for pair in maps]
    prototype = (features[1] * small).mean((2, 3)) * small.numel()
    prototype = prototype / (small.mean() * small.numel() + 0.0005)
    everywhere = prototype[:, :, None, None].repeat(1, 1, *size)
    query1 = encoder.merge_1(torch.cat([features[0], everywhere, pseudo[None, None] * 10], 1))
    support1 = encoder.merge_1(torch.cat([features[1], everywhere, small * 10], 1))
    return slow_decoder(encoder, query1[0], support1[0])


def tiny_encoder(layers: list[nn.Sequential] | None = None) -> ReferenceEncoder:
    torch.manual_seed(2)
    return ReferenceEncoder(layers or resnet_layers((1, 2, 2, 2), 2), 7, 16).eval()


@pytest.mark.parametrize("kind", ["box", "pixel", "empty", "full"])
def test_prompts_equal_the_transcription(kind: str) -> None:
    encoder = tiny_encoder()
    query, support = gaussian(3, 32, 32, seed=1), gaussian(3, 32, 32, seed=2)
    with torch.no_grad():
        middle, third = encoder.features(query[None])
        reference = encoder.reference(support, some_mask(kind))
        found = encoder.prompts(middle[0], encoder.deep(third)[0], reference)
        wanted = slow_prompts(encoder, query, support, some_mask(kind))
    assert found.shape == (7, 16)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)


def test_prompts_of_vgg_equal_the_transcription() -> None:
    encoder = tiny_encoder(vgg_layers())
    query, support = gaussian(3, 64, 64, seed=1), gaussian(3, 64, 64, seed=2)
    with torch.no_grad():
        middle, third = encoder.features(query[None])
        assert tuple(third.shape) == (1, 512, 4, 4)
        reference = encoder.reference(support, some_mask("box", 64))
        found = encoder.prompts(middle[0], encoder.deep(third)[0], reference)
        wanted = slow_prompts(encoder, query, support, some_mask("box", 64))
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)


def test_prompts_know_reference_mask_and_query() -> None:
    encoder = tiny_encoder()
    query, support = gaussian(2, 3, 32, 32, seed=1), gaussian(2, 3, 32, 32, seed=2)
    made = []
    with torch.no_grad():
        for q, s, kind in ((0, 0, "box"), (1, 0, "box"), (0, 1, "box"), (0, 0, "full")):
            middle, third = encoder.features(query[q][None])
            reference = encoder.reference(support[s], some_mask(kind))
            made.append(encoder.prompts(middle[0], encoder.deep(third)[0], reference))
    for a, b in itertools.combinations(made, 2):
        assert (a - b).abs().max() > 1e-3


def test_positions_equal_the_formula() -> None:
    torch.testing.assert_close(sine_positions(12, 3, 4), slow_positions(12, 3, 4))


def test_prior_without_reference_is_zero() -> None:
    assert torch.equal(prior(gaussian(4, 3, 2), torch.zeros(4, 1)), torch.zeros(3, 2))


# The decoder


def test_segmenting_is_sams_own_decoder_on_all_prompts() -> None:
    model = load_model("vrp-sam", {"random": "tiny"})
    images = torch.rand((3, 3, 32, 32), generator=torch.Generator().manual_seed(1))
    masks = torch.stack([some_mask("box"), some_mask("pixel")])
    query = model.encode_image(images[:1])
    supports = model.encode_support(images[1:], masks, [])
    found = model.segment(query, [supports])[0]

    network = model.sam.pretrained.network
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    pixels = (images - mean) / std
    with torch.no_grad():
        prompts = [
            slow_prompts(model.encoder, pixels[0], pixels[shot], mask)
            for shot, mask in zip((1, 2), masks, strict=True)
        ]
        large = F.interpolate(pixels[:1], (64, 64), mode="bilinear", align_corners=True)
        dense = network.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
        low, _ = network.mask_decoder(
            image_embeddings=network.get_image_embeddings(large),
            image_positional_embeddings=network.get_image_wide_positional_embeddings(),
            sparse_prompt_embeddings=torch.cat(prompts)[None, None],
            dense_prompt_embeddings=dense.expand(-1, -1, 4, 4),
            multimask_output=False,
        )
        wanted = F.interpolate(low[0], (32, 32), mode="bilinear", align_corners=True)[0, 0]
        # At the original size (`predict_mask_nshot` with use_original_imgsize), from there.
        original = F.interpolate(wanted[None, None], (45, 29), mode="bilinear", align_corners=True)
    assert torch.cat(prompts).shape == (100, 16)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-5)
    stretched = model.geometry.scores(found[None], (45, 29), (45, 29))
    torch.testing.assert_close(stretched, original[0], rtol=1e-3, atol=1e-5)


# Backbones and checkpoints


def test_resnet_is_dilated_as_pspnet() -> None:
    with torch.device("meta"):
        layers = resnet_layers((3, 4, 6, 3))
    geometry = {
        (stage, index): (block.conv2.stride[0], block.conv2.dilation[0])
        for stage, layer in enumerate(layers)
        for index, block in enumerate(layer)
        if isinstance(block, Bottleneck)
    }
    assert [geometry[2, 0], geometry[2, 1]] == [(2, 1), (1, 1)]
    assert [geometry[3, 0], geometry[3, 1], geometry[3, 5]] == [(1, 1), (1, 2), (1, 2)]
    assert [geometry[4, 0], geometry[4, 1], geometry[4, 2]] == [(1, 2), (1, 4), (1, 4)]
    with torch.device("meta"):
        encoder = ReferenceEncoder(layers, 50, 256)
        features, third = encoder.features(torch.empty(1, 3, 512, 512))
        assert tuple(features.shape) == (1, 256, 64, 64)
        assert tuple(third.shape) == (1, 1024, 64, 64)
        assert tuple(encoder.deep(third).shape) == (1, 2048, 64, 64)


@pytest.mark.parametrize(
    ("make", "some"),
    [
        (lambda: resnet_layers((3, 4, 6, 3)), {"layer0.6.weight", "layer3.5.bn3.running_var"}),
        (lambda: resnet_layers((3, 4, 23, 3)), {"layer0.7.bias", "layer3.22.conv1.weight"}),
        (vgg_layers, {"layer0.3.bias", "layer3.7.running_mean", "layer4.6.weight"}),
    ],
)
def test_backbones_are_known_by_their_names(make, some) -> None:  # type: ignore[no-untyped-def]
    with torch.device("meta"):
        names = ReferenceEncoder(make(), 50, 256).state_dict()
        found = bare_layers(names)
        assert found is not None
        again = ReferenceEncoder(found, 50, 256).state_dict()
    assert some <= names.keys()
    learned = {name for name in names if not name.startswith("layer")}
    assert learned == {"downsample_query.0.weight", "merge_1.0.weight"} | {
        f"transformer_decoder.{name}" for name in decoder_names()
    }
    assert {k: v.shape for k, v in names.items()} == {k: v.shape for k, v in again.items()}


def decoder_names() -> set[str]:
    ends = {"in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias"}
    kinds = {"self": "self_attn", "cross": "multihead_attn"}
    return {"supp_q_feat.weight"} | {
        f"transformer_{kind}_attention_layers{suffix}.0.{name}"
        for kind, attention in kinds.items()
        for suffix in ("", "_0")
        for name in {f"{attention}.{end}" for end in ends} | {"norm.weight", "norm.bias"}
    }


def test_checkpoint_of_data_parallel_is_read_whole(tmp_path: Path) -> None:
    encoder = tiny_encoder()
    path = tmp_path / "best_model.pt"
    torch.save({f"module.{k}": v for k, v in encoder.state_dict().items()}, path)
    tiny = load_model("vrp-sam", {"random": "tiny"}).sam.pretrained.network
    tiny.save_pretrained(tmp_path / "sam")
    model = load_model("vrp-sam", {"weights": str(path), "sam": str(tmp_path / "sam")})
    state = model.encoder.state_dict()
    assert state.keys() == encoder.state_dict().keys()
    assert all(torch.equal(state[name], t) for name, t in encoder.state_dict().items())
    assert model.comparable
    assert model.config["backbone"] == "resnet of 1+2+2+2 bottlenecks"
    assert model.card.weights == "best_model.pt; sam/model.safetensors"


def test_padded_maps_are_named_by_the_side_too() -> None:
    tiny = load_model("vrp-sam", {"random": "tiny", "sam_input": "padded"})
    smaller = copy.deepcopy(tiny.sam.pretrained.network)
    smaller.config.vision_config.image_size //= 2
    encoder = Pretrained(tiny.encoder, "random", "")
    one, two = (
        VRPSAM(encoder, Sam(Pretrained(network, "random", ""), "fp32"), padded=True)
        for network in (tiny.sam.pretrained.network, smaller)
    )
    assert one.geometry == two.geometry and one.side != two.side
    assert one.image_parts[0].key != two.image_parts[0].key


def test_messages_name_what_is_wrong(tmp_path: Path) -> None:
    for options in ({}, {"weights": "x"}, {"sam": "x"}, {"random": "tiny", "sam": "x"}):
        with pytest.raises(ModelError, match=r"vrp-sam .*weights.*sam=PATH"):
            load_model("vrp-sam", options)
    tiny = load_model("vrp-sam", {"random": "tiny"}).sam.pretrained.network
    tiny.save_pretrained(tmp_path / "sam")
    path = tmp_path / "best_model.pt"
    torch.save({"weight": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match=r"best_model.pt is no checkpoint of vrp-sam"):
        load_model("vrp-sam", {"weights": str(path), "sam": str(tmp_path / "sam")})
    torch.save(ReferenceEncoder(resnet_layers((1, 1, 1, 1), 2), 7, 32).state_dict(), path)
    with pytest.raises(ModelError, match="prompts of width 32, but this SAM reads width 16"):
        load_model("vrp-sam", {"weights": str(path), "sam": str(tmp_path / "sam")})


def test_it_keeps_the_contract() -> None:
    model = load_model("vrp-sam", {"random": "tiny"})
    assert [finding for finding in check_segmenter(model) if not finding.passed] == []
    assert not model.comparable
