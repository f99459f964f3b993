"""The contract between the evaluator and every model.

An episode list repeats its images. Work is therefore split into what depends on one image
(`encode_image`), on one image with its mask (`encode_support`), and on a pair (`segment`): the
evaluator keeps the first two in a byte-bounded cache and every model profits without knowing.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from models.geometry import Geometry
from models.weights.trained_on import TrainedOn


@dataclass(frozen=True)
class Features:
    """Named tensors of one image or one (image, mask), without a batch dimension.

    The names are the model's own. Treat the tensors as read-only: they are shared by episodes.
    """

    tensors: Mapping[str, Tensor]

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    @property
    def nbytes(self) -> int:
        """Bytes held by the tensors (a view counts for what it keeps alive)."""
        storages = {
            t.untyped_storage().data_ptr(): t.untyped_storage() for t in self.tensors.values()
        }
        return sum(storage.nbytes() for storage in storages.values())

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "Features":
        """A copy on `device`; floating-point tensors also change to `dtype` where it is given."""
        return Features(
            {
                name: tensor.to(device, dtype if tensor.is_floating_point() else None)
                for name, tensor in self.tensors.items()
            }
        )


Supports = Sequence[Sequence[Features]]  # of each query of a batch, its K supports


@dataclass(frozen=True)
class ImagePart:
    """What `encode_image` computes in part.

    Attributes:
        key: names what is computed (network, weights, options); no two models' keys may clash.
        encode: computes it: B×3×H×W in 0..1 to B features.
        after: whether `encode` is given, in place of images, what the parts before this one made of
            them, B features. Then it is called for one image at a time, whatever `encode_batch`
            says: meant for what has a batch of its own, such as prompts.
        supports: False where `encode_support` has no need of it, so that it is not given it, and an
            image that is a support alone is spared the encode.
    """

    key: str
    encode: Callable[..., list[Features]]
    after: bool = False
    supports: bool = True


def joined(parts: Sequence[Features]) -> Features:
    """The tensors of all parts of one image's features, whose names differ."""
    return Features({name: own for part in parts for name, own in part.tensors.items()})


def encode_parts(parts: Sequence[ImagePart], images: Tensor) -> list[Features]:
    """All `parts` of each image's features, joined: what `encode_image` is to give."""
    none = [Features({})] * len(images)  # so that of no part there are as many results, too
    return [joined(own) for own in zip(none, *encode_each(parts, images), strict=True)]


def encode_each(parts: Sequence[ImagePart], images: Tensor) -> list[list[Features]]:
    """Of each of `parts` the features of every image."""
    encoded: list[list[Features]] = []
    for part in parts:
        before = [joined(own) for own in zip(*encoded, strict=True)]
        encoded.append(part.encode(before if part.after else images))
    return encoded


@runtime_checkable
class Segmenter(Protocol):
    """A few-shot segmenter.

    Images are float32 B×3×H×W RGB in 0..1 on the grid of `geometry`, masks float32 B×H×W in
    {0, 1}; normalisation is the segmenter's own. All images of one call have one grid size.
    Every call is deterministic and leaves its inputs unchanged.

    A segmenter may also have the attributes of `BaseSegmenter`, whose defaults hold otherwise.
    """

    geometry: Geometry
    support_uses_features: bool

    def encode_image(self, images: Tensor) -> list[Features]:
        """What depends on one image alone, used for queries and supports alike.

        Args:
            images: B×3×H×W, 0..1.

        Returns:
            B features, one per image.
        """

    def encode_support(
        self, images: Tensor, masks: Tensor, features: Sequence[Features]
    ) -> list[Features]:
        """What depends on one (image, mask).

        Args:
            images: B×3×H×W, 0..1.
            masks: B×H×W in {0, 1}; may be empty (no foreground).
            features: the B results of `encode_image`, less `image_parts` that are not for supports;
                an empty sequence where `support_uses_features` is False.

        Returns:
            B features, one per (image, mask).
        """

    def segment(self, queries: Sequence[Features], supports: Supports) -> Tensor:
        """Foreground scores of B queries, each from its own K supports.

        Args:
            queries: B results of `encode_image`.
            supports: B sequences of K results of `encode_support`; K may differ between queries.

        Returns:
            B×H×W float scores, larger means foreground; any H×W that covers the grid evenly.
        """

    def binarize(self, scores: Tensor) -> Tensor:
        """The model's own rule from scores (B×H×W, on the evaluation grid) to B×H×W bool."""


