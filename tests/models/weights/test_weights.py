"""Weights files: found, read without running code, and refused where they do not fit."""

import hashlib
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from models.errors import ModelError
from models.weights.source import (
    Weights,
    file_digest,
    fill,
    locate,
    read_tensors,
    read_weights,
    tensor_digest,
    without_prefix,
)
from models.weights.trained_on import told_by

HINT = "download it from somewhere"


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    return {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.zeros(2)}


def test_both_formats_give_the_same_tensors_and_the_files_sha256(
    tmp_path: Path, state: dict[str, torch.Tensor]
):
    save_file(state, tmp_path / "w.safetensors")
    torch.save(state, tmp_path / "w.pth")
    for name in ("w.safetensors", "w.pth"):
        weights = read_weights(str(tmp_path / name), hint=HINT)
        assert weights.source == name
        assert weights.digest == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
        assert weights.tensors.keys() == state.keys()
        assert torch.equal(weights.tensors["a.weight"], state["a.weight"])


@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
def test_wrappers_and_dataparallels_prefix_come_off(
    tmp_path: Path, state: dict[str, torch.Tensor], wrapper: str
):
    saved = {wrapper: {f"module.{name}": t for name, t in state.items()}, "epoch": 3}
    torch.save(saved, tmp_path / "w.pt")
    assert read_tensors(tmp_path / "w.pt").keys() == state.keys()


def test_a_prefix_stays_where_not_all_names_have_it():
    tensors = {"module.a": torch.zeros(1), "b": torch.zeros(1)}
    assert without_prefix(tensors, "module.").keys() == tensors.keys()


class Trap:
    def __reduce__(self):
        return (Path.touch, (Path("trap-was-sprung"),))


def test_a_checkpoint_that_would_run_code_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    torch.save({"a": Trap()}, "w.pth")
    with pytest.raises(ModelError, match="more than tensors, which is never loaded"):
        read_tensors(Path("w.pth"))
    Path("plain.pt").write_bytes(pickle.dumps({"a": Trap()}, protocol=2))
    with pytest.raises(ModelError, match=r"plain\.pt"):
        read_tensors(Path("plain.pt"))
    assert not Path("trap-was-sprung").exists()


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
@pytest.mark.parametrize("content", [b"", b"<html>not found</html>"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=name.replace(".", r"\.")):
        read_tensors(tmp_path / name)


def test_a_truncated_file_is_named(tmp_path: Path, state: dict[str, torch.Tensor]):
    for name, save in (("w.safetensors", save_file), ("w.pth", torch.save)):
        save(state, tmp_path / name)
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(ModelError, match=name.replace(".", r"\.")):
            read_tensors(tmp_path / name)


def test_something_beside_tensors_is_no_state_dict(tmp_path: Path):
    torch.save({"lr": 0.1}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match="no state dict"):
        read_tensors(tmp_path / "w.pth")


def test_a_folder_gives_safetensors_first(tmp_path: Path, state: dict[str, torch.Tensor]):
    torch.save(state, tmp_path / "pytorch_model.bin")
    assert locate(str(tmp_path), hint=HINT).path.name == "pytorch_model.bin"
    save_file(state, tmp_path / "model.safetensors")
    located = locate(str(tmp_path), hint=HINT)
    assert located.path.name == "model.safetensors"
    assert located.source == f"{tmp_path.name}/model.safetensors"


def test_what_is_missing_ends_in_the_hint(tmp_path: Path):
    for spec in (str(tmp_path), str(tmp_path / "gone.pth"), "weights/gone.pth", "gone"):
        with pytest.raises(ModelError, match=HINT):
            locate(spec, hint=HINT)


def test_a_hub_id_is_asked_of_the_hub_with_its_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: dict[str, torch.Tensor]
):
    from huggingface_hub.errors import EntryNotFoundError

    commit = "0123456789abcdef0123456789abcdef01234567"
    asked = []

    def download(repo: str, name: str, *, revision: str | None) -> str:
        asked.append((repo, name, revision))
        if not name.endswith(".bin"):
            raise EntryNotFoundError("404")
        path = tmp_path / "snapshots" / commit / name
        path.parent.mkdir(parents=True)
        torch.save(state, path)
        return str(path)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    weights = read_weights("some/net@v2", hint=HINT)
    assert asked == [
        ("some/net", "model.safetensors", "v2"),
        ("some/net", "model.safetensors.index.json", "v2"),
        ("some/net", "pytorch_model.bin", "v2"),
    ]
    assert weights.source == f"some/net@{commit}"
    assert weights.tensors.keys() == state.keys()


def test_an_unreachable_hub_is_one_clear_message(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)

    def download(repo: str, name: str, *, revision: str | None) -> str:
        raise OSError("no route to host\nand much more")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    with pytest.raises(
        ModelError, match=rf"some/net from the hub \(no route to host and.*; {HINT}"
    ):
        locate("some/net", hint=HINT)


def weights(**tensors: torch.Tensor) -> Weights:
    return Weights(tensors, "w.pth", "0" * 64)


def test_fill_names_everything_that_does_not_fit_at_once():
    wrong = {"weight": torch.zeros(3, 2), "extra": torch.zeros(1), "more": torch.zeros(1)}
    with pytest.raises(ModelError) as error:
        fill(nn.Linear(3, 2), weights(**wrong), name="net")
    assert str(error.value) == (
        "w.pth does not fit net: 1 missing (bias), 2 unexpected (extra, more), "
        "1 of another shape (weight)"
    )


def test_fill_puts_the_weights_into_a_network_without_memory():
    with torch.device("meta"):
        network = nn.Linear(3, 2)
    fill(network, weights(weight=torch.ones(2, 3), bias=torch.zeros(2)), name="net")
    assert network(torch.ones(3)).tolist() == [3.0, 3.0]


def test_old_checkpoints_without_batch_counts_fit():
    """torchvision's were saved before batch norm counted its batches."""
    state = nn.BatchNorm2d(2).state_dict()
    del state["num_batches_tracked"]
    with torch.device("meta"):
        network = nn.BatchNorm2d(2)
    fill(network, weights(**state), name="net")
    assert not network.num_batches_tracked.is_meta


def test_tensor_digest_sees_values_names_and_all_dtypes():
    def network(value: float, dtype: torch.dtype) -> nn.Module:
        linear = nn.Linear(1, 1).to(dtype)
        nn.init.constant_(linear.weight, value)
        nn.init.zeros_(linear.bias)
        return linear

    kinds = [network(1, torch.float32), network(2, torch.float32), network(1, torch.bfloat16)]
    digests = [tensor_digest(kind) for kind in [*kinds, nn.Sequential(kinds[0])]]
    assert len(set(digests)) == 4
    assert tensor_digest(network(1, torch.float32)) == digests[0]


def test_file_digest_of_nothing(tmp_path: Path):
    (tmp_path / "empty").touch()
    assert file_digest(tmp_path / "empty").startswith("e3b0c44298fc1c14")


@pytest.mark.parametrize("spec", ["~nobody-of-this-name/w.pth", 300 * "a", "a\0b"])
def test_what_can_be_no_path_is_named_too(spec: str):
    with pytest.raises(ModelError, match="no weights at "):
        locate(spec, hint=HINT)
    assert told_by({"weights": spec}) == ()
