"""PerSAM and PerSAM-F against the authors' scripts, spelled out for one episode."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from models.catalog import Options, parse_options
from models.check import check_segmenter
from models.methods.persam.mixture import Loss, trained_mixture
from models.methods.persam.plain import PerSAM, attention_similarity
from models.methods.persam.trained import PerSAMF
from models.methods.sam import Guidance, Sam
from models.segmenter import Features

SIZES = ((40, 64), (64, 36), (30, 44))  # a query and two supports


def load(cls: Any, **options: Any) -> Any:
    parsed: Options = parse_options("persam", cls, {"random": "tiny", **options})
    return cls.load(parsed, device="cpu", dtype="fp32")


@pytest.fixture(scope="module")
def persam() -> PerSAM:
    return load(PerSAM)


@pytest.fixture(scope="module")
def persam_f() -> PerSAMF:
    return load(PerSAMF, steps=40)


def episode(model: Any) -> tuple[list[Tensor], list[Tensor]]:
    """Images of `SIZES` and masks, of their own sizes."""
    generator = np.random.default_rng(3)
    images, masks = [], []
    for height, width in SIZES:
        coarse = generator.integers(0, 256, (3, 4, 3), dtype=np.uint8)
        images.append(model.geometry.image(Image.fromarray(coarse).resize((width, height))) / 255)
        mask = np.zeros((height, width), dtype=np.uint8)
        mask[5 : height // 2, 4 : width // 2 + 4] = 1
        masks.append(model.geometry.mask(mask).float())
    return images, masks


def encode(model: Any, images: Sequence[Tensor]) -> list[Features]:
    """Each image by itself, as all have another size."""
    return [model.encode_image(image[None])[0] for image in images]


def scores_of(model: Any, shots: Sequence[int], masks: Sequence[Tensor] | None = None) -> Tensor:
    """Scores of image 0 with some of the images as supports."""
    images, usual = episode(model)
    features = encode(model, images)
    supports = [
        model.encode_support(image[None], mask[None], [feature])[0]
        for image, mask, feature in zip(images, masks or usual, features, strict=True)
    ]
    result: Tensor = model.segment([features[0]], [[supports[shot] for shot in shots]])[0]
    return result


# The authors' scripts, for a square of 64 pixels


def authors_scaled(size: Sequence[int]) -> tuple[int, int]:
    """`get_preprocess_shape`."""
    height, width = size
    scale = 64 / max(height, width)
    return int(height * scale + 0.5), int(width * scale + 0.5)


def authors_target(embedding: Tensor, mask: Tensor) -> Tensor:
    """The rows under the mask as `persam.py` finds them: N×C."""
    height, width = authors_scaled(mask.shape)
    drawn = Image.fromarray((mask * 128).byte().numpy()).resize((width, height), 2)
    values = (torch.from_numpy(np.array(drawn)).float() - 123.675) / 58.395
    square = F.pad(values, (0, 64 - width, 0, 64 - height))
    coarse = F.interpolate(square[None, None], embedding.shape[1:], mode="bilinear")[0, 0]
    return embedding.permute(1, 2, 0)[coarse > 0]


def authors_similarity(target: Tensor, image: Features) -> Tensor:
    """`sim`: of the content's pixels with the target."""
    channels, h, w = image["embedding"].shape
    rows = image["embedding"] / image["embedding"].norm(dim=0, keepdim=True)
    sim = (target / target.norm()) @ rows.reshape(channels, h * w)
    sim = F.interpolate(sim.reshape(1, 1, h, w), scale_factor=4, mode="bilinear")
    return authors_postprocess(sim[0], image)[0]


def authors_postprocess(maps: Tensor, image: Features) -> Tensor:
    size = image["size"].tolist()
    height, width = authors_scaled(size)
    square = F.interpolate(maps[None], (64, 64), mode="bilinear")
    return F.interpolate(square[..., :height, :width], size, mode="bilinear")[0]


def point_selection(sim: Tensor) -> list[int]:
    """The (x, y) of the maximum; the authors leave to rounding which of equal pixels it is."""
    y, x = (sim > sim.max() - 1e-6).nonzero()[0].tolist()
    return [x, y]


