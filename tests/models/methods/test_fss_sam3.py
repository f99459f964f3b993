"""FSS-SAM3: its canvas by hand, its pooling against a plain loop, its prompts."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from models.catalog import load_model
from models.check import check_segmenter
from models.errors import ModelError
from models.methods.fss_sam3 import FSSSAM3
from models.methods.fss_sam3.boxes import roi_align
from models.methods.fss_sam3.canvas import Layout, Place, paint, placed
from models.methods.fss_sam3.segmenter import box_of


@pytest.fixture(scope="module")
def model() -> Any:
    return load_model("fss-sam3", {"random": "tiny"})


@pytest.fixture(scope="module")
def told() -> Any:
    return load_model("fss-sam3-text", {"random": "tiny"})


def scores_of(model: FSSSAM3, shots: list[int], **extras: Any) -> Tensor:
    """Of image 0 after supports among images 1 to 3, of which the last has an empty mask."""
    images = torch.rand((4, 3, 80, 60), generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(4, 80, 60)
    masks[1, 10:40, 5:30] = 1
    masks[2, 50:70, 20:50] = 1
    features = model.encode_image(images)
    supports = model.encode_support(images, masks, features)
    scores: Tensor = model.segment(features[:1], [[supports[s] for s in shots]], **extras)[0]
    return scores


def slow_roi_align(features: Tensor, box: list[float], size: int) -> Tensor:
    """torchvision's definition, one point after the other."""
    channels, height, width = features.shape

    def at(y: float, x: float) -> Tensor:
        if not (-1 <= y <= height and -1 <= x <= width):
            return torch.zeros(channels)
        y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
        top, left = int(y), int(x)
        bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
        down, across = y - top, x - left
        above = (1 - across) * features[:, top, left] + across * features[:, top, right]
        below = (1 - across) * features[:, bottom, left] + across * features[:, bottom, right]
        return (1 - down) * above + down * below

    left, top, right, bottom = box
    tall, wide = max(bottom - top, 1) / size, max(right - left, 1) / size
    rows, columns = math.ceil(tall), math.ceil(wide)
    pooled = torch.zeros(channels, size, size)
    for i in range(size):
        for j in range(size):
            for a in range(rows):
                for b in range(columns):
                    y = top + tall * (i + (a + 0.5) / rows)
                    x = left + wide * (j + (b + 0.5) / columns)
                    pooled[:, i, j] += at(y, x) / (rows * columns)
    return pooled


@pytest.mark.parametrize(
    "box",
    [
        [2.0, 3.0, 9.5, 7.25],  # cells below a pixel
        [0.3, 0.2, 11.9, 8.8],  # several points a cell
        [-3.0, -2.5, 14.0, 11.0],  # over all borders
        [5.0, 5.0, 5.0, 5.0],  # of no size
        [11.2, 8.1, 12.0, 9.0],  # the last pixel
    ],
)
def test_pooling_is_that_of_a_plain_loop(box: list[float]) -> None:
    features = torch.rand((2, 9, 12), generator=torch.Generator().manual_seed(1))
    found = roi_align(features, torch.tensor([box, box]), 3)
    assert torch.equal(found[0], found[1])
    torch.testing.assert_close(found[0], slow_roi_align(features, box, 3), atol=1e-5, rtol=0)


def test_pooling_of_no_box_and_of_a_line_of_features() -> None:
    assert roi_align(torch.rand(2, 4, 4), torch.zeros(0, 4), 3).shape == (0, 2, 3, 3)
    line = torch.rand((2, 1, 5), generator=torch.Generator().manual_seed(1))
    box = [0.5, 0.0, 4.0, 1.0]
    found = roi_align(line, torch.tensor([box]), 2)[0]
    torch.testing.assert_close(found, slow_roi_align(line, box, 2), atol=1e-5, rtol=0)


def test_one_support_lies_as_the_authors_lay_it() -> None:
    above, query = Layout(1008).places(1)
    assert (above, query) == ([Place(0, 404, 1008, 604)], Place(0, 0, 1008, 404))
    above, query = Layout(1008, swap=False).places(1)
    assert (above, query) == ([Place(0, 0, 1008, 604)], Place(0, 604, 1008, 404))
    beside, query = Layout(1008, ratio=0.5, orient="horizontal", swap=False).places(1)
    assert (beside, query) == ([Place(0, 0, 504, 1008)], Place(504, 0, 504, 1008))
    beside, query = Layout(1008, orient="horizontal").places(1)
    assert (beside, query) == ([Place(404, 0, 604, 1008)], Place(0, 0, 404, 1008))


