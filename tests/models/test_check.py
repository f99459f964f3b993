"""The contract's checker: silent about models that keep it, clear about each way to break it."""

from collections.abc import Callable, Sequence
from functools import partial

import pytest
import torch
from torch import Tensor

from models.catalog import GROUPS, load_model
from models.check import check_segmenter
from models.custom import load_custom
from models.errors import ModelError
from models.geometry import Squash
from models.segmenter import Features, ImagePart, Segmenter
from models.template import MeanColour

TEMPLATE = "models/template.py"


def broken(model: Segmenter) -> dict[str, str]:
    return {f.check: f.detail for f in check_segmenter(model) if not f.passed}


@pytest.mark.parametrize("name", GROUPS["floors"])
def test_floors_keep_the_contract(name: str):
    assert broken(load_model(name)) == {}


@pytest.mark.parametrize("name", ["prototype", "dense-nn"])
@pytest.mark.parametrize("size", [64, "native"])
def test_patch_models_keep_the_contract(name: str, size: object):
    options = {"weights": "random", "layer": "block4", "size": size}
    assert broken(load_model(name, options)) == {}


def test_the_template_keeps_the_contract_under_both_ways_to_name_it(
    request: pytest.FixtureRequest,
):
    path = request.config.rootpath / TEMPLATE
    assert broken(load_custom(str(path))) == {}
    assert broken(load_custom("models.template:MeanColour", {"patch": 8})) == {}


def test_the_template_works():
    """A red square is found by its colour in another place."""
    model = load_custom("models.template:MeanColour")
    support, query, mask = torch.zeros(1, 3, 128, 128), torch.zeros(1, 3, 128, 128), None
    support[:, 0, 32:64, 32:64] = 1
    query[:, 0, 80:120, 8:40] = 1
    mask = support[:, 0]
    supports = model.encode_support(support, mask, model.encode_image(support))
    scores = model.segment(model.encode_image(query), [supports])
    found = model.binarize(model.geometry.scores(scores, (128, 128), (128, 128)))
    overlap = (found & query[:, 0].bool()).sum() / (found | query[:, 0].bool()).sum()
    assert overlap > 0.9


class Steady(MeanColour):
    """The template with one method replaced by a test."""

    def __init__(self) -> None:
        super().__init__(self.Options())
        self.calls = 0


def change_images(model: Steady, images: torch.Tensor) -> list[Features]:
    images.mul_(0.5)
    return MeanColour.encode_image(model, images)


def drift(model: Steady, images: torch.Tensor) -> list[Features]:
    model.calls += 1
    return MeanColour.encode_image(model, images + model.calls)


def mix_batch(model: Steady, images: torch.Tensor) -> list[Features]:
    return MeanColour.encode_image(model, images - images.mean())


def keep_batch(model: Steady, images: torch.Tensor) -> list[Features]:
    big = images.repeat(8, 1, 1, 1)
    return [Features({"colours": big[index, :, ::4, ::4]}) for index in range(len(images))]


def lose_one(model: Steady, images: torch.Tensor) -> list[Features]:
    return MeanColour.encode_image(model, images)[:1]


def fail(model: Steady, images: torch.Tensor) -> list[Features]:
    raise RuntimeError("out of cheese\nredo from start")


@pytest.mark.parametrize(
    ("encode_image", "check", "detail"),
    [
        (change_images, "inputs are left unchanged", "the images it was given were changed"),
        (drift, "the same call twice gives the same", "encode_image gave another 'colours'"),
        (mix_batch, "a batch of two equals two of one", "encode_image: 'colours' of a batch"),
        (keep_batch, "encodings are one per input", "keep .* bytes alive .* clone"),
        (lose_one, "encodings are one per input", "encode_image gave 1 results for 2"),
        (fail, "the same call twice", r"RuntimeError: out of cheese \(images of 128×96 pixels\)"),
    ],
)
def test_a_broken_encode_image_is_found(
    monkeypatch: pytest.MonkeyPatch,
    encode_image: Callable[[Steady, torch.Tensor], list[Features]],
    check: str,
    detail: str,
):
    monkeypatch.setattr(Steady, "encode_image", encode_image)
    found = [f for f in check_segmenter(Steady()) if f.check.startswith(check)]
    assert len(found) == 1 and not found[0].passed
    with pytest.raises(AssertionError, match=detail):
        raise AssertionError(found[0].detail)


@pytest.mark.parametrize(
    ("change", "check", "detail"),
    [
        (lambda s: s[0], "scores are B×H×W", "shape (32, 32) for one query"),
        (lambda s: s > 0, "scores are B×H×W", "gave torch.bool"),
        (lambda s: s / 0, "scores are B×H×W", "not finite where the support mask is ordinary"),
        (lambda s: s + len(s), "a batch of two", "segment: a batch of two differs"),
        (lambda s: s * len(s), "one call takes different", "1 supports beside others differ"),
    ],
)
def test_a_broken_segment_is_found(
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[torch.Tensor], torch.Tensor],
    check: str,
    detail: str,
):
    monkeypatch.setattr(
        Steady, "segment", lambda model, q, s: change(MeanColour.segment(model, q, s))
    )
    details = [why for name, why in broken(Steady()).items() if name.startswith(check)]
    assert len(details) == 1 and detail in details[0]


def test_a_mask_rule_that_is_no_mask_is_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Steady, "binarize", lambda model, scores: scores.sigmoid())
    assert list(broken(Steady())) == ["scores become a mask on any evaluation grid"]


def test_a_false_word_about_pixels_is_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Steady, "image_reads_pixels", False)
    assert "image_reads_pixels is False" in broken(Steady())["what it says about itself is so"]


