"""SegGPT: transformers' pipeline for one shot, the authors' feature ensemble for several."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from models.backbones.base import seeded
from models.catalog import load_model, parse_options
from models.check import check_segmenter
from models.errors import ModelError
from models.methods.seggpt import SegGPT
from models.methods.seggpt.segmenter import mended, tiny_network, whiteness
from models.segmenter import Features


@pytest.fixture(scope="module")
def seggpt() -> SegGPT:
    options: Any = parse_options("seggpt", SegGPT, {"random": "tiny"})
    return SegGPT.load(options, device="cpu", dtype="fp32")


def pictures() -> list[Image.Image]:
    generator = np.random.default_rng(0)
    sizes = ((40, 56), (60, 33), (32, 32), (50, 70))
    return [Image.fromarray(generator.integers(0, 256, (*s, 3), dtype=np.uint8)) for s in sizes]


def labels() -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    masks = [np.zeros((picture.height, picture.width), np.uint8) for picture in pictures()]
    for index, mask in enumerate(masks):
        mask[5 + index : 25, 8 : 20 + index] = 1
    return masks


def episode(model: SegGPT) -> tuple[list[Features], list[Features]]:
    """Four images, each as a query and as a support."""
    images = torch.stack([model.geometry.image(picture) for picture in pictures()]).float() / 255
    masks = torch.stack([model.geometry.mask(mask) for mask in labels()]).float()
    features = model.encode_image(images)
    return features, model.encode_support(images, masks, features)


def test_one_shot_is_transformers_pipeline(seggpt: SegGPT) -> None:
    from transformers import SegGptForImageSegmentation
    from transformers.models.seggpt.image_processing_pil_seggpt import SegGptImageProcessorPil

    stock = SegGptForImageSegmentation(seggpt.network.config).eval()
    stock.load_state_dict(seggpt.network.state_dict())
    # The mask is given on the grid: transformers and the suite round differently in resizing it.
    grid = seggpt.geometry.mask(labels()[1]).numpy()
    processor = SegGptImageProcessorPil(size={"height": 32, "width": 32})
    inputs = processor(
        images=pictures()[0],
        prompt_images=pictures()[1],
        prompt_masks=grid,
        num_labels=1,
        return_tensors="pt",
    )
    with torch.no_grad():
        output = stock(**inputs, embedding_type="semantic")
    (expected,) = processor.post_process_semantic_segmentation(
        output, num_labels=1, return_segmentation_scores=True
    )

    features, supports = episode(seggpt)
    scores = seggpt.segment(features[:1], [[supports[1]]])
    assert torch.equal(seggpt.binarize(scores)[0].long(), expected.segmentation)
    black, white = expected.segmentation_scores
    torch.testing.assert_close(scores[0], (white - black) / (3 * 255**2), atol=1e-5, rtol=1e-4)
    assert 0 < expected.segmentation.float().mean() < 1


def authors_forward(network: Any, query: Tensor, prompts: Tensor, paintings: Tensor) -> Tensor:
    """`SegGPT.forward` of Painter with the semantic type, its merging done stream by stream."""
    embeddings, encoder = network.model.embeddings, network.model.encoder
    count = len(prompts)
    images = embeddings.patch_embeddings(torch.cat([prompts, query.expand_as(prompts)], dim=2))
    masks = embeddings.patch_embeddings(torch.cat([paintings, paintings], dim=2))
    half = images.shape[1] // 2
    masks = torch.cat([masks[:, :half], embeddings.mask_token.expand_as(masks[:, half:])], dim=1)
    places = embeddings.interpolate_pos_encoding(*images.shape[1:3])
    shared = places + embeddings.type_token_semantic
    x = torch.cat(
        [
            images + embeddings.segment_token_input + shared,
            masks + embeddings.segment_token_prompt + shared,
        ]
    )
    states = []
    for index, layer in enumerate(encoder.layers):
        read = layer.attention(layer.layernorm_before(x))[0].clone()
        streams = [read[:count], read[count:]] if index <= network.config.merge_index else [read]
        for stream in streams:  # views of `read`
            stream[:, half:] = stream[:, half:].mean(0, keepdim=True)
        x = x + read
        x = x + layer.mlp(layer.layernorm_after(x))
        if index == network.config.merge_index:
            x = (x[:count] + x[count:]) * 0.5
        if index in network.config.intermediate_hidden_state_indices:
            states.append(encoder.layernorm(x))
    painting: Tensor = network.decoder(torch.cat(states, dim=-1))[0]
    return painting[:, painting.shape[1] // 2 :]


@pytest.mark.parametrize("shots", [[1], [1, 2], [1, 2, 3]])
def test_the_ensemble_is_that_of_the_authors(seggpt: SegGPT, shots: list[int]) -> None:
    features, supports = episode(seggpt)
    with torch.no_grad():
        painting = authors_forward(
            seggpt.network,
            features[0]["pixels"],
            torch.stack([supports[shot]["pixels"] for shot in shots]),
            torch.stack([supports[shot]["painting"] for shot in shots]),
        )
    scores = seggpt.segment(features[:1], [[supports[shot] for shot in shots]])[0]
    torch.testing.assert_close(scores, whiteness(painting), atol=1e-5, rtol=1e-4)


def test_copies_of_a_support_change_nothing(seggpt: SegGPT) -> None:
    features, supports = episode(seggpt)
    once = seggpt.segment(features[:1], [[supports[1]]])
    thrice = seggpt.segment(features[:1], [[supports[1]] * 3])
    several = seggpt.segment(features[:1], [[supports[1], supports[2], supports[3]]])
    torch.testing.assert_close(once, thrice, atol=1e-5, rtol=1e-4)
    assert (once - several).abs().max() > 1e-3


def test_queries_in_a_batch_do_not_mix(seggpt: SegGPT) -> None:
    features, supports = episode(seggpt)
    rows = [[supports[1], supports[2]], [supports[2]], [supports[1], supports[0], supports[3]]]
    together = seggpt.segment([features[0], features[3], features[2]], rows)
    for index, query in enumerate((0, 3, 2)):
        assert torch.equal(together[index], seggpt.segment([features[query]], [rows[index]])[0])


def test_paintings_are_white_on_black_after_imagenet(seggpt: SegGPT) -> None:
    painting = episode(seggpt)[1][1]["painting"]
    mask = seggpt.geometry.mask(labels()[1]).bool()
    white = torch.tensor([(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225])
    black = torch.tensor([-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225])
    expected = torch.where(mask, white[:, None, None], black[:, None, None])
    torch.testing.assert_close(painting, expected)


def test_whiteness_is_the_sign_of_the_nearer_colour() -> None:
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    colours = torch.tensor([[1, 1, 1], [0, 0, 0], [2, 0.2, 0.2], [0.6, 0.6, 0.3], [-3, 1, 1.0]])
    painting = ((colours - mean) / std).T[:, None]
    expected = torch.tensor([[1, -1, 2 * 1.4 / 3 - 1, 0, 1 / 3]])
    torch.testing.assert_close(whiteness(painting), expected, atol=1e-6, rtol=1e-6)


def test_the_mend_reaches_the_merging_layer_alone() -> None:
    network = mended(tiny_network().eval())
    conditions: list[int] = []
    for layer in network.model.encoder.layers:
        forward = layer.forward

        def spy(hidden: Tensor, condition: int, *rest: Any, forward: Any = forward) -> Any:
            conditions.append(condition)
            return forward(hidden, condition, *rest)

        layer.forward = spy
    pixels = torch.zeros(2, 3, 32, 32)
    network(pixels, pixels, pixels, feature_ensemble=True)
    # What transformers asks for; the merging layer, number 1, answers to 2 whatever is asked.
    assert conditions == [2, 1, 1, 1, 1]


def test_both_types_of_segmentation_and_ways_back_are_options(seggpt: SegGPT) -> None:
    options: Any = parse_options(
        "seggpt", SegGPT, {"random": "tiny", "embedding": "instance", "enlarge": "bilinear"}
    )
    other = SegGPT.load(options, device="cpu", dtype="fp32")
    features, supports = episode(seggpt)
    scores = [model.segment(features[:1], [supports[1:2]]) for model in (seggpt, other)]
    assert (scores[0] - scores[1]).abs().max() > 1e-3
    once, smooth = (model.geometry.scores(scores[0], (9, 9), (64, 64)) for model in (seggpt, other))
    assert torch.equal(once[0], scores[0][0].repeat_interleave(2, 0).repeat_interleave(2, 1))
    assert not torch.equal(once, smooth)
    assert seggpt.config["embedding"] == "semantic"


def test_the_contract_is_kept(seggpt: SegGPT) -> None:
    assert [finding for finding in check_segmenter(seggpt) if not finding.passed] == []


def test_an_original_checkpoint_gives_the_same_network(tmp_path: Path) -> None:
    network = seeded(deep_network).eval()
    torch.save({"model": originally_named(network)}, tmp_path / "seggpt_vit_large.pth")
    read = load_model("seggpt", {"weights": str(tmp_path / "seggpt_vit_large.pth")})
    assert read.config["weights"] == "seggpt_vit_large.pth"
    assert read.geometry.size == 32
    expected = network.state_dict()
    assert read.network.state_dict().keys() == expected.keys()
    assert all(torch.equal(t, expected[k]) for k, t in read.network.state_dict().items())
    pixels = torch.rand((2, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        paintings = [
            each(pixels, pixels, pixels, embedding_type="semantic").pred_masks
            for each in (read.network, network)
        ]
    assert torch.equal(*paintings)
    lacking = {k: t for k, t in originally_named(network).items() if "rel_pos_h" not in k}
    torch.save(lacking, tmp_path / "seggpt_vit_large.pth")
    with pytest.raises(ModelError, match=r"lacks what seggpt_vit_large\.pth have .*rel_pos_h"):
        load_model("seggpt", {"weights": str(tmp_path / "seggpt_vit_large.pth")})


def deep_network() -> Any:
    """SegGPT with as many layers as decoding and merging by the authors' numbers take."""
    import transformers

    config = transformers.SegGptConfig(
        hidden_size=16,
        num_hidden_layers=16,
        num_attention_heads=2,
        image_size=(64, 32),
        patch_size=8,
        pretrain_image_size=32,
        intermediate_hidden_state_indices=[3, 7, 11, 15],
        decoder_hidden_size=8,
        mlp_dim=24,
        initializer_range=0.2,
    )
    return transformers.SegGptForImageSegmentation(config)


