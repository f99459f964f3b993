import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel

from models.errors import ModelError
from models.methods.diffews import DiffewS
from models.methods.diffews.checkpoint import WEIGHTS
from models.methods.diffews.convert import convert_sd2
from models.methods.diffews.unet import stock_config
from tests.models.methods.diffews.conftest import make_scene


@pytest.fixture
def sd2(tiny: DiffewS, tmp_path: Path) -> Path:
    """A Stable Diffusion 2 folder in small: half precision, and one part in two formats."""
    folder = tmp_path / "sd2"
    tiny.save_pretrained(folder)
    config = stock_config(tiny.parts.unet_config)
    (folder / "unet" / "config.json").write_text(json.dumps(config))
    state = load_file(folder / "unet" / WEIGHTS)
    state = {k: v.half() for k, v in state.items() if not k.startswith("conv_in_ref")}
    save_file(state, folder / "unet" / WEIGHTS)
    (folder / "vae" / "diffusion_pytorch_model.bin").write_bytes(b"the same in another format")
    text = CLIPTextConfig(
        hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    CLIPTextModel(text).save_pretrained(folder / "text_encoder")
    return folder


def test_the_second_input_is_the_first_repeated_and_halved(sd2: Path, tmp_path: Path) -> None:
    convert_sd2(sd2, tmp_path / "out")
    before, after = load_file(sd2 / "unet" / WEIGHTS), load_file(tmp_path / "out/unet" / WEIGHTS)
    weight, doubled = before["conv_in.weight"], after["conv_in_ref.weight"]
    assert doubled.dtype == weight.dtype
    assert torch.equal(doubled, torch.cat([weight, weight], 1) / 2)
    assert torch.equal(after["conv_in_ref.bias"], before["conv_in.bias"])
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_the_result_runs(sd2: Path, tmp_path: Path) -> None:
    convert_sd2(sd2, tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "scheduler",
        "text_encoder",
        "unet",
        "vae",
    ]
    assert not list((tmp_path / "out").rglob("*.bin"))
    model = DiffewS.from_pretrained(tmp_path / "out")
    scene = make_scene(model, 2)
    assert model.segment(scene.latents, [scene.supports] * 2).isfinite().all()


def test_weights_in_the_old_format_alone_are_copied(sd2: Path, tmp_path: Path) -> None:
    for name in ("vae/diffusion_pytorch_model", "text_encoder/model"):
        file = (sd2 / name).with_suffix(".safetensors")
        shutil.copyfile(file, file.with_suffix(".fp16.safetensors"))
        torch.save(load_file(file), (sd2 / name).with_suffix(".bin"))
        file.unlink()
    (sd2 / "text_encoder" / "model.bin").rename(sd2 / "text_encoder" / "pytorch_model.bin")
    convert_sd2(sd2, tmp_path / "out")
    left = {path.name for path in (tmp_path / "out").glob("[vt]*/*") if path.suffix != ".json"}
    assert left == {"diffusion_pytorch_model.bin", "pytorch_model.bin"}
    DiffewS.from_pretrained(tmp_path / "out")


def test_nothing_is_overwritten_and_nothing_half_done_stays(sd2: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(ModelError, match="exists"):
        convert_sd2(sd2, tmp_path / "out")
    (sd2 / "vae" / "config.json").unlink()
    with pytest.raises(ModelError, match="vae"):
        convert_sd2(sd2, tmp_path / "other")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "sd2"]


def test_a_diffews_is_refused(sd2: Path, tmp_path: Path) -> None:
    convert_sd2(sd2, tmp_path / "diffews")
    with pytest.raises(ModelError, match="in_channels_ref=8"):
        convert_sd2(tmp_path / "diffews", tmp_path / "out")


def test_a_crash_leaves_no_target(
    sd2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("models.methods.diffews.convert.copy_folders", crash)
    with pytest.raises(OSError, match="disk full"):
        convert_sd2(sd2, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["sd2"]
