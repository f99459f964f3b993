"""Images with outlines in JSON instead of label files, as annotation tools export them.

`--coco FILE` is what COCO's own tools, CVAT, Label Studio and Roboflow write: one file for all
images, which lie by their `file_name` in the folder, in its `images/`, or beside the file.
`--labelme` is a file for each image, `NAME.json`, beside it or in `labels/`.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from datasets_prep.builder import Workspace
from datasets_prep.datasets.coco.index import Entry as Listed
from datasets_prep.datasets.coco.index import read_index
from datasets_prep.datasets.folder.layout import IMAGE_TYPES, Entry, Problem, files, refuse_all
from datasets_prep.datasets.folder.legend import BACKGROUND, IGNORED
from datasets_prep.datasets.folder.naming import Naming
from datasets_prep.datasets.folder.options import FolderOptions
from datasets_prep.datasets.folder.outlines import VOID, Outlines, read_labelme
from datasets_prep.datasets.folder.values import Scheme
from datasets_prep.episodes.episode import storable
from datasets_prep.errors import DatasetError
from datasets_prep.formats.jsonstream import elements

Found = tuple[Naming, list[Entry], list[Problem]]


def find_coco(path: Path, options: FolderOptions, workspace: Workspace) -> Found:
    """The classes and images of a COCO file; images without annotations are left out.

    Raises:
        DatasetError: naming the file, and all in it that does not hold together.
    """
    categories, groups = _categories(path)
    groups = groups and groups - _annotated(path, groups)
    named = [categories[number] for number in sorted(categories) if number not in groups]
    classes = tuple(dict.fromkeys(named))
    class_of = {n: classes.index(name) for n, name in categories.items() if n not in groups}
    entries, problems, bare = [], [], 0
    for listed in read_index(path, workspace.progress, workspace.faults, categories):
        if not listed.places:
            bare += 1
            continue
        name, image_id = listed.name, listed.image_id
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
    return _naming(options, classes, _left_out(bare, path.name)), entries, problems


def find_labelme(options: FolderOptions) -> Found:
    """The labels of all LabelMe files, sorted, and the images that have one with a shape.

    As in LabelMe's own scripts, `__ignore__` and `_background_` are no classes.

    Raises:
        DatasetError: if there is no such file.
    """
    top = options.folder / "images"
    top = top if top.is_dir() else options.folder
    images, problems = files(top, IMAGE_TYPES, over=(".json",))
    entries, bodies = [], {}
    for name, image in images.items():
        places = _places(options.folder, name, image)
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            problems.append(Problem("no LabelMe file (NAME.json)", str(image), name))
            continue
        try:
            bodies[name] = path, read_labelme(path)
        except (OSError, ValueError) as error:
            problems.append(Problem("unreadable LabelMe file", f"{path}: {error}", name))
    problems += _orphans(options.folder, top, images)
    labels = {shape["label"] for _, body in bodies.values() for shape in body["shapes"]}
    void = {label for label in labels if label.lower() in IGNORED}
    classes = tuple(sorted(label for label in labels - void if label.lower() not in BACKGROUND))
    class_of = {name: index for index, name in enumerate(classes)} | dict.fromkeys(void, VOID)
    for name, (path, body) in bodies.items():
        if not {*classes}.isdisjoint(shape["label"] for shape in body["shapes"]):
            listed = Listed(images[name].name, body["imageWidth"], body["imageHeight"])
            outlines = Outlines(path, listed, class_of, labelme=True)
            entries.append(Entry(name, images[name], outlines=outlines))
    if not classes:
        refuse_all(options.folder, problems)
        raise DatasetError(f"{top} has no LabelMe file with a shape: NAME.json beside NAME.jpg")
    bare = len(bodies) - len(entries)
    return _naming(options, classes, _left_out(bare, "LabelMe's files")), entries, problems


def _orphans(folder: Path, top: Path, images: Mapping[str, Path]) -> Iterator[Problem]:
    """LabelMe's files whose image is not there."""
    owned = {path for name, image in images.items() for path in _places(folder, name, image)}
    tops = [place for place in (top, folder / "labels") if place.is_dir()]
    there = {path for place in tops for path in files(place, (".json",), IMAGE_TYPES)[0].values()}
    for path in sorted(there - owned):
        # Beside the images, a JSON file may be of anything.
        with suppress(OSError, ValueError):
            read_labelme(path)
            inside = path.relative_to(folder).as_posix()
            yield Problem("LabelMe file without an image", str(path), inside)


def _places(folder: Path, name: str, image: Path) -> tuple[Path, Path]:
    """Where an image's file of LabelMe's may be."""
    return image.with_suffix(".json"), folder / "labels" / f"{name}.json"


def _left_out(bare: int, where: str) -> tuple[str, ...]:
    return (f"{bare:,} images without annotations in {where} are left out",) if bare else ()


def _naming(options: FolderOptions, classes: tuple[str, ...], notes: tuple[str, ...]) -> Naming:
    given = options.model_fields_set & {
        "classes", "ignore", "background", "threshold", "colors", "by_index", "mask_suffix"
    }  # fmt: skip
    if given:
        flag = min(given).replace("_", "-")
        raise DatasetError(f"--{flag} is for label files: outlines in JSON say what they are")
    return Naming(classes, Scheme(len(classes), (), True, exif=options.exif), notes)


def _categories(path: Path) -> tuple[dict[int, str], frozenset[int]]:
    """Names by number, and the numbers of those that are the supercategory of another.

    Roboflow makes a category of the group that all others are in, which no annotation has.
    """
    found: dict[int, str] = {}
    above: dict[int, object] = {}
    for element in elements(path, ("categories",)):
        value = element.value if isinstance(element.value, dict) else {}
        number, name = value.get("id"), value.get("name")
        if type(number) is not int or not isinstance(name, str) or not name.strip():
            raise DatasetError(f"{path} has the category {number!r} {name!r}, which is none")
        if number in found:
            raise DatasetError(f"{path} has the category {number} twice: {found[number]}, {name}")
        found[number], above[number] = name, value.get("supercategory")
    groups = (n for n, name in found.items() if name in (above[o] for o in found if o != n))
    return found, frozenset(groups)


def _annotated(path: Path, categories: Collection[int]) -> frozenset[int]:
    """Those of some categories that annotations have."""
    values = (e.value for e in elements(path, ("annotations",)) if isinstance(e.value, dict))
    numbers = (value.get("category_id") for value in values)
    # What is no number is for `read_index` to name.
    return frozenset(n for n in numbers if type(n) is int and n in categories)
