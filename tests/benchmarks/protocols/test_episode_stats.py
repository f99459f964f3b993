"""What may make an episode list easy or odd: neighbours, tiny masks, classes that are rare."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from benchmarks.cli import main
from benchmarks.pictures.list_plot import episodes_png
from benchmarks.protocols.catalog import get_protocol
from benchmarks.protocols.consecutive import has_neighbour, places
from benchmarks.protocols.lists import EpisodeList, stats
from benchmarks.protocols.mask_sizes import mask_stats, masks_of, shares
from datasets_prep.episodes.episode import Episode
from datasets_prep.prepared.dataset import PreparedDataset
from tests.datasets_prep.toy import Toy
from tests.tiny import tiny_dataset


def listed(*episodes: tuple[int, str, tuple[str, ...]]) -> EpisodeList:
    drawn = tuple(Episode(n, *episode) for n, episode in enumerate(episodes))
    return EpisodeList("made", "fixed-v1", 0, len(drawn[0].supports), {0: "a", 1: "b"}, drawn)


# --- neighbours ---


@pytest.mark.parametrize(
    ("images", "query", "support", "beside"),
    [
        (("0016E5_07959", "0016E5_07989", "0016E5_08019"), 0, 1, True),
        (("0016E5_07959", "0016E5_07989", "0016E5_08019"), 0, 2, False),
        (("0016E5_07959", "0006R0_07989"), 0, 1, False),
        (("2007_000033", "2007_000121", "2008_000034"), 1, 0, True),
        (("2007_000033", "2007_000121", "2008_000034"), 0, 2, False),
        (("v/d_r_9_", "v/d_r_10_", "v/d_r_8_"), 0, 1, True),
        (("v/d_r_9_", "v/d_r_10_", "v/d_r_8_"), 1, 2, False),
        (("cat/1", "cat/2"), 0, 1, False),
        (("one", "two"), 0, 1, False),
    ],
)
def test_neighbours_are_those_with_nothing_between_them(
    images: tuple[str, ...], query: int, support: int, beside: bool
) -> None:
    known = places(images)
    episode = Episode(0, 0, images[query], ("elsewhere", images[support]))
    assert has_neighbour(episode, known) is beside


def test_episodes_with_a_neighbour_are_counted() -> None:
    found = listed(
        (0, "s_01", ("s_03", "s_02")), (0, "s_03", ("s_01", "s_05")), (0, "s_05", ("s_04", "s_04"))
    )
    known = places(f"s_{number:02}" for number in range(1, 6))
    count = stats(found, known)
    assert (count.neighbours, count.repeated, count.per_class) == (2, 1, {"a": 3, "b": 0})
    assert stats(found, places(["cat/1"])).neighbours is None
    assert stats(found).neighbours is None


# --- masks ---


def test_tiny_and_empty_masks_are_counted_by_episode() -> None:
    sizes = {"big": 0.5, "tiny": 0.0009, "edge": 0.001, "none": 0.0}
    found = listed(
        (0, "big", ("tiny", "big")),
        (0, "tiny", ("none", "tiny")),
        (0, "none", ("big", "edge")),
        (1, "edge", ("none", "none")),
    )
    seen = mask_stats(found, lambda image, _: sizes[image])
    assert seen.queries == (0.5, 0.0009, 0.0, 0.001)
    assert (seen.tiny_queries, seen.empty_queries) == (1, 1)
    assert (seen.tiny_supports, seen.empty_supports) == (2, 2)
    assert masks_of([found, found])[:3] == [("big", 0), ("tiny", 0), ("none", 0)]


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("protocol", ["fixed-v1", "hsnet"])
def test_shares_are_those_of_the_mask_as_it_is_scored(
    overlap: bool, protocol: str, tmp_path: Path
) -> None:
    from datasets_prep.prepared.prepare import PrepareOptions, prepare
    from models.geometry import nearest

    toy = prepare(Toy(overlap=overlap, images=8), PrepareOptions(tmp_path, shots=(1,)))
    share = shares(toy, get_protocol(protocol))
    import torch

    for image in toy.image_ids:
        for index in range(4):
            mask = torch.from_numpy(toy.mask(image, index))
            scored = nearest(mask, get_protocol(protocol).target((10, 12))).numpy()
            assert share(image, index) == pytest.approx(np.mean(scored == 1))


def test_a_mask_that_the_grid_loses_is_empty(tmp_path: Path) -> None:
    class Thin:
        has_label_maps = True

        def labels(self, image: str) -> np.ndarray:  # type: ignore[type-arg]
            values = np.zeros((1200, 1200), np.uint8)
            values[:, 1] = 1
            return values

    thin: PreparedDataset = Thin()  # type: ignore[assignment]
    assert shares(thin, get_protocol("fixed-v1"))("x", 0) == pytest.approx(1 / 1200)
    assert shares(thin, get_protocol("hsnet"))("x", 0) == 0


# --- picture and command ---


def test_the_picture_has_one_size_and_equal_bytes_for_equal_lists() -> None:
    found = listed((0, "s_01", ("s_02",)), (1, "s_03", ("s_04",)))
    counted = [
        (found, stats(found), mask_stats(found, lambda image, _: 0.1)),
        (found, stats(found), None),
    ]
    png = episodes_png(counted)
    assert Image.open(io.BytesIO(png)).size == (1200, 900)
    assert png == episodes_png(counted)
    assert png != episodes_png(counted[1:])


def test_the_command_prints_and_draws(tmp_path: Path) -> None:
    tiny_dataset(tmp_path)
    own = ("episodes", "stats", "tiny", "--data-root", str(tmp_path), "--shots", "1,2", "--quiet")

    def bench(*args: str) -> str:
        done = CliRunner().invoke(main, [*own, *args])
        assert done.exit_code == 0, done.output
        return done.stdout

    rows = json.loads(bench("--json", "--png", str(tmp_path / "lists.png")))
    assert Image.open(tmp_path / "lists.png").format == "PNG"
    assert [row["list"] for row in rows] == [
        "fold0_1shot", "fold0_2shot", "fold1_1shot", "fold1_2shot"
    ]  # fmt: skip
    # Names are img_000, img_001, ...: with two supports, a neighbour is met more often.
    assert 0 < rows[0]["neighbours"] < rows[1]["neighbours"]
    assert all(len(row["masks"]["queries"]) == row["episodes"] for row in rows)
    # Boxes of 9×9 pixels, on images of two sizes, of which others may hide a part.
    assert max(max(row["masks"]["queries"]) for row in rows) == pytest.approx(81 / 640)
    fast = bench("--no-masks").splitlines()[2].split()
    assert fast[0] == "fold0_1shot" and fast[-4:] == ["–"] * 4
    assert int(fast[6]) == rows[0]["neighbours"]
