"""How fast COCO's labels are rendered: run `python -m tests.perf.coco_masks`.

Generated annotations of COCO's statistics: 640×480 pixels, 7 objects an image and 50 points a
polygon on average. Prints, per worker, the ratio to a plain loop of `annToMask` and array writes,
by mode; and for whole records (read, hash and decode the JPEG, read the annotations, render, pack
as PNG) the ratio of two workers to one, with the peak memory of a worker.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datasets_prep.datasets.coco.classes import CATEGORIES, CLASS_OF
from datasets_prep.datasets.coco.images import Item, records
from datasets_prep.datasets.coco.index import read_index
from datasets_prep.datasets.coco.render import Thing, first_polygon, overlap_last, per_class

HEIGHT, WIDTH = 480, 640
OBJECTS, POINTS = 7, 50
Labels = NDArray[np.uint8]


def main() -> None:
    """Print every ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000, help="records to make with workers")
    parser.add_argument("--repeats", type=int, default=7, help="the fastest of so many counts")
    arguments = parser.parse_args()
    content = generated(arguments.images)
    rendering(content, min(100, arguments.images), arguments.repeats)
    with tempfile.TemporaryDirectory() as folder:
        workers(content, Path(folder), arguments.repeats)


def generated(images: int) -> dict[str, Any]:
    """An annotation file as a value."""
    random = np.random.RandomState(0)
    ids = list(CATEGORIES)
    annotations = [
        {
            "id": 1000 * image + number,
            "image_id": image,
            "category_id": ids[random.randint(80)],
            "iscrowd": 0,
            "segmentation": [_outline(random)],
        }
        for image in range(images)
        for number in range(1 + random.poisson(OBJECTS - 1))
    ]
    return {
        "images": [
            {"id": image, "file_name": f"{image:012d}.jpg", "height": HEIGHT, "width": WIDTH}
            for image in range(images)
        ],
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in CATEGORIES.items()],
    }


def _outline(random: np.random.RandomState) -> list[float]:
    """A star-shaped polygon, cut off at the image's border, two decimals as in COCO."""
    points = max(3, random.poisson(POINTS))
    angles = np.sort(random.rand(points)) * 2 * np.pi
    radii = np.exp(random.normal(3.8, 0.9)) * (0.7 + 0.3 * random.rand(points))
    x = np.clip(random.rand() * WIDTH + radii * np.cos(angles), 0, WIDTH)
    y = np.clip(random.rand() * HEIGHT + radii * np.sin(angles), 0, HEIGHT)
    return np.stack([x, y], axis=1).round(2).ravel().tolist()  # type: ignore[no-any-return]


def rendering(content: dict[str, Any], images: int, repeats: int) -> None:
    """Images a second of processor time, by mode and by the plain loops."""
    from pycocotools.coco import COCO

    coco = COCO()
    coco.imgs = {image["id"]: image for image in content["images"]}
    by_image: list[list[dict[str, Any]]] = [[] for _ in content["images"]]
    for annotation in content["annotations"]:
        by_image[annotation["image_id"]].append(annotation)
    plain_input = by_image[:images]
    things = [
        [Thing(a["id"], CLASS_OF[a["category_id"]], a["segmentation"]) for a in own]
        for own in plain_input
    ]

    def plain_map(own: Sequence[dict[str, Any]]) -> Labels:
        labels = np.zeros((HEIGHT, WIDTH), np.uint8)
        for annotation in own:
            labels[coco.annToMask(annotation) == 1] = CLASS_OF[annotation["category_id"]] + 1
        return labels

    def plain_classes(own: Sequence[dict[str, Any]]) -> dict[int, Labels]:
        masks: dict[int, Labels] = {}
        for annotation in own:
            index = CLASS_OF[annotation["category_id"]]
            mask = masks.setdefault(index, np.zeros((HEIGHT, WIDTH), np.uint8))
            mask |= coco.annToMask(annotation)
        return masks

    for plain, own in zip(plain_input[:20], things[:20], strict=True):
        np.testing.assert_array_equal(plain_map(plain), overlap_last(own, HEIGHT, WIDTH))
    renderers = {
        "plain label maps": (plain_map, plain_input),
        "plain class masks": (plain_classes, plain_input),
        "overlap-last": (partial(overlap_last, height=HEIGHT, width=WIDTH), things),
        "first-polygon": (partial(first_polygon, height=HEIGHT, width=WIDTH), things),
        "per-class": (partial(per_class, height=HEIGHT, width=WIDTH), things),
    }
    rates = dict.fromkeys(renderers, 0.0)
    # In turns, so that other work on the machine slows all alike.
    for _ in range(repeats):
        for name, (render, inputs) in renderers.items():
            rates[name] = max(rates[name], _rate(render, inputs))
    for name, rate in rates.items():
        base = rates["plain class masks" if name == "per-class" else "plain label maps"]
        print(f"{name}: {rate:.0f} images/s, {rate / base:.1f}x the plain loop")


def _rate(render: Callable[[Any], object], inputs: Sequence[Any]) -> float:
    start = time.process_time()
    for own in inputs:
        render(own)
    return len(inputs) / (time.process_time() - start)


def workers(content: dict[str, Any], folder: Path, repeats: int) -> None:
    """Whole records a second with one and with two workers, once their processes have started."""
    annotations = folder / "instances_val2014.json"
    annotations.write_text(json.dumps(content))
    noise = np.random.RandomState(0).randint(0, 256, (HEIGHT // 4, WIDTH // 4, 3))
    image = folder / "image.jpg"
    Image.fromarray(noise.astype(np.uint8)).resize((WIDTH, HEIGHT)).save(image, quality=90)
    start = time.perf_counter()
    entries = read_index(annotations)
    size = annotations.stat().st_size / 1e6
    print(f"index: {size / (time.perf_counter() - start):.0f} MB/s of annotations")
    items = [Item(entry, "test", annotations, image, image, "overlap-last") for entry in entries]
    rounds = [(_speed(items, 1), _speed(items, 2)) for _ in range(max(1, repeats // 2))]
    one, two = (max(rate for rate, _ in each) for each in zip(*rounds, strict=True))
    less, more = (min(busy for _, busy in each) for each in zip(*rounds, strict=True))
    # What two workers need to start, which does not grow with the number of images.
    beginning = min(_speed(items[:8], 2)[1] for _ in rounds)
    print(f"records: {one:.0f}/s with one worker, {two:.0f}/s with two, {two / one:.2f}x")
    best = 2 * less / (more - beginning)
    print(
        f"processor time: {less:.1f} s with one; {more - beginning:.1f} s with two, beside "
        f"{beginning:.1f} s to start them; so {best:.2f}x on two free processors"
    )
    for name, who in (("this process", resource.RUSAGE_SELF), ("worker", resource.RUSAGE_CHILDREN)):
        scale = 1e6 if sys.platform == "darwin" else 1e3
        print(f"peak memory of {name}: {resource.getrusage(who).ru_maxrss / scale:.0f} MB")


def _speed(items: Sequence[Item], jobs: int) -> tuple[float, float]:
    """Records a second once the processes have started, and processor time, theirs included."""

    def warm_up() -> Iterator[Item]:
        yield from items[: 4 * jobs]
        yield from items

    busy = _busy()
    made = records(warm_up(), jobs)
    for _ in range(4 * jobs):
        next(made)
    start = time.perf_counter()
    count = sum(1 for _ in made)
    return count / (time.perf_counter() - start), _busy() - busy


def _busy() -> float:
    """Seconds of processor time of this process and of those it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    main()
