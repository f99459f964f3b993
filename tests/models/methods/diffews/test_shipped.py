"""The weights that come with the suite: whole, small, and better than chance."""

import json
from pathlib import Path

import torch

from models.catalog import load_model
from models.methods.diffews.convert import convert_half
from models.methods.diffews.parts import load_parts
from models.methods.diffews.shipped import WEIGHTS
from models.weights.trained_on import sees

MEGABYTES = 10


def test_they_are_small_and_say_what_they_were_trained_on() -> None:
    files = [path for path in WEIGHTS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MEGABYTES * 10**6
    trained = json.loads((WEIGHTS / "training.json").read_text())
    assert (trained["dataset"], trained["fold"]) == ("shapes", 0)


def test_they_are_those_that_the_readme_names() -> None:
    model = load_model("diffews-tiny")
    assert model.weights_digest in (WEIGHTS / "README.md").read_text()
    assert [(entry.dataset, entry.fold) for entry in model.trained_on] == [("shapes", 0)]


def test_a_copy_of_the_support_is_found() -> None:
    """A disc and a square on a plain ground: asked for either, it paints that one."""
    image = torch.full((3, 64, 64), 0.5)
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    disc = (rows - 20).square() + (columns - 18).square() < 144
    square = (rows > 34) & (rows < 56) & (columns > 34) & (columns < 56)
    image[:, disc] = torch.tensor([0.8, 0.2, 0.2])[:, None]
    image[:, square] = torch.tensor([0.2, 0.3, 0.8])[:, None]
    images = torch.stack([image, image])
    masks = torch.stack([disc, square]).float()
    model = load_model("diffews-tiny")
    features = model.encode_image(images)
    supports = model.encode_support(images, masks, features)
    found = model.binarize(model.segment(features, [[s] for s in supports]))
    for mask, wanted, other in ((found[0], disc, square), (found[1], square, disc)):
        assert (mask & wanted).sum() / (mask | wanted).sum() > 0.5
        assert (mask & other).sum() < 0.2 * other.sum()


def test_half_precision_halves_and_keeps(tmp_path: Path) -> None:
    convert_half(WEIGHTS, tmp_path / "half")
    before, after = load_parts(WEIGHTS), load_parts(tmp_path / "half")
    for name, weight in before.unet.state_dict().items():
        assert torch.equal(after.unet.state_dict()[name], weight)
    assert after.trained == before.trained
    assert sees(after.trained_on, "shapes") == "no"
