"""Files made to run code, fill the memory or exhaust the stack: one message each, nothing else.

Elsewhere: pickles in checkpoints (`tests/models/test_weights.py`), split pickles with globals
(`tests/datasets_prep/test_splitfiles.py`), archives (`tests/datasets_prep/test_archives.py`), YAML
that makes objects (`tests/benchmarks/test_configfile.py`), and everything at random
(`tests/fuzz/`).
"""

import json
import struct
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import EpsImagePlugin, Image
from safetensors.torch import save_file

from benchmarks.config.file import load_config
from benchmarks.config.overrides import Overrides, apply
from benchmarks.errors import BenchError
from benchmarks.results.store import RunKey, find_unfinished, read_result
from benchmarks.train.job import load_job
from datasets_prep.datasets.folder.fold_file import read_fold_file
from datasets_prep.errors import DatasetError
from datasets_prep.formats.imagefile import checked_image
from models.errors import ModelError
from models.weights.source import read_tensors
from tests.leaderboards.synthetic import write_run

KEY = RunKey("toy", "fixed-v1", "alpha", 0, 1)


def safetensors(header: bytes, length: int | None = None, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def tensor(shape: list[int], offsets: list[int], dtype: str = "F32") -> bytes:
    return json.dumps({"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}).encode()


@pytest.mark.parametrize(
    "content",
    [
        safetensors(b"{}", length=2**63),
        safetensors(b"{}", length=2**64 - 1),
        safetensors(b"{}", length=99_999_999),
        safetensors(b"[" * 200_000),
        safetensors(tensor([2**40], [0, 2**42])),
        safetensors(tensor([2**32, 2**32], [0, 4]), data=bytes(4)),
        safetensors(tensor([1], [4, 0]), data=bytes(4)),
        safetensors(tensor([1], [2**40, 2**40 + 4]), data=bytes(4)),
        safetensors(tensor([-1], [0, 4]), data=bytes(4)),
        safetensors(tensor([1], [0, 4], "X99"), data=bytes(4)),
    ],
)
def test_a_safetensors_header_that_lies(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"cannot read the weights .*w\.safetensors"):
        read_tensors(path)


def test_code_beside_weights_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from models.weights.networks import architecture, read_network

    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "weights"
    folder.mkdir()
    for module in ("modeling_evil", "configuration_evil"):
        (folder / f"{module}.py").write_text("open('ran', 'w').close()\n")
    auto = {"AutoConfig": "configuration_evil.C", "AutoModel": "modeling_evil.M"}
    config = {"model_type": "clipseg", "auto_map": auto, "architectures": ["CLIPSegModel"]}
    (folder / "config.json").write_text(json.dumps(config | {"vision_config": {}, "x": auto}))
    save_file({"a": torch.zeros(1)}, folder / "model.safetensors")
    cls = architecture("CLIPSegForImageSegmentation", of="test")
    small = {"num_hidden_layers": 1, "hidden_size": 8, "intermediate_size": 8, "vocab_size": 9}
    small |= {"num_attention_heads": 1}
    config |= {"text_config": small, "vision_config": small, "projection_dim": 8}
    (folder / "config.json").write_text(json.dumps(config | {"extract_layers": [0]}))
    with pytest.raises(ModelError, match="does not fit test"):
        read_network(cls, str(folder), name="test", hint="there is none")
    assert not Path("ran").exists()


@pytest.mark.parametrize("text", ["", "[]", "7", '{"model_type": 7}', "[" * 100_000, "\udcff"])
def test_a_config_that_is_none(tmp_path: Path, text: str) -> None:
    from models.weights.networks import architecture, read_network

    (tmp_path / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    cls = architecture("CLIPSegForImageSegmentation", of="test")
    with pytest.raises(ModelError):
        read_network(cls, str(tmp_path), name="test", hint="there is none")


def test_a_small_table_of_many_rows_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path)
    path = KEY.folder(tmp_path) / "episodes.parquet"
    table = pq.read_table(path)
    indices = pa.array([0], pa.int64()).take(pa.array([0] * 3_000_000))
    pq.write_table(table.take(indices), path, compression="zstd")
    assert path.stat().st_size < 1_000_000
    monkeypatch.setattr(pq.ParquetFile, "read", None)
    with pytest.raises(BenchError, match="does not hold the 40 episodes"):
        read_result(tmp_path, KEY)


def with_queries(root: Path, names: list[str]) -> Path:
    """The finished run with other query names, as small as zstd makes them."""
    write_run(root)
    path = KEY.folder(root) / "episodes.parquet"
    table = pq.read_table(path)
    place = table.schema.get_field_index("query")
    column = pa.array(names).dictionary_encode()
    table = table.set_column(place, table.schema.field(place), column)
    pq.write_table(table, path, compression="zstd")
    assert path.stat().st_size < 1_000_000
    return path


def test_a_small_table_of_long_names_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_queries(tmp_path, [f"{n}{'x' * 100_000}" for n in range(40)])
    monkeypatch.setattr(pq.ParquetFile, "read", None)
    with pytest.raises(BenchError, match="unpacks to more than 40 episodes can take"):
        read_result(tmp_path, KEY)


@pytest.mark.parametrize("length", [1000, 1001])
def test_a_name_that_many_rows_share_has_an_end(tmp_path: Path, length: int) -> None:
    with_queries(tmp_path, ["é" * length] * 40)
    if length == 1000:
        assert read_result(tmp_path, KEY).queries == ("é" * length,) * 40
    else:
        with pytest.raises(BenchError, match="names an image in more than 1,000 characters"):
            read_result(tmp_path, KEY)


@pytest.mark.parametrize("name", ["run.json", "journal.jsonl"])
def test_nesting_that_would_exhaust_the_stack(tmp_path: Path, name: str) -> None:
    write_run(tmp_path)
    deep = b'{"setup": ' + b"[" * 200_000 + b"\n"
    (KEY.folder(tmp_path) / name).write_bytes(deep)
    if name == "run.json":
        with pytest.raises(BenchError, match=r"run\.json is not a result"):
            read_result(tmp_path, KEY)
    else:
        assert find_unfinished(tmp_path) == []


def test_an_option_makes_no_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    evil = "random.seed=!!python/object/apply:os.system ['touch ran']"
    with pytest.raises(BenchError, match="is not a YAML value"):
        apply(load_config(), Overrides(models=["random"], options=[evil]))
    assert not Path("ran").exists()


@pytest.mark.parametrize(
    "value", ["2001-99-99", "!!int x", "!!int ''", "!!bool x", "!!timestamp x", "1:" * 300 + "1."]
)
def test_yaml_whose_value_does_not_fit_its_tag(tmp_path: Path, value: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"limit: {value}\n")
    with pytest.raises(BenchError, match=r"a\.yaml: this is not YAML: a value does not fit"):
        load_config(path)
    with pytest.raises(BenchError, match=r"cannot read .*a\.yaml: a value does not fit"):
        load_job(str(path), {})
    with pytest.raises(BenchError, match=r"train\.steps: .* is not a YAML value"):
        load_job(None, {"train.steps": value})
    with pytest.raises(BenchError, match=r"--option .* is not a YAML value"):
        apply(load_config(), Overrides(models=["random"], options=[f"random.seed={value}"]))
    path.write_text("train: 5\n")
    with pytest.raises(BenchError, match=r"a\.yaml: train: expected settings, found 5"):
        load_job(str(path), {"train.steps": "3"})
    path.write_text(f"folds: [[{value}]]\n")
    with pytest.raises(DatasetError, match=r"cannot read the fold file .*a\.yaml"):
        read_fold_file(path, ["cat"])


@pytest.mark.parametrize("kind", ["EPS", "GIF", "ICNS", "PPM", "TGA"])
def test_an_image_of_no_dataset_meets_no_decoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """An EPS makes Pillow start Ghostscript, whatever the file is called."""
    ghostscript = tmp_path / "gs"
    ghostscript.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    ghostscript.chmod(0o755)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", str(ghostscript))
    path = tmp_path / "a.jpg"
    Image.new("RGB", (16, 16)).save(path, format=kind)
    with pytest.raises(DatasetError, match=r"a\.jpg is not a readable image: it is no JPEG, PNG"):
        checked_image(path)
    assert not (tmp_path / "ran").exists()
