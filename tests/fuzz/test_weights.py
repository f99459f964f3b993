"""Mutated weights: safetensors, torch checkpoints, the configs and shard indices beside them."""

import io
import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save

from models.methods.diffews import checkpoint
from models.weights.networks import architecture, read_network
from models.weights.source import read_tensors
from tests.fuzz.mutate import fuzzed, mutated, mutated_value, read_or_refused
from tests.fuzz.test_results import as_json

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "b": torch.ones(2, dtype=torch.int64)}
SAFE = save(STATE)
HEADER = json.loads(SAFE[8 : 8 + struct.unpack("<Q", SAFE[:8])[0]])
DATA = SAFE[8 + struct.unpack("<Q", SAFE[:8])[0] :]


def with_header(header: Any) -> bytes:
    text = as_json(header)
    return struct.pack("<Q", len(text)) + text + DATA


def checkpoint_bytes(value: object, **options: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


PICKLED = [
    checkpoint_bytes(STATE),
    checkpoint_bytes({"state_dict": STATE}, _use_new_zipfile_serialization=False),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weights")


@fuzzed
@given(content=mutated(SAFE) | mutated_value(HEADER).map(with_header))
def test_safetensors(place: Path, content: bytes) -> None:
    path = place / "w.safetensors"
    path.write_bytes(content)
    read_or_refused("safetensors", lambda: read_tensors(path), path)
    read_or_refused("safetensors in parts", lambda: list(checkpoint.tensors(path)), path)


@fuzzed
@given(content=st.sampled_from(PICKLED).flatmap(mutated))
def test_torch_checkpoints(place: Path, content: bytes) -> None:
    path = place / "w.pt"
    path.write_bytes(content)
    read_or_refused("torch checkpoints", lambda: read_tensors(path), path)


INDEX = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}


@fuzzed
@given(content=mutated(as_json(INDEX)) | mutated_value(INDEX).map(as_json))
def test_shard_indices(place: Path, content: bytes) -> None:
    folder = place / "part"
    folder.mkdir(exist_ok=True)
    (folder / f"{checkpoint.WEIGHTS}.index.json").write_bytes(content)
    (folder / "config.json").write_bytes(content)

    def read() -> None:
        for path in checkpoint.weight_files(folder):
            assert path.parent == folder

    read_or_refused("shard index", read, folder)
    read_or_refused("diffusers config.json", lambda: checkpoint.read_config(folder), folder)


SMALL = {
    "num_hidden_layers": 1,
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_attention_heads": 1,
    "vocab_size": 9,
    "image_size": 32,
    "patch_size": 16,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
}
CONFIG = {
    "model_type": "clipseg",
    "text_config": SMALL,
    "vision_config": SMALL,
    "projection_dim": 8,
    "extract_layers": [0],
    "reduce_dim": 8,
    "torch_dtype": "float32",
}


@fuzzed
@given(content=mutated(as_json(CONFIG)) | mutated_value(CONFIG).map(as_json))
def test_network_configs(place: Path, content: bytes) -> None:
    folder = place / "network"
    folder.mkdir(exist_ok=True)
    (folder / "model.safetensors").write_bytes(SAFE)
    (folder / "config.json").write_bytes(content)
    cls = architecture("CLIPSegForImageSegmentation", of="a test")
    read_or_refused(
        "transformers config.json",
        lambda: read_network(cls, str(folder), name="a test", hint="there is none"),
        folder,
        "network/",
    )
