import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from datasets_prep.archives.checksums import hash_file
from datasets_prep.archives.sources import SourceFile
from datasets_prep.builder import BuilderOptions
from datasets_prep.datasets.fss1000 import FSS1000, FSS1000_RELEASE, Release, _folds
from datasets_prep.episodes.episode import digest
from datasets_prep.episodes.hsnet import draw
from datasets_prep.episodes.pool import EpisodePool
from datasets_prep.episodes.published import expected_digest
from datasets_prep.errors import DatasetError
from datasets_prep.formats import splitfiles
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.prepared.faults import Faults
from datasets_prep.prepared.prepare import PrepareOptions, prepare, verify

SIDE = 24
NAMES = {"trn": ["taxi", "ab_wheel"], "val": ["zebra"], "test": ["hen", "abe's_flyingfish"]}
FIRST = {"trn": 0, "val": 2, "test": 3}
EMPTY = "hen/7"


@dataclass(frozen=True)
class TinyFSS:
    folder: Path
    release: Release
    masks: dict[str, NDArray[np.bool_]]


@pytest.fixture(scope="module", autouse=True)
def few_classes() -> Iterator[None]:
    """The real numbers of classes would make ten thousand images."""
    with pytest.MonkeyPatch.context() as patch:
        for part, first in FIRST.items():
            patch.setitem(splitfiles.FSS_FIRST_CLASS, part, first)
        yield


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyFSS:
    return write(tmp_path_factory.mktemp("archives"))


