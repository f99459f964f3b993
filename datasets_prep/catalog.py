"""Every dataset by name. A new dataset is one file and one line here."""

from collections.abc import Mapping

# name -> "module:Builder"; resolved lazily.
DATASETS: Mapping[str, str] = {
    "shapes": "datasets_prep.datasets.shapes:Shapes",
    "folder": "datasets_prep.datasets.folder.builder:Folder",
    "pascal": "datasets_prep.datasets.pascal:Pascal",
    "coco": "datasets_prep.datasets.coco:Coco",
    "coco2pascal": "datasets_prep.datasets.coco2pascal:Coco2Pascal",
    "fss1000": "datasets_prep.datasets.fss1000:FSS1000",
    "isic2018": "datasets_prep.datasets.crossdomain.isic2018:Isic2018",
    "chestxray": "datasets_prep.datasets.crossdomain.chestxray:ChestXray",
    "suim": "datasets_prep.datasets.crossdomain.suim:Suim",
    "deepglobe": "datasets_prep.datasets.crossdomain.deepglobe:DeepGlobe",
    "lvis": "datasets_prep.datasets.lvis:Lvis",
    "isaid": "datasets_prep.datasets.isaid:Isaid",
    "pascal-part": "datasets_prep.datasets.parts.pascal:PascalPart",
    "paco-part": "datasets_prep.datasets.parts.paco:PacoPart",
}

# Datasets that are run and averaged together; the four targets of PATNet's cross-domain benchmark.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "cdfss": ("fss1000", "isic2018", "chestxray", "deepglobe"),
}
