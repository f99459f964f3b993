"""What happens to bad input: one message that names it, or, on request, a dataset without it."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from datasets_prep.datasets.coco import Coco, CocoOptions
from datasets_prep.episodes.recipes import recipes
from datasets_prep.errors import DatasetError
from datasets_prep.prepared import lists as lists_module
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.prepared.prepare import PrepareOptions, prepare, verify
from tests.datasets_prep.bad_inputs import ANNOTATIONS, CASES, folder, tear, unzipped
from tests.datasets_prep.coco_fixture import write_tiny_coco
from tests.datasets_prep.datasets import test_fss1000 as fss

few_classes = fss.few_classes
REMAIN = r"--skip-bad leaves these out by name; (\d+) images would remain"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {name: recipes()[name] for name in ("fixed-v1", "hsnet")}
    monkeypatch.setattr(lists_module, "recipes", lambda: few)


def content(dataset: PreparedDataset) -> dict[str, bytes]:
    """All that must be the same whatever the number of workers."""
    names = ("classes.json", "folds.json", "manifest.json", "images/data-00000-of-00001.arrow")
    return {name: (dataset.root / name).read_bytes() for name in names}


def leftovers(root: Path) -> list[str]:
    """Half-done things: what is being built, and partial files."""
    return [path.name for path in root.rglob(".*") if path.name not in (".lock", ".extracted.json")]


@pytest.mark.parametrize("case", CASES)
def test_it_is_named_and_stops_or_is_left_out_by_name(case: str, tmp_path: Path) -> None:
    bad = CASES[case](tmp_path)
    options = PrepareOptions(tmp_path / "data", bad.folder, shots=(1,))
    with pytest.raises(DatasetError) as caught:
        prepare(bad.builder, options)
    for words in bad.message:
        assert words in str(caught.value)
    (remain,) = re.findall(REMAIN, str(caught.value))
    root = options.data_root / bad.builder.dataset
    assert not (root / "manifest.json").exists()
    assert not (root / "images").exists()
    assert leftovers(root) == []

    dataset = prepare(bad.builder, replace(options, skip_bad=True))
    assert tuple(dataset.manifest["skipped"]) == bad.left_out
    (line,) = (root / "skipped.txt").read_text().splitlines()
    for words in (*bad.left_out, *bad.message):
        assert words in line
    assert any("--skip-bad left out 1" in note for note in dataset.manifest["notes"])
    kept = {*dataset.image_ids}
    if "deepglobe" in case:  # whose images are crops, TILE_RC
        kept = {name.partition("_")[0] for name in kept}
    assert int(remain) == len(kept)
    assert not {*bad.left_out} & {*dataset.image_ids}
    listed = {i for f in dataset.folds.folds for i, _ in (*f.train, *f.test)}
    assert listed <= {*dataset.image_ids}
    assert verify(dataset, full=True) == []


def test_workers_leave_out_the_same(tmp_path: Path) -> None:
    bad = CASES["corrupt image, coco"](tmp_path)
    options = PrepareOptions(tmp_path / "one", bad.folder, shots=(1,), skip_bad=True)
    one = prepare(bad.builder, options)
    two = prepare(bad.builder, replace(options, data_root=tmp_path / "two", jobs=2))
    assert content(one) == content(two)


def test_the_digest_changes_with_what_is_left_out_and_with_nothing_else(tmp_path: Path) -> None:
    """Even where all images stay: the label map without an image changes no other byte."""
    good = folder(lambda top: top, "")(tmp_path)
    options = PrepareOptions(tmp_path / "data", shots=(1,))
    whole = prepare(good.builder, options).digest
    assert prepare(good.builder, replace(options, skip_bad=True)).digest == whole
    shutil.copy(good.folder / "labels/s03.png", good.folder / "labels/t03.png")
    first = prepare(good.builder, replace(options, skip_bad=True))
    shutil.move(good.folder / "labels/t03.png", good.folder / "labels/u03.png")
    second = prepare(good.builder, replace(options, skip_bad=True))
    assert len({whole, first.digest, second.digest}) == 3
    assert first.image_ids == second.image_ids
    (good.folder / "labels/u03.png").unlink()
    again = prepare(good.builder, options)
    assert again.digest == whole
    assert again.manifest["skipped"] == []
    assert not (again.root / "skipped.txt").exists()


def test_an_image_goes_with_all_who_share_its_number(tmp_path: Path) -> None:
    tiny, _ = write_tiny_coco(tmp_path / "archives")
    images = tiny.instances["val2014"]["images"]
    first, second = images[0], images[1]
    second["id"] = first["id"]
    folder = unzipped(tiny.folder, tmp_path / "in")
    (folder / "annotations" / ANNOTATIONS).write_text(json.dumps(tiny.instances["val2014"]))
    release = tiny.write()
    options = PrepareOptions(tmp_path / "data", folder, shots=(1,), skip_bad=True)
    dataset = prepare(Coco(CocoOptions(only="test"), release), options)
    names = {image["file_name"].removesuffix(".jpg") for image in (first, second)}
    assert names < {*dataset.manifest["skipped"]}
    assert not names & {*dataset.image_ids}


# What nobody can leave out


@pytest.mark.parametrize("skip_bad", [False, True])
def test_a_truncated_zip_stops_in_any_case(skip_bad: bool, tmp_path: Path) -> None:
    tiny, release = write_tiny_coco(tmp_path / "in")
    archive = tear(tiny.folder / "val2014.zip")
    lax = replace(release, val=replace(release.val, size=None, sha256=None))
    options = PrepareOptions(tmp_path / "data", tiny.folder, skip_bad=skip_bad)
    with pytest.raises(DatasetError) as caught:
        prepare(Coco(CocoOptions(only="test"), lax), options)
    message = str(caught.value)
    assert f"{archive} cannot be unpacked, it may be truncated" in message
    assert ("--skip-bad leaves out single images" in message) == skip_bad
    assert not list((tmp_path / "data/coco").glob("manifest.json"))
    unpacked = {path.name for path in (tmp_path / "data/coco/raw").iterdir() if path.is_dir()}
    assert unpacked == {"annotations_trainval2014", "coco"}  # as a whole; coco has stamps


_ON_A_SMALL_DISK = """
import shutil
import sys
from pathlib import Path
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.prepare import PrepareOptions
from datasets_prep.prepared.prepare import prepare
from datasets_prep.prepared.dataset import PreparedDataset
from tests.datasets_prep.toy import Toy

