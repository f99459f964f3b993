"""SAM with its weights: embed images once, decode any prompts on an embedding."""

from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from models.backbones.base import freeze
from models.catalog import Options
from models.errors import ModelError
from models.methods.sam.checkpoint import bare_network, is_original, renamed
from models.methods.sam.decoder import ALL_MASKS, Guidance, decode
from models.methods.sam.frame import Frame
from models.segmenter import Features
from models.weights.pretrained import Pretrained, chosen_weights, hint, load_pretrained
from models.weights.published import SAMS
from models.weights.source import fetched, fill, read_weights, torch_dtype

# A ViT-H keeps a GPU busy with one image, whose attention with relative positions takes gigabytes.
ENCODE_BATCH = 1
# Prompts decoded together on a CPU, where more only drive each other from its cache.
DECODED_TOGETHER = 2
PUBLISHED = "facebook/sam-vit-huge"
_FILES = "sam_vit_*.pth or mobile_sam.pt, or mobile-sam once it is fetched"
_DECODER_EPS = 1e-5  # of the original's layer norms in the decoder; transformers has 1e-6
LICENCE = "Apache-2.0 (as the hub says)"
TRAINING_DATA = "SA-1B: 11 million photographs, 1.1 billion masks without class names"

# Objects of the test classes are among the masks of SA-1B, their names are not.
SEES_TEST_CLASSES = {
    "*": "unknown",
    "camvid": "partly",
    "coco": "partly",
    "fss1000": "partly",
    "pascal": "partly",
    "shapes": "no",
}


# What SAM sees, an option of models whose authors give it a squashed image.
SamInput = Annotated[
    Literal["authors", "padded"],
    Field(
        description="what SAM sees: the squashed image, as the authors have it, or the padded one, "
        "as SAM's own code and persam have it, whose embedding all such models of a run share"
    ),
]


class SamOptions(Options):
    """Options of a model that is nothing but SAM."""

    weights: str | None = Field(
        default=None,
        description="a folder with config.json and model.safetensors, a hub id "
        "owner/name[@revision], an original file sam_vit_*.pth or mobile_sam.pt, or mobile-sam, "
        "as `bench models fetch` brings it",
    )
    random: Literal["tiny"] | None = Field(
        default=None, description="random weights of this size in their place, for tests"
    )


