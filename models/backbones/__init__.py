"""Frozen feature extractors by name. A new one is one file and one line here."""

from models.registry import Registry

BACKBONES = Registry(
    "backbone",
    {
        "efficientnet-lite0": "models.backbones.efficientnet:efficientnet_lite0",
        "resnet50": "models.backbones.resnet:resnet50",
        "resnet101": "models.backbones.resnet:resnet101",
        "vgg16": "models.backbones.vgg:vgg16",
        "dinov2-tiny": "models.backbones.dino:dinov2_tiny",
        "dinov2-small": "models.backbones.dino:dinov2_small",
        "dinov2-base": "models.backbones.dino:dinov2_base",
        "dinov2-large": "models.backbones.dino:dinov2_large",
        "dinov3-tiny": "models.backbones.dino:dinov3_tiny",
        "dinov3-small": "models.backbones.dino:dinov3_small",
        "dinov3-base": "models.backbones.dino:dinov3_base",
        "dinov3-large": "models.backbones.dino:dinov3_large",
        "sd-features": "models.backbones.stable_diffusion:sd_features",
    },
)
