"""The parts of a DiffewS checkpoint: loading them, and saving them in the released layout."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from models.errors import ModelError
from models.methods.diffews import library
from models.methods.diffews.checkpoint import WEIGHTS, joined, load_part, part_folder, read_config
from models.methods.diffews.design import CONFIG_KEY, Design
from models.methods.diffews.generation import schedule_config
from models.methods.diffews.prompt import EMBEDS_FILE, PromptTokens, find_prompt
from models.methods.diffews.tokens import FOLDER as ENCODER
from models.methods.diffews.tokens import ImageTokens
from models.methods.diffews.unet import (
    CLASS_NAME,
    REFERENCE_CHANNELS,
    build_unet,
    inferred_config,
    missing_inputs,
)
from models.weights.source import write_tensors
from models.weights.trained_on import RECORD, TrainedOn, record_of, told, united

TEXT_PARTS = ("text_encoder", "tokenizer")


@dataclass(frozen=True)
class Parts:
    """A checkpoint in memory, on the CPU.

    Attributes:
        unet: from `build_unet`, with its weights.
        unet_config: its config.json.
        vae: diffusers' AutoencoderKL.
        vae_config: its config.json.
        prompt: the empty prompt's embeddings, 1 × tokens × width, float32.
        other_prompts: the same at other lengths, as far as they are known; saved beside it.
        digest: sha256 over the digests of U-Net, VAE and prompt; None for random weights.
        vae_digest: sha256 of the VAE's file, or a name or digest of random weights.
        source: the base folder that the text parts can be copied from.
        tokens: the encoder of `tokenized_cross_attention`, None for other designs.
        inferred: entries that the U-Net's config.json lacked, read off the tensors.
        trained: the training record, such as dataset and fold, and folds of other datasets that
            it was trained on `earlier`; empty where there is none.
        trained_on: what is known of it, from the record or elsewhere.
    """

    unet: Any
    unet_config: Mapping[str, Any]
    vae: Any
    vae_config: Mapping[str, Any]
    prompt: Tensor
    digest: str | None
    vae_digest: str
    other_prompts: Sequence[Tensor] = ()
    source: Path | None = None
    tokens: ImageTokens | None = None
    inferred: Mapping[str, int] = field(default_factory=dict)
    trained: Mapping[str, Any] = field(default_factory=dict)
    trained_on: tuple[TrainedOn, ...] = ()

    @property
    def patch(self) -> int:
        """Pixels that one place of a latent stands for, each way."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))


def load_parts(
    folder: Path,
    unet: Path | None = None,
    prompt_embeds: str | Path | Tensor | None = None,
    *,
    tokens: PromptTokens = 2,
    exact_tokens: bool = False,
    dtype: torch.dtype = torch.float32,
) -> Parts:
    """Load a checkpoint in the released layout.

    Args:
        folder: base folder.
        unet: the U-Net's folder, `folder/unet` if None.
        prompt_embeds: see `find_prompt`.
        tokens: length of the empty prompt.
        exact_tokens: refuse a checkpoint whose prompt has another length alone.
        dtype: of the loaded weights.

    Raises:
        ModelError: if a part is missing, unreadable, or does not fit the others.
    """
    if not folder.is_dir():
        raise ModelError(f"no checkpoint folder {folder}")
    unet_folder = part_folder(folder / "unet" if unet is None else unet, "unet")
    trained_on = told(unet_folder)
    unet_config, vae_config = read_config(unet_folder), read_config(folder / "vae")
    inferred = inferred_config(unet_folder, unet_config)
    unet_config |= inferred
    prompts, prompt_digest = find_prompt(folder, tokens, prompt_embeds, exact=exact_tokens)
    prompt, *other_prompts = prompts
    width = unet_config.get("cross_attention_dim")
    if prompt.shape[2] != width:
        raise ModelError(
            f"DiffewS: the prompt's embeddings are {prompt.shape[2]} wide, "
            f"the U-Net in {unet_folder} takes {width}"
        )
    unet_module, unet_digest = load_part(lambda: build_unet(unet_config), unet_folder, dtype)
    vae_folder = folder / "vae"
    vae, vae_digest = load_part(lambda: build_vae(vae_config), vae_folder, dtype, old_names=True)
    digests = [unet_digest, vae_digest, prompt_digest]
    encoder = None
    if (folder / ENCODER).is_dir():
        encoder_config = read_config(folder / ENCODER)
        encoder, encoder_digest = load_part(
            lambda: _image_tokens(encoder_config), folder / ENCODER, dtype
        )
        digests.append(encoder_digest)
        trained_on += told(folder / ENCODER)
    return Parts(
        unet=unet_module,
        unet_config=unet_config,
        vae=vae,
        vae_config=vae_config,
        inferred=inferred,
        prompt=prompt,
        other_prompts=other_prompts,
        digest=joined(digests),
        vae_digest=vae_digest,
        source=folder,
        tokens=encoder,
        trained=record_of(unet_folder),
        trained_on=united(trained_on),
    )


