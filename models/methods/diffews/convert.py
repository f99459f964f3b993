"""Stable Diffusion 2 into an untrained DiffewS."""

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.errors import ModelError
from models.methods.diffews.checkpoint import load_part, read_config
from models.methods.diffews.design import CONFIG_KEY, Design
from models.methods.diffews.generation import schedule_config
from models.methods.diffews.parts import (
    copy_folders,
    load_parts,
    save_parts,
    write_json,
    write_part,
)
from models.methods.diffews.unet import CLASS_NAME, REFERENCE_CHANNELS, build_unet, missing_inputs

_PARTS = ("vae", "text_encoder", "tokenizer")


def convert_sd2(source: Path, target: Path) -> None:
    """Write an untrained DiffewS in the released layout, whole or not at all.

    The U-Net gets a second input convolution for the support's image and mask latents: the first
    one's weights repeated for both and halved, so that equal latents give what it gave for one.

    Args:
        source: a folder of Stable Diffusion 2.x in diffusers' layout.
        target: a folder that does not exist yet.

    Raises:
        ModelError: if `target` exists, or `source` is incomplete, unreadable or no Stable
            Diffusion 2.
    """
    if target.exists():
        raise ModelError(f"{target} exists; choose another folder or remove it")
    for part in ("vae", "text_encoder"):
        read_config(source / part)
    config = read_config(source / "unet")
    if config.get("in_channels") != 4 or config.get(REFERENCE_CHANNELS):
        raise ModelError(
            f"{source / 'unet'} has in_channels={config.get('in_channels')} and "
            f"{REFERENCE_CHANNELS}={config.get(REFERENCE_CHANNELS)}; a Stable Diffusion 2 U-Net "
            "has 4 and none"
        )
    unet, _ = load_part(lambda: build_unet(config), source / "unet", dtype=None)
    design = Design()
    added = add_inputs(unet, design)
    marks = {"_class_name": CLASS_NAME, CONFIG_KEY: design.model_dump()}
    config = {**config, **added, **marks}

    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    try:
        write_part(partial / "unet", config, unet.state_dict())
        write_json(partial / "scheduler" / "scheduler_config.json", schedule_config(design))
        copy_folders(source, partial, _PARTS)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def convert_half(source: Path, target: Path) -> None:
    """Write a checkpoint with its weights in float16.

    Raises:
        ModelError: if `target` exists, or `source` is incomplete or unreadable.
    """
    if target.exists():
        raise ModelError(f"{target} exists; choose another folder or remove it")
    parts = load_parts(source, dtype=torch.float16)
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    try:
        save_parts(parts, Design.of(parts.unet_config), partial)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def add_inputs(unet: Any, design: Design) -> dict[str, int]:
    """Give a U-Net the input convolutions that a design needs and it lacks, in place.

    Returns:
        What its config then has beside what it had.
    """
    missing = missing_inputs(unet, design)
    for name in missing.values():
        setattr(unet, name, doubled_input(unet.conv_in))
    return {entry: 2 * unet.conv_in.in_channels for entry in missing}


def doubled_input(conv: Any) -> nn.Conv2d:
    """A convolution for twice the channels: the weights repeated and halved, the bias kept."""
    doubled = nn.Conv2d(
        2 * conv.in_channels, conv.out_channels, conv.kernel_size, padding=conv.padding
    )
    weight: Tensor = conv.weight.detach()
    doubled.weight = nn.Parameter(torch.cat([weight, weight], 1) / 2, requires_grad=False)
    if conv.bias is not None:
        doubled.bias = nn.Parameter(conv.bias.detach().clone(), requires_grad=False)
    return doubled