def authors_predict(
    sam: Sam,
    image: Features,
    points: list[list[int]],
    labels: list[int],
    *,
    box: list[int] | None = None,
    mask: Tensor | None = None,
    several: bool = True,
    guidance: Guidance | None = None,
) -> tuple[Tensor, Tensor]:
    """`SamPredictor.predict`: logits and scores of one or three masks."""
    height, width = image["size"].tolist()
    rows, columns = authors_scaled((height, width))
    scale = torch.tensor([columns / width, rows / height])  # `apply_coords`
    prompt = sam.prompt(
        torch.tensor([points]) * scale,
        torch.tensor([labels]),
        None if box is None else (torch.tensor([box]) * scale.repeat(2)),
        None if mask is None else mask[None],
    )
    logits, scores = sam.decode(image["embedding"], *prompt, guidance)
    return (logits[0, 1:], scores[0, 1:]) if several else (logits[0, :1], scores[0, :1])


def authors_box(mask: np.ndarray[Any, Any]) -> list[int]:
    y, x = np.nonzero(mask)
    return [int(x.min()), int(y.min()), int(x.max()), int(y.max())]


def test_persam_is_the_authors_script(persam: PerSAM) -> None:
    sam = persam.sam
    images, masks = episode(persam)
    query, support = encode(persam, images[:2])
    target = authors_target(support["embedding"], masks[1]).mean(0)
    sim = authors_similarity(target, query)
    points, labels = [point_selection(sim), point_selection(-sim)], [1, 0]
    sim = (sim - sim.mean()) / torch.std(sim)
    sim = F.interpolate(sim[None, None], size=(4, 4), mode="bilinear")
    guidance = Guidance(sim.sigmoid().flatten(), target)

    logits, _ = authors_predict(sam, query, points, labels, several=False, guidance=guidance)
    logits, scores = authors_predict(sam, query, points, labels, mask=logits[0])
    best = logits[scores.argmax()]
    found = authors_postprocess(best[None], query)[0] > 0
    assert found.any()
    box = authors_box(found.numpy())
    logits, scores = authors_predict(sam, query, points, labels, box=box, mask=best)
    expected = authors_postprocess(logits[scores.argmax()][None], query)[0]

    got = persam.geometry.scores(scores_of(persam, [1])[None], SIZES[0], SIZES[0])[0]
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)
    assert (got > 0).any()
    assert not (got > 0).all()


