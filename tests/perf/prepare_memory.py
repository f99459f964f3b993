"""How much memory preparation and verification take: run `python -m tests.perf.prepare_memory`.

Makes a folder of images and label maps as large as VOC's, 12,000 by default, prepares it and
verifies it in full, each by its own command, and prints the time and the peak memory of the
largest process.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH, CLASSES, DIFFERENT = 375, 500, 20, 40


def main() -> None:
    """Print the peak memory of both commands."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=12_000)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        write_folder(place / "in", arguments.images)
        classes = ",".join(f"c{index}" for index in range(CLASSES))
        jobs = f"--jobs={arguments.jobs}"
        root = f"--data-root={place / 'data'}"
        measured(
            "prepare", "folder", place / "in", "--name=voc", f"--classes={classes}", jobs, root
        )
        measured("datasets", "verify", "voc", "--full", root)


def write_folder(folder: Path, images: int) -> None:
    """Few different files under many names: only memory is measured."""
    random = np.random.RandomState(0)
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for index in range(images):
        photo, labels = (
            folder / kind / f"2007_{index:06d}.{end}"
            for kind, end in (("images", "jpg"), ("labels", "png"))
        )
        if index < DIFFERENT:
            noise = random.randint(0, 256, (HEIGHT // 4, WIDTH // 4, 3)).astype(np.uint8)
            Image.fromarray(noise).resize((WIDTH, HEIGHT)).save(photo, quality=90)
            shapes = random.randint(0, CLASSES + 1, (6, 8)).astype(np.uint8)
            Image.fromarray(shapes).resize((WIDTH, HEIGHT), 0).save(labels)
        else:
            first = f"2007_{index % DIFFERENT:06d}"
            os.link(folder / f"images/{first}.jpg", photo)
            os.link(folder / f"labels/{first}.png", labels)


def measured(*command: object) -> None:
    """Run a `bench` command and print what it took."""
    start = time.perf_counter()
    program = "from benchmarks.cli import main; main()"
    subprocess.run([sys.executable, "-c", program, *map(str, command), "--quiet"], check=True)
    seconds = time.perf_counter() - start
    # Of all processes that have ended so far, workers too, the largest.
    scale = 1e6 if sys.platform == "darwin" else 1e3
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / scale
    print(f"bench {command[0]} {command[1]}: {seconds:.0f} s, at most {peak:.0f} MB a process")


if __name__ == "__main__":
    main()
