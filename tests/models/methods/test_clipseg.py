"""CLIPSeg: transformers' own forward pass, and the authors' visual prompt, step by step."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from models.catalog import load_model, parse_options
from models.check import check_segmenter
from models.errors import ModelError
from models.methods.clipseg import CLIPSeg
from models.methods.clipseg.geometry import PFENetSquare
from models.methods.clipseg.prompt import blurred, visual_prompt


def load(**options: Any) -> CLIPSeg:
    parsed: Any = parse_options("clipseg", CLIPSeg, {"random": "tiny", **options})
    return CLIPSeg.load(parsed, device="cpu", dtype="fp32")


@pytest.fixture(scope="module")
def clipseg() -> CLIPSeg:
    return load()


def episode() -> tuple[Tensor, Tensor]:
    images = torch.rand((4, 3, 32, 32), generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(4, 32, 32)
    for index, mask in enumerate(masks):
        mask[4 + index : 15, 6 : 20 + 2 * index] = 1
    return images, masks


def imagenet(images: Tensor) -> Tensor:
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    return (images - mean[:, None, None]) / std[:, None, None]


def test_one_shot_is_transformers_forward(clipseg: CLIPSeg) -> None:
    images, masks = episode()
    prompts = [visual_prompt(*pair) for pair in zip(imagenet(images), masks, strict=True)]
    with torch.no_grad():
        expected = clipseg.network(
            pixel_values=imagenet(images[:2]), conditional_pixel_values=torch.stack(prompts[2:])
        ).logits
    supports = clipseg.encode_support(images[2:], masks[2:], [])
    scores = clipseg.segment(clipseg.encode_image(images[:2]), [[support] for support in supports])
    assert torch.equal(clipseg.binarize(scores), expected.sigmoid() > 0.24)
    torch.testing.assert_close(scores, expected.sigmoid() - 0.24, atol=1e-5, rtol=1e-4)
    assert 0 < clipseg.binarize(scores).float().mean() < 1


def test_embeddings_of_several_supports_are_averaged(clipseg: CLIPSeg) -> None:
    images, masks = episode()
    queries, supports = clipseg.encode_image(images), clipseg.encode_support(images, masks, [])
    mean = torch.stack([support["embedding"] for support in supports[1:]]).mean(0)
    with torch.no_grad():
        expected = clipseg.network(
            pixel_values=imagenet(images[:1]), conditional_embeddings=mean[None]
        ).logits
    scores = clipseg.segment(queries[:1], [supports[1:]])
    torch.testing.assert_close(scores, expected.sigmoid() - 0.24, atol=1e-5, rtol=1e-4)


def test_the_threshold_is_a_probability(clipseg: CLIPSeg) -> None:
    images, masks = episode()
    half = load(threshold=0.5)
    scores = half.segment(half.encode_image(images[:1]), [half.encode_support(images, masks, [])])
    usual = clipseg.segment(
        clipseg.encode_image(images[:1]), [clipseg.encode_support(images, masks, [])]
    )
    torch.testing.assert_close(usual - scores, torch.full_like(scores, 0.26))
    with pytest.raises(ModelError, match="threshold"):
        load(threshold=1.0)


# The visual prompt, after `img_preprocess` and its helpers in timojl/clipseg


def slow_blur(image: NDArray[np.float32]) -> NDArray[np.float64]:
    """A 15×15 Gaussian with σ 3, borders reflected about the edge pixels: pixel by pixel."""
    channels, height, width = image.shape
    offsets = range(-7, 8)
    weights = {(i, j): np.exp(-(i * i + j * j) / 18) for i in offsets for j in offsets}
    total = sum(weights.values())

    def inside(place: int, side: int) -> int:
        place = abs(place)
        return 2 * (side - 1) - place if place >= side else place

    result = np.zeros((channels, height, width))
    for y in range(height):
        for x in range(width):
            for (i, j), weight in weights.items():
                pixel = image[:, inside(y + i, height), inside(x + j, width)]
                result[:, y, x] += weight / total * pixel
    return result


def test_the_blur_is_a_gaussian_with_reflected_borders() -> None:
    image = torch.randn((2, 10, 9), generator=torch.Generator().manual_seed(0))
    expected = torch.from_numpy(slow_blur(image.numpy())).float()
    torch.testing.assert_close(blurred(image), expected, atol=1e-5, rtol=1e-4)


def authors_prompt(image: Tensor, mask: Tensor) -> Tensor:
    """`crop_blur_highlight`, with the authors' own bounding box arithmetic."""
    faded = image * mask + 0.1 * blurred(image) * (1 - mask)
    columns, rows = mask.max(0).values, mask.max(1).values
    x0, x1 = int(columns.argmax()), mask.shape[0] - int(columns.flip(0).argmax())
    y0, y1 = int(rows.argmax()), mask.shape[1] - int(rows.flip(0).argmax())
    height, width = y1 - y0, x1 - x0
    x0, x1 = int(max(0, x0 - 0.1 * width)), int(min(mask.shape[0], x1 + 0.1 * width))
    y0, y1 = int(max(0, y0 - 0.1 * height)), int(min(mask.shape[1], y1 + 0.1 * height))
    crop = faded[:, y0:y1, x0:x1]
    h, w = crop.shape[1:]
    square = torch.zeros(3, max(h, w), max(h, w))
    top, left = (max(h, w) - h) // 2, (max(h, w) - w) // 2
    square[:, top : top + h, left : left + w] = crop
    return F.interpolate(square[None], mask.shape)[0]


