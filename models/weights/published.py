"""Where the usual weights of models and backbones are published, and what is known of them.

Apart from the classes, so that a listing or a download need not import what computes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

_TORCHVISION = "https://download.pytorch.org/models/"
_SAM = "facebook/sam-vit-huge"
_SAM_PARAMETERS = 641_090_864
_SAM3 = "facebook/sam3"
_DINOV2 = "facebook/dinov2-large"
_DINOV2_PARAMETERS = 304_368_640


@dataclass(frozen=True)
class Published:
    """What one can know of a model without loading it.

    Attributes:
        sources: hub ids `owner/name`, and addresses of files, whose name ends in the first eight
            of their sha256 (torchvision's way) or which end in `#sha256=` and the whole (pip's).
        gated: whether the hub asks to accept terms first.
        parameters: of the network as published; None where a checkpoint decides.
        side: of the square that images are brought to, in pixels; None where there is none.
        pixels: how they are brought to it, and how colours are normalised then.
        extras: of this package, that bring the usual weights.
        by_hand: what to fetch where the suite does not, and how.
    """

    sources: tuple[str, ...] = ()
    gated: bool = False
    parameters: int | None = None
    side: int | None = None
    pixels: str = ""
    extras: tuple[str, ...] = ()
    by_hand: str = ""


_DIFFEWS = """\
zzzmmz/Diffews on https://modelscope.cn, Stable Diffusion 2.1 as fine-tuned by the authors

  pip install modelscope
  modelscope download --model zzzmmz/Diffews --local_dir weight

needed, so that they lie as here; GB in float32, from the number of weights:

  weight/stable-diffusion-2-1-ref8inchannels-tag4inchannels/
    vae/config.json, vae/diffusion_pytorch_model.safetensors or .bin            0.33
    text_encoder/config.json, text_encoder/model.safetensors or .bin            1.36
  weight/coco_fold0/unet/   strict: base classes of a fold of COCO-20i
    config.json, diffusion_pytorch_model.safetensors or .bin                    3.46
  weight/coco_fold1/unet/, weight/coco_fold2/unet/, weight/coco_fold3/unet/     3.46 each
  weight/incontext/unet/    all classes of COCO, ADE20K and PASCAL VOC          3.46
"""

_SANSA = """\
adapters of github.com/ClaudiaCuttano/SANSA, by the links of its README to Google Drive

keep the names, which say what the adapters were trained on:

  adapter_coco_fold0.pth to adapter_coco_fold3.pth    strict: base classes of COCO-20i
  adapter_lvis_fold0.pth to adapter_lvis_fold9.pth    strict: base classes of LVIS-92i
  adapter_fss.pth                                     strict: training classes of FSS-1000
  adapter_generalist.pth                              all classes of COCO, ADE20K, LVIS, PACO
"""

_LABEL_ANYTHING = """\
checkpoints of github.com/pasqualedem/LabelAnything, which the hub has; 0.38 GB each

bench models fetch brings them by these names, as the option weights does that is given one:

  pasqualedem/label_anything_coco_fold0_mae_7a5p0t63    strict: base classes of a fold of COCO-20i
  pasqualedem/label_anything_coco_fold1_mae_coh54ws0
  pasqualedem/label_anything_coco_fold2_mae_2pnppb7k
  pasqualedem/label_anything_coco_fold3_mae_a2gk7tet
  pasqualedem/label_anything_mae_480_coco               all classes of COCO