if __name__ == "__main__":
    root = Path(sys.argv[1])
    before = prepare(Toy(images=8, folds=1), PrepareOptions(root, shots=(1,))).digest
    (root / "ballast").write_bytes(bytes(shutil.disk_usage(root).free - 150_000))
    try:
        prepare(Toy(images=400, seed=1), PrepareOptions(root, shots=(1,), skip_bad=True))
    except DatasetError as error:
        print(error)
    assert PreparedDataset(root, "toy").digest == before
    hidden = [path.name for path in root.rglob(".*") if path.name != ".lock"]
    assert not hidden, hidden
"""


@pytest.mark.skipif(not shutil.which("unshare"), reason="a small disk needs Linux's unshare")
def test_a_disk_that_fills_up_is_named_and_leaves_the_former_state(
    tmp_path: Path,
) -> None:
    """A disk of four MB, on which a dataset lies already, and little else has room."""
    mount = f"mount -t tmpfs -o size=4m none {tmp_path}"
    if subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    script = tmp_path.with_suffix(".py")
    script.write_text(_ON_A_SMALL_DISK)
    command = f"{mount} && exec {sys.executable} {script} {tmp_path}"
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", command],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "cannot be written: No space left on device" in done.stdout
    assert str(tmp_path) in done.stdout
    assert "--skip-bad leaves out single images" in done.stdout


def test_without_room_for_its_copy_no_image_is_called_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk must not be taken for a fault of the image that is copied then."""
    bad = CASES["corrupt image, fss1000"](tmp_path)

    def full(source: Path, target: Path) -> None:
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(DatasetError, match=r"raw/images/ab_wheel/\.1\.jpg\.\d+ cannot be"):
        prepare(bad.builder, PrepareOptions(tmp_path / "data", bad.folder, skip_bad=True))
    assert leftovers(tmp_path / "data/fss1000") == []
    assert not (tmp_path / "data/fss1000/manifest.json").exists()
