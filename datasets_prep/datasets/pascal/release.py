"""What PASCAL-5i is made from, and the published figures that the result must meet.

Hashes: pytorch/vision and tensorflow/datasets for the archives; the list files' own bytes for the
lists. Counts: juhongm999/hsnet's and PFENet's list files, and VRP-SAM's lists by BAM's rule.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from datasets_prep.archives.hosts import split_list
from datasets_prep.archives.sources import SourceFile

ListName = Literal["published", "oslsm", "pfenet"]

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle",
    "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person",
    "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip

_RAW = "https://raw.githubusercontent.com"
_ARCHIVED = "https://web.archive.org/web/2020id_"

_LIST_SHA256 = {
    "trn/fold0.txt": "40fded8be6afbc4b70953277f2a178af8055cddd4e73fb4646b7bf19704b9da2",
    "trn/fold1.txt": "558167c3c6fea0cda1bb7c7a275e66d5de7bc13cbc97e00c5872ac84d5f0954e",
    "trn/fold2.txt": "d07e35f4a4ae95774c619bafb57d65d682dbd5b9f33c7f71a4f5cef8e3f99609",
    "trn/fold3.txt": "ffe09100c0c4d9c19d074a33b0f29fe5a89a730579ba39a9f9e908186298ac17",
    "val/fold0.txt": "748e2f4732ac502cb3aa1f3768936b394bd7ba4e611ac5bf959291a268e249df",
    "val/fold1.txt": "afce1929e4dacbc13c07f9a26d4ce7738d415e1b18443fe173e58303836f5c14",
    "val/fold2.txt": "50b1f5218e8f882ca65d85da5be230b978a70067e9b3e0e9fca1528f546bd7fb",
    "val/fold3.txt": "c3825d7c52d1608d4c62c5b85d6ef3f74cf5898032bc068a94c971df17bdf71a",
}


@dataclass(frozen=True)
class ListCounts:
    """Published sizes of one family of lists, by fold.

    Attributes:
        test_pairs: (image, class) pairs of novel classes.
        test_images: distinct images in them.
        per_class: test pairs of each class; None where not published.
        train_pairs: pairs of all classes, over all folds; None where not published.
        train_images: distinct images in them.
        fold_images: distinct training images, with novel classes kept.
        dropped_images: the same with images of novel classes dropped.
        shared_pairs: test pairs that are in HSNet's lists too.
    """

    test_pairs: tuple[int, ...]
    test_images: tuple[int, ...]
    per_class: tuple[int, ...] | None = None
    train_pairs: int | None = None
    train_images: int | None = None
    fold_images: tuple[int, ...] | None = None
    dropped_images: tuple[int, ...] | None = None
    shared_pairs: tuple[int, ...] | None = None


READY_MADE = SourceFile(
    name="SegmentationClassAug.zip",
    page="https://github.com/juhongm999/hsnet",
    note="ready-made label maps; the folder SegmentationClassAug serves too",
    folder="SegmentationClassAug",
)
KNOWN = Path(__file__).with_name("known_maps.json")


@dataclass(frozen=True)
class Release:
    """The files of a PASCAL-5i and what is known of them.

    Attributes:
        voc: archive of VOC trainval.
        sbd: archive of SBD.
        ready_made: label maps that somebody else made of both, to be used in its place.
        known: of the ready-made set that is in use, a digest and each map's hash.
        fold_lists: HSNet's lists by `trn/fold0.txt` .. `val/fold3.txt`.
        pfenet_train: PFENet's training images.
        masks: number of label maps; None where there is no figure to meet.
        counts: published sizes of the lists.
    """

    voc: SourceFile
    sbd: SourceFile
    fold_lists: Mapping[str, SourceFile]
    pfenet_train: SourceFile
    masks: int | None
    counts: Mapping[ListName, ListCounts]
    ready_made: SourceFile = READY_MADE
    known: Path = KNOWN


_HSNET = ListCounts(
    test_pairs=(346, 451, 725, 346),
    test_images=(345, 433, 587, 326),
    per_class=(
        80, 57, 86, 58, 65, 69, 96, 115, 102, 69, 74, 125, 76, 72, 378, 58, 49, 90, 82, 67,
    ),
    train_pairs=13_680,
    train_images=10_092,
)  # fmt: skip

VOC2012_SBD = Release(
    voc=SourceFile(
        name="VOCtrainval_11-May-2012.tar",
        urls=(
            "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
            "https://d2l-data.s3-accelerate.amazonaws.com/VOCtrainval_11-May-2012.tar",
            "https://pjreddie.com/media/files/VOCtrainval_11-May-2012.tar",
            f"{_ARCHIVED}/http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
        ),
        size=1_999_639_040,
        sha256="e14f763270cf193d0b5f74b169f44157a4b0c6efa708f4dd0ff78ee691763bcb",
        md5="6cd6e144f989b92b3379bac3b3de84fd",
        extracted_size=2_000_000_000,
        page="http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
        note="it unpacks to VOCdevkit/VOC2012, which serves as well",
        folder="VOCdevkit/VOC2012",
    ),
    sbd=SourceFile(
        name="benchmark.tgz",
        urls=(
            "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz",
            f"{_ARCHIVED}/http://www.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz",
        ),
        sha256="6a5a2918d5c73ce032fdeba876574d150d9d04113ab87540a1304cbcc715be53",
        md5="82b4d87ceb2ed10f6038a1cba92111cb",
        extracted_size=2_000_000_000,
        page="http://home.bharathh.info/pubs/codes/SBD/download.html",
        note="about 1.3 GB; it unpacks to benchmark_RELEASE/dataset, which serves as well; a copy "
        "is on Google Drive, id 1EQSKo5n2obj7tW8RytYTJ-eEYbXqtUXE",
        folder="benchmark_RELEASE/dataset",
    ),
    fold_lists={
        name: split_list(f"pascal/{name}", sha256) for name, sha256 in _LIST_SHA256.items()
    },
    pfenet_train=SourceFile(
        name="voc_sbd_merge_noduplicate.txt",
        urls=(
            f"{_RAW}/dvlab-research/PFENet/a505675/lists/pascal/voc_sbd_merge_noduplicate.txt",
            f"{_RAW}/dvlab-research/PFENet/master/lists/pascal/voc_sbd_merge_noduplicate.txt",
            f"{_RAW}/mboudiaf/RePRI-Few-Shot-Segmentation/aa54b19/lists/pascal/train.txt",
        ),
        size=380_992,
        sha256="87578cffe141c681b15bf0b07a4cc79019ed7af02335b5ca614ccd044827fc0b",
        extracted_size=0,
        page="https://github.com/dvlab-research/PFENet",
        note="lists/pascal/voc_sbd_merge_noduplicate.txt of that repository",
    ),
    masks=12_031,
    counts={
        "published": _HSNET,
        "oslsm": _HSNET,
        "pfenet": ListCounts(
            test_pairs=(365, 467, 734, 357),
            test_images=(364, 445, 592, 336),
            fold_images=(4_760, 4_588, 4_097, 5_108),
            dropped_images=(4_208, 3_726, 2_752, 4_510),
            shared_pairs=(343, 451, 717, 345),
        ),
    },
)
