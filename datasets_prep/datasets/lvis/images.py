"""One image of LVIS: its file checked, its instances of a class united."""

import json
from pathlib import Path

from datasets_prep.datasets.coco import images
from datasets_prep.datasets.coco.images import Item
from datasets_prep.datasets.coco.index import Entry
from datasets_prep.datasets.coco.render import Thing
from datasets_prep.prepared.records import ImageRecord


def make_record(item: Item) -> ImageRecord:
    """Check the image and unite its instances.

    Raises:
        DatasetError: naming the file that is wrong.
    """
    return images.make_record(item, read_things)


def read_things(annotations: Path, entry: Entry) -> list[Thing]:
    """The objects of an image, in the order of the file."""
    things = []
    with annotations.open("rb") as file:
        for start, stop in entry.places:
            file.seek(start)
            value = json.loads(file.read(stop - start))
            things.append(Thing(value["id"], value["category_id"] - 1, value["segmentation"]))
    return things