def test_five_supports_lie_as_the_authors_lay_them() -> None:
    places, query = Layout(1008).places(5)
    assert places == [
        Place(0, 0, 336, 302),
        Place(336, 0, 336, 302),
        Place(672, 0, 336, 302),
        Place(0, 302, 302, 353),
        Place(0, 655, 302, 353),
    ]
    assert query == Place(302, 302, 706, 706)
    places, query = Layout(1008, layout="vertical_strip").places(5)
    assert places[1] == Place(0, 201, 302, 201)
    assert places[-1] == Place(0, 804, 302, 204)
    assert query == Place(302, 0, 706, 1008)
    places, query = Layout(1008, layout="horizontal_strip").places(5)
    assert places[-1] == Place(804, 0, 204, 302)
    assert query == Place(0, 302, 1008, 706)


@pytest.mark.parametrize("layout", ["l_shape", "vertical_strip", "horizontal_strip"])
@pytest.mark.parametrize("shots", [1, 2, 3, 4, 5, 10])
def test_places_cover_the_canvas_once(layout: Any, shots: int) -> None:
    places, query = Layout(97, layout=layout).places(shots)
    covered = np.zeros((97, 97), int)
    for place in [*places, query]:
        covered[place.top : place.top + place.height, place.left : place.left + place.width] += 1
    assert len(places) == shots
    assert covered.max() == 1
    # An L of two has its corner at the top; all else is full.
    assert covered.min() == 1


def test_images_are_painted_where_they_belong() -> None:
    red, blue = torch.zeros(2, 3, 6, 4, dtype=torch.uint8)
    red[0], blue[2] = 200, 100
    canvas = paint(10, [red, blue], [Place(0, 4, 10, 6), Place(0, 0, 10, 4)])
    assert canvas[0, 4:].unique().tolist() == [200]
    assert canvas[2, :4].unique().tolist() == [100]
    assert canvas[:, :4][:2].sum() == canvas[1:, 4:].sum() == 0


def test_boxes_go_with_their_image() -> None:
    box = torch.tensor([10.0, 20.0, 20.0, 40.0])  # of an image of 100×200 pixels
    found = placed(box, torch.zeros(3, 200, 100), Place(0, 400, 1000, 600), 1000)
    torch.testing.assert_close(found, torch.tensor([0.2, 0.52, 0.2, 0.12]))


def test_a_mask_is_the_box_of_its_largest_part() -> None:
    mask = np.zeros((20, 20), bool)
    mask[2:5, 3:9] = mask[10:14, 10:13] = mask[14, 13] = True  # 18 pixels, and 13 with a corner
    assert box_of(mask, whole=False) == (3, 2, 6, 3)
    mask[15:19, 14:16] = True  # the second is now the larger
    assert box_of(mask, whole=False) == (10, 10, 6, 9)
    assert box_of(mask, whole=True) == (3, 2, 13, 17)
    assert box_of(np.zeros((20, 20), bool), whole=False) == (0, 0, 0, 0)


def test_supports_and_names_count(model: FSSSAM3, told: Any) -> None:
    found = [scores_of(model, shots) for shots in ([1], [2], [1, 2], [3])]
    found += [scores_of(told, [1], names=[name]) for name in ("cat", "dog")]
    for index, one in enumerate(found):
        assert one.shape == (80, 60)
        assert all((one - other).abs().max() > 1e-4 for other in found[:index])
    assert any((one > 0).any() and (one < 0).any() for one in found)
    # Without names the text is "visual".
    torch.testing.assert_close(scores_of(told, [1], names=["visual"]), found[0])


def test_a_name_is_what_the_card_speaks_of(model: Any, told: Any) -> None:
    assert (model.wants, told.wants) == (frozenset(), {"names"})
    assert (model.card.text_prompts, told.card.text_prompts) == (False, True)


def test_weights_are_wanted() -> None:
    with pytest.raises(ModelError, match=r"fss-sam3-text has no weights: .*facebook/sam3"):
        load_model("fss-sam3-text")


@pytest.mark.parametrize("name", ["model", "told"])
def test_the_contract_is_kept(name: str, request: pytest.FixtureRequest) -> None:
    one = request.getfixturevalue(name)
    assert [finding for finding in check_segmenter(one) if not finding.passed] == []


@pytest.mark.parametrize("ratio", [0.005, 0.99])
def test_a_share_that_leaves_no_room_is_refused(ratio: float) -> None:
    with pytest.raises(ModelError, match="fss-sam3: option ratio"):
        load_model("fss-sam3", {"random": "tiny", "ratio": ratio})
