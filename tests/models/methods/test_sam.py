"""SAM: its decoder against transformers', PerSAM's guidance spelled out, padding, checkpoints."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from models.catalog import MODELS, load_model
from models.errors import ModelError
from models.methods.persam.target import box, peak, similarity, target_rows
from models.methods.sam import SINGLE_MASK, THREE_MASKS, Guidance, Sam, load_sam
from models.methods.sam.checkpoint import bare_network, renamed
from models.methods.sam.frame import NEUTRAL, Frame
from models.methods.sam.network import PUBLISHED
from models.weights.published import MODELS as PUBLISHED_MODELS


@pytest.fixture(scope="module")
def sam() -> Sam:
    return load_sam("persam", weights=None, random="tiny", device="cpu", dtype="fp32")


def gaussian(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def picture(height: int, width: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


POINTS = torch.tensor([[[3.0, 60.0], [20.0, 10.0]], [[40.0, 41.0], [0.0, 0.0]]])
LABELS = torch.tensor([[1, 0], [1, 1]])
BOXES = torch.tensor([[2.0, 3.0, 30.0, 61.0], [10.0, 0.0, 63.0, 20.0]])


# Decoding


@pytest.mark.parametrize("with_boxes", [False, True])
@pytest.mark.parametrize("with_masks", [False, True])
def test_decoding_is_transformers_without_guidance(
    sam: Sam, with_boxes: bool, with_masks: bool
) -> None:
    embedding = gaussian(16, 4, 4)
    boxes = BOXES if with_boxes else None
    masks = gaussian(2, 16, 16, seed=1) if with_masks else None
    logits, scores = sam.decode(embedding, *sam.prompt(POINTS, LABELS, boxes, masks))
    for several, kept in ((False, slice(0, 1)), (True, slice(1, None))):
        for index in range(2):  # transformers takes one mask input per image, not per prompt
            one = slice(index, index + 1)
            expected = sam.pretrained.network(
                image_embeddings=embedding[None],
                input_points=POINTS[None, one],
                input_labels=LABELS[None, one],
                input_boxes=None if boxes is None else boxes[None, one],
                input_masks=None if masks is None else masks[one, None],
                multimask_output=several,
            )
            torch.testing.assert_close(logits[one, kept], expected.pred_masks[0])
            torch.testing.assert_close(scores[one, kept], expected.iou_scores[0])


def test_half_precision_leaves_positions_exact(sam: Sam) -> None:
    half = load_sam("persam", weights=None, random="tiny", device="cpu", dtype="bf16")
    corners = BOXES[:, [[0, 1], [2, 3]]]
    for points in (POINTS, corners):
        phases = (own.pretrained.network.prompt_encoder.shared_embedding for own in (half, sam))
        assert torch.equal(*(phase(points[None], (64, 64)) for phase in phases))
    places = (own.pretrained.network.get_image_wide_positional_embeddings() for own in (half, sam))
    assert torch.equal(*places)
    (expected, _), (logits, _) = (
        own.decode(gaussian(16, 4, 4), *own.prompt(POINTS, LABELS, BOXES, gaussian(2, 16, 16)))
        for own in (sam, half)
    )
    assert float((logits - expected).abs().max()) < 0.1 * float(expected.std())


@pytest.mark.parametrize("which", [SINGLE_MASK, THREE_MASKS])
def test_masks_that_are_not_asked_for_are_left_out(sam: Sam, which: slice) -> None:
    embedding, prompt = gaussian(16, 4, 4), sam.prompt(POINTS, LABELS)
    logits, scores = sam.decode(embedding, *prompt)
    networks = sam.pretrained.network.mask_decoder.output_hypernetworks_mlps
    asked: list[int] = []
    hooks = [
        network.register_forward_hook(lambda *_, i=i: asked.append(i))
        for i, network in enumerate(networks)
    ]
    some, own = sam.decode(embedding, *prompt, which=which)
    for hook in hooks:
        hook.remove()
    assert asked == list(range(4))[which]
    torch.testing.assert_close(some, logits[:, which])
    torch.testing.assert_close(own, scores[:, which])


def test_the_image_in_blocks_is_the_image(sam: Sam, monkeypatch: pytest.MonkeyPatch) -> None:
    embedding, prompt = gaussian(16, 4, 4), sam.prompt(POINTS, LABELS, masks=gaussian(2, 16, 16))
    guidance = Guidance(gaussian(16, seed=1).sigmoid(), gaussian(16, seed=2))
    logits, scores = sam.decode(embedding, *prompt, guidance)
    monkeypatch.setattr("models.methods.sam.decoder._ROWS", 5)  # the last block has one row
    blocks: list[int] = []
    norm = sam.pretrained.network.mask_decoder.transformer.layers[1].layer_norm4
    hook = norm.register_forward_hook(lambda _, __, rows: blocks.append(rows.shape[1]))
    again, own = sam.decode(embedding, *prompt, guidance)
    hook.remove()
    assert blocks == [5, 5, 5, 1]
    torch.testing.assert_close(again, logits)
    torch.testing.assert_close(own, scores)


def authors_attention(
    layer: Any, q: Tensor, k: Tensor, v: Tensor, sim: Tensor | None = None
) -> Tensor:
    """`Attention` of Personalize-SAM for one prompt, head by head: N×C."""
    q, k, v = layer.q_proj(q), layer.k_proj(k), layer.v_proj(v)
    width = q.shape[1] // layer.num_attention_heads
    outputs = []
    for start in range(0, q.shape[1], width):
        part = slice(start, start + width)
        weights = torch.softmax(q[:, part] @ k[:, part].T / width**0.5, dim=-1)
        if sim is not None:
            weights = torch.softmax(weights + sim, dim=-1)
        outputs.append(weights @ v[:, part])
    return layer.out_proj(torch.cat(outputs, 1))


def authors_transformer(
    transformer: Any, points: Tensor, image: Tensor, places: Tensor, guidance: Guidance
) -> tuple[Tensor, Tensor]:
    """`TwoWayTransformer` of Personalize-SAM for one prompt, in-place additions and all."""
    points = points.clone()
    queries, keys = points, image
    for layer in transformer.layers:
        queries += guidance.target
        if layer.skip_first_layer_pe:
            queries = authors_attention(layer.self_attn, queries, queries, queries)
        else:
            q = queries + points
            queries = queries + authors_attention(layer.self_attn, q, q, queries)
        queries = layer.layer_norm1(queries)
        read = authors_attention(
            layer.cross_attn_token_to_image,
            queries + points,
            keys + places,
            keys,
            guidance.similarity,
        )
        queries = layer.layer_norm2(queries + read)
        queries = layer.layer_norm3(queries + layer.mlp(queries))
        read = authors_attention(
            layer.cross_attn_image_to_token, keys + places, queries + points, queries
        )
        keys = layer.layer_norm4(keys + read)
    q = queries + points
    q += guidance.target
    read = authors_attention(transformer.final_attn_token_to_image, q, keys + places, keys)
    return transformer.layer_norm_final_attn(queries + read), keys


def test_guidance_is_that_of_the_authors(sam: Sam) -> None:
    embedding = gaussian(16, 4, 4)
    guidance = Guidance(gaussian(16, seed=1).sigmoid(), gaussian(16, seed=2))
    sparse, dense = sam.prompt(POINTS[:1], LABELS[:1])
    logits, scores = sam.decode(embedding, sparse, dense, guidance)

    decoder = sam.pretrained.network.mask_decoder
    tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight, sparse[0]])
    places = sam.pretrained.network.get_image_wide_positional_embeddings()[0].flatten(1).T
    image = (embedding + dense[0]).flatten(1).T
    with torch.no_grad():
        tokens, image = authors_transformer(decoder.transformer, tokens, image, places, guidance)
        fine = decoder.upscale_conv1(image.T.reshape(1, 16, 4, 4))
        fine = decoder.activation(decoder.upscale_layer_norm(fine))
        fine = decoder.activation(decoder.upscale_conv2(fine))[0]
        for index, mlp in enumerate(decoder.output_hypernetworks_mlps):
            expected = torch.einsum("c,chw->hw", mlp(tokens[1 + index]), fine)
            torch.testing.assert_close(logits[0, index], expected)
        torch.testing.assert_close(scores[0], decoder.iou_prediction_head(tokens[0]))
    plain, _ = sam.decode(embedding, sparse, dense)
    assert (plain - logits).abs().max() > 1e-2


# Images in, masks out


def test_embeddings_are_those_of_transformers_own_preprocessing(sam: Sam) -> None:
    from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

    image = picture(40, 56)
    square = {"height": 64, "width": 64}
    processor = SamImageProcessorPil(size={"longest_edge": 64}, pad_size=square)
    pixels = processor(image, return_tensors="pt")["pixel_values"]
    expected = sam.pretrained.network.get_image_embeddings(pixels)[0]
    values = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255
    framed = Frame((40, 56), 64).image(values, pixels)
    torch.testing.assert_close(sam.embed(framed[None])[0], expected, atol=1e-4, rtol=1e-4)


def test_masks_reach_the_image_as_in_transformers(sam: Sam) -> None:
    from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

    size, logits = (40, 57), gaussian(3, 16, 16)
    height, width = Frame(size, 64).content
    expected = SamImageProcessorPil().post_process_masks(
        logits[None, :, None],
        [size],
        [(height, width)],
        pad_size={"height": 64, "width": 64},
        binarize=False,
    )
    torch.testing.assert_close(Frame(size, 64).restored(logits), expected[0][:, 0])


# The target


def test_a_position_is_on_the_target_if_its_four_central_pixels_are() -> None:
    embedding = torch.arange(16.0).reshape(1, 4, 4)  # positions of 8×8 pixels, centres at 3 and 4
    mask = torch.zeros(32, 32)
    mask[3:5, 3:5] = 1
    mask[11:13, 11:12] = 1
    mask[16:24, 24:32] = 1
    frame = Frame((32, 32), 32)
    assert target_rows(embedding, mask, frame).flatten().tolist() == [0, 11]
    mask[3, 3], mask[20, 28] = 0, 0
    # None is covered now: the position with the largest share is taken.
    assert target_rows(embedding, mask, frame).flatten().tolist() == [11]
    assert len(target_rows(embedding, torch.zeros(32, 32), frame)) == 0


def test_the_padding_of_a_mask_is_neutral() -> None:
    mask = torch.ones(16, 20)
    drawn = Frame((16, 20), 32).mask(mask)
    assert drawn.shape == (32, 32)
    assert (drawn[:26] == 128).all()
    assert (drawn[26:] == NEUTRAL).all()
    # A position of 8×8 pixels whose centre is in the padding's cell is inside, as all of it is.
    rows = target_rows(torch.arange(16.0).reshape(1, 4, 4), mask, Frame((16, 20), 32))
    assert len(rows) == 12


def test_masks_are_soft_at_their_border() -> None:
    mask = torch.zeros(64, 64)
    mask[:, :31] = 1
    drawn = Frame((64, 64), 32).mask(mask)
    assert 0 < drawn[5, 15] < 128


def test_similarity_is_the_cosine() -> None:
    embedding, target = gaussian(5, 2, 2), gaussian(5, seed=1)
    fine = similarity(embedding, target)
    cosines = torch.stack(
        [F.cosine_similarity(embedding[:, i, j], target, dim=0) for i in (0, 1) for j in (0, 1)]
    )
    assert fine.shape == (8, 8)
    torch.testing.assert_close(fine[[0, 0, -1, -1], [0, -1, 0, -1]], cosines)


def test_points_and_boxes_are_x_before_y() -> None:
    mask = torch.zeros(6, 9, dtype=torch.bool)
    mask[2, 7] = mask[4, 3] = True
    assert peak(mask.float()).tolist() == [7, 2]
    found = box(mask)
    assert found is not None
    assert found.tolist() == [3, 2, 7, 4]
    assert box(torch.zeros_like(mask)) is None


# Checkpoints of the original repository


def original_names(depth: int) -> set[str]:
    """The parameters of segment-anything's Sam, spelled out from its modules."""
    both = ("weight", "bias")
    names = {"prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"}
    encoder = {"pos_embed", "neck.0.weight", "neck.2.weight"}
    encoder |= {
        f"{part}.{kind}" for part in ("patch_embed.proj", "neck.1", "neck.3") for kind in both
    }
    for layer in range(depth):
        parts = ("norm1", "norm2", "attn.qkv", "attn.proj", "mlp.lin1", "mlp.lin2")
        encoder |= {f"blocks.{layer}.{part}.{kind}" for part in parts for kind in both}
        encoder |= {f"blocks.{layer}.attn.rel_pos_{axis}" for axis in "hw"}
    names |= {f"image_encoder.{name}" for name in encoder}
    names |= {f"prompt_encoder.point_embeddings.{number}.weight" for number in range(4)}
    names |= {f"prompt_encoder.{part}_embed.weight" for part in ("not_a_point", "no_mask")}
    names |= {
        f"prompt_encoder.mask_downscaling.{number}.{kind}"
        for number in (0, 1, 3, 4, 6)
        for kind in both
    }
    attention = [f"{part}_proj" for part in ("q", "k", "v", "out")]
    transformer = {f"final_attn_token_to_image.{part}" for part in attention} | {"norm_final_attn"}
    for layer in range(2):
        blocks = ("self_attn", "cross_attn_token_to_image", "cross_attn_image_to_token")
        parts = {f"{block}.{part}" for block in blocks for part in attention}
        parts |= {"norm1", "norm2", "norm3", "norm4", "mlp.lin1", "mlp.lin2"}
        transformer |= {f"layers.{layer}.{part}" for part in parts}
    decoder = {f"transformer.{part}" for part in transformer}
    decoder |= {f"output_upscaling.{number}" for number in (0, 1, 3)}
    heads = [f"output_hypernetworks_mlps.{number}" for number in range(4)] + ["iou_prediction_head"]
    decoder |= {f"{head}.layers.{number}" for head in heads for number in range(3)}
    names |= {f"mask_decoder.{part}.{kind}" for part in decoder for kind in both}
    return names | {"mask_decoder.iou_token.weight", "mask_decoder.mask_tokens.weight"}


