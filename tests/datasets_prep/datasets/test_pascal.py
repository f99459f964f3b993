import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datasets_prep.archives.sources import obtain
from datasets_prep.datasets.pascal import Pascal, PascalOptions
from datasets_prep.datasets.pascal.release import CLASSES, VOC2012_SBD
from datasets_prep.datasets.pascal.union import LABELS
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.prepared.prepare import PrepareOptions, prepare, verify
from datasets_prep.runtime.progress import SILENT, Progress
from tests.datasets_prep.pascal_fixture import (
    BOTH_TEST,
    BOTH_TRAIN,
    SBD_FOLDER,
    SPARSE,
    VOC_FOLDER,
    TinyPascal,
    write_tiny_pascal,
)

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyPascal:
    return write_tiny_pascal(tmp_path_factory.mktemp("archives"))


@pytest.fixture(scope="module")
def prepared(tiny: TinyPascal, tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return run(tiny, tmp_path_factory.mktemp("data"))


def run(
    tiny: TinyPascal,
    data_root: Path,
    from_dir: Path | None = None,
    *,
    jobs: int = 1,
    progress: Progress = SILENT,
    **options: str,
) -> PreparedDataset:
    builder = Pascal(PascalOptions.model_validate(options), tiny.release)
    settings = PrepareOptions(data_root, from_dir or tiny.folder, jobs=jobs)
    return prepare(builder, settings, progress)


def unpacked(tiny: TinyPascal, folder: Path) -> Path:
    """The archives as the user may have them: extracted, with the lists beside."""
    for archive in tiny.folder.glob("*.t*"):
        if archive.suffix in (".tar", ".tgz"):
            with tarfile.open(archive) as tar:
                # Python 3.11.2 and older know no filters.
                tar.extraction_filter = getattr(tarfile, "data_filter", None)
                tar.extractall(folder)  # noqa: S202 - an archive of the test's own
    shutil.copytree(tiny.folder / "pascal", folder / "pascal")
    return folder


def content(dataset: PreparedDataset) -> dict[str, bytes]:
    """All that must not depend on the machine or on the number of workers."""
    root = dataset.root
    files = [root / "classes.json", root / "folds.json", *root.glob("episodes/*/*")]
    result = {path.relative_to(root).as_posix(): path.read_bytes() for path in files}
    return result | {"digest": dataset.digest.encode()}


def test_the_union_has_vocs_masks_before_sbds(tiny: TinyPascal, prepared: PreparedDataset) -> None:
    assert prepared.classes == CLASSES
    assert prepared.image_ids == tuple(sorted(tiny.labels))
    for image, labels in tiny.labels.items():
        np.testing.assert_array_equal(prepared.labels(image), labels)
        kept = Image.open(prepared.root / "raw" / LABELS / f"{image}.png")
        assert kept.mode == "L"
        np.testing.assert_array_equal(np.asarray(kept), labels)
    for image in (BOTH_TRAIN, BOTH_TEST):
        assert not np.array_equal(prepared.labels(image), tiny.sbd[image])
    assert len(list((prepared.root / "raw" / LABELS).iterdir())) == len(tiny.labels)
    assert verify(prepared, full=True) == []


def test_void_comes_from_voc_alone(tiny: TinyPascal, prepared: PreparedDataset) -> None:
    with_void = {i for i in prepared.image_ids if (prepared.labels(i) == 255).any()}
    assert with_void == set(tiny.voc) - {SPARSE}


def test_voc_val_is_the_test_split(tiny: TinyPascal, prepared: PreparedDataset) -> None:
    splits = prepared._table.column("split").to_pylist()
    test = {i for i, split in zip(prepared.image_ids, splits, strict=True) if split == "test"}
    assert test == set(tiny.val)
    assert set(splits) == {"train", "test"}


def test_published_lists_are_kept_in_their_order(
    tiny: TinyPascal, prepared: PreparedDataset
) -> None:
    by_class = sorted(tiny.train_pairs, key=lambda pair: pair[1])
    for number, fold in enumerate(prepared.folds.folds):
        assert fold.novel == tuple(range(5 * number, 5 * number + 5))
        assert fold.test == tuple(pair for pair in tiny.test_pairs if pair[1] in fold.novel)
        assert fold.train == tuple(pair for pair in by_class if pair[1] not in fold.novel)
    assert prepared.folds.lists == "published"
    assert prepared.manifest["builder"]["options"] == {
        "lists": "published",
        "novel": "background",
        "only": None,
        "partial": False,
        "images": True,
    }
    assert prepared.episodes("hsnet", 0, 1)[0].query == tiny.test_pairs[0][0]


def test_jobs_change_nothing(tiny: TinyPascal, prepared: PreparedDataset, tmp_path: Path) -> None:
    assert content(run(tiny, tmp_path, jobs=2)) == content(prepared)


def test_extracted_folders_give_the_same_and_are_only_read(
    tiny: TinyPascal, prepared: PreparedDataset, tmp_path: Path
) -> None:
    folder = unpacked(tiny, tmp_path / "mine")
    before = {p: (p.stat().st_mtime_ns, p.stat().st_mode) for p in folder.rglob("*")}
    dataset = run(tiny, tmp_path / "data", folder)
    assert content(dataset) == content(prepared)
    assert {p: (p.stat().st_mtime_ns, p.stat().st_mode) for p in folder.rglob("*")} == before
    shutil.rmtree(folder)
    assert verify(dataset, full=True) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.datasets_prep.datasets.test_pascal import run
from tests.datasets_prep.pascal_fixture import write_tiny_pascal

class Killer:
    def update(self, label, done, total):
        if (label, done) == (sys.argv[3], int(sys.argv[4])):
            os.kill(os.getpid(), signal.SIGKILL)
    def note(self, message):
        pass

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    run(write_tiny_pascal(folder), Path(sys.argv[2]), progress=Killer(), jobs=int(sys.argv[5]))
"""


@pytest.mark.parametrize(("label", "done", "jobs"), [("label maps", 7, 2), ("images", 5, 1)])
def test_a_killed_preparation_goes_on(
    tiny: TinyPascal, prepared: PreparedDataset, tmp_path: Path, label: str, done: int, jobs: int
) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    arguments = [str(tmp_path / "mine"), str(tmp_path / "data"), label, str(done), str(jobs)]
    result = subprocess.run(
        [sys.executable, str(script), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=120,
    )
    assert result.returncode == -signal.SIGKILL
    assert not (tmp_path / "data/pascal/manifest.json").exists()
    masks = tmp_path / "data/pascal/raw" / LABELS
    made = {path: path.stat().st_ino for path in masks.glob("[!.]*.png")}
    assert len(made) >= done
    torn = min(made)
    torn.write_bytes(torn.read_bytes()[:-20])

    assert content(run(tiny, tmp_path / "data")) == content(prepared)
    kept = {path: inode for path, inode in made.items() if path != torn}
    assert {path: path.stat().st_ino for path in kept} == kept


@pytest.mark.parametrize(
    ("lists", "kept"), [("oslsm", (SPARSE, 1)), ("pfenet", (SPARSE, 2))], ids=["oslsm", "pfenet"]
)
def test_derived_lists_differ_where_their_rules_do(
    tiny: TinyPascal, tmp_path: Path, lists: str, kept: tuple[str, int]
) -> None:
    dataset = run(tiny, tmp_path, lists=lists)
    sparse = [pair for fold in dataset.folds.folds for pair in fold.test if pair[0] == SPARSE]
    assert sparse == [kept]
    assert dataset.folds.lists == lists
    report = (dataset.root / "lists-report.txt").read_text()
    different = f"test pairs of fold 0: only here\t{SPARSE}\t2 bicycle\t3 grid hits\t3 pixels\n"
    assert (different in report) == (lists == "oslsm")
    trained = {image for fold in dataset.folds.folds for image, _ in fold.train}
    if lists == "pfenet":
        assert trained == {*tiny.train, "2010_000003"}
    else:
        assert trained == set(tiny.labels) - set(tiny.val)


def test_novel_images_are_dropped_on_request(tiny: TinyPascal, tmp_path: Path) -> None:
    folds = run(tiny, tmp_path, novel="drop").folds
    assert folds.novel_in_train == "drop"
    for fold in folds.folds:
        held = [image for image, _ in fold.train]
        assert held
        assert all(np.isin(np.unique(tiny.labels[i]) - 1, fold.novel).sum() == 0 for i in held)


def test_every_wrong_file_is_named_before_anything_is_written(
    tiny: TinyPascal, tmp_path: Path
) -> None:
    folder = unpacked(tiny, tmp_path / "mine")
    voc, sbd = folder / VOC_FOLDER, folder / SBD_FOLDER
    mat, png = sbd / "cls/2010_000001.mat", voc / f"SegmentationClass/{SPARSE}.png"
    jpeg, small = voc / "JPEGImages/2010_000002.jpg", voc / "JPEGImages/2010_000003.jpg"
    for path in (mat, png, jpeg):
        path.write_bytes(path.read_bytes()[:-30])
    Image.new("RGB", (10, 20)).save(small)
    with pytest.raises(DatasetError) as raised:
        run(tiny, tmp_path / "data", folder)
    message = str(raised.value)
    assert all(str(path) in message for path in (mat, png, jpeg))
    assert f"{small} is 10×20, but {sbd / 'cls/2010_000003.mat'} is 160×96" in message
    assert message.count("\n") == 5 and message.endswith("13 images would remain")
    assert not (tmp_path / "data/pascal/manifest.json").exists()


def test_missing_files_are_named(tiny: TinyPascal, tmp_path: Path) -> None:
    folder = unpacked(tiny, tmp_path / "mine")
    gone = [
        folder / VOC_FOLDER / "JPEGImages/2010_000000.jpg",
        folder / VOC_FOLDER / f"SegmentationClass/{BOTH_TRAIN}.png",
    ]
    for path in gone:
        path.unlink()
    with pytest.raises(DatasetError, match="these files are missing") as raised:
        run(tiny, tmp_path / "data", folder)
    assert all(str(path) in str(raised.value) for path in gone)


def test_missing_sources_are_listed_with_hashes_and_the_command(tmp_path: Path) -> None:
    tiny = write_tiny_pascal(tmp_path / "mine")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError) as raised:
        run(tiny, tmp_path / "data", tmp_path / "empty", lists="pfenet")
    message = str(raised.value)
    sources = Pascal(PascalOptions(lists="pfenet"), tiny.release).sources()
    assert len(sources) == 11
    for source in sources:
        assert f"{source.name} (" in message
        assert f"sha256 {source.sha256}" in message
        assert f"https://example.org/{source.name}" in message
    assert "--from" in message


def test_other_archives_than_the_published_are_refused(tiny: TinyPascal, tmp_path: Path) -> None:
    real = VOC2012_SBD.voc
    shutil.copy(tiny.folder / tiny.release.voc.name, tmp_path / real.name)
    with pytest.raises(DatasetError, match=f"{real.name} is not the expected file"):
        obtain([real], tmp_path / "raw", tmp_path)


def test_a_wrong_number_of_masks_is_said(tiny: TinyPascal, tmp_path: Path) -> None:
    dataset = run(replace(tiny, release=replace(tiny.release, masks=12_031)), tmp_path)
    assert (
        f"SegmentationClassAug has {len(tiny.labels)} masks, not 12,031"
        in dataset.manifest["notes"]
    )


def test_importing_the_builder_is_light() -> None:
    code = (
        "import json, sys, datasets_prep.datasets.pascal; "
        "heavy = {'scipy', 'torch', 'datasets', 'pyarrow', 'pandas', 'pycocotools'}; "
        "print(json.dumps(sorted(heavy & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=ROOT, check=True)
    assert json.loads(done.stdout) == []
