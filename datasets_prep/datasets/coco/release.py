"""What COCO-20i is made from, and the published figures that the result must meet.

Hashes: tensorflow/datasets for the archives; the list files' own bytes for the lists. Counts: the
list files of juhongm999/hsnet, which equal those of PFENet, and issue 65 of chunbolang/BAM.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from datasets_prep.archives.hosts import COCO, of_coco, split_list
from datasets_prep.archives.sources import SourceFile

FOLDS = 4
MIN_AREA = 2048  # pixels of a class by which an image is listed: 2·32·32 in PFENet's code

_LIST_SHA256 = {
    "trn/fold0.pkl": "5a94e113d8c150a7e20723360dd9779eaa1305ccddc28dff4501e29ed3df5c45",
    "trn/fold1.pkl": "69629cdd84fd57b3bb4e281b5bf65440f7ecf9b62eb119f1d8d7fe78b0fb02a8",
    "trn/fold2.pkl": "594adc4b8ebecf9b8b559284f334ff3dd3fa3c150317cbc6ce7917ce81a08c03",
    "trn/fold3.pkl": "07b38ccc9e15ebfd1ab6288eeaad3a5f289bbba3419807212169fd44b89cc5c5",
    "val/fold0.pkl": "96002389be83b4730d13b814398f54eb2baf5c3283598ec2288d60624d6ef9c3",
    "val/fold1.pkl": "a34deecdf2858fc436f5ea4d5a2d46b6674ce09f7ebce41c34b694116381fa56",
    "val/fold2.pkl": "0f275c5e9bf538f6ef8a95054f6daf2519b53785c4ab7fd07e633dda57dac1e5",
    "val/fold3.pkl": "927597bd78036a460abdab243330667af6ceffdb483bc3331ae55d148f00c449",
}


@dataclass(frozen=True)
class ListCounts:
    """Published sizes of the lists.

    Attributes:
        images: annotated images of train2014 and of val2014.
        test_pairs: (image, class) pairs of novel classes, by fold.
        test_images: distinct images in them, by fold.
        train_images: distinct training images with novel classes kept, by fold.
        dropped_images: the same with images of novel classes dropped.
        test_per_class: test pairs, by class.
        train_per_class: training pairs, by class.
    """

    images: tuple[int, int]
    test_pairs: tuple[int, ...]
    test_images: tuple[int, ...]
    train_images: tuple[int, ...]
    dropped_images: tuple[int, ...]
    test_per_class: tuple[int, ...]
    train_per_class: tuple[int, ...]


@dataclass(frozen=True)
class Release:
    """The files of a COCO-20i and what is known of them.

    Attributes:
        annotations: archive with `instances_train2014.json` and `instances_val2014.json`.
        train: archive of the training images.
        val: archive of the test images.
        fold_lists: HSNet's lists by `trn/fold0.pkl` .. `val/fold3.pkl`.
        single: address of the folder in which every test image can be had by itself.
        counts: published sizes of the lists; None where there are none to meet.
    """

    annotations: SourceFile
    train: SourceFile
    val: SourceFile
    fold_lists: Mapping[str, SourceFile]
    single: str
    counts: ListCounts | None


COCO2014 = Release(
    annotations=of_coco(
        "annotations_trainval2014.zip",
        252_872_794,
        "031296bbc80c45a1d1f76bf9a90ead27e94e99ec629208449507a4917a3bf009",
        1_000_000_000,
        "annotations",
    ),
    train=of_coco(
        "train2014.zip",
        13_510_573_713,
        "ede4087e640bddba550e090eae701092534b554b42b05ac33f0300b984b31775",
        13_600_000_000,
    ),
    val=of_coco(
        "val2014.zip",
        6_645_013_297,
        "fe9be816052049c34717e077d9e34aa60814a55679f804cd043e3cbee3b9fde0",
        6_700_000_000,
    ),
    fold_lists={name: split_list(f"coco/{name}", sha256) for name, sha256 in _LIST_SHA256.items()},
    single=f"{COCO}/val2014",
    counts=ListCounts(
        images=(82_081, 40_137),
        test_pairs=(35_783, 17_912, 14_563, 14_315),
        test_images=(26_052, 15_305, 13_138, 12_640),
        train_images=(62_040, 74_381, 73_035, 73_808),
        dropped_images=(21_917, 41_809, 43_045, 44_614),
        test_per_class=(
            19_217, 748, 2_754, 1_073, 727, 1_213, 1_257, 1_565, 816, 572, 411, 385, 172, 1_379,
            713, 1_291, 1_203, 925, 456, 616, 699, 335, 655, 839, 805, 1_135, 998, 154, 709, 270,
            434, 272, 142, 404, 173, 159, 655, 804, 687, 1_351, 516, 1_733, 419, 470, 312, 1_577,
            551, 298, 577, 380, 521, 397, 331, 916, 423, 790, 3_648, 1_375, 1_198, 1_272, 3_722,
            1_116, 1_416, 1_070, 200, 302, 619, 446, 389, 925, 38, 1_097, 773, 1_159, 803, 676,
            170, 644, 37, 94,
        ),
        train_per_class=(
            40_118, 1_524, 5_651, 2_115, 2_047, 2_498, 2_427, 3_327, 1_599, 1_248, 862, 805, 325,
            2_724, 1_393, 2_437, 2_424, 1_904, 1_005, 1_288, 1_491, 655, 1_297, 1_770, 1_698,
            2_186, 2_104, 324, 1_356, 527, 949, 628, 309, 920, 459, 377, 1_492, 1_445, 1_425,
            2_813, 1_120, 3_642, 865, 1_031, 641, 3_229, 1_276, 785, 1_167, 826, 1_031, 809, 630,
            1_817, 821, 1_697, 7_449, 2_980, 2_321, 2_514, 7_894, 2_211, 2_872, 2_126, 397, 597,
            1_184, 734, 863, 1_875, 88, 2_306, 1_626, 2_419, 1_354, 1_399, 369, 1_337, 53, 190,
        ),
    ),
)  # fmt: skip