def test_an_unknown_want_is_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Steady, "wants", frozenset({"captions"}))
    assert "captions" in broken(Steady())["what it says about itself is so"]


def test_a_grid_that_is_not_what_it_says_is_found():
    class Liar(Squash):
        def grid(self, size: tuple[int, int]) -> tuple[int, int]:
            return 64, 64

    model = Steady()
    model.geometry = Liar(128)
    assert "geometry.grid says (64, 64)" in broken(model)["images and masks arrive on one grid"]


# Parts of image features


def small(model: Steady, images: Tensor) -> list[Features]:
    return [Features({"means": image.mean((1, 2))}) for image in images]


def halved(model: Steady, images: Tensor) -> list[Features]:
    return [Features({"colours": f["colours"] / 2}) for f in model.encode_image(images)]


@pytest.mark.parametrize(
    ("parts", "detail"),
    [
        ([("", Steady.encode_image)], "the keys ['']; each part needs a name of its own"),
        ([("a", Steady.encode_image), ("a", small)], "the keys ['a', 'a']"),
        ([("a", lose_one)], "image_parts gave [1] results for 2"),
        ([("a", Steady.encode_image), ("b", small)], "gave ['colours', 'means'], but encode_image"),
        ([("a", Steady.encode_image), ("b", halved)], "gave ['colours', 'colours'], but"),
        ([("a", halved)], "another 'colours' than encode_image"),
    ],
)
def test_parts_that_do_not_make_the_whole_are_found(
    parts: Sequence[tuple[str, Callable[[Steady, Tensor], list[Features]]]], detail: str
):
    model = Steady()
    model.image_parts = [ImagePart(key, partial(encode, model)) for key, encode in parts]
    assert detail in broken(model)["the parts of image features make the whole"]


def test_supports_that_need_what_they_are_not_given_are_found():
    model = Steady()
    model.image_parts = [ImagePart("a", model.encode_image, supports=False)]
    assert "'colours'" in "".join(broken(model).values())


def test_a_part_that_changes_the_images_is_found():
    model = Steady()
    model.image_parts = [
        ImagePart("a", lambda images: MeanColour.encode_image(model, images.mul_(1 / 2)))
    ]
    assert "the images it was given" in broken(model)["inputs are left unchanged"]


# A user's own model


def test_a_file_with_one_segmenter_needs_no_name(tmp_path, request: pytest.FixtureRequest):
    source = (request.config.rootpath / TEMPLATE).read_text()
    path = tmp_path / "mine.py"
    path.write_text(source)
    assert type(load_custom(str(path), {"patch": 2})).__name__ == "MeanColour"
    path.write_text(source + "\n\nclass Other(MeanColour):\n    pass\n")
    with pytest.raises(ModelError, match=r"several segmenters: .*:NAME \(MeanColour, Other\)"):
        load_custom(str(path))
    assert type(load_custom(f"{path}:Other")).__name__ == "Other"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("no/such/file.py", "no such file"),
        ("no_such_module:Thing", "cannot import 'no_such_module'"),
        ("models.template:Nothing", "defines no 'Nothing'"),
        ("models.template:Features", "is not a segmenter"),
        ("prototyp", "unknown model 'prototyp'; did you mean prototype"),
    ],
)
def test_what_cannot_be_loaded_is_told(spec: str, message: str):
    options = {"tensors": {}} if spec.endswith("Features") else {}
    with pytest.raises(ModelError, match=message):
        load_custom(spec, options)


def test_a_custom_models_options_are_checked():
    with pytest.raises(ModelError, match=r"unknown option 'pach'; did you mean patch"):
        load_custom("models.template:MeanColour", {"pach": 2})


def test_classes_at_once_may_come_in_any_order() -> None:
    class Ordered(Steady):
        def segment_classes(
            self, queries: Sequence[Features], supports: Sequence[Sequence[Sequence[Features]]]
        ) -> Tensor:
            return torch.arange(4.0).view(1, 4, 1, 1).expand(len(queries), 4, 2, 2)

    class Short(Ordered):
        def segment_classes(
            self, queries: Sequence[Features], supports: Sequence[Sequence[Sequence[Features]]]
        ) -> Tensor:
            return torch.zeros(len(queries), 3, 2, 2)

    name = "classes asked for at once come in any order"
    assert "depends on the order" in broken(Ordered())[name]
    assert "B×4×H×W" in broken(Short())[name]


@pytest.mark.parametrize(
    ("presence", "detail"),
    [
        (lambda scores: scores.amax(), r"presence gave shape \(\) for 10 queries"),
        (lambda scores: scores.flatten(1).amax(1) / 0, "presence is not finite"),
        (lambda scores: scores.mul_(2).flatten(1).amax(1), "changed the scores"),
        (lambda scores: torch.rand(len(scores)), "differs from that of each alone"),
        (lambda scores: (scores - scores.mean()).flatten(1).amax(1), "differs from that of each"),
        (lambda scores: scores.tolist(), "AttributeError: 'list' object"),
    ],
)
def test_a_broken_presence_is_found(presence: Callable[[Tensor], Tensor], detail: str) -> None:
    class Unsure(Steady):
        def presence(
            self,
            queries: Sequence[Features],
            supports: Sequence[Sequence[Features]],
            scores: Tensor,
        ) -> Tensor:
            return presence(scores)

    found = broken(Unsure())
    assert [*found] == ["presence is a finite number per query, alone or in a batch"]
    with pytest.raises(AssertionError, match=detail):
        raise AssertionError(*found.values())