"""

_SQUASHED = "squashed, bilinear"
_PADDED = "longest side, padded, bilinear"
_IMAGENET = "ImageNet's mean and deviation"

MODELS: Mapping[str, Published] = {
    "prototype": Published(
        parameters=4_652_008, side=320, pixels=f"{_SQUASHED}; the backbone's", extras=("demo",)
    ),
    "dense-nn": Published(
        parameters=4_652_008, side=320, pixels=f"{_SQUASHED}; the backbone's", extras=("demo",)
    ),
    "diffews": Published(side=512, pixels=f"{_SQUASHED}; to -1..1", by_hand=_DIFFEWS),
    "sd-features": Published(side=768, pixels=f"{_SQUASHED}; to -1..1"),
    "sd-incontext": Published(side=512, pixels=f"{_SQUASHED}; to -1..1"),
    "seggpt": Published(
        ("BAAI/seggpt-vit-large",),
        parameters=370_723_203,
        side=448,
        pixels=f"squashed, bicubic; {_IMAGENET}",
    ),
    "clipseg": Published(
        ("CIDAS/clipseg-rd64-refined",),
        parameters=150_693_890,
        side=352,
        pixels=f"{_PADDED}; {_IMAGENET}",
    ),
    "persam": Published(
        (_SAM,), parameters=_SAM_PARAMETERS, side=1024, pixels=f"{_PADDED}; {_IMAGENET}"
    ),
    "persam-f": Published(
        (_SAM,), parameters=_SAM_PARAMETERS, side=1024, pixels=f"{_PADDED}; {_IMAGENET}"
    ),
    "sam2-memory": Published(
        ("facebook/sam2.1-hiera-large",),
        parameters=224_446_642,
        side=1024,
        pixels=f"squashed, bicubic; {_IMAGENET}",
    ),
    "sansa": Published(
        ("facebook/sam2-hiera-large",),
        side=640,
        pixels=f"{_SQUASHED}; {_IMAGENET}; for SAM 2 stretched to 1024",
        by_hand=_SANSA,
    ),
    "fss-sam3": Published(
        (_SAM3,),
        gated=True,
        pixels="own size; on a canvas of 1008, squashed, bilinear; to -1..1",
    ),
    "fss-sam3-text": Published(
        (_SAM3,),
        gated=True,
        pixels="own size; on a canvas of 1008, squashed, bilinear; to -1..1",
    ),
    "hsnet": Published(side=400, pixels=f"{_SQUASHED}; {_IMAGENET}"),
    "patnet": Published(side=400, pixels=f"{_SQUASHED}; {_IMAGENET}"),
    "dcama": Published(side=384, pixels=f"{_SQUASHED}; {_IMAGENET}"),
    "vrp-sam": Published(
        (_SAM,), side=512, pixels=f"{_SQUASHED}; {_IMAGENET}; for SAM stretched to 1024"
    ),
    "insid3": Published(
        ("facebook/dinov3-vitl16-pretrain-lvd1689m",),
        gated=True,
        parameters=303_129_600,
        side=1024,
        pixels=f"{_SQUASHED}; {_IMAGENET}",
    ),
    "fssdino": Published(
        ("facebook/dinov3-vitb16-pretrain-lvd1689m",),
        gated=True,
        parameters=85_660_416,
        side=512,
        pixels=f"{_SQUASHED}; {_IMAGENET}",
    ),
    "label-anything": Published(
        parameters=95_322_156,
        side=480,
        pixels=f"{_SQUASHED}; {_IMAGENET}",
        by_hand=_LABEL_ANYTHING,
    ),
    "abcdfss": Published(
        parameters=25_557_032,
        side=400,
        pixels=f"{_SQUASHED}; {_IMAGENET}",
        by_hand=f"torchvision's second ResNet-50: {_TORCHVISION}resnet50-11ad3fa6.pth\n",
    ),
    "gf-sam": Published(
        (_DINOV2, _SAM),
        parameters=_DINOV2_PARAMETERS + _SAM_PARAMETERS,
        side=1024,
        pixels=f"{_SQUASHED}; {_IMAGENET}; for DINOv2 stretched to 518",
    ),
    "matcher": Published(
        (_DINOV2, _SAM),
        parameters=_DINOV2_PARAMETERS + _SAM_PARAMETERS,
        side=518,
        pixels=f"{_SQUASHED}; {_IMAGENET}; for SAM stretched to 1024",
    ),
}

BACKBONES: Mapping[str, Published] = {
    "efficientnet-lite0": Published(parameters=4_652_008, extras=("demo",)),
    "resnet50": Published((f"{_TORCHVISION}resnet50-0676ba61.pth",), parameters=25_557_032),
    "resnet101": Published((f"{_TORCHVISION}resnet101-63fe2227.pth",), parameters=44_549_160),
    "vgg16": Published((f"{_TORCHVISION}vgg16-397923af.pth",), parameters=138_357_544),
    "dinov2-small": Published(("facebook/dinov2-small",)),
    "dinov2-base": Published(("facebook/dinov2-base",)),
    "dinov2-large": Published((_DINOV2,), parameters=_DINOV2_PARAMETERS),
    "dinov3-small": Published(("facebook/dinov3-vits16-pretrain-lvd1689m",), gated=True),
    "dinov3-base": Published(("facebook/dinov3-vitb16-pretrain-lvd1689m",), gated=True),
    "dinov3-large": Published(("facebook/dinov3-vitl16-pretrain-lvd1689m",), gated=True),
}

SAMS: Mapping[str, Published] = {
    "mobile-sam": Published(
        (
            "https://raw.githubusercontent.com/ChaoningZhang/MobileSAM/"
            "f706ad9c4eb7f219c00d9050e46328518ffb65d2/weights/mobile_sam.pt"
            "#sha256=6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
        ),
        parameters=10_130_092,
        side=1024,
        pixels=f"as the model that uses it; {_IMAGENET}",
    ),
}
