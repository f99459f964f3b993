"""Reading masks from images that were trained to show more than the mask."""

import pytest
import torch
from torch import Tensor

from models.catalog import load_model
from tests.models.methods.diffews.conftest import make_scene


def distance(one: Tensor, other: Tensor) -> Tensor:
    return ((one - other) ** 2).mean(1).sqrt()


@pytest.mark.parametrize("form", ["real_fg_black_bg", "black_fg_real_bg", "mask_on_image"])
def test_a_decoded_image_is_compared_with_its_own_query(form: str) -> None:
    model = load_model("diffews", {"random": "tiny", "supervision": form})
    scene = make_scene(model, 3)
    rows = [scene.supports[2:]] * 2
    decoded = model.decode(model.mask_latents(scene.latents[:2], rows))
    shown = ((decoded.clamp(-1, 1) + 1) / 2 * 255).floor() / 255
    queries = (scene.images[:2] * 255).round() / 255
    blended = (2 * shown - queries).clamp(0, 1)
    score, largest = {
        "real_fg_black_bg": (distance(shown, torch.zeros(())), None),
        "black_fg_real_bg": (distance(shown, queries), None),
        "mask_on_image": (blended.mean(1), blended.amax((1, 2, 3))),
    }[form]
    if largest is None:
        largest = score.amax((1, 2))
    expected = score - 0.25 * largest[:, None, None]
    found = model.segment(scene.latents[:2], rows)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
