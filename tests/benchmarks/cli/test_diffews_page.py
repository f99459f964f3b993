"""The commands of docs/diffews.md on the released layout, built whole from tiny parts."""

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from benchmarks.cli import main
from benchmarks.config.file import read_config
from benchmarks.evaluation.plan import Plan, make_plan
from benchmarks.protocols.lists import drawn_lists
from benchmarks.results.records import ModelRecord, read_record
from datasets_prep.prepared.folds import FoldSet, contiguous, split
from datasets_prep.prepared.prepare import PrepareOptions, prepare
from models.catalog import load_model
from models.methods.diffews.parts import save_parts
from models.methods.diffews.unet import REFERENCE_CHANNELS
from models.weights.source import read_tensors
from tests.tiny import CLASSES, Tiny

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "diffews.md").read_text(encoding="utf-8").split("\n## Training")[0]
BASE = "stable-diffusion-2-1-ref8inchannels-tag4inchannels"
PICKLED = "diffusion_pytorch_model.bin"


def bench(*args: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, args)
    assert result.exit_code == code, result.output
    return result


def commands() -> Iterator[list[str]]:
    """The words of the section's `bench run` lines."""
    for block in re.findall(r"```sh\n(.*?)```", PAGE, re.S):
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if words[:2] == ["bench", "run"]:
                yield words[1:]


def prepare_as(name: str, data_root: Path) -> None:
    """The tiny dataset under another's name, a fold for each class."""

    class Renamed(Tiny):
        dataset = name

        def _folds(self, areas, splits) -> FoldSet:  # type: ignore[no-untyped-def]
            pairs = [(image, c) for image in areas for c in sorted(areas[image])]
            return FoldSet(split(contiguous(len(CLASSES), 4), pairs, pairs))

    prepare(Renamed(), PrepareOptions(data_root, shots=(1, 5, 10)))


def write_text_encoder(folder: Path) -> None:
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = CLIPTextConfig(
            hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
        )
        CLIPTextModel(config).save_pretrained(folder)


