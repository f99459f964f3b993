"""Every dataset by name. A new dataset is one file and one line here."""

from collections.abc import Mapping

# name -> "module:Builder"; resolved lazily.
DATASETS: Mapping[str, str] = {
    "shapes": "datasets_prep.shapes:Shapes",
    "folder": "datasets_prep.folder:Folder",
    "pascal": "datasets_prep.pascal:Pascal",
    "coco": "datasets_prep.coco:Coco",
    "coco2pascal": "datasets_prep.coco2pascal:Coco2Pascal",
    "fss1000": "datasets_prep.fss1000:FSS1000",
    "isic2018": "datasets_prep.crossdomain.isic2018:Isic2018",
    "chestxray": "datasets_prep.crossdomain.chestxray:ChestXray",
    "suim": "datasets_prep.crossdomain.suim:Suim",
    "deepglobe": "datasets_prep.crossdomain.deepglobe:DeepGlobe",
    "lvis": "datasets_prep.lvis:Lvis",
    "isaid": "datasets_prep.isaid:Isaid",
    "pascal-part": "datasets_prep.parts.pascal:PascalPart",
    "paco-part": "datasets_prep.parts.paco:PacoPart",
}

# Datasets that are run and averaged together; the four targets of PATNet's cross-domain benchmark.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "cdfss": ("fss1000", "isic2018", "chestxray", "deepglobe"),
}
