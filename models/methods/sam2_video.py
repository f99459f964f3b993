"""SAM 2's inference session over image features that are ready-made."""

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from models.segmenter import Features
from models.weights.pretrained import normalised

OBJECT = 0  # the session's number of the one object


class Video:
    """transformers' Sam2VideoModel over frames whose image features are given.

    Args:
        network: the model.
    """

    def __init__(self, network: Any) -> None:
        self.network = network

    @torch.no_grad()
    def features(self, images: Tensor) -> list[Features]:
        """Of B×3×S×S images in 0..1, per image `level0` (the finest) to `level2`: (h·w)×1×C."""
        levels = self._read(images).fpn_hidden_states
        return [
            Features({f"level{n}": level[:, [index]].clone() for n, level in enumerate(levels)})
            for index in range(len(images))
        ]

    def session(self, frames: Sequence[Features | None]) -> Any:
        """A session with one object, over frames whose image features are given or not needed."""
        from transformers import Sam2VideoInferenceSession

        device = self.network.device
        session = Sam2VideoInferenceSession(
            video=torch.empty(len(frames), 0),  # features stand in for the pixels
            inference_device=device,
            inference_state_device=device,
            video_storage_device=device,
            dtype=self.network.dtype,
            max_vision_features_cache_size=len(frames),
        )
        session.obj_id_to_idx(OBJECT)
        for index, frame in enumerate(frames):
            if frame is not None:
                levels = [frame[f"level{n}"] for n in range(len(frame.tensors))]
                places = [*[None] * (len(levels) - 1), self._places]
                session.cache.cache_vision_features(
                    index, {"vision_feats": levels, "vision_pos_embeds": places}
                )
        return session

    @functools.cached_property
    def _places(self) -> Tensor:
        """Position encoding of the coarsest level, (h·w)×1×C: the same for every image."""
        side = int(self.network.config.image_size)
        places: Tensor = self._read(torch.zeros(1, 3, side, side)).fpn_position_encoding[-1]
        return places

    @torch.no_grad()
    def _read(self, images: Tensor) -> Any:
        return self.network.get_image_features(normalised(images, next(self.network.parameters())))