def authors_mixture(logits: Tensor, truth: Tensor, steps: int) -> Tensor:
    """The training of `persam_f.py`, by autograd, SAM's constant masks given."""
    weights = torch.nn.Parameter(torch.ones(2, 1) / 3)
    optimizer = torch.optim.AdamW([weights], lr=1e-3, eps=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        mixed = (logits * torch.cat((1 - weights.sum(0).unsqueeze(0), weights))).sum(0)
        loss = authors_loss(mixed, truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return torch.cat((1 - weights.sum(0).unsqueeze(0), weights)).detach().flatten()


def authors_loss(mixed: Tensor, truth: Tensor) -> Tensor:
    shares = mixed.sigmoid()
    dice = 1 - (2 * (shares * truth).sum() + 1) / (shares.sum() + truth.sum() + 1)
    crossed = F.binary_cross_entropy_with_logits(mixed, truth, reduction="none")
    right = shares * truth + (1 - shares) * (1 - truth)
    balance = 0.25 * truth + 0.75 * (1 - truth)
    return dice + (balance * crossed * (1 - right) ** 2).mean()


def test_persam_f_is_the_authors_script(persam_f: PerSAMF) -> None:
    sam = persam_f.sam
    images, masks = episode(persam_f)
    query, support = encode(persam_f, images[:2])
    rows = authors_target(support["embedding"], masks[1])
    target = rows.max(0)[0] / 2 + rows.mean(0) / 2

    def positive(image: Features) -> list[list[int]]:
        return [point_selection(authors_similarity(target, image))]

    logits, _ = authors_predict(sam, support, positive(support), [1])
    truth = masks[1].flatten()
    weights = authors_mixture(authors_postprocess(logits, support).flatten(1), truth, 40)
    with torch.inference_mode():  # as in a run
        encoded = persam_f.encode_support(images[1][None], masks[1][None], [support])[0]
    torch.testing.assert_close(encoded["mixture"], weights, atol=1e-5, rtol=1e-4)
    assert (weights - 1 / 3).abs().max() > 5e-3

    points = positive(query)
    logits, _ = authors_predict(sam, query, points, [1])
    mixed = (logits * weights[:, None, None]).sum(0)
    for _ in range(2):
        found = authors_postprocess(mixed[None], query)[0] > 0
        box = authors_box(found.numpy())
        logits, scores = authors_predict(sam, query, points, [1], box=box, mask=mixed)
        mixed = logits[scores.argmax()]
    expected = authors_postprocess(mixed[None], query)[0]
    torch.testing.assert_close(scores_of(persam_f, [1]), expected, atol=1e-4, rtol=1e-3)


# Small steps


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_gradient_is_that_of_the_loss(share: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 4 * torch.randn(3, 200, generator=generator, dtype=torch.double)
    truth = (torch.rand(200, generator=generator) < share).double()
    free = torch.tensor([0.7, -0.2], dtype=torch.double, requires_grad=True)
    weights = torch.cat([1 - free.sum(0, keepdim=True), free])
    authors_loss(weights @ logits, truth).backward()  # type: ignore[no-untyped-call]
    loss = Loss(logits, truth)
    for _ in range(2):  # its working memory is used again
        gradient = loss.gradient(free.detach())
        torch.testing.assert_close(gradient, free.grad)


def test_certain_masks_train_to_numbers() -> None:
    logits = 500 * torch.tensor([[1.0, -1, 1, -1], [1, 1, -1, -1], [-1, 1, 1, -1]])
    truth = torch.tensor([1.0, 1, 0, 0])
    expected = authors_mixture(logits, truth, 300)
    torch.testing.assert_close(trained_mixture(logits, truth, 300), expected, atol=1e-5, rtol=1e-4)


def test_training_prefers_the_mask_that_fits() -> None:
    truth = (torch.arange(100) < 30).float()
    logits = torch.stack([torch.zeros(100), 2 * truth - 1, 1 - 2 * truth])
    mixture = trained_mixture(logits, truth, 300)
    assert mixture.sum().item() == pytest.approx(1)
    assert mixture.argmax() == 1
    assert mixture.argmin() == 2


def test_attention_similarity_is_standardised_and_squashed() -> None:
    found = torch.tensor([[0.0, 2.0], [4.0, 2.0]])  # mean 2, deviation √(8/3)
    expected = torch.tensor([-2.0, 0.0, 2.0, 0.0]).div((8 / 3) ** 0.5).sigmoid()
    torch.testing.assert_close(attention_similarity(found, torch.Size((2, 2))), expected)
    flat = attention_similarity(torch.ones(3, 3), torch.Size((2, 2)))
    torch.testing.assert_close(flat, torch.full((4,), 0.5))


# Several shots, none, and the contract


@pytest.mark.parametrize("name", ["persam", "persam_f"])
def test_copies_of_a_support_change_nothing(name: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(name)
    once, thrice, two = (scores_of(model, shots) for shots in ([1], [1, 1, 1], [1, 2]))
    torch.testing.assert_close(once, thrice, atol=1e-5, rtol=1e-4)
    assert (once - two).abs().max() > 1e-4


@pytest.mark.parametrize("name", ["persam", "persam_f"])
def test_supports_without_foreground_are_left_out(
    name: str, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(name)
    masks = episode(model)[1]
    masks[2] = torch.zeros_like(masks[2])
    assert torch.equal(scores_of(model, [1, 2], masks), scores_of(model, [1]))
    assert not (scores_of(model, [2], masks) > 0).any()


def test_an_empty_first_refinement_is_the_result(persam: PerSAM) -> None:
    low = torch.full((1, 16, 16), -1.0)
    (image,) = encode(persam, episode(persam)[0][:1])
    from models.methods.persam.refine import refined

    points, labels = torch.tensor([[[3.0, 4.0]]]), torch.tensor([[1]])
    assert refined(persam.sam, image, points, labels, low) is low


def test_both_share_image_features(persam: PerSAM, persam_f: PerSAMF) -> None:
    assert persam.image_key == persam_f.image_key
    assert persam.geometry == persam_f.geometry
    assert not persam.comparable


@pytest.mark.parametrize("name", ["persam", "persam_f"])
def test_the_contract_is_kept(name: str, request: pytest.FixtureRequest) -> None:
    findings = check_segmenter(request.getfixturevalue(name))
    assert [finding for finding in findings if not finding.passed] == []
