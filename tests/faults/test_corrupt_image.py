"""An image in the middle is corrupt: the run stops and names it, and goes on when it is mended."""

import shutil
from pathlib import Path

import pytest

from benchmarks.results.store import read_unfinished
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.dataset import PreparedDataset
from tests.datasets_prep import toy
from tests.datasets_prep.prepared.test_prepared import prepared
from tests.faults.runs import EPISODES, KEY, counts, run

IMAGE = "img_013"  # neither the first nor the last that a run reads


@pytest.mark.parametrize("part", ["image", "label_map"])
def test_it_is_named_and_nothing_is_lost(root: Path, tmp_path: Path, part: str) -> None:
    shutil.copytree(root / "data", tmp_path / "data")
    (table,) = (tmp_path / "data/tiny/images").glob("*.arrow")
    table.chmod(0o644)
    png = PreparedDataset(tmp_path / "data", "tiny")._cell(part, IMAGE)["bytes"]
    content = table.read_bytes()
    assert content.count(png) == 1
    table.write_bytes(content.replace(png, png[:50] + bytes(len(png) - 50)))
    results = tmp_path / "results"
    what = f"image {IMAGE}" if part == "image" else f"the labels of {IMAGE}"
    with pytest.raises(DatasetError, match=rf"cannot read {what}: .*verify tiny --full"):
        run(tmp_path, results)
    begun = read_unfinished(results, KEY)
    assert begun is not None and 0 < begun.measured < EPISODES and begun.failed == {}

    table.write_bytes(content)
    assert run(tmp_path, results).status == "measured"
    run(root, tmp_path / "unbroken")
    assert counts(results) == counts(tmp_path / "unbroken")


def test_a_flipped_bit_that_still_decodes_is_found(tmp_path: Path) -> None:
    dataset = prepared(tmp_path, files=True)
    path = dataset.root / "raw" / "a_000.0.png"
    path.chmod(0o600)
    dataset.image("a_000")
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DatasetError, match=r"raw/a_000\.0\.png has other bytes, not as prepared"):
        dataset.image("a_000")
    assert dataset.image("b_001").size == (toy.WIDTH, toy.HEIGHT)
