"""Weights from a folder, the messages where there are none, and what a card then says."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.catalog import GROUPS, MODELS, Options, load_model
from models.errors import ModelError
from models.weights.networks import architecture, read_network
from models.weights.pretrained import normalised

# Those that are one network of transformers, which can be saved and read back.
NAMES = ("seggpt", "clipseg", "persam", "persam-f", "sam2-memory")


def network_of(model: Any) -> Any:
    return model.sam.pretrained.network if hasattr(model, "sam") else model.network


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_network_is_read_back(name: str, tmp_path: Path) -> None:
    random = load_model(name, {"random": "tiny"})
    folder = tmp_path / "saved"
    network_of(random).save_pretrained(folder)
    read = load_model(name, {"weights": str(folder)})

    expected = network_of(random).state_dict()
    assert network_of(read).state_dict().keys() == expected.keys()
    assert all(torch.equal(t, expected[k]) for k, t in network_of(read).state_dict().items())
    file = (folder / "model.safetensors").read_bytes()
    assert read.weights_digest == hashlib.sha256(file).hexdigest()
    assert read.comparable
    assert read.card.weights == "saved/model.safetensors"
    assert read.card.licence
    assert read.card.sees_test_classes["shapes"] == "no"
    assert read.config["weights"] == "saved/model.safetensors"
    assert not any(weight.requires_grad for weight in network_of(read).parameters())
    assert not network_of(read).training


@pytest.mark.parametrize("name", NAMES)
def test_random_weights_are_seeded_and_not_comparable(name: str) -> None:
    one, two = (load_model(name, {"random": "tiny"}) for _ in range(2))
    assert one.weights_digest == two.weights_digest
    assert one.image_key == two.image_key
    assert not one.comparable
    assert one.card.weights == "random"
    assert one.card.sees_test_classes == {"*": "no"}
    assert one.parameters > 0


@pytest.mark.parametrize("name", NAMES)
def test_without_weights_the_message_names_the_usual_ones(name: str) -> None:
    usual = MODELS[name].card.weights
    with pytest.raises(ModelError, match=rf"{name} has no weights.*{usual}.*random=tiny"):
        load_model(name)


@pytest.mark.parametrize("name", [name for name in MODELS if name not in GROUPS["floors"]])
def test_cards_are_complete(name: str) -> None:
    card = MODELS[name].card
    assert card.summary and card.licence
    if name == "dense-nn":  # nobody's method
        assert (card.source, card.year) == ("", None)
    elif name == "patnet":  # no preprint
        assert card.source == "https://github.com/slei109/PATNet"
    else:
        assert re.fullmatch(r"https://arxiv\.org/abs/\d{4}\.\d{5}", card.source)
    assert card.training_data != "none"
    assert set(card.sees_test_classes.values()) <= {"yes", "no", "partly", "unknown"}
    assert {"*", "shapes"} <= set(card.sees_test_classes) or set(card.sees_test_classes) == {"*"}
    assert issubclass(MODELS[name].Options, Options)


def test_both_weights_and_random_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="weights or random, not both"):
        load_model("persam", {"weights": str(tmp_path), "random": "tiny"})


def test_incomplete_folders_and_single_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model\.safetensors.*CIDAS/clipseg"):
        load_model("clipseg", {"weights": str(tmp_path)})
    load_model("clipseg", {"random": "tiny"}).network.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    with pytest.raises(
        ModelError, match=r"safetensors is no file of the authors.*rd64-uni.*config\.json beside it"
    ):
        load_model("clipseg", {"weights": str(file)})
    (tmp_path / "config.json").unlink()
    with pytest.raises(ModelError, match=r"no config\.json"):
        load_model("clipseg", {"weights": str(tmp_path)})


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    load_model("persam", {"random": "tiny"}).sam.pretrained.network.save_pretrained(tmp_path)
    for name in ("seggpt", "sam2-memory"):
        with pytest.raises(ModelError, match=rf"are weights of sam, not of {name}"):
            load_model(name, {"weights": str(tmp_path)})


def test_weights_that_lack_tensors_or_have_others_are_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    network = load_model("clipseg", {"random": "tiny"}).network
    network.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    name = "decoder.film_mul.bias"
    capfd.readouterr()
    without = {key: tensor for key, tensor in tensors.items() if key != name}
    for changed in (without, {**tensors, name: torch.zeros(3)}):
        save_file(changed, tmp_path / "model.safetensors", {"format": "pt"})
        with pytest.raises(ModelError, match=rf"1 tensors are missing or of another.*\({name}\)"):
            load_model("clipseg", {"weights": str(tmp_path)})
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ModelError, match=r"cannot read .*model\.safetensors for clipseg"):
        load_model("clipseg", {"weights": str(tmp_path)})
    assert capfd.readouterr() == ("", "")


def described(folder: Path, part: str | None, **changes: Any) -> None:
    """Change entries of a folder's config.json, or of one part of it."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    (config if part is None else config[part]).update(changes)
    path.write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("name", "part"),
    [("persam", "vision_config"), ("persam", "mask_decoder_config"), ("clipseg", "text_config")],
)
def test_weights_of_more_layers_than_their_config_has_are_refused(
    name: str, part: str, tmp_path: Path
) -> None:
    network_of(load_model(name, {"random": "tiny"})).save_pretrained(tmp_path)
    described(tmp_path, part, num_hidden_layers=1)
    said = rf"does not fit {name}: \d+ tensors are of layers that its config.*\.layers\.1\."
    with pytest.raises(ModelError, match=said):
        load_model(name, {"weights": str(tmp_path)})


