"""SAM 2's memory: features that enter a session ready-made give what a video of pixels gives."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.catalog import load_model, parse_options
from models.check import check_segmenter
from models.errors import ModelError
from models.methods.sam2_memory import SAM2Memory


@pytest.fixture(scope="module")
def sam2() -> SAM2Memory:
    options: Any = parse_options("sam2-memory", SAM2Memory, {"random": "tiny"})
    return SAM2Memory.load(options, device="cpu", dtype="fp32")


def episode() -> tuple[Tensor, Tensor]:
    """Four images; the masks of the last three, of which one is empty."""
    images = torch.rand((4, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(4, 64, 64)
    masks[1, 5:40, 10:30] = 1
    masks[2, 30:60, 3:50] = 1
    return images, masks


def video(sam2: SAM2Memory, shots: list[int]) -> Tensor:
    """Mask logits of image 0 after the supports, by transformers' own propagation."""
    from transformers import Sam2VideoInferenceSession

    images, masks = episode()
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    frames = (images[[*shots, 0]] - mean[:, None, None]) / std[:, None, None]
    session = Sam2VideoInferenceSession(video=frames, dtype=torch.float32)
    number = session.obj_id_to_idx(7)
    for frame, shot in enumerate(shots):
        session.add_mask_inputs(number, frame, masks[shot][None, None])
        session.obj_with_new_inputs = [7]
        sam2.network(session, frame_idx=frame)
    outputs = list(sam2.network.propagate_in_video_iterator(session, start_frame_idx=0))
    assert outputs[-1].frame_idx == len(shots)
    logits: Tensor = outputs[-1].pred_masks[0, 0]
    return logits


def scores_of(sam2: SAM2Memory, shots: list[int]) -> Tensor:
    images, masks = episode()
    features = sam2.encode_image(images)
    supports = sam2.encode_support(images, masks, features)
    scores: Tensor = sam2.segment(features[:1], [[supports[shot] for shot in shots]])[0]
    return scores


@pytest.mark.parametrize("shots", [[1], [2, 1], [1, 2, 3, 1]])
def test_it_is_transformers_video_of_the_episode(sam2: SAM2Memory, shots: list[int]) -> None:
    scores, expected = scores_of(sam2, shots), video(sam2, shots)
    torch.testing.assert_close(scores, expected.clone(), atol=1e-4, rtol=1e-4)
    assert scores.std() > 0.1
    assert (scores > 0).any()


def test_supports_count_and_so_does_an_empty_one(sam2: SAM2Memory) -> None:
    one, other, both, beside_empty = (scores_of(sam2, s) for s in ([1], [2], [1, 2], [1, 3]))
    for different in (other, both, beside_empty):
        assert (one - different).abs().max() > 1e-3


def test_a_fresh_model_segments_features_that_another_encoded(sam2: SAM2Memory) -> None:
    images, masks = episode()
    features = sam2.encode_image(images)
    supports = sam2.encode_support(images, masks, features)
    options: Any = parse_options("sam2-memory", SAM2Memory, {"random": "tiny"})
    fresh = SAM2Memory.load(options, device="cpu", dtype="fp32")
    assert fresh.image_key == sam2.image_key
    expected = sam2.segment(features[:1], [[supports[1]]])
    assert torch.equal(fresh.segment(features[:1], [[supports[1]]]), expected)


def test_where_the_object_is_absent_nothing_is_foreground(
    sam2: SAM2Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = sam2.network.mask_decoder.pred_obj_score_head.proj_out
    monkeypatch.setattr(head.bias, "data", torch.full((1,), -10.0))
    assert torch.equal(scores_of(sam2, [1]), torch.full((16, 16), -1024.0))


def test_memory_is_made_as_in_the_authors_predictor(sam2: SAM2Memory) -> None:
    options: Any = parse_options(
        "sam2-memory", SAM2Memory, {"random": "tiny", "memory": "transformers"}
    )
    stock = SAM2Memory.load(options, device="cpu", dtype="fp32")
    images, masks = episode()
    mask = masks[1:2, None]
    with torch.inference_mode():
        levels = stock.network.get_image_features(images[1:2]).fpn_hidden_states
        high, low = [level.permute(1, 2, 0) for level in levels[:-1]], levels[-1].permute(1, 2, 0)
        maps = [
            part.reshape(1, -1, side, side)
            for part, side in zip([*high, low], (16, 8, 4), strict=True)
        ]
        own = sam2.network._use_mask_as_output(maps[-1], maps[:-1], mask)
        other = stock.network._use_mask_as_output(maps[-1], maps[:-1], mask)
        prompt = {"input_masks": stock.network.mask_downsample(mask), "image_embeddings": maps}
        single = stock.network._single_frame_forward(**prompt, multimask_output=False)
    assert torch.equal(own.object_pointer, single.object_pointer)
    assert not torch.equal(own.object_pointer, other.object_pointer)
    assert torch.equal(own.pred_masks, other.pred_masks)
    assert set(other.high_res_masks.unique().tolist()) == {-10, 10}
    expected = F.interpolate(other.pred_masks, (64, 64), mode="bilinear")
    assert torch.equal(own.high_res_masks, expected)
    assert (scores_of(sam2, [1]) - scores_of(stock, [1])).abs().max() > 1e-3


def test_an_original_file_of_an_unknown_size_is_refused(tmp_path: Path) -> None:
    state = {"image_encoder.trunk.pos_embed": torch.zeros(1, 8, 4, 4)}
    state["image_encoder.trunk.blocks.0.attn.proj.bias"] = torch.zeros(8)
    path = tmp_path / "sam2.1_hiera_other.pt"
    torch.save({"model": state}, path)
    with pytest.raises(ModelError, match=r"sam2\.1_hiera_\*\.pt have .*stages of \(1,\) blocks"):
        load_model("sam2-memory", {"weights": str(path)})
    torch.save({"conv1.weight": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match=r"no file of the authors .*\(sam2\.1_hiera_\*\.pt\)"):
        load_model("sam2-memory", {"weights": str(path)})


def test_the_contract_is_kept(sam2: SAM2Memory) -> None:
    assert [finding for finding in check_segmenter(sam2) if not finding.passed] == []
