"""Every dataset by name. A new dataset is one file and one line here."""

from collections.abc import Mapping

# name -> "module:Builder"; resolved lazily.
DATASETS: Mapping[str, str] = {
    "shapes": "datasets_prep.shapes:Shapes",
    "folder": "datasets_prep.folder:Folder",
    "pascal": "datasets_prep.pascal:Pascal",
    "coco": "datasets_prep.coco:Coco",
    "coco2pascal": "datasets_prep.coco2pascal:Coco2Pascal",
}
