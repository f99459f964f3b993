"""What the evaluator itself costs: run `python -m tests.perf.evaluation`.

On a generated dataset as large and repetitive as PASCAL-5i's fold 0 (346 JPEGs of 500×375 pixels,
1000 episodes), prints
- episodes a second of processor time without a model (load, resize, score, store) beside a plain
  loop that opens and resizes the K+1 images of every episode, as the published loaders do: the
  evaluator's threads that decode ahead count like its own;
- episodes a second of the tiny DiffewS with two workers beside one, a thread each;
- seconds from the start of `bench run` to its first measured batch.
"""

import argparse
import hashlib
import io
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from benchmarks.config.schema import BenchConfig
from benchmarks.engines.run import Outcome
from benchmarks.engines.runner import run_matrix
from benchmarks.results.store import RunKey
from datasets_prep.archives.sources import SourceFile
from datasets_prep.builder import Areas, BuilderOptions, Content, Splits, Workspace
from datasets_prep.episodes.episode import Episode
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.prepared.folds import FoldSet, contiguous, split
from datasets_prep.prepared.prepare import PrepareOptions, prepare
from datasets_prep.prepared.records import ImageRecord, label_record
from models.catalog import Options
from models.geometry import Squash
from models.segmenter import BaseSegmenter, Features

SIZES = (80, 57, 86, 58, 65)  # test images per class of PASCAL-5i's fold 0
HEIGHT, WIDTH, SIDE = 375, 500, 400
NAME = "pascal-like"
TINY = "resolution=64"