def originally_named(network: Any) -> dict[str, Tensor]:
    """The tensors as Painter's `SegGPT` names them, spelled out from its modules."""
    own, state = network.state_dict(), {}
    for theirs, ours in (
        ("mask_token", "mask_token"),
        ("segment_token_x", "segment_token_input"),
        ("segment_token_y", "segment_token_prompt"),
        ("type_token_cls", "type_token_semantic"),
        ("type_token_ins", "type_token_instance"),
        ("pos_embed", "position_embeddings"),
    ):
        state[theirs] = own[f"model.embeddings.{ours}"]
    modules = {
        "patch_embed.proj": "model.embeddings.patch_embeddings.projection",
        "norm": "model.encoder.layernorm",
        "decoder_embed": "decoder.decoder_embed",
        "decoder_pred.0": "decoder.decoder_pred.conv",
        "decoder_pred.1": "decoder.decoder_pred.layernorm",
        "decoder_pred.3": "decoder.decoder_pred.head",
    }
    for index in range(16):
        block, layer = f"blocks.{index}", f"model.encoder.layers.{index}"
        for axis in "hw":
            state[f"{block}.attn.rel_pos_{axis}"] = own[f"{layer}.attention.rel_pos_{axis}"]
        modules |= {
            f"{block}.norm1": f"{layer}.layernorm_before",
            f"{block}.norm2": f"{layer}.layernorm_after",
            f"{block}.attn.qkv": f"{layer}.attention.qkv",
            f"{block}.attn.proj": f"{layer}.attention.proj",
            f"{block}.mlp.fc1": f"{layer}.mlp.lin1",
            f"{block}.mlp.fc2": f"{layer}.mlp.lin2",
        }
    for theirs, ours in modules.items():
        for both in ("weight", "bias"):
            state[f"{theirs}.{both}"] = own[f"{ours}.{both}"]
    return state