def test_layers_are_missed_below_a_head_but_the_head_is_not(tmp_path: Path) -> None:
    import transformers

    config = transformers.Dinov2Config(hidden_size=8, num_hidden_layers=2, num_attention_heads=1)
    transformers.Dinov2ForImageClassification(config).save_pretrained(tmp_path)
    read_network(transformers.Dinov2Model, str(tmp_path), name="dino", hint="")
    described(tmp_path, None, num_hidden_layers=1, out_features=None, out_indices=None)
    with pytest.raises(ModelError, match=r"of layers .*dinov2\.encoder\.layer\.1\."):
        read_network(transformers.Dinov2Model, str(tmp_path), name="dino", hint="")


@pytest.mark.parametrize(
    ("name", "part", "change"),
    [
        ("persam", "vision_config", {"layer_norm_eps": 0.1}),
        ("sam2-memory", "vision_config", {"fpn_top_down_levels": [0, 1, 2]}),
        ("clipseg", None, {"extract_layers": [0, 1, 0]}),
    ],
)
def test_features_are_named_by_weights_and_config(
    name: str, part: str | None, change: dict[str, Any], tmp_path: Path
) -> None:
    network_of(load_model(name, {"random": "tiny"})).save_pretrained(tmp_path)
    usual = load_model(name, {"weights": str(tmp_path)})
    described(tmp_path, None, transformers_version="4.60", dtype="float32", _name_or_path="here")
    same = load_model(name, {"weights": str(tmp_path)})
    described(tmp_path, part, **change)
    other = load_model(name, {"weights": str(tmp_path)})
    assert usual.weights_digest == other.weights_digest
    assert usual.image_key == same.image_key != other.image_key
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    one, two = (model.encode_image(images)[0].tensors for model in (usual, other))
    assert not all(torch.equal(tensor, two[key]) for key, tensor in one.items())


def test_a_transformers_without_the_class_is_named() -> None:
    said = r"sam9 needs a transformers with Sam9Model, and .* is installed; upgrade with: pip"
    with pytest.raises(ModelError, match=said):
        architecture("Sam9Model", of="sam9")


@pytest.mark.parametrize(
    ("name", "installed", "least"),
    [("sam2-memory", "4.57.1", "5.0"), ("insid3", "4.55.0", "4.56")],
)
def test_a_transformers_that_is_too_old_is_named_before_anything_else(
    name: str, installed: str, least: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.__version__", installed)
    said = rf"needs transformers {least} or later, and {installed} is installed; .*'transformers>="
    with pytest.raises(ModelError, match=said):
        load_model(name, {"random": "tiny"})


@pytest.mark.parametrize("name", ["vrp-sam", "gf-sam", "matcher"])
def test_what_is_wrong_with_sam_names_the_option_of_sam(name: str, tmp_path: Path) -> None:
    options = {"sam": str(tmp_path)}
    if name == "vrp-sam":
        options["weights"] = str(tmp_path)
    with pytest.raises(ModelError, match=r"no model\.safetensors.* as the option sam=PATH"):
        load_model(name, options)


def test_images_are_normalised_with_imagenets_numbers() -> None:
    images = torch.tensor([0.485, 0.456 + 0.224, 0.0])[:, None, None]
    expected = torch.tensor([0, 1, -0.406 / 0.225])[:, None, None]
    torch.testing.assert_close(normalised(images, images), expected)