class Generated:
    """One textured rectangle an image, in JPEGs of PASCAL's size."""

    name = dataset = NAME
    summary = "generated images of PASCAL's size and number"
    version = 1
    Options = BuilderOptions
    options = BuilderOptions()

    def sources(self) -> Sequence[SourceFile]:
        return ()

    def describe(self) -> Mapping[str, object]:
        return {}

    def disk_needed(self) -> int:
        return 0

    def build(self, workspace: Workspace) -> Content:
        classes = tuple(f"class{index}" for index in range(len(SIZES)))
        return Content(classes, self._images(), self._folds, sum(SIZES))

    def _images(self) -> Iterator[ImageRecord]:
        random = np.random.RandomState(0)
        for kind, size in enumerate(SIZES):
            for number in range(size):
                coarse = random.randint(0, 256, (HEIGHT // 5, WIDTH // 5, 3)).astype(np.uint8)
                image = Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
                file = io.BytesIO()
                image.save(file, format="JPEG", quality=90)
                labels = np.zeros((HEIGHT, WIDTH), np.uint8)
                top, left = random.randint(HEIGHT // 2), random.randint(WIDTH // 2)
                labels[top : top + HEIGHT // 2, left : left + WIDTH // 2] = kind + 1
                body = file.getvalue()
                checksum = hashlib.sha256(body).hexdigest()
                yield label_record(f"{kind}-{number:02d}", body, checksum, "all", labels)

    def _folds(self, areas: Areas, splits: Splits) -> FoldSet:
        pairs = [(image, c) for image in areas for c in sorted(areas[image])]
        return FoldSet(split(contiguous(len(SIZES), 1), pairs, pairs))


class Nothing(BaseSegmenter):
    """Computes nothing, and has every image and mask loaded that a model would."""

    Options = Options
    geometry = Squash(SIDE)

    @classmethod
    def load(cls, options: Options, *, device: str, dtype: str) -> "Nothing":
        return cls()

    def encode_image(self, images: Tensor) -> list[Features]:
        return [Features({}) for _ in images]

    def encode_support(
        self, images: Tensor, masks: Tensor, features: Sequence[Features]
    ) -> list[Features]:
        return [Features({}) for _ in masks]

    def segment(
        self, queries: Sequence[Features], supports: Sequence[Sequence[Features]]
    ) -> Tensor:
        return torch.zeros(len(queries), SIDE, SIDE)


class Watch:
    """A listener that notes when episodes came in."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.episodes: list[int] = []

    def matrix_started(self, runs: int, episodes: int) -> None: ...

    def run_started(self, key: RunKey, total: int, done: int) -> None: ...

    def advanced(self, episodes: int) -> None:
        self.times.append(time.perf_counter())
        self.episodes.append(episodes)

    def run_finished(self, outcome: Outcome) -> None: ...

    def note(self, text: str) -> None:
        print(text)

    def rate(self) -> float:
        """Episodes a second after the first batch."""
        return sum(self.episodes[1:]) / (self.times[-1] - self.times[0])


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plain", type=int, default=60, help="episodes of the plain loop")
    parser.add_argument("--episodes", type=int, default=400, help="of the two workers")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        dataset = prepare(Generated(), PrepareOptions(root / "data"))
        overhead(root, dataset, arguments.plain)
        workers(root, arguments.episodes)
        start(root)


def config(root: Path, results: str, **changes: object) -> BenchConfig:
    """One run on the generated dataset."""
    given = {
        "data_root": root / "data",
        "results_root": root / results,
        "device": "cpu",
        "worker_threads": 1,
        **changes,
    }
    return BenchConfig.model_validate(given)


def overhead(root: Path, dataset: PreparedDataset, plain: int) -> None:
    """Episodes a second without a model, by the evaluator and by the plain loop.

    The evaluator decodes ahead in threads of its own, the loop does not: processor time, which
    counts them all, is told beside the clock's.
    """
    for shots in (1, 5):
        wanted = config(
            root,
            f"nothing{shots}",
            datasets=[{"name": NAME, "protocol": "hsnet", "shots": [shots]}],
            models=[{"name": "nothing", "model": f"{__name__}:Nothing"}],
        )
        begin = clocks()
        outcome = run_matrix(wanted, listener=Watch())[0]
        seconds = clocks() - begin
        assert outcome.record is not None
        ours = outcome.record.setup.episodes.count / seconds
        loop = plain_loop(root, dataset, shots, plain)
        for what, own, its in zip(("second", "processor second"), ours, loop, strict=True):
            print(f"{shots}-shot without a model: {own:.0f} episodes a {what}, plain loop "
                  f"{its:.1f}, {own / its:.1f}x")  # fmt: skip


def clocks() -> NDArray[np.float64]:
    """Seconds on the wall and of the processors."""
    return np.array([time.perf_counter(), time.process_time()])


def plain_loop(root: Path, dataset: PreparedDataset, shots: int, count: int) -> NDArray[np.float64]:
    """The same of a loop that opens and resizes all images and masks of an episode."""
    images, masks = root / "jpeg", root / "png"
    if not images.is_dir():
        images.mkdir()
        masks.mkdir()
        for image_id in dataset.image_ids:
            stored = dataset._cell("image", image_id)["bytes"]
            (images / f"{image_id}.jpg").write_bytes(stored)
            Image.fromarray(dataset.labels(image_id)).save(masks / f"{image_id}.png")
    episodes = dataset.episodes("hsnet", 0, shots)[:count]
    begin = clocks()
    with (root / "rows.txt").open("w") as rows:
        for episode in episodes:
            rows.write(f"{plain_episode(images, masks, episode)}\n")
    return count / (clocks() - begin)


def plain_episode(images: Path, masks: Path, episode: Episode) -> list[int]:
    """One episode as the published loaders and evaluators have it, the model left out."""
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    loaded = []
    for image_id in (episode.query, *episode.supports):
        image = Image.open(images / f"{image_id}.jpg").convert("RGB")
        pixels = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
        tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1).float().div(255)
        tensor = (tensor - mean[:, None, None]) / deviation[:, None, None]
        label = torch.from_numpy(np.array(Image.open(masks / f"{image_id}.png")))
        mask = (label == episode.class_index + 1).float()
        mask = torch.nn.functional.interpolate(mask[None, None], (SIDE, SIDE), mode="nearest")[0, 0]
        loaded.append((tensor, mask))
    torch.stack([tensor for tensor, _ in loaded[1:]])
    predicted, truth = torch.zeros(1, SIDE, SIDE) > 0, loaded[0][1] > 0.5
    return [int((predicted & truth).sum()), int((predicted | truth).sum())]


def workers(root: Path, episodes: int) -> None:
    """Episodes a second of the tiny DiffewS, with one worker and with two."""
    rates = {}
    for count in (1, 2):
        wanted = config(
            root,
            f"workers{count}",
            datasets=[{"name": NAME, "protocol": "hsnet", "shots": [1]}],
            models=[
                {
                    "name": "d",
                    "model": "diffews",
                    "options": {"random": "tiny", "resolution": 256},
                }
            ],
            limit=episodes,
            workers=count,
        )
        watch = Watch()
        run_matrix(wanted, listener=watch)
        rates[count] = watch.rate()
    print(
        f"{episodes} episodes of the tiny DiffewS: {rates[1]:.1f}/s with one worker, "
        f"{rates[2]:.1f}/s with two, {rates[2] / rates[1]:.2f}x"
    )


def processor_seconds(pid: int) -> float:
    """Of a running process, in user and system mode; Linux only."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def start(root: Path) -> None:
    """Seconds from `bench run` to the first batch in the journal, of two tiny models.

    That of DiffewS imports little of diffusers (`models.methods.diffews.library`); beside it is
    the same with all of diffusers, as its own names import it. Seconds of processor time tell
    more than those of the clock where others use the machine.
    """
    whole = "import diffusers; diffusers.UNet2DConditionModel, diffusers.AutoencoderKL; "
    cases = (
        ("hsnet", "hsnet", ["random=tiny"], ""),
        ("diffews", "diffews", ["random=tiny", TINY], ""),
        ("diffews, all of diffusers", "diffews", ["random=tiny", TINY], whole),
    )
    for title, model, options, before in cases:
        results = root / f"start-{title}"
        code = f"{before}from benchmarks.cli import main; main()"
        command = [sys.executable, "-c", code, "run", "--quiet", "--datasets", NAME]
        command += ["--protocol", "hsnet", "--shots", "1", "--models", model, "--device", "cpu"]
        command += [word for text in options for word in ("--option", text)]
        command += ["--data-root", str(root / "data"), "--results-root", str(results)]
        begin = time.perf_counter()
        process = subprocess.Popen(command)
        try:
            while process.poll() is None:
                journals = list(results.rglob("journal.jsonl"))
                if journals and journals[0].read_bytes().count(b"\n") > 1:
                    break
                time.sleep(0.01)
            seconds, processor = time.perf_counter() - begin, processor_seconds(process.pid)
            print(
                f"{title}: first episodes {seconds:.1f} s after the start, "
                f"{processor:.1f} s of processor time"
            )
        finally:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
