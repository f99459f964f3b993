"""Weights fetched ahead lie where the models look, with their digests; nothing here goes out."""

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import benchmarks.config.fetch
from benchmarks.cli import main
from benchmarks.config.fetch import Fetched, record
from datasets_prep.runtime.progress import Progress
from models.backbones import BACKBONES, dino
from models.backbones.base import load_backbone
from models.catalog import MODELS, load_model
from models.errors import ModelError
from models.weights import published

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONTENT = b"weights"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Hub:
    """A hub of one file a repository, kept as the real cache keeps it."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self.file, self.content, self.named = "model.safetensors", CONTENT, DIGEST
        self.asked: list[tuple[str, str | None]] = []

    def snapshot_download(
        self, repo: str, *, revision: str | None, allow_patterns: list[str]
    ) -> str:
        self.asked.append((repo, revision))
        folder = self.cache / repo.replace("/", "--")
        snapshot, blob = folder / "snapshots" / COMMIT, folder / "blobs" / self.named
        for path in (snapshot, blob.parent):
            path.mkdir(parents=True, exist_ok=True)
        if any(Path(self.file).match(pattern) for pattern in allow_patterns):
            blob.write_bytes(self.content)
            (snapshot / self.file).unlink(missing_ok=True)
            (snapshot / self.file).symlink_to(blob)
        return str(snapshot)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Hub:
    import huggingface_hub

    own = Hub(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", own.snapshot_download)
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.chdir(tmp_path)
    return own


def fetch(*names: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["models", "fetch", *names])
    assert result.exit_code == code, result.output
    return result


def test_what_is_fetched_is_recorded_with_its_digest(hub: Hub, tmp_path: Path) -> None:
    rows = json.loads(fetch("gf-sam", "persam", "--json").stdout)
    assert hub.asked == [("facebook/dinov2-large", None), ("facebook/sam-vit-huge", None)]
    assert [(row["source"], row["sha256"]) for row in rows] == [
        (f"facebook/dinov2-large@{COMMIT}", DIGEST),
        (f"facebook/sam-vit-huge@{COMMIT}", DIGEST),
    ]
    kept = json.loads((tmp_path / "data/weights.json").read_text())
    assert list(kept.values()) == rows
    assert DIGEST in fetch("facebook/sam-vit-huge@main").stdout
    assert hub.asked[-1] == ("facebook/sam-vit-huge", "main")


def test_pickles_are_taken_where_nothing_else_is(hub: Hub) -> None:
    hub.file = "pytorch_model.bin"
    assert "pytorch_model.bin" in fetch("a/b").stdout
    hub.file = "notes.md"
    assert "c/d holds no weights" in fetch("c/d", code=2).stderr


def test_a_damaged_or_changed_file_is_refused(hub: Hub) -> None:
    fetch("a/b")
    hub.content = b"torn"
    assert "is damaged: its sha256 is" in fetch("a/b", code=2).stderr
    hub.named = hashlib.sha256(b"torn").hexdigest()
    assert f"and {DIGEST} when it was fetched first" in fetch("a/b", code=2).stderr


def test_a_hub_that_does_not_answer_is_one_message(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dropped(*args: object, **kwargs: object) -> str:
        raise ConnectionError("the line dropped\nand more")

    monkeypatch.setattr("huggingface_hub.snapshot_download", dropped)
    assert fetch("seggpt", code=2).stderr == (
        "error: cannot get BAAI/seggpt-vit-large from the hub (the line dropped and more); the "
        "same command goes on with what is not whole yet\n"
    )


@pytest.mark.usefixtures("hub")
def test_torchvisions_file_is_held_to_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def download(urls: list[str], target: Path, *, progress: Progress) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(CONTENT)

    monkeypatch.setattr(benchmarks.config.fetch, "download", download)
    assert "resnet50-0676ba61.pth is damaged" in fetch("resnet50", code=2).stderr
    right = published.Published((f"https://example.org/net-{DIGEST[:8]}.pth",))
    monkeypatch.setattr(benchmarks.config.fetch, "PARTS", {"resnet50": right})
    assert DIGEST in fetch("resnet50").stdout
    assert (tmp_path / f"torch/hub/checkpoints/net-{DIGEST[:8]}.pth").read_bytes() == CONTENT


@pytest.mark.usefixtures("hub")
def test_a_file_is_held_to_the_digest_behind_its_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def download(urls: list[str], target: Path, *, progress: Progress) -> None:
        assert urls[0].endswith("/weights/mobile_sam.pt")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(CONTENT)

    monkeypatch.setattr(benchmarks.config.fetch, "download", download)
    with pytest.raises(ModelError, match="run: bench models fetch mobile-sam"):
        load_model("persam", {"weights": "mobile-sam"})
    assert "mobile_sam.pt is damaged" in fetch("mobile-sam", code=2).stderr
    address = published.SAMS["mobile-sam"].sources[0].partition("#")[0]
    right = published.Published((f"{address}#sha256={DIGEST}",))
    monkeypatch.setattr(benchmarks.config.fetch, "PARTS", {"mobile-sam": right})
    assert DIGEST in fetch("mobile-sam").stdout
    assert (tmp_path / "torch/hub/checkpoints/mobile_sam.pt").is_file()
    # It is there now, and read: these bytes are no checkpoint.
    with pytest.raises(ModelError, match=r"mobile_sam\.pt"):
        load_model("persam", {"weights": "mobile-sam"})


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("seggtp", "unknown model or backbone 'seggtp'; did you mean seggpt or"),
        ("prototype", "run: pip install 'fss-bench[demo]'"),
        ("hsnet", "hsnet has no weights to fetch: the authors' best_model.pt"),
    ],
)
def test_what_cannot_be_fetched_is_said(name: str, message: str) -> None:
    assert message in fetch(name, code=2).stderr


def test_the_table_of_weights_is_what_the_models_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert set(published.MODELS) <= set(MODELS) and set(published.BACKBONES) <= set(BACKBONES)
    for name, known in published.MODELS.items():
        card = MODELS[name].card
        assert all(source in card.weights for source in known.sources), name
        assert known.gated == ("gated" in card.weights), name
    for name, known in published.BACKBONES.items():
        if name.startswith("dino"):
            assert known.sources == (getattr(dino, name.replace("-", "_")).args[0].repo,)
        elif known.sources:
            with pytest.raises(ModelError, match=f"download {known.sources[0]} into"):
                load_backbone(name)


def test_the_models_table_fits_a_terminal() -> None:
    done = CliRunner().invoke(main, ["models"])
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 120
    row = next(line for line in lines if line.split()[:1] == ["persam"])
    assert row.split() == [
        "persam", "2305.03048", "2023", "641M", "1024", "facebook/sam-vit-huge", "partly", "tiny"
    ]  # fmt: skip
    entries = json.loads(CliRunner().invoke(main, ["models", "--json"]).stdout)
    assert {entry["name"] for entry in entries} == set(MODELS)
    assert {"licence", "gated", "training_data", "sees_test_classes", "extras"} <= set(entries[0])


def test_the_wide_table_says_all_that_a_reader_must_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    record(tmp_path, [Fetched("facebook/dinov2-large@0123456789abcdef", "m.safetensors", 1, "0")])
    lines = CliRunner().invoke(main, ["models", "--wide"]).stdout.splitlines()
    rows = {line.split()[0]: line for line in lines[2:] if not line.startswith(" " * 8)}
    assert rows.keys() >= set(MODELS)
    for word in ("0123456789ab", "DINOv2 Apache-2.0", "SA-1B", "partly: camvid, coco, fss1000"):
        assert word in rows["gf-sam"]
    assert "main" in rows["seggpt"] and "yes: coco" in rows["seggpt"]
    assert "demo" in rows["prototype"] and "no: others" in rows["prototype"]