BOXES = [
    (4, 15, 6, 20),
    (0, 32, 0, 32),
    (10, 11, 3, 4),
    (0, 0, 0, 0),
    (1, 31, 20, 25),
    (0, 9, 9, 32),
]


@pytest.mark.parametrize("box", BOXES)
def test_the_prompt_is_that_of_the_authors(box: tuple[int, int, int, int]) -> None:
    top, bottom, left, right = box
    image = torch.randn((3, 32, 32), generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(32, 32)
    mask[top:bottom, left:right] = 1
    assert torch.equal(visual_prompt(image, mask), authors_prompt(image, mask))


def test_a_prompt_by_hand() -> None:
    image, mask = torch.ones(3, 32, 32), torch.zeros(32, 32)
    mask[10:20, 12:17] = 1  # 10 rows and 5 columns: one row and no whole column of context below
    prompt = visual_prompt(image, mask)
    # The crop is rows 9 to 20 and columns 11 to 16, 12×6, so three columns are filled on each side.
    assert torch.equal(prompt[:, :, :8], torch.zeros(3, 32, 8))
    assert torch.equal(prompt[:, :, 24:], torch.zeros(3, 32, 8))
    rows, columns = torch.arange(32) * 12 // 32 + 9, torch.arange(8, 24) * 12 // 32 - 3 + 11
    expected = torch.where(mask[rows][:, columns] > 0, 1.0, 0.1)
    torch.testing.assert_close(prompt[:, :, 8:24], expected.expand(3, -1, -1))


def test_the_contract_is_kept(clipseg: CLIPSeg) -> None:
    assert [finding for finding in check_segmenter(clipseg) if not finding.passed] == []


# The way in and out, after `test_Resize` of PFENet and `FixedIntervalMetrics` of clipseg


def test_images_are_reduced_to_multiples_of_eight_and_never_enlarged() -> None:
    square = PFENetSquare(352)
    assert square.content((375, 500)) == (264, 352)
    assert square.content((500, 331)) == (352, 232)
    assert square.content((333, 500)) == (232, 352)  # 234.4 before
    assert square.content((100, 300)) == (100, 300)
    picture = Image.fromarray(np.full((375, 500, 3), 200, np.uint8))
    image = square.image(picture)
    assert torch.allclose(image[:, :264], torch.tensor(200.0)) and not image[:, 264:].any()


def test_pixels_between_samples_are_skipped() -> None:
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[::4], pixels[3::4] = 240, 240  # each pixel of the grid is sampled between rows 1 and 2
    assert not PFENetSquare(16).image(Image.fromarray(pixels)).any()


def test_the_padded_square_is_stretched_with_aligned_corners() -> None:
    square, size = PFENetSquare(16), (20, 33)
    scores = torch.rand((1, 16, 16), generator=torch.Generator().manual_seed(0))
    expected = F.interpolate(scores[None], (33, 33), mode="bilinear", align_corners=True)[0]
    assert torch.equal(square.scores(scores, size, size), expected[:, :20])
    assert torch.equal(square.scores(scores, (5, 9), (5, 9)), scores[:, :5, :9])


def test_an_original_checkpoint_gives_the_same_network(tmp_path: Path) -> None:
    for kind, layers in (("rd64-uni", [3, 6, 9]), ("rd64-uni-phrasepas5i-2", [3, 7, 9])):
        network = wide_network(layers)
        torch.save(originally_named(network), tmp_path / f"{kind}.pth")
        read = load_model("clipseg", {"weights": str(tmp_path / f"{kind}.pth")})
        assert read.network.extract_layers == layers
        expected = network.state_dict()
        assert read.network.state_dict().keys() == expected.keys()
        assert all(torch.equal(t, expected[k]) for k, t in read.network.state_dict().items())
        assert read.card.weights == f"{kind}.pth"
        images, masks = episode()
        pixels, prompts = (
            imagenet(images),
            torch.stack(
                [visual_prompt(*pair) for pair in zip(imagenet(images), masks, strict=True)]
            ),
        )
        inputs = {"pixel_values": pixels, "conditional_pixel_values": prompts}
        with torch.no_grad():
            assert torch.equal(read.network(**inputs).logits, network(**inputs).logits)


def test_a_file_of_the_decoder_alone_takes_clip_from_elsewhere(tmp_path: Path) -> None:
    network = wide_network([3, 6, 9])
    state = originally_named(network)
    decoder = {name: tensor for name, tensor in state.items() if not name.startswith("clip_model")}
    path = tmp_path / "rd64-uni.pth"
    torch.save(decoder, path)
    with pytest.raises(ModelError, match=r"rd64-uni\.pth holds the decoder alone.*clip=openai/"):
        load_model("clipseg", {"weights": str(path)})
    clip = {name.removeprefix("clip."): t for name, t in network.clip.state_dict().items()}
    save_file({k: t.contiguous() for k, t in clip.items()}, tmp_path / "model.safetensors")
    read = load_model("clipseg", {"weights": str(path), "clip": str(tmp_path)})
    expected = network.state_dict()
    assert all(torch.equal(t, expected[k]) for k, t in read.network.state_dict().items())
    assert read.config["clip"] == f"{tmp_path.name}/model.safetensors"
    save_file({k: 2 * t for k, t in clip.items()}, tmp_path / "model.safetensors")
    other = load_model("clipseg", {"weights": str(path), "clip": str(tmp_path)})
    assert other.weights_digest != read.weights_digest and other.image_key != read.image_key
    torch.save(state, path)
    whole = load_model("clipseg", {"weights": str(path)})
    assert whole.config["clip"] is None
    with pytest.raises(
        ModelError, match=r"rd64-uni\.pth holds its own CLIP; leave the option clip"
    ):
        load_model("clipseg", {"weights": str(path), "clip": str(tmp_path)})
    with pytest.raises(ModelError, match="other weights bring their CLIP"):
        load_model("clipseg", {"random": "tiny", "clip": str(tmp_path)})


def wide_network(layers: list[int]) -> Any:
    """CLIPSeg with heads as wide as CLIP's, and layers enough to read."""
    import transformers

    part = {"hidden_size": 64, "intermediate_size": 256, "num_attention_heads": 1}
    config = transformers.CLIPSegConfig(
        text_config=part | {"vocab_size": 10, "num_hidden_layers": 1, "max_position_embeddings": 5},
        vision_config=part | {"num_hidden_layers": 10, "image_size": 32, "patch_size": 8},
        projection_dim=8,
        extract_layers=layers,
        reduce_dim=16,
        decoder_num_attention_heads=4,
        decoder_intermediate_size=32,
        conditional_layer=0,
        initializer_range=0.2,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return transformers.CLIPSegForImageSegmentation(config).eval()


def originally_named(network: Any) -> dict[str, Tensor]:
    """The tensors as `CLIPDensePredT` names them, spelled out from its modules."""
    own = network.state_dict()

    def joined(name: str, kind: str) -> Tensor:
        return torch.cat([own[f"{name}.{part}_proj.{kind}"] for part in "qkv"])

    state = {"clip_model.logit_scale": own["clip.logit_scale"]}
    state["clip_model.text_projection"] = own["clip.text_projection.weight"].T
    state["clip_model.visual.proj"] = own["clip.visual_projection.weight"].T
    vision, text = "clip.vision_model", "clip.text_model"
    state["clip_model.visual.class_embedding"] = own[f"{vision}.embeddings.class_embedding"]
    for kind, at, before in (("visual.", vision, "pre_layrnorm"), ("", text, "")):
        places = own[f"{at}.embeddings.position_embedding.weight"]
        state[f"clip_model.{kind}positional_embedding"] = places
        for both in ("weight", "bias"):
            last = "ln_post" if kind else "ln_final"
            name = "post_layernorm" if kind else "final_layer_norm"
            state[f"clip_model.{kind}{last}.{both}"] = own[f"{at}.{name}.{both}"]
            if before:
                state[f"clip_model.{kind}ln_pre.{both}"] = own[f"{at}.{before}.{both}"]
            for number in range(10 if kind else 1):
                old = f"clip_model.{kind}transformer.resblocks.{number}"
                new = f"{at}.encoder.layers.{number}"
                state[f"{old}.attn.in_proj_{both}"] = joined(f"{new}.self_attn", both)
                state[f"{old}.attn.out_proj.{both}"] = own[f"{new}.self_attn.out_proj.{both}"]
                for theirs, ours in (("c_fc", "fc1"), ("c_proj", "fc2")):
                    state[f"{old}.mlp.{theirs}.{both}"] = own[f"{new}.mlp.{ours}.{both}"]
                for norm in (1, 2):
                    state[f"{old}.ln_{norm}.{both}"] = own[f"{new}.layer_norm{norm}.{both}"]
    state["clip_model.visual.conv1.weight"] = own[f"{vision}.embeddings.patch_embedding.weight"]
    tokens = own[f"{text}.embeddings.token_embedding.weight"]
    state["clip_model.token_embedding.weight"] = tokens
    for both in ("weight", "bias"):
        for film in ("film_mul", "film_add"):
            state[f"{film}.{both}"] = own[f"decoder.{film}.{both}"]
        state[f"trans_conv.{both}"] = own[f"decoder.transposed_convolution.{both}"]
        state[f"reduce.{both}"] = torch.zeros(3)
        for number in range(3):
            old, new = f"blocks.{number}", f"decoder.layers.{number}"
            state[f"reduces.{number}.{both}"] = own[f"decoder.reduces.{number}.{both}"]
            state[f"{old}.self_attn.in_proj_{both}"] = joined(f"{new}.self_attn", both)
            state[f"{old}.self_attn.out_proj.{both}"] = own[f"{new}.self_attn.out_proj.{both}"]
            for part in (1, 2):
                state[f"{old}.linear{part}.{both}"] = own[f"{new}.mlp.fc{part}.{both}"]
                state[f"{old}.norm{part}.{both}"] = own[f"{new}.layer_norm{part}.{both}"]
    return state
