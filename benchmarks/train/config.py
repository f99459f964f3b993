"""How a stage is trained: everything that is not about what it learns."""

from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    field_validator,
    model_validator,
)

# Settings that change nothing of what is learned: a resumed training may have others.
FREE = frozenset({"accumulate", "save_every", "gradient_checkpointing"})


class TrainConfig(BaseModel):
    """The optimiser's and the loop's settings.

    `batch_size` is what one step learns from. `accumulate` and the number of processes only cut
    it into pieces: neither changes what is learned.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: PositiveInt = Field(20000, description="optimiser steps")
    batch_size: PositiveInt = Field(16, description="samples a step, over all processes")
    accumulate: PositiveInt = Field(1, description="pieces that a process cuts its share into")
    rate: float = Field(1e-5, gt=0, description="AdamW's learning rate, after the warm-up")
    weight_decay: float = Field(0.01, ge=0, description="AdamW's")
    schedule: Literal["constant", "linear", "polynomial", "cosine"] = Field(
        "linear",
        description="how the rate falls; polynomial is diffusers', of power 1: linear, to 1e-7",
    )
    warmup: int = Field(0, ge=0, description="steps in which the rate rises to its value")
    clip: float | None = Field(1.0, gt=0, description="norm that gradients are clipped to")
    ema: float | None = Field(
        None, gt=0, lt=1, description="decay of the moving average that is saved and validated"
    )
    precision: Literal["no", "fp16", "bf16"] = Field("no", description="of mixed precision")
    gradient_checkpointing: bool = Field(
        False, description="compute activations again instead of keeping them"
    )
    adam8bit: bool = Field(False, description="bitsandbytes' AdamW, whose state takes a quarter")
    seed: int = Field(0, ge=0, lt=2**31, description="of everything that is drawn")
    save_every: PositiveInt = Field(1000, description="steps between two savings")
    validate_every: int = Field(0, ge=0, description="steps between two validations; 0: only last")

    @field_validator("precision", mode="before")
    @classmethod
    def _yaml_no(cls, value: Any) -> Any:
        return "no" if value is False else value  # which is what YAML reads `no` as

    @model_validator(mode="after")
    def _divides(self) -> "TrainConfig":
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"accumulate={self.accumulate} does not divide batch_size={self.batch_size}"
            )
        return self