def test_every_original_parameter_finds_its_place_in_vit_b() -> None:
    import transformers

    with torch.device("meta"):
        whole = transformers.SamModel(transformers.SamConfig())
        tensors = original_of(whole, 12)
        network = bare_network(tensors)
    assert network is not None
    assert set(tensors) == original_names(12)
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    assert {name: tensor.shape for name, tensor in renamed(tensors).items()} == shapes
    assert sum(weight.numel() for weight in network.parameters()) == 93_735_728
    assert network.config.vision_config.global_attn_indexes == [2, 5, 8, 11]
    assert network.config.vision_config.window_size == 14


def original_of(network: torch.nn.Module, depth: int) -> dict[str, Tensor]:
    """The network's tensors under the original names."""
    state = network.state_dict()
    names = original_names(depth)
    with torch.device("cpu"):
        numbers = {name: torch.tensor(index) for index, name in enumerate(sorted(names))}
    places = renamed(numbers)
    back = {int(index): place for place, index in places.items() if "shared_image" not in place}
    return {name: state[back[index]].clone() for index, name in enumerate(sorted(names))}


def test_an_original_checkpoint_gives_the_same_network(
    sam: Sam, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.methods.sam.checkpoint.DECODER_HEADS", 2)
    path = tmp_path / "sam_vit_tiny.pth"
    torch.save(original_of(sam.pretrained.network, 2), path)
    loaded = load_sam("persam", weights=str(path), random=None, device="cpu", dtype="fp32")
    images = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    assert torch.equal(*(own.encode_framed(images)[0]["embedding"] for own in (loaded, sam)))
    prompts = sam.prompt(POINTS, LABELS), loaded.prompt(POINTS, LABELS)
    assert all(map(torch.equal, *prompts))
    assert loaded.pretrained.source == path.name
    assert not loaded.pretrained.random


@pytest.mark.parametrize("name", ["conv1.weight", "image_encoder.pos_embed"])
def test_another_checkpoint_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "other.pth"
    torch.save({name: torch.zeros(1, 64, 64, 160)}, path)
    with pytest.raises(ModelError, match=r"other\.pth is no checkpoint of SAM.*weights="):
        load_sam("persam", weights=str(path), random=None, device="cpu", dtype="fp32")


def test_whoever_embeds_with_sam_does_so_one_image_at_a_time() -> None:
    over_sam = [name for name, known in PUBLISHED_MODELS.items() if PUBLISHED in known.sources]
    assert len(over_sam) == 5
    assert {MODELS[name].encode_batch for name in over_sam} == {1}


def test_what_to_give_names_the_authors_files_too() -> None:
    for model, file in (("persam", "mobile_sam.pt"), ("seggpt", "seggpt_vit_large.pth")):
        with pytest.raises(ModelError, match=f"{model} has no weights: give .*{file}.*random=tiny"):
            load_model(model)