def _image_tokens(config: Mapping[str, Any]) -> ImageTokens:
    """With memory, unlike the other parts: CLIP's positions are in no state dict."""
    with torch.device("cpu"):
        return ImageTokens(config)


def build_vae(config: Mapping[str, Any]) -> Any:
    """An `AutoencoderKL` from its config.json."""
    return library.build("AutoencoderKL", config)


def save_parts(parts: Parts, design: Design | None, folder: Path, unet: Path | None = None) -> None:
    """Write a checkpoint that `load_parts`, the authors' code and diffusers open.

    Args:
        parts: what to write; the text parts are copied from their source where they exist.
        design: written into the U-Net's config; None for a U-Net that is no DiffewS yet.
        folder: base folder, made if absent.
        unet: the U-Net's folder, `folder/unet` if None.
    """
    unet_config = {**parts.unet_config, "_class_name": "UNet2DConditionModel"}
    if design is not None:
        unet_config |= {"_class_name": CLASS_NAME, CONFIG_KEY: design.model_dump()}
        unet_config.setdefault(REFERENCE_CHANNELS, None)
    write_part(unet or folder / "unet", unet_config, parts.unet.state_dict(), parts.trained_on)
    write_vae(parts, folder)
    if parts.trained:
        write_json(folder / RECORD, parts.trained)
    if parts.tokens is not None:
        state = parts.tokens.state_dict()
        write_part(folder / ENCODER, parts.tokens.config, state, parts.trained_on)
    schedule = schedule_config(design or Design())
    write_json(folder / "scheduler" / "scheduler_config.json", schedule)
    prompts = (parts.prompt, *parts.other_prompts)
    embeds = {f"prompt_embeds_{prompt.shape[1]}tok": prompt for prompt in prompts}
    write_tensors(folder / EMBEDS_FILE, embeds)
    if parts.source is not None:
        copy_folders(parts.source, folder, TEXT_PARTS)


def write_vae(parts: Parts, folder: Path) -> None:
    """Write the folder `vae`."""
    scale = parts.vae.config.scaling_factor
    config = {**parts.vae_config, "_class_name": "AutoencoderKL", "scaling_factor": scale}
    write_part(folder / "vae", config, parts.vae.state_dict())


def copy_folders(source: Path, target: Path, names: tuple[str, ...]) -> None:
    """Copy those of the named folders that exist in `source` and not in `target`."""
    for name in names:
        if (source / name).is_dir() and not (target / name).exists():
            # Stable Diffusion folders hold the same weights in several formats.
            spare = ["*.fp16.*", "*.msgpack", "*.h5"]
            files = (source / name).glob("*.safetensors")
            if any(".fp16." not in path.name for path in files):
                spare.append("*.bin")
            ignore = shutil.ignore_patterns(*spare)
            shutil.copytree(source / name, target / name, ignore=ignore)


def write_part(
    folder: Path,
    config: Mapping[str, Any],
    state: Mapping[str, Tensor],
    trained_on: Sequence[TrainedOn] = (),
) -> None:
    """Write one part: its config.json and its weights, with what these were trained on."""
    write_json(folder / "config.json", config)
    write_tensors(folder / WEIGHTS, state, trained_on)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object as diffusers does, its folder made if absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(value), indent=2, sort_keys=True) + "\n", encoding="utf-8")


def check_design(design: Design, parts: Parts) -> None:
    """Refuse parts that lack what a design needs.

    Raises:
        ModelError: naming what is lacking and the mend.
    """
    missing = missing_inputs(parts.unet, design)
    if missing:
        raise ModelError(
            f"DiffewS: this U-Net has no {' and no '.join(missing.values())}, which "
            f"mask_injection={design.mask_injection} with generation={design.generation} needs; "
            "train that design with bench train diffews, or make an untrained default from Stable "
            "Diffusion 2 with: bench models convert sd2 DIR OUT"
        )
    if design.tokenized and parts.tokens is None:
        raise ModelError(
            f"DiffewS: this checkpoint has no {ENCODER}, which "
            "interaction=tokenized_cross_attention needs; train that design with bench train"
        )