@dataclass(frozen=True)
class Sam:
    """SAM's image encoder, prompt encoder and mask decoder.

    Attributes:
        pretrained: transformers' `SamModel` with its origin.
        dtype: what the network computes in.
    """

    pretrained: Pretrained
    dtype: str

    @property
    def size(self) -> int:
        """Side of the square that the image encoder sees, in pixels."""
        return int(self.pretrained.network.config.vision_config.image_size)

    @property
    def key(self) -> str:
        """Names what `embed` computes: models with equal keys share embeddings."""
        return f"sam@{self.pretrained.key}:{self.dtype}"

    @property
    def _like(self) -> Tensor:
        """A tensor on the network's device, in its dtype."""
        weight: Tensor = self.pretrained.network.mask_decoder.iou_token.weight
        return weight

    @torch.no_grad()
    def embed(self, pixels: Tensor) -> list[Tensor]:
        """Embeddings, C×h×w each, of normalised squares B×3×size×size."""
        embeddings = self.pretrained.network.get_image_embeddings(pixels)
        return [embedding.clone() for embedding in embeddings]

    def encode_framed(self, images: Tensor) -> list[Features]:
        """Per image (B×3×H×W in 0..1) its `embedding` as it lies in a `Frame`, and its `size`.

        The size is int64, height and width.
        """
        size = (images.shape[2], images.shape[3])
        like = self._like
        pixels = torch.stack([Frame(size, self.size).image(image, like) for image in images])
        sizes = {"size": torch.tensor(size, device=like.device)}
        return [Features({"embedding": own, **sizes}) for own in self.embed(pixels)]

    def frame(self, image: Features) -> Frame:
        """How an image lies in the square, from what `encode_framed` gave."""
        height, width = image["size"].tolist()
        return Frame((height, width), self.size)

    @torch.no_grad()
    def prompt(
        self,
        points: Tensor | None = None,
        labels: Tensor | None = None,
        boxes: Tensor | None = None,
        masks: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Encode P prompts of N points, a box and a mask each, any of them None.

        Args:
            points: P×N×2, (x, y) in pixels of the grid.
            labels: P×N, 1 foreground, 0 background.
            boxes: P×4, (left, top, right, bottom), in pixels, all inside.
            masks: P×4h×4w logits.

        Returns:
            Tokens P×M×C and maps P×C×h×w (or 1×C×h×w without masks), for `decode`.
        """
        reference = self._like

        def placed(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(reference.device)[None]

        sparse, dense = self.pretrained.network.prompt_encoder(
            input_points=placed(points),
            input_labels=placed(labels),
            input_boxes=placed(boxes),
            input_masks=None if masks is None else masks[:, None].to(reference),
        )
        return sparse[0], dense

    @torch.no_grad()
    def decode(
        self,
        embedding: Tensor,
        sparse: Tensor,
        dense: Tensor,
        guidance: Guidance | None = None,
        which: slice = ALL_MASKS,
    ) -> tuple[Tensor, Tensor]:
        """Decode P encoded prompts on one image.

        Args:
            embedding: C×h×w, from `encode_framed`.
            sparse: P×M×C tokens, from `prompt` or a model's own.
            dense: P×C×h×w or 1×C×h×w, from `prompt`.
            guidance: see `decoder.Guidance`.
            which: see `decoder.decode`.

        Returns:
            float32: mask logits P×M×4h×4w and predicted IoU P×M.
        """
        network = self.pretrained.network
        places = network.get_image_wide_positional_embeddings()[0].to(self._like)
        image = (embedding.to(places) + dense).permute(0, 2, 3, 1).contiguous()
        places = places.permute(1, 2, 0).contiguous()
        prompts = len(sparse) if places.is_cuda else DECODED_TOGETHER
        images = torch.split(image, prompts) if len(image) > 1 else repeat(image)
        decoded = [
            decode(network.mask_decoder, own, places, some, guidance, which)
            for some, own in zip(torch.split(sparse, prompts), images, strict=False)
        ]
        masks, scores = (torch.cat(parts).float() for parts in zip(*decoded, strict=True))
        return masks, scores


def load_sam(
    model: str,
    *,
    weights: str | None,
    random: str | None,
    device: str,
    dtype: str,
    option: str = "weights",
) -> Sam:
    """SAM with the weights that a user named.

    Args:
        model: the model that uses it, for messages.
        weights: a folder, a hub id, an original checkpoint, SAM's or MobileSAM's, or `mobile-sam`.
        random: "tiny" for seeded random weights of a tiny size.
        device: a torch device.
        dtype: "fp32", "fp16" or "bf16".
        option: what the model calls the option `weights`, for messages.

    Raises:
        ModelError: for weights that are not named, missing or do not fit.
    """
    mend = hint(PUBLISHED, option, _FILES)
    spec = chosen_weights(model, mend, weights, random, option)
    spec = str(_fetched(spec)) if spec in SAMS else spec
    if Path(spec).suffix in (".pth", ".pt", ".safetensors"):
        pretrained = _original(model, spec, mend, device)
    else:
        pretrained = load_pretrained(
            model,
            "SamModel",
            PUBLISHED,
            tiny_network,
            weights=weights,
            random=random,
            device=device,
            dtype="fp32",
            option=option,
        )
    network = pretrained.network
    for module in network.mask_decoder.transformer.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = _DECODER_EPS
    _narrow(network, torch_dtype(dtype))
    return Sam(pretrained, dtype)


def _fetched(name: str) -> Path:
    """Where `bench models fetch` puts a SAM that is published as a file."""
    path = fetched(SAMS[name].sources[0])
    if not path.is_file():
        raise ModelError(f"{name} is not here yet; run: bench models fetch {name}")
    return path


def _narrow(network: Any, dtype: torch.dtype) -> None:
    """All but the encodings of positions, whose phases of many turns half precision would blur."""
    encodings = (network.shared_image_embedding, network.prompt_encoder.shared_embedding)
    exact = [encoding.positional_embedding for encoding in encodings]
    exact = [nn.Parameter(matrix.clone(), requires_grad=False) for matrix in exact]
    network.to(dtype)
    for encoding, matrix in zip(encodings, exact, strict=True):
        encoding.positional_embedding = matrix


def _original(model: str, path: str, mend: str, device: str) -> Pretrained:
    """SAM from a checkpoint of the original repository; `mend` ends messages."""
    read = read_weights(path, hint=mend)
    with torch.device("meta"):
        network = bare_network(read.tensors) if is_original(read.tensors) else None
    if network is None:
        raise ModelError(
            f"{path} is no checkpoint of SAM with the names of its authors' repository; {mend}"
        )
    fill(network, type(read)(renamed(read.tensors), read.source, read.digest), name=model)
    return Pretrained(freeze(network, device, torch.float32), read.source, read.digest)


def tiny_network() -> nn.Module:
    """SAM on 64×64 pixels, with 56,000 random parameters, large enough to give clear masks."""
    import transformers

    spread = {"initializer_range": 0.2}
    vision = spread | {
        "hidden_size": 32,
        "output_channels": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 64,
        "patch_size": 16,
        "window_size": 2,
        "global_attn_indexes": [1],
        "num_pos_feats": 8,
        "mlp_dim": 64,
    }
    prompt = {"hidden_size": 16, "image_size": 64, "patch_size": 16, "mask_input_channels": 8}
    decoder = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "mlp_dim": 32,
        "iou_head_hidden_dim": 16,
    }
    config = transformers.SamConfig(
        vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder, **spread
    )
    network: nn.Module = transformers.SamModel(config)
    return network