def write_release(weight: Path) -> None:
    """The release: the base as the authors' script writes it, and U-Nets in every allowed form."""
    parts = load_model("diffews", {"random": "tiny", "resolution": 64}).parts
    base = weight / BASE
    save_parts(parts, None, base)
    (base / "prompt_embeds.safetensors").unlink()
    write_text_encoder(base / "text_encoder")
    places = [f"coco_fold{fold}/unet" for fold in range(4)] + ["incontext/unet"]
    places += [f"../tuned/{fold}" for fold in range(4)]
    places[2] = "coco_fold2/unet/unet"
    for number, place in enumerate(places):
        own = replace(parts, vae_config=parts.vae_config)
        with torch.no_grad():
            own.unet.conv_out.bias += 0.01 * number
        save_parts(own, None, weight / "scratch", weight / place)
    for config in (*weight.glob("coco_fold*/**/config.json"), base / "unet" / "config.json"):
        body = json.loads(config.read_text())
        assert body.pop(REFERENCE_CHANNELS) == 8
        config.write_text(json.dumps(body))
    pickled = weight / "coco_fold1" / "unet"
    (file,) = pickled.glob("*.safetensors")
    torch.save(read_tensors(file), pickled / PICKLED)
    file.unlink()
    shutil.rmtree(weight / "scratch")


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where every command of the page has been walked with tiny lists and images."""
    folder = tmp_path_factory.mktemp("page")
    for name in ("coco", "pascal"):
        prepare_as(name, folder / "data")
    write_release(folder / "weight")
    shutil.copytree(ROOT / "docs" / "diffews", folder / "docs" / "diffews")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        walked = 0
        for words in commands():
            small = ["-o", "resolution=64", "--device", "cpu", "--limit", "1", "--quiet"]
            shots = [] if "docs/diffews/strict.yaml" in words else ["--shots", "1"]
            bench(*words, *small, *shots)
            walked += 1
        assert walked == 4
    return folder


def records(folder: Path, dataset: str, model: str) -> dict[int, ModelRecord]:
    found = folder.glob(f"results/{dataset}/*/{model}/fold*_1shot/run.json")
    setups = [read_record(path).setup for path in found]
    return {setup.fold: setup.model for setup in setups}


def known(model: ModelRecord) -> set[tuple[str, int | None, str]]:
    return {(entry.dataset, entry.fold, entry.source) for entry in model.trained_on or ()}


def test_released_folds_are_strict_each_on_its_own(there: Path) -> None:
    found = records(there, "coco", "diffews-strict")
    assert sorted(found) == [0, 1, 2, 3]
    for fold, model in found.items():
        assert (model.sees_test_classes, model.trained_fold) == ("no", fold)
        assert known(model) == {("coco", fold, f"folder name coco_fold{fold}")}
        assert model.config["inferred"] == {REFERENCE_CHANNELS: 8}
    assert len({model.weights_digest for model in found.values()}) == 4


def test_the_incontext_weights_have_seen_the_test_classes(there: Path) -> None:
    for dataset in ("coco", "pascal"):
        found = records(there, dataset, "diffews-incontext")
        assert {model.sees_test_classes for model in found.values()} == {"yes"} and len(found) == 4


def test_what_the_user_says_counts_where_the_weights_say_nothing(there: Path) -> None:
    found = records(there, "coco", "diffews")
    for fold, model in found.items():
        assert (model.sees_test_classes, model.trained_fold) == ("no", fold)
        assert known(model) == {("coco", fold, "--trained-on")}
    assert sorted(found) == [0, 1, 2, 3]


def test_a_fold_guards_itself_though_its_base_says_nothing(
    there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(there)
    one = ["run", "-d", "coco", "-p", "hsnet@512", "-k", "1", "-o", "resolution=64", "--limit", "1"]
    one += ["--models", "diffews", "--name", "guarded", "--checkpoint", f"weight/{BASE}"]
    bench(*one, "--unet", "weight/coco_fold0", "--device", "cpu")
    assert sorted(records(there, "coco", "guarded")) == [0]
    wrong = bench(*one, "--unet", "weight/coco_fold0", "--trained-on", "coco:1", code=2).output
    assert "fold 0 of coco (folder name coco_fold0)" in " ".join(wrong.split())


def test_pickled_weights_are_tensors_or_refused(there: Path, tmp_path: Path) -> None:
    shutil.copytree(there / "weight" / "coco_fold1", tmp_path / "unet")
    options = {"checkpoint": str(there / "weight" / BASE), "resolution": 64}
    model = load_model("diffews", {**options, "unet": str(tmp_path / "unet")})
    assert model.parameters > 0
    torch.save({"a": print}, tmp_path / "unet" / "unet" / PICKLED)
    with pytest.raises(Exception, match="holds more than tensors"):
        load_model("diffews", {**options, "unet": str(tmp_path / "unet")})


def test_fetch_prints_what_the_page_says() -> None:
    printed = bench("models", "fetch", "diffews").stdout
    assert f"```\n{printed}```" in PAGE and BASE in printed


@cache
def plan(splits: Path, dataset: str, fold: int, shots: int) -> Plan:
    (listed,) = drawn_lists(dataset, splits, "hsnet", (shots,), (fold,))
    return make_plan(listed.episodes, lambda image: (1, 1), 1)


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "diffews").glob("*.yaml")), ids=str)
def test_every_table_has_its_counts(shared_dir: Path, path: Path) -> None:
    config = read_config(path)
    plans = [
        plan(shared_dir / "reference" / "splits", dataset.name, fold, shots)
        for _ in config.models
        for dataset in config.datasets
        for fold in dataset.folds or range(4)
        for shots in dataset.shots
    ]
    encodes = sum(p.images + p.pairs for p in plans)
    naive = sum(p.naive_image_encodes + p.naive_support_encodes for p in plans)
    figures = [f"{n:,}" for n in (len(plans), sum(p.episodes for p in plans), encodes, naive)]
    row = " | ".join([*figures, f"{1 - encodes / naive:.0%} |"])
    (line,) = [line for line in PAGE.splitlines() if f"(diffews/{path.name})" in line]
    assert line.endswith(row)
