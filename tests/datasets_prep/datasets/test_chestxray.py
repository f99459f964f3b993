import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from datasets_prep.datasets.crossdomain.chestxray import NLM, ChestXray, ChestXrayOptions, Release
from datasets_prep.errors import DatasetError
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.prepared.prepare import verify
from tests.datasets_prep.crossdomain_fixture import Heard, encoded, grey, noise, run, write_zip

SHENZHEN = [f"CHNCXR_{n:04d}_{n % 2}" for n in range(1, 9)]
MONTGOMERY = ["MCUCXR_0001_0", "MCUCXR_0104_1", "MCUCXR_0108_1"]
WITHOUT_MASK = "CHNCXR_0025_0"
HEIGHT, WIDTH = 14, 16
TOP = "Lung Segmentation"


def lung(image: str, side: str = "both") -> NDArray[np.bool_]:
    """Two bars; how long they are depends on the image."""
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    end = 5 + int(image[7:11]) % 7
    if side != "right":
        mask[3:end, 2:5] = True
    if side != "left":
        mask[3:end, 9:13] = True
    return mask


def picture(image: str) -> bytes:
    """As in the archives: grey, as three channels for some."""
    pixels = noise(int(image[7:11]), HEIGHT, WIDTH)
    return encoded(pixels if image.endswith("1") else pixels[:, :, 0], "PNG")


def write_archives(folder: Path, **changed: bytes) -> Release:
    kaggle = {f"{TOP}/CXR_png/{i}.png": picture(i) for i in (*SHENZHEN, *MONTGOMERY, WITHOUT_MASK)}
    kaggle |= {f"{TOP}/masks/{i}_mask.png": encoded(grey(lung(i)), "PNG") for i in SHENZHEN}
    kaggle |= {f"{TOP}/masks/{i}.png": encoded(grey(lung(i)), "PNG") for i in MONTGOMERY}
    kaggle |= {f"{TOP}/test/{WITHOUT_MASK}.png": picture(WITHOUT_MASK)}
    kaggle |= {f"{TOP}/masks/{name.replace('__', '.')}": data for name, data in changed.items()}
    nlm = {f"MontgomerySet/CXR_png/{i}.png": picture(i) for i in MONTGOMERY}
    nlm |= {
        f"MontgomerySet/ManualMask/{side}Mask/{i}.png": encoded(grey(lung(i, side)), "PNG")
        for i in MONTGOMERY
        for side in ("left", "right")
    }
    return Release(
        kaggle=write_zip(folder / "chest-xray-masks-and-labels.zip", kaggle, TOP),
        montgomery=write_zip(folder / "NLM-MontgomeryCXRSet.zip", nlm, "MontgomerySet"),
        counts={"patnet": len(SHENZHEN), "all": len(SHENZHEN) + len(MONTGOMERY)},
    )


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Release]:
    folder = tmp_path_factory.mktemp("xray")
    return folder, write_archives(folder)


def prepared(archives: tuple[Path, Release], root: Path, **options: str) -> PreparedDataset:
    folder, release = archives
    return run(ChestXray(ChestXrayOptions.model_validate(options), release), root, folder)


def test_patnets_subset_is_shenzhen_alone(archives: tuple[Path, Release], tmp_path: Path) -> None:
    dataset = prepared(archives, tmp_path)
    assert dataset.image_ids == tuple(SHENZHEN)
    for image in SHENZHEN:
        np.testing.assert_array_equal(dataset.labels(image), lung(image))
    assert dataset.manifest["notes"] == []
    assert verify(dataset, full=True) == []


@pytest.mark.parametrize("origin", ["kaggle", "nlm"])
def test_all_has_montgomery_too_with_both_lungs(
    archives: tuple[Path, Release], tmp_path: Path, origin: str
) -> None:
    dataset = prepared(archives, tmp_path, subset="all", montgomery=origin)
    assert dataset.image_ids == (*SHENZHEN, *MONTGOMERY)
    for image in dataset.image_ids:
        np.testing.assert_array_equal(dataset.labels(image), lung(image))
    assert dataset.manifest["notes"] == []
    assert dataset.manifest["builder"]["options"] == {"subset": "all", "montgomery": origin}
    sources = set(dataset.manifest["sources"])
    assert ("NLM-MontgomeryCXRSet.zip" in sources) == (origin == "nlm")


def test_one_fold_of_one_class_and_600_episodes(
    archives: tuple[Path, Release], tmp_path: Path
) -> None:
    dataset = prepared(archives, tmp_path)
    (fold,) = dataset.folds.folds
    assert (fold.base, fold.novel, fold.train) == ((), (0,), ())
    assert fold.test == tuple((image, 0) for image in SHENZHEN)
    episodes = dataset.episodes("hsnet", 0, 1)
    assert len(episodes) == 600
    assert {e.query for e in episodes} == set(SHENZHEN)


def test_the_unpacked_folder_serves_as_well(archives: tuple[Path, Release], tmp_path: Path) -> None:
    folder, release = archives
    with zipfile.ZipFile(folder / release.kaggle.name) as opened:
        opened.extractall(tmp_path / "mine" / "data")
    builder = ChestXray(ChestXrayOptions(), release)
    dataset = run(builder, tmp_path / "copied", tmp_path / "mine")
    embedded = run(builder, tmp_path / "embedded", tmp_path / "mine", embed=True, jobs=2)
    assert dataset.digest == embedded.digest == prepared(archives, tmp_path / "b").digest
    assert verify(dataset, full=True) == verify(embedded, full=True) == []
    assert not (embedded.root / "raw" / "images").exists()


def test_the_kaggle_archive_must_be_brought(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        run(ChestXray(ChestXrayOptions()), tmp_path / "data", tmp_path)
    for part in (NLM.kaggle.name, NLM.kaggle.page, "bench prepare chestxray --from"):
        assert str(part) in str(caught.value)


def test_a_mask_without_an_image_is_named(tmp_path: Path) -> None:
    release = write_archives(
        tmp_path, CHNCXR_0099_0_mask__png=encoded(grey(lung("x" * 7 + "0001")), "PNG")
    )
    with pytest.raises(DatasetError, match=r"missing:\n.*CXR_png/CHNCXR_0099_0\.png"):
        run(ChestXray(ChestXrayOptions(), release), tmp_path / "data", tmp_path)


def test_a_mask_of_unknown_origin_is_named(tmp_path: Path) -> None:
    release = write_archives(tmp_path, JPCLN001__png=b"")
    with pytest.raises(DatasetError, match=r"neither Shenzhen's .*\n.*JPCLN001\.png"):
        run(ChestXray(ChestXrayOptions(), release), tmp_path / "data", tmp_path)


def test_an_empty_mask_is_counted_out(tmp_path: Path) -> None:
    empty = encoded(grey(np.zeros((HEIGHT, WIDTH), dtype=bool)), "PNG")
    release = write_archives(tmp_path, **{f"{SHENZHEN[0]}_mask__png": empty})
    heard = Heard()
    builder = ChestXray(ChestXrayOptions(), release)
    dataset = run(builder, tmp_path / "data", tmp_path, progress=heard)
    assert heard.notes == ["images with lungs: 7 (published 8, DIFFERS)"]
    assert (SHENZHEN[0], 0) not in dataset.folds.folds[0].test


def test_the_nlms_montgomery_is_no_part_of_patnets_subset() -> None:
    with pytest.raises(ValidationError, match="needs --subset all"):
        ChestXrayOptions(montgomery="nlm")
