"""One image of LVIS: its file checked, its instances of a class united."""

import json
from dataclasses import dataclass
from pathlib import Path

from datasets_prep.datasets.coco.render import Thing, per_class
from datasets_prep.datasets.lvis.index import Entry
from datasets_prep.errors import DatasetError
from datasets_prep.formats.imagefile import checked_image, keep_copy
from datasets_prep.prepared.records import ImageRecord, rle_record


@dataclass(frozen=True, slots=True)
class Item:
    """All that a process needs to make one record.

    Attributes:
        entry: the image in its annotation file.
        annotations: the annotation file.
        image: the JPEG.
        kept_image: where it is to lie; `image` itself if it may stay where it is.
    """

    entry: Entry
    annotations: Path
    image: Path
    kept_image: Path

    @property
    def image_id(self) -> str:
        """As in the lists."""
        return self.entry.image_id


def make_record(item: Item) -> ImageRecord | str:
    """Check the image and unite its instances; what is wrong, if anything is."""
    entry = item.entry
    size = (entry.height, entry.width)
    try:
        image = checked_image(item.image)
        if (image.height, image.width) != size:
            return (
                f"{item.image} is {image.width}×{image.height}, but {entry.width}×{entry.height} "
                f"in {item.annotations}"
            )
        found = per_class(read_things(item.annotations, entry), *size)
    except DatasetError as error:
        return str(error)
    except ValueError as error:
        return f"{item.annotations}: {error} (of {entry.name})"
    except OSError as error:
        return f"{item.annotations} cannot be read: {error}"
    if item.kept_image != item.image:
        keep_copy(item.image, item.kept_image, image.sha256)
    return rle_record(entry.image_id, item.kept_image, image.sha256, "test", size, found)


def read_things(annotations: Path, entry: Entry) -> list[Thing]:
    """The objects of an image, in the order of the file."""
    things = []
    with annotations.open("rb") as file:
        for start, stop in entry.places:
            file.seek(start)
            value = json.loads(file.read(stop - start))
            things.append(Thing(value["id"], value["category_id"] - 1, value["segmentation"]))
    return things
