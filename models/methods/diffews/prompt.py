"""The empty prompt: encoded once, and projected once by every cross-attention."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from models.errors import ModelError
from models.methods.diffews.checkpoint import UNREADABLE, digest_of

PromptTokens = Literal[2, 77]
EMBEDS_FILE = "prompt_embeds.safetensors"

# CLIP's start and end of text; Stable Diffusion 2 pads to 77 tokens with zeros.
_START, _END, _PAD, _LENGTH = 49406, 49407, 0, 77


def empty_prompt(tokens: PromptTokens) -> Tensor:
    """Token ids of the empty prompt: 1 × `tokens`, int64.

    The authors evaluate with 2 tokens and train with 77.
    """
    ids = [_START, _END] + [_PAD] * (_LENGTH - 2)
    return torch.tensor([ids[:tokens]])


def find_prompt(
    folder: Path,
    tokens: PromptTokens,
    given: str | Path | Tensor | None = None,
    *,
    exact: bool = False,
) -> tuple[list[Tensor], str]:
    """The empty prompt's embeddings and a sha256 of where they come from.

    In this order: `given` embeddings or their file, `prompt_embeds.safetensors` in `folder`,
    the text encoder of `folder`.

    Args:
        folder: base folder of a checkpoint.
        tokens: the length that is wanted.
        given: embeddings, which may have any length, or their file.
        exact: refuse a file that lacks the length; otherwise its only tensor will do. The file in
            `folder` is then passed over where there is a text encoder.

    Returns:
        The embeddings, 1 × tokens × width float32, then those of other lengths from the same
        place; and the digest.

    Raises:
        ModelError: if there is no source or it cannot be read.
    """
    if isinstance(given, Tensor):
        embeds = _shaped(given, "the given prompt embeddings")
        return [embeds], hashlib.sha256(embeds.numpy().tobytes()).hexdigest()
    encoder = folder / "text_encoder"
    if given is not None or (folder / EMBEDS_FILE).is_file():
        path = Path(given) if given is not None else folder / EMBEDS_FILE
        found = read_embeds(path)
        if chosen := _chosen(found, tokens, exact):
            return chosen, digest_of([path])
        if given is not None or not encoder.is_dir():
            raise ModelError(
                f"DiffewS: {path} holds embeddings of {sorted(e.shape[1] for e in found)} tokens, "
                f"not of {tokens}; set prompt_tokens to one, or give a checkpoint with its "
                "text_encoder"
            )
    if not encoder.is_dir():
        raise ModelError(
            f"DiffewS: {folder} holds neither text_encoder nor {EMBEDS_FILE}; "
            "pass the empty prompt's embeddings as prompt_embeds"
        )
    files = sorted(encoder.glob("*.safetensors")) or sorted(encoder.glob("pytorch_model*.bin"))
    if not files:
        raise ModelError(f"DiffewS: {encoder} holds no weights (model.safetensors)")
    lengths: list[PromptTokens] = [tokens, *(n for n in get_args(PromptTokens) if n != tokens)]
    return encode(encoder, [empty_prompt(length) for length in lengths]), digest_of(files)


def read_embeds(path: Path) -> list[Tensor]:
    """All embeddings in a safetensors file, each 1 × tokens × width float32.

    Raises:
        ModelError: if the file is unreadable, or holds what are no embeddings.
    """
    from safetensors.torch import load_file

    try:
        return [_shaped(t, str(path)) for t in load_file(path).values()]
    except UNREADABLE as error:
        raise ModelError(f"DiffewS: cannot read prompt embeddings from {path}: {error}") from None


def _chosen(found: list[Tensor], tokens: PromptTokens, exact: bool) -> list[Tensor]:
    """Embeddings with those of the wanted length first; none if they cannot be told."""
    fitting = [embeds for embeds in found if embeds.shape[1] == tokens]
    if not fitting and len(found) == 1 and not exact:
        return found
    if len(fitting) != 1:
        return []
    return [*fitting, *(embeds for embeds in found if embeds.shape[1] != tokens)]


def encode(folder: Path, prompts: Sequence[Tensor]) -> list[Tensor]:
    """Encode token ids with the CLIP text encoder in `folder`; the encoder is then let go.

    Args:
        folder: the encoder's.
        prompts: ids, each 1 × tokens.

    Returns:
        Of each 1 × tokens × width, float32.

    Raises:
        ModelError: if the encoder is unreadable or incomplete.
    """
    from transformers import CLIPTextModel
    from transformers.utils import logging

    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        encoder, report = CLIPTextModel.from_pretrained(
            folder, output_loading_info=True, local_files_only=True, dtype=torch.float32
        )
    except (*UNREADABLE, RuntimeError) as error:
        raise ModelError(f"DiffewS: cannot load the text encoder in {folder}: {error}") from None
    finally:
        if bars:
            logging.enable_progress_bar()
    if report["missing_keys"]:
        raise ModelError(f"DiffewS: the text encoder in {folder} lacks {report['missing_keys'][0]}")
    with torch.inference_mode():
        encoder.eval()
        return [encoder(ids).last_hidden_state for ids in prompts]


def _shaped(embeds: Tensor, where: str) -> Tensor:
    if embeds.ndim == 2:
        embeds = embeds[None]
    if embeds.ndim != 3 or embeds.shape[0] != 1:
        raise ModelError(
            f"DiffewS: {where}: shape {tuple(embeds.shape)}, expected 1 × tokens × width"
        )
    # A copy: rounding may depend on the alignment of memory, and a mapped file has its own.
    return embeds.detach().to("cpu", torch.float32, copy=True).contiguous()


class PromptLinear(nn.Linear):
    """A projection of the prompt that is done once; its weight keeps its name and its sharing."""

    def __init__(self, linear: nn.Linear, prompt: Tensor) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=False, device="meta")
        self.weight, self.bias = linear.weight, linear.bias
        self.register_buffer("projected", linear(prompt), persistent=False)

    def forward(self, context: Tensor) -> Tensor:
        """The prompt's projection, once for each of `context`'s batch."""
        projected: Tensor = self.get_buffer("projected")
        return projected.expand(context.shape[0], -1, -1)


def project_once(unet: Any, prompt: Tensor) -> None:
    """Replace the cross-attentions' key and value projections by their results on `prompt`.

    Args:
        unet: a diffusers U-Net in its final dtype and on its device.
        prompt: 1 × tokens × width.
    """
    with torch.no_grad():
        for name, module in unet.named_modules():
            if name.endswith("attn2"):
                module.to_k = PromptLinear(module.to_k, prompt)
                module.to_v = PromptLinear(module.to_v, prompt)
