"""Images with outlines in JSON instead of label files, as annotation tools export them.

`--coco FILE` is what COCO's own tools, CVAT, Label Studio and Roboflow write: one file for all
images, which lie by their `file_name` in the folder, in its `images/`, or beside the file.
`--labelme` is a file for each image, `NAME.json`, beside it or in `labels/`.
"""

from collections.abc import Iterator
from pathlib import Path

from datasets_prep.builder import Workspace
from datasets_prep.datasets.coco.index import Entry as Listed
from datasets_prep.datasets.coco.index import read_index
from datasets_prep.datasets.folder.labels import Scheme
from datasets_prep.datasets.folder.layout import IMAGE_TYPES, Entry, Problem, files
from datasets_prep.datasets.folder.naming import Naming
from datasets_prep.datasets.folder.options import FolderOptions
from datasets_prep.datasets.folder.outlines import Outlines, read_labelme
from datasets_prep.episodes.episode import storable
from datasets_prep.errors import DatasetError
from datasets_prep.formats.jsonstream import elements

Found = tuple[Naming, list[Entry], list[Problem]]


def find_coco(path: Path, options: FolderOptions, workspace: Workspace) -> Found:
    """The classes and images of a COCO file; images without annotations are left out.

    Raises:
        DatasetError: naming the file, and all in it that does not hold together.
    """
    categories = _categories(path)
    classes = tuple(dict.fromkeys(categories[number] for number in sorted(categories)))
    class_of = {number: classes.index(name) for number, name in categories.items()}
    entries, problems = [], []
    for listed in read_index(path, workspace.progress, workspace.faults, categories):
        name = listed.name.replace("\\", "/")
        image_id = listed.image_id.replace("\\", "/")
        places = (options.folder, options.folder / "images", path.parent)
        image = next((top / name for top in places if (top / name).is_file()), None)
        if image is None:
            said = f"{listed.name}: neither in {' nor in '.join(map(str, places))}"
            problems.append(Problem(f"no image, though {path.name} lists it", said, image_id))
        elif not storable(image_id):
            kind = "comma or control character in the name"
            problems.append(Problem(kind, repr(str(image)), repr(image_id)))
        else:
            outlines = Outlines(path, listed, class_of)
            entries.append(Entry(image_id, image, outlines=outlines))
    return _naming(options, classes), entries, problems


def find_labelme(options: FolderOptions) -> Found:
    """The labels of all LabelMe files, sorted, and the images that have one with a shape.

    Raises:
        DatasetError: if there is no such file.
    """
    top = options.folder / "images"
    top = top if top.is_dir() else options.folder
    images, problems = files(top, IMAGE_TYPES, over=(".json",))
    entries, bodies = [], {}
    for name, image in images.items():
        places = (image.with_suffix(".json"), options.folder / "labels" / f"{name}.json")
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            problems.append(Problem("no LabelMe file (NAME.json)", str(image), name))
            continue
        try:
            bodies[name] = path, read_labelme(path)
        except (OSError, ValueError) as error:
            problems.append(Problem("unreadable LabelMe file", f"{path}: {error}", name))
    labels = {shape["label"] for _, body in bodies.values() for shape in body["shapes"]}
    classes = tuple(sorted(labels))
    class_of = {name: index for index, name in enumerate(classes)}
    for name, (path, body) in bodies.items():
        if body["shapes"]:
            listed = Listed(images[name].name, body["imageWidth"], body["imageHeight"])
            outlines = Outlines(path, listed, class_of, labelme=True)
            entries.append(Entry(name, images[name], outlines=outlines))
    if not classes and not problems:
        raise DatasetError(f"{top} has no LabelMe file with a shape: NAME.json beside NAME.jpg")
    return _naming(options, classes), entries, problems


def _naming(options: FolderOptions, classes: tuple[str, ...]) -> Naming:
    given = options.model_fields_set & {
        "classes", "ignore", "background", "threshold", "colors", "by_index", "mask_suffix"
    }  # fmt: skip
    if given:
        flag = min(given).replace("_", "-")
        raise DatasetError(f"--{flag} is for label files: outlines in JSON say what they are")
    return Naming(classes, Scheme(len(classes), (), True, exif=options.exif))


def _categories(path: Path) -> dict[int, str]:
    found: dict[int, str] = {}
    for number, name in _pairs(path):
        if type(number) is not int or not isinstance(name, str) or not name.strip():
            raise DatasetError(f"{path} has the category {number!r} {name!r}, which is none")
        if number in found:
            raise DatasetError(f"{path} has the category {number} twice: {found[number]}, {name}")
        found[number] = name
    return found


def _pairs(path: Path) -> Iterator[tuple[object, object]]:
    for element in elements(path, ("categories",)):
        value = element.value if isinstance(element.value, dict) else {}
        yield value.get("id"), value.get("name")