@runtime_checkable
class ClassesSegmenter(Segmenter, Protocol):
    """A segmenter that weighs classes against each other, instead of one after the other."""

    def segment_classes(
        self, queries: Sequence[Features], supports: Sequence[Sequence[Sequence[Features]]]
    ) -> Tensor:
        """Scores of the background and of N classes for B queries; the largest has the pixel.

        Args:
            queries: B results of `encode_image`.
            supports: B sequences of N classes of K results of `encode_support` each.

        Returns:
            B×(N+1)×H×W float scores, the background's first, then the classes' as they came.
        """


@runtime_checkable
class PresenceSegmenter(Segmenter, Protocol):
    """A segmenter that says how sure it is that a query holds the class at all."""

    def presence(self, queries: Sequence[Features], supports: Supports, scores: Tensor) -> Tensor:
        """A number for each of B queries; the larger, the likelier that the class is there.

        Only its order over episodes counts, so any unit and range will do. Masks are made of
        `scores` whatever is said here. Called under protocols that ask whether the class is there.

        Args:
            queries: as `segment` was given them.
            supports: likewise.
            scores: what `segment` gave for them, B×H×W.

        Returns:
            B real numbers, finite.
        """


class BaseSegmenter:
    """Defaults for everything beside the contract; inherit once or write the attributes.

    Attributes:
        support_uses_features: False if `encode_support` works from pixels alone.
        image_reads_pixels: False if `encode_image` only asks for the images' shape; they are then
            not decoded, and hold zeros.
        support_reads_pixels: the same for the images of `encode_support`.
        batch_size: episodes in one call of `segment`, where the user names no number.
        encode_batch: images in one call of `encode_image` or `encode_support` on a GPU; on a CPU,
            which gains nothing from more, it is always one.
        image_key: names what `encode_image` computes (backbone, weights, options). Models with
            equal keys and geometries share image features; None shares with nobody.
        image_parts: where models share only parts of these features, or supports need only some,
            the parts, in place of `image_key`. All are encoded from images on `geometry`, each is
            kept by itself, and joined they are what `encode_image` gives (`encode_parts`).
        wants: extra keyword arguments of `segment`: "seeds" (one int per query, fixed by the
            episode), "truths" (B×H×W query masks on the grid; for oracles, marked as such) and
            "names" (the queries' classes as the dataset calls them; the card says `text_prompts`).
        config: plain options that are written into every result.
        weights_digest: sha256 over the weights, or None where there are none.
        parameters: number of learned parameters.
        comparable: False for previews whose numbers must not be compared.
        trained_on: datasets whose masks the weights were trained on, as far as their checkpoint
            says it; None for what the files that the options name say of themselves
            (`weights.trained_on`). A fold's base classes are other folds' novel ones, so that
            those are left out.
    """

    support_uses_features: bool = True
    image_reads_pixels: bool = True
    support_reads_pixels: bool = True
    batch_size: int = 8
    encode_batch: int = 8
    image_key: str | None = None
    image_parts: Sequence[ImagePart] = ()
    wants: frozenset[str] = frozenset()
    config: Mapping[str, object] = {}
    weights_digest: str | None = None
    parameters: int = 0
    comparable: bool = True
    trained_on: Sequence[TrainedOn] | None = None

    def binarize(self, scores: Tensor) -> Tensor:
        """Foreground where the score is positive."""
        return scores > 0


def seen_by_supports(model: Segmenter, images: Tensor) -> list[Features]:
    """What `encode_support` is given of images (B×3×H×W in 0..1): B features, or none at all."""
    if not model.support_uses_features:
        return []
    parts = trait(model, "image_parts")
    if not parts:
        return model.encode_image(images)
    return encode_parts([part for part in parts if part.supports], images)


def trait(model: Segmenter, name: str) -> Any:
    """An attribute that a segmenter may leave out; `BaseSegmenter` holds the defaults."""
    return getattr(model, name, getattr(BaseSegmenter, name))
