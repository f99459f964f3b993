"""The floors, by hand."""

import math

import numpy as np
import pytest
import torch

from models.catalog import load_model
from models.segmenter import Features

NOTHING = Features({})


def predict(name: str, masks: list[torch.Tensor] | None = None, options=None, **extras):
    """One episode's mask on the model's grid."""
    model = load_model(name, options)
    shots = model.encode_support(torch.zeros(()), torch.stack(masks), []) if masks else [NOTHING]
    return model.binarize(model.segment([NOTHING], [shots], **extras))[0]


def block(rows: slice, columns: slice, size: int = 128) -> torch.Tensor:
    mask = torch.zeros(size, size)
    mask[rows, columns] = 1
    return mask


def test_all_foreground():
    assert bool(predict("all-foreground").all())


def test_copy_of_one_mask_is_that_mask():
    mask = block(slice(3, 50), slice(60, 128))
    assert torch.equal(predict("copy-support-mask", [mask]), mask.bool())


def test_copy_of_several_masks_is_their_strict_majority():
    left, right = block(slice(0, 128), slice(0, 80)), block(slice(0, 128), slice(50, 128))
    assert torch.equal(
        predict("copy-support-mask", [left, right]), block(slice(0, 128), slice(50, 80)).bool()
    )
    assert torch.equal(predict("copy-support-mask", [left, right, right]), right.bool())


def test_copy_keeps_a_byte_a_pixel_and_nothing_of_images():
    model = load_model("copy-support-mask")
    [support] = model.encode_support(torch.zeros(()), torch.zeros(1, 128, 128), [])
    assert support.nbytes == 128 * 128
    assert model.encode_image(torch.zeros(1, 3, 128, 128))[0].nbytes == 0


@pytest.mark.parametrize("share", [0.05, 0.25, 0.7, 0.95])
def test_centre_prior_covers_its_share_symmetrically(share: float):
    mask = predict("centre-prior", options={"share": share})
    assert float(mask.float().mean()) == pytest.approx(share, abs=0.01)
    assert torch.equal(mask, mask.flip(0)) and torch.equal(mask, mask.flip(1))


def test_centre_prior_is_an_ellipse_on_any_image():
    model = load_model("centre-prior")
    mask = model.geometry.scores(model.scores[None], (100, 200), (100, 200))[0] > 0
    radius = math.sqrt(0.25 / math.pi)
    assert int(mask[50].sum()) == pytest.approx(2 * radius * 200, abs=3)
    assert int(mask[:, 100].sum()) == pytest.approx(2 * radius * 100, abs=3)


def test_random_depends_on_the_seed_alone():
    model = load_model("random")
    together = model.segment([NOTHING] * 3, [[NOTHING]] * 3, seeds=[5, 6, 5])
    assert torch.equal(together[0], together[2])
    assert not torch.equal(together[0], together[1])
    assert torch.equal(model.segment([NOTHING], [[NOTHING]], seeds=[6])[0], together[1])
    assert float((together[:2] > 0).float().mean()) == pytest.approx(0.5, abs=0.02)


def test_random_draws_the_numbers_of_numpys_frozen_generator():
    noise = load_model("random").segment([NOTHING], [[NOTHING]], seeds=[0])
    assert noise[0, 0, :3].tolist() == pytest.approx([0.0488135, 0.2151894, 0.1027634], abs=1e-6)


def test_oracle_box_fills_the_best_box():
    truth = block(slice(40, 90), slice(100, 220), 256)
    truth[200, 10] = 1
    got = predict("oracle-box", truths=truth[None])
    assert torch.equal(got, block(slice(40, 90), slice(100, 220), 256).bool())


def test_oracle_box_of_nothing_is_nothing():
    assert not predict("oracle-box", truths=torch.zeros(1, 256, 256)).any()


def test_no_floor_reads_pixels():
    for name in ("all-foreground", "copy-support-mask", "centre-prior", "random", "oracle-box"):
        model = load_model(name)
        assert not model.image_reads_pixels and not model.support_reads_pixels
        assert np.prod(model.geometry.grid((480, 360))) <= 256 * 256
