"""Whatever the hub's client raises is one message with what to do."""

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from models.errors import ModelError
from models.weights.source import INDEX, locate, read_weights, weights_digest

HINT = "download it from somewhere"


def client_error(package: str, name: str) -> Callable[[], Exception]:
    """An error of the HTTP client of one major version of the hub's package."""

    def make() -> Exception:
        return getattr(pytest.importorskip(package), name)("the line dropped")  # type: ignore[no-any-return]

    return make


def hub_error(name: str, message: str) -> Callable[[], Exception]:
    def make() -> Exception:
        errors = importlib.import_module("huggingface_hub.errors")
        kind = getattr(errors, name)
        error = kind.__new__(kind)
        Exception.__init__(error, message)
        return error  # type: ignore[no-any-return]

    return make


def not_found_locally() -> Exception:
    error = hub_error("LocalEntryNotFoundError", "Please check your connection")()
    error.__cause__ = ConnectionError("no route to host")
    return error


ERRORS = {
    "httpx": (client_error("httpx", "ConnectError"), r"\(the line dropped\); the same command"),
    "httpx2": (client_error("httpx2", "ReadError"), r"\(the line dropped\); the same command"),
    "connection": (not_found_locally, r"connection \(no route to host\)\); the same command"),
    "html": (
        lambda: json.JSONDecodeError("Expecting value", "<html>", 0),
        "answers as no hub does",
    ),
    "portal": (
        hub_error("FileMetadataError", "Distant resource does not seem to be on huggingface.co"),
        "answers as no hub does: a login page of this network, or a mirror",
    ),
    "socks": (
        lambda: ImportError("Using SOCKS proxy, but the 'socksio' package is not installed."),
        "pip install socksio, or take the SOCKS proxy out of ALL_PROXY",
    ),
    "missing": (
        hub_error("RepositoryNotFoundError", "401 Client Error"),
        "there is no repository some/net, or it is private; check the name, or let",
    ),
    "gated": (
        hub_error("GatedRepoError", "401"),
        "accept its terms at https://huggingface.co/some/",
    ),
    "revision": (hub_error("RevisionNotFoundError", "404"), "some/net has no revision v2"),
    "401": (
        hub_error("HfHubHTTPError", "401 Client Error (Request ID)\n\nInvalid user name."),
        r"\(401 Client Error \(Request ID\) Invalid user name.\); let this machine in",
    ),
}


@pytest.mark.parametrize(("make", "said"), ERRORS.values(), ids=ERRORS)
@pytest.mark.parametrize("verb", ["locate", "fetch"])
def test_errors_of_the_hub_are_one_line(
    monkeypatch: pytest.MonkeyPatch, verb: str, make: Callable[[], Exception], said: str
) -> None:
    from benchmarks.config.fetch import fetch
    from datasets_prep.runtime.progress import SILENT

    def fails(*args: object, **kwargs: object) -> str:
        raise make()

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", fails)
    monkeypatch.setattr("huggingface_hub.snapshot_download", fails)
    with pytest.raises(ModelError, match=said) as caught:
        if verb == "locate":
            locate("some/net@v2", hint=HINT)
        else:
            fetch("some/net@v2", SILENT)
    assert "\n" not in str(caught.value)
    assert (HINT in str(caught.value)) == (verb == "locate")


@pytest.fixture
def parts(tmp_path: Path) -> dict[str, torch.Tensor]:
    """Weights in two parts with their index, in `tmp_path`; returns all of them."""
    tensors = {"a": torch.arange(3.0), "b": torch.ones(2, 2)}
    for number, name in enumerate(tensors, start=1):
        save_file({name: tensors[name]}, tmp_path / f"model-{number}.safetensors")
    places = {name: f"model-{number}.safetensors" for number, name in enumerate(tensors, start=1)}
    (tmp_path / f"model.safetensors{INDEX}").write_text(json.dumps({"weight_map": places}))
    return tensors


def test_weights_in_parts_are_read_whole(tmp_path: Path, parts: dict[str, torch.Tensor]) -> None:
    weights = read_weights(str(tmp_path), hint=HINT)
    assert weights.tensors.keys() == parts.keys()
    assert all(torch.equal(weights.tensors[name], tensor) for name, tensor in parts.items())
    before = weights_digest(locate(str(tmp_path), hint=HINT).path)
    save_file({"b": torch.zeros(2, 2)}, tmp_path / "model-2.safetensors")
    assert read_weights(str(tmp_path), hint=HINT).digest != before == weights.digest


def test_every_part_is_asked_of_the_hub(
    tmp_path: Path, parts: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub.errors import EntryNotFoundError

    asked = []

    def download(repo: str, name: str, **_: Any) -> str:
        asked.append(name)
        if not (tmp_path / name).exists():
            raise EntryNotFoundError("404")
        return str(tmp_path / name)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    assert read_weights("some/net", hint=HINT).tensors.keys() == parts.keys()
    assert asked[2:] == ["model-1.safetensors", "model-2.safetensors"]


@pytest.mark.parametrize("text", ["{}", "[", '{"weight_map": {"a": "../x.safetensors"}}'])
def test_an_index_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / f"model.safetensors{INDEX}").write_text(text)
    with pytest.raises(ModelError, match=r"model.safetensors.index.json (is no index|names)"):
        read_weights(str(tmp_path), hint=HINT)