@pytest.fixture(scope="module")
def prepared(tiny: TinyFSS, tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return run(tiny, tmp_path_factory.mktemp("data"))


def write(folder: Path) -> TinyFSS:
    """The official layout: RGB masks with soft edges, and lists with Windows line ends."""
    random = np.random.RandomState(0)
    masks = {}
    with zipfile.ZipFile(folder / "fewshot_data.zip", "w") as bundle:
        bundle.writestr("fewshot_data/fewshot_data/Thumbs.db", b"")
        for name in (name for names in NAMES.values() for name in names):
            for number in range(1, 11):
                grey = random.randint(0, 256, (SIDE, SIDE)).astype(np.uint8)
                grey[:2, :2] = [[127, 128], [129, 126]]
                if f"{name}/{number}" == EMPTY:
                    grey[:] = 127
                masks[f"{name}/{number}"] = grey >= 128
                stem = f"fewshot_data/fewshot_data/{name}/{number}"
                bundle.writestr(f"{stem}.png", encoded(np.stack([grey] * 3, axis=2), "PNG"))
                bundle.writestr(f"{stem}.jpg", encoded(np.stack([255 - grey] * 3, axis=2), "JPEG"))
    (folder / "fss").mkdir()
    for part, names in NAMES.items():
        (folder / f"fss/{part}.txt").write_bytes("".join(f"{n}\r\n" for n in names).encode())
    release = Release(
        archive=source(folder, "fewshot_data.zip", "fewshot_data/fewshot_data"),
        lists={part: source(folder, f"fss/{part}.txt", None) for part in NAMES},
    )
    return TinyFSS(folder, release, masks)


def encoded(pixels: NDArray[np.uint8], kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind)
    return buffer.getvalue()


def source(folder: Path, name: str, inner: str | None) -> SourceFile:
    sha256 = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    return SourceFile(name=name, sha256=sha256, extracted_size=0, folder=inner)


def run(
    tiny: TinyFSS, data_root: Path, from_dir: Path | None = None, jobs: int = 1, embed: bool = False
) -> PreparedDataset:
    options = PrepareOptions(data_root, from_dir or tiny.folder, jobs=jobs, embed_images=embed)
    return prepare(FSS1000(BuilderOptions(), tiny.release), options)


def test_masks_are_grey_levels_from_128_on(tiny: TinyFSS, prepared: PreparedDataset) -> None:
    assert prepared.classes == ("ab_wheel", "taxi", "zebra", "abe's_flyingfish", "hen")
    assert len(prepared.image_ids) == 50
    for image, mask in tiny.masks.items():
        index = prepared.classes.index(image.split("/")[0])
        np.testing.assert_array_equal(prepared.mask(image, index), mask)
        assert not prepared.mask(image, (index + 1) % 5).any()
    assert prepared.mask("taxi/1", 1)[:2, :2].tolist() == [[0, 1], [1, 0]]
    assert verify(prepared, full=True) == []


def test_there_is_one_fold_of_the_published_classes(prepared: PreparedDataset) -> None:
    (fold,) = prepared.folds.folds
    assert (fold.base, fold.novel) == ((0, 1), (3, 4))
    as_text = [f"abe's_flyingfish/{n}" for n in (1, 10, 2, 3, 4, 5, 6, 7, 8, 9)]
    assert [image for image, index in fold.test if index == 3] == as_text
    assert fold.images_of[4] == tuple(f"hen/{n}" for n in range(1, 11))
    assert fold.train == tuple(
        (f"{name}/{n}", index) for index, name in enumerate(["ab_wheel", "taxi"])
        for n in range(1, 11)
    )  # fmt: skip
    splits = dict(zip(prepared.image_ids, prepared._table.column("split").to_pylist(), strict=True))
    assert (splits["taxi/1"], splits["zebra/1"], splits["hen/1"]) == ("train", "val", "test")
    assert f"1 masks have no pixel: {EMPTY}" in prepared.manifest["notes"]


def test_every_test_image_is_asked_once(prepared: PreparedDataset) -> None:
    episodes = prepared.episodes("hsnet", 0, 1)
    assert [(e.query, e.class_index) for e in episodes] == list(prepared.folds.folds[0].test)
    assert len(prepared.episodes("fixed-v1", 0, 5)) == 1000


def test_workers_folders_and_embedding_change_nothing(
    tiny: TinyFSS, prepared: PreparedDataset, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    with zipfile.ZipFile(tiny.folder / "fewshot_data.zip") as bundle:
        bundle.extractall(folder)
    (folder / "fss").mkdir()
    for part in NAMES:
        (folder / f"fss/{part}.txt").write_bytes((tiny.folder / f"fss/{part}.txt").read_bytes())
    copied = run(tiny, tmp_path / "data", folder, jobs=2)
    assert copied.digest == prepared.digest
    assert (copied.root / "raw/images/hen/7.jpg").is_file()
    (folder / "fewshot_data/fewshot_data").rename(folder / "inner")
    (folder / "fewshot_data").rmdir()
    (folder / "inner").rename(folder / "fewshot_data")  # one level, as some archives have it
    embedded = run(tiny, tmp_path / "embedded", folder, embed=True)
    assert embedded.digest == prepared.digest
    assert not list((embedded.root / "raw").rglob("*.jpg"))


def test_every_wrong_file_is_named(tiny: TinyFSS, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    with zipfile.ZipFile(tiny.folder / "fewshot_data.zip") as bundle:
        bundle.extractall(folder)
    (folder / "fss").symlink_to(tiny.folder / "fss")
    inner = folder / "fewshot_data/fewshot_data"
    (inner / "taxi/3.png").unlink()
    (inner / "zebra/10.jpg").write_bytes((inner / "zebra/10.jpg").read_bytes()[:200])
    Image.new("L", (SIDE, SIDE + 1)).save(inner / "hen/2.png")
    with pytest.raises(DatasetError) as caught:
        run(tiny, tmp_path / "data", folder)
    lines = str(caught.value).splitlines()
    assert len(lines) == 5 and lines[4].endswith("47 images would remain")
    assert "taxi/3.png is not a readable mask" in lines[1]
    assert "zebra/10.jpg is not a readable image" in lines[2]
    assert "hen/2.jpg is 24×24, but" in lines[3]
    assert lines[3].endswith("hen/2.png is 24×25")
    assert not (tmp_path / "data/fss1000/manifest.json").exists()


def test_the_published_lists_give_the_published_episodes(
    shared_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part, first in (("trn", 0), ("val", 520), ("test", 760)):
        monkeypatch.setitem(splitfiles.FSS_FIRST_CLASS, part, first)
    folder = shared_dir / "reference/splits/fss"
    for part, file in FSS1000_RELEASE.lists.items():
        assert hash_file(folder / f"{part}.txt").sha256 == file.sha256
    folds = _folds(folder, [], Faults(), {}, {})
    assert (len(folds.folds[0].novel), folds.published_episodes) == (240, 2400)
    for shots in (1, 5):
        actual = digest(draw(EpisodePool("fss1000", folds, folds.folds[0]), shots))
        assert actual == expected_digest("fss1000", folds, "hsnet", 0, shots)
