"""`diffews-tiny`: a DiffewS that comes with the suite, trained on `shapes`."""

from pathlib import Path

from pydantic import Field

from models.catalog import Card
from models.methods.diffews.options import DiffewSOptions, Resolution
from models.methods.diffews.segmenter import DiffewS

WEIGHTS = Path(__file__).with_name("tiny_weights")


class DiffewSTinyOptions(DiffewSOptions):
    """As `DiffewSOptions`, with the weights and the size that they were trained at."""

    checkpoint: str | None = Field(
        default=str(WEIGHTS), description="base folder; by default the shipped one"
    )
    resolution: Resolution = Field(default=128, description="side of the square; a multiple of 8")


class DiffewSTiny(DiffewS):
    """The whole of DiffewS in a few million weights; see `tiny_weights/README.md` beside this."""

    Options = DiffewSTinyOptions
    tiny = None
    card = Card(
        title="DiffewS-tiny",
        summary="DiffewS in miniature: VAE, U-Net and fine-tuning on shapes, shipped",
        source="https://arxiv.org/abs/2410.02369",
        year=2024,
        weights="shipped",
        licence="Apache-2.0",
        training_data="shapes: all training images without masks, then fold 0's base classes",
        sees_test_classes={"shapes": "no", "*": "no"},
    )
