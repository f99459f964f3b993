"""Label Anything: what prompts tell, how classes are averaged, and which checkpoints are read."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from models.catalog import load_model, parse_options
from models.check import check_segmenter
from models.errors import ModelError
from models.methods.label_anything import LabelAnything
from models.methods.label_anything.attention import Attention, TwoWayTransformer
from models.methods.label_anything.network import LabelAnythingNetwork, Sizes
from models.methods.label_anything.segmenter import SquashThrough
from models.segmenter import Features


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def tiny(prompt_type: str = "mask") -> LabelAnything:
    return load_model("label-anything", {"random": "tiny", "prompt_type": prompt_type})


def box(top: int, left: int, bottom: int, right: int) -> Tensor:
    mask = torch.zeros(64, 64)
    mask[top:bottom, left:right] = 1
    return mask


def told(model: LabelAnything, *masks: Tensor) -> list[Features]:
    """What the model makes of one image with each of the masks."""
    images = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(1))
    features = model.encode_image(images) * len(masks)
    return model.encode_support(images.expand(len(masks), -1, -1, -1), torch.stack(masks), features)


@pytest.mark.parametrize("prompt_type", ["mask", "bbox", "point"])
def test_it_keeps_the_contract(prompt_type: str) -> None:
    assert [found for found in check_segmenter(tiny(prompt_type)) if not found.passed] == []


def test_attention_is_that_of_torch() -> None:
    torch.manual_seed(0)
    own, torchs = Attention(16, 16), torch.nn.MultiheadAttention(16, 8, batch_first=True)
    for name in ("weight", "bias"):
        parts = [getattr(own, f"{part}_proj").get_parameter(name) for part in "qkv"]
        torchs.get_parameter(f"in_proj_{name}").data = torch.cat(parts).data
    torchs.out_proj = own.out_proj
    tokens, keys, values = (
        gaussian(2, 3, 16),
        gaussian(2, 5, 16, seed=1),
        gaussian(2, 5, 16, seed=2),
    )
    torch.testing.assert_close(own(tokens, keys, values), torchs(tokens, keys, values)[0])


def test_tokens_may_come_in_any_order() -> None:
    torch.manual_seed(0)
    transformer = TwoWayTransformer(16).eval()
    maps, places, tokens = (
        gaussian(1, 16, 4, 6),
        gaussian(24, 16, seed=1),
        gaussian(1, 3, 16, seed=2),
    )
    read, image = transformer(maps, places, tokens)
    turned, same = transformer(maps, places, tokens[:, [2, 0, 1]])
    torch.testing.assert_close(turned, read[:, [2, 0, 1]])
    torch.testing.assert_close(same, image)


@pytest.mark.parametrize("size", [(97, 131), (480, 640), (256, 256), (1000, 333)])
def test_masks_come_back_from_the_grid_as_the_authors_reduce_them(size: tuple[int, int]) -> None:
    mask = np.random.default_rng(0).integers(0, 2, size, dtype=np.uint8)
    geometry = SquashThrough(480)
    found = geometry.coarsened(geometry.mask(mask)[None])[0]
    wanted = F.interpolate(torch.from_numpy(mask)[None, None].float(), (256, 256))[0, 0]
    assert torch.equal(found.float(), wanted)


@pytest.mark.parametrize(("prompt_type", "same"), [("mask", False), ("bbox", True)])
def test_a_box_is_all_that_a_mask_in_it_tells(prompt_type: str, same: bool) -> None:
    corners = box(8, 16, 9, 17) + box(39, 51, 40, 52)
    whole, few, wider = told(tiny(prompt_type), box(8, 16, 40, 52), corners, box(8, 16, 40, 56))
    assert torch.allclose(whole["embeddings"], few["embeddings"]) == same
    assert not torch.allclose(whole["embeddings"], wider["embeddings"], atol=1e-3)


def test_a_point_is_the_pixel_nearest_to_the_middle() -> None:
    ring = box(10, 10, 31, 31) - box(15, 15, 26, 26) + box(20, 22, 21, 23)  # its mean is (20, 20)
    one, same, other = told(tiny("point"), ring, box(20, 22, 21, 23), box(20, 21, 21, 22))
    torch.testing.assert_close(one["embeddings"], same["embeddings"])
    assert not torch.allclose(one["embeddings"], other["embeddings"], atol=1e-3)


def test_classes_are_averaged_over_their_prompts_and_the_background_over_all() -> None:
    model = tiny()
    first, second, empty = told(model, box(8, 8, 40, 40), box(30, 20, 60, 30), box(0, 0, 0, 0))
    assert first["prompted"] and not empty["prompted"]
    query = model.encode_image(gaussian(1, 3, 64, 64, seed=3).sigmoid())
    seen: list[Tensor] = []
    model.network.mask_decoder.register_forward_pre_hook(lambda _, args: seen.append(args[2][0]))
    logits = model.segment_classes(query, [[[first, empty], [second, second, second], [empty]]])
    background, one, two, none = seen[0]
    every = [first, empty, second, second, second, empty]
    torch.testing.assert_close(
        background, torch.stack([support["embeddings"][0] for support in every]).mean(0)
    )
    torch.testing.assert_close(one, first["embeddings"][1])
    torch.testing.assert_close(two, second["embeddings"][1])
    assert not none.any()
    assert logits.shape == (1, 4, 64, 64)


def test_one_class_is_its_logit_above_the_backgrounds() -> None:
    model = tiny()
    supports = told(model, box(8, 8, 40, 40), box(30, 20, 60, 30))
    query = model.encode_image(gaussian(1, 3, 64, 64, seed=3).sigmoid())
    background, own = model.segment_classes(query, [[supports]])[0]
    torch.testing.assert_close(model.segment(query, [supports])[0], own - background)
    alone = model.segment(query, [supports[:1]])[0]
    assert (own - background - alone).abs().max() > 1e-4


def test_the_published_checkpoints_have_these_tensors() -> None:
    import transformers

    with torch.device("meta"):
        encoder = transformers.ViTModel(transformers.ViTConfig())
        network = LabelAnythingNetwork(encoder, Sizes(768, 256, 32, 3))
    assert sum(parameter.numel() for parameter in network.parameters()) == 95_322_156
    # What huggingface_hub counted when the authors sent the first of them: 381 MB.
    assert sum(t.nbytes for t in network.state_dict().values()) // 10**6 == 381
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert shapes["neck.2.weight"] == (256, 256, 3, 3)
    assert shapes["prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"] == (2, 128)
    assert shapes["prompt_encoder.mask_downscaling.6.weight"] == (256, 16, 1, 1)
    assert shapes["prompt_encoder.sparse_embedding_attention.mlp.lin1.weight"] == (2048, 256)
    assert shapes["mask_decoder.transformer.layers.1.cross_attn_image_to_token.out_proj.bias"]
    assert shapes["mask_decoder.output_upscaling.3.weight"] == (64, 32, 2, 2)
    assert shapes["mask_decoder.class_mlp.layers.2.weight"] == (32, 256)
    assert shapes["mask_decoder.spatial_convs.6.weight"] == (32, 32, 3, 3)


def test_other_weights_are_refused(tmp_path: Path) -> None:
    def load(**tensors: Tensor) -> None:
        file = tmp_path / "model.safetensors"
        save_file({name.replace("__", "."): tensor for name, tensor in tensors.items()}, file)
        load_model("label-anything", {"weights": str(tmp_path)})

    with pytest.raises(ModelError, match="is no checkpoint of label-anything over ViT-MAE"):
        load(model__image_encoder__pos_embed=torch.zeros(1))
    with pytest.raises(ModelError, match=r"lacks 'neck\.0\.weight'"):
        load(model__image_encoder__embeddings__cls_token=torch.zeros(1, 1, 64))
    with pytest.raises(
        ModelError, match=r"label-anything has no weights.*label_anything_coco_fold0"
    ):
        load_model("label-anything")
    with pytest.raises(ModelError, match="500 is no multiple of 16"):
        parse_options("label-anything", LabelAnything, {"image_size": 500})
