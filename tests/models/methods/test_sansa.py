"""SANSA: what its files say and hold, and how its memory differs from SAM 2's own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.catalog import load_model
from models.check import check_segmenter
from models.errors import ModelError
from models.methods.sam2_memory import tiny_network
from models.methods.sansa import SANSA
from models.methods.sansa.adapter import Adapter, blank, insert, read_adapters
from models.weights.source import Weights
from models.weights.trained_on import fold_of, sees, told_by

PREFIX = "sam.image_encoder.trunk.blocks"


@pytest.fixture(scope="module")
def sansa() -> Any:
    return load_model("sansa", {"random": "tiny", "img_size": 48})


def scores_of(sansa: SANSA, shots: list[int]) -> Tensor:
    """Of image 0 after supports among images 1 to 3, of which the last has an empty mask."""
    images = torch.rand((4, 3, 48, 48), generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(4, 48, 48)
    masks[1, 5:40, 10:30] = 1
    masks[2, 30:46, 3:45] = 1
    features = sansa.encode_image(images)
    supports = sansa.encode_support(images, masks, features)
    scores: Tensor = sansa.segment(features[:1], [[supports[shot] for shot in shots]])[0]
    return scores


def file_of(adapters: nn.ModuleDict, **more: Tensor) -> Weights:
    tensors = {
        f"{PREFIX}.{block}.adapter.{name}": tensor
        for block, adapter in adapters.items()
        for name, tensor in adapter.state_dict().items()
    }
    return Weights(tensors | more, "adapter_coco_fold1.pth", "0" * 64)


def test_an_adapter_by_hand() -> None:
    adapter = Adapter(2, 1)
    with torch.no_grad():
        for name, values in {
            "down_proj.weight": [[3.0, 1.0]],
            "down_proj.bias": [0.5],
            "up_proj.weight": [[10.0], [-20.0]],
            "up_proj.bias": [1.0, 0.0],
        }.items():
            adapter.get_parameter(name).copy_(torch.tensor(values))
        # Normalised to (1, -1): 3 - 1 + 0.5 = 2.5; to (-1, 1): below 0.
        found = adapter(torch.tensor([[5.0, 1.0], [1.0, 5.0]]))
    expected = torch.tensor([[2.6, -5.0], [0.1, 0.0]])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_adapters_come_after_attention_beside_the_perceptron() -> None:
    torch.manual_seed(0)
    network: Any = tiny_network()
    block = network.vision_encoder.backbone.blocks[3]
    tokens = torch.rand(1, 4, 4, 32)
    with torch.no_grad():
        middle: list[Tensor] = []
        hook = block.layer_norm2.register_forward_hook(
            lambda _, given, out: middle.append(given[0])
        )
        before = block(tokens)
        hook.remove()
        adapters = blank(network, {3: 4})
        insert(network, adapters)
        after = block(tokens)
        expected = before + adapters["3"](middle[0])
    torch.testing.assert_close(after, expected)
    assert not torch.equal(after, before)


def test_stages_and_sizes_are_read_from_the_file() -> None:
    network: Any = tiny_network()
    written = blank(network, {1: 3, 4: 7})
    read = read_adapters(network, file_of(written, **{"sam.total_ops": torch.zeros(1)}), "")
    assert {n: a.get_parameter("down_proj.weight").shape[0] for n, a in read.items()} == {
        "1": 3,
        "4": 7,
    }
    for name, tensor in written.state_dict().items():
        assert torch.equal(read.state_dict()[name], tensor)


def test_files_that_do_not_fit_are_refused() -> None:
    network: Any = tiny_network()
    whole = file_of(blank(network, {2: 3})).tensors
    for tensors, message in (
        ({"conv1.weight": torch.zeros(1)}, r"f\.pth holds no adapters of SANSA; take another"),
        (of_block(whole, 4), r"f\.pth does not fit sansa: .* of another shape"),
        (of_block(whole, 9), r"adapter for block 9, but this SAM 2 has 5 blocks"),
        ({n: t for n, t in whole.items() if "norm" not in n}, r"does not fit sansa: 2 missing"),
    ):
        with pytest.raises(ModelError, match=message):
            read_adapters(network, Weights(tensors, "f.pth", ""), "take another")


def of_block(tensors: Mapping[str, Tensor], block: int) -> dict[str, Tensor]:
    return {name.replace("blocks.2", f"blocks.{block}"): t for name, t in tensors.items()}


@pytest.mark.parametrize(
    "options", [{}, {"weights": "x"}, {"sam2": "x"}, {"random": "tiny", "weights": "x"}]
)
def test_both_weights_are_wanted(options: dict[str, str]) -> None:
    with pytest.raises(ModelError, match=r"sansa (lacks|has two sorts of) weights: give .*sam2="):
        load_model("sansa", options)


def test_the_object_is_there_whatever_the_head_says(
    sansa: SANSA, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = scores_of(sansa, [1])
    decoder = sansa.network.mask_decoder
    monkeypatch.setattr(decoder.pred_obj_score_head.proj_out.bias, "data", torch.full((1,), -10.0))
    monkeypatch.setattr(
        decoder.obj_score_token.weight, "data", 9 * decoder.obj_score_token.weight.data
    )
    assert torch.equal(scores_of(sansa, [1]), before)
    assert before.std() > 0.1


def test_supports_count_and_so_does_an_empty_one(sansa: SANSA) -> None:
    found = [scores_of(sansa, s) for s in ([1], [2], [1, 2], [1, 3], [1, 2, 2])]
    for index, one in enumerate(found):
        assert all((one - other).abs().max() > 1e-3 for other in found[:index])


def test_memory_reaches_six_frames_back_and_pointers_fifteen(sansa: SANSA) -> None:
    assert torch.equal(scores_of(sansa, [1, 2, *[1] * 15]), scores_of(sansa, [1, 3, *[1] * 15]))
    pointer = scores_of(sansa, [1, 2, *[1] * 6]) - scores_of(sansa, [1, 3, *[1] * 6])
    assert pointer.abs().max() > 1e-5


def test_a_mask_covers_whatever_it_touches(sansa: SANSA) -> None:
    mask = torch.zeros(1, 1, 48, 48)
    mask[0, 0, 6, 6] = 1  # its centre is at 8.17 of 64
    inside = sansa._stretched(mask)[0, 0] > 0
    assert inside.nonzero().tolist() == [[row, column] for row in (7, 8, 9) for column in (7, 8, 9)]


@pytest.mark.parametrize(
    ("name", "dataset", "fold", "seen"),
    [
        ("adapter_coco_fold2.pth", "coco", 2, "no"),
        ("adapter_coco_fold2.pth", "lvis", None, "unknown"),
        ("adapter_lvis_fold9.pth", "lvis", 9, "no"),
        ("adapter_fss.pth", "fss1000", 0, "no"),
        ("adapter_generalist.pth", "paco-part", None, "yes"),
        ("adapter_coco.pth", "coco", None, "unknown"),
        ("my_adapter_coco_fold2.pth", "coco", None, "unknown"),
    ],
)
def test_the_released_names_say_what_was_seen(
    tmp_path: Path, name: str, dataset: str, fold: int | None, seen: str
) -> None:
    torch.save({}, tmp_path / name)
    entries = told_by({"weights": str(tmp_path / name), "sam2": "facebook/sam2-hiera-large"})
    assert (fold_of(entries, dataset), sees(entries, dataset)) == (fold, seen)


def test_the_contract_is_kept(sansa: SANSA) -> None:
    assert [finding for finding in check_segmenter(sansa) if not finding.passed] == []
