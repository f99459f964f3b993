"""Protocols: everything that fixes a number, as named values. A new one is one entry here."""

from dataclasses import dataclass, replace
from typing import Literal

from benchmarks.errors import BenchError
from models.registry import unknown


@dataclass(frozen=True)
class Protocol:
    """How episodes are drawn, scored and aggregated.

    Attributes:
        name: as used on the command line and in the results store.
        recipe: the episode lists it uses, by their folder's name.
        side: masks are scored on a square of this side, the ground truth squashed onto it by
            nearest neighbour; None scores at the query's original resolution.
        undrawn: a novel class that no episode drew counts as IoU 0, or is left out of the mean.
        runs: the list holds this many equal runs, scored apart and averaged.
        episodes: how many episodes a fold has, for people.
        seed: what the draws are seeded with, for people.
        repeats: whether an episode may hold a support twice.
        nested: whether a list of more shots has the queries of one of fewer and begins with its
            supports, so that a model's figures are paired over shots.
        ignore: which pixels are left out, for people; label 255 always is.
        aggregation: for people.
        source: the code that it follows.
        not_reproduced: what that code does and this protocol does not.
        prompt: what a model gets of a support's mask: the mask, or what a rule of
            `benchmarks.evaluation.prompts` draws from it.
        ways: so many episodes that follow each other ask for as many classes of one query, whose
            pixels go to one of them or to none.
        asks_presence: whether models that can are asked how likely the class is there at all.
    """

    name: str
    recipe: str
    side: int | None
    undrawn: Literal["zero", "left out"]
    episodes: str
    seed: str
    repeats: bool
    source: str
    not_reproduced: str = "–"
    runs: int = 1
    ignore: str = "255 left out of prediction and truth"
    aggregation: str = "counts summed per class, mean over classes, mean over folds"
    prompt: str = "mask"
    ways: int = 1
    nested: bool = False
    asks_presence: bool = False

    @property
    def resolution(self) -> str:
        """The evaluation resolution, for people."""
        return f"{self.side}×{self.side}, squashed" if self.side else "original"

    def target(self, size: tuple[int, int]) -> tuple[int, int]:
        """The evaluation grid (height, width) for a query of `size`."""
        return (self.side, self.side) if self.side else size


def _hsnet(side: int | None, suffix: str, source: str) -> Protocol:
    return Protocol(
        name=f"hsnet{suffix}",
        recipe="hsnet",
        side=side,
        undrawn="zero",
        episodes="1000 on pascal and coco; elsewhere as published",
        seed="0",
        repeats=True,
        source=source,
        not_reproduced="float32 pixel sums, inexact past 2^24 (integers here)",
    )


def _ways(count: int) -> Protocol:
    return Protocol(
        name=f"nway{count}-v1",
        recipe=f"nway{count}-v1",
        side=None,
        undrawn="left out",
        episodes=f"500 queries or a little more, {count} classes each; half hold two of them",
        seed="sha256 of dataset and fold",
        repeats=False,
        nested=True,
        source="this suite: more than one class (docs/questions.md)",
        ways=count,
    )


_ALL = (
    Protocol(
        name="fixed-v1",
        recipe="fixed-v1",
        side=None,
        undrawn="left out",
        episodes="1000 or a little more, the same number for every class",
        seed="sha256 of dataset, fold and class",
        repeats=False,
        nested=True,
        source="this suite's recommendation",
    ),
    _hsnet(400, "", "juhongm999/hsnet test.py, data/, common/"),
    _hsnet(512, "@512", "aim-uofa/DiffewS evaluation_util/ (HSNet's lists)"),
    _hsnet(518, "@518", "aim-uofa/Matcher main_oss.py (HSNet's lists)"),
    _hsnet(1024, "@1024", "ANDYZAQ/GF-SAM main_eval.py (HSNet's lists)"),
    _hsnet(None, "@original", "visinf/INSID3 inference_segmentation.py (HSNet's lists)"),
    Protocol(
        name="pfenet",
        recipe="pfenet",
        side=None,
        undrawn="zero",
        episodes="5000 (COCO-20i: 20000)",
        seed="321",
        repeats=False,
        source="JIA-Lab-research/PFENet test.py, util/dataset.py",
        not_reproduced="draws that depend on the number of loader processes; one episode more "
        "than named; a square padded with 255, which counts as the original resolution does",
    ),
    Protocol(
        name="bam",
        recipe="bam",
        side=None,
        undrawn="zero",
        episodes="5 × 1000",
        seed="five, drawn from a generator seeded 123",
        repeats=False,
        runs=5,
        aggregation="as the others within a run, then the mean over the five runs",
        source="chunbolang/BAM test.py",
        not_reproduced="draws that depend on the number of loader processes; the best of five "
        "runs, which its paper prints beside the mean",
    ),
    Protocol(
        name="mini-v1",
        recipe="mini-v1",
        side=None,
        undrawn="left out",
        episodes="the first 200 of fixed-v1 or a little more, the same number for every class",
        seed="as fixed-v1",
        repeats=False,
        nested=True,
        source="this suite: for machines without a GPU, ranked among itself alone",
    ),
    Protocol(
        name="absent-v1",
        recipe="absent-v1",
        side=None,
        undrawn="left out",
        episodes="those of fixed-v1, and as many whose query does not hold the class",
        seed="sha256 of dataset, fold and class",
        repeats=False,
        source="this suite: is the class there? (docs/questions.md)",
        asks_presence=True,
    ),
    Protocol(
        name="supports-v1",
        recipe="supports-v1",
        side=None,
        undrawn="left out",
        episodes="about 100 queries, each with 10 single supports",
        seed="sha256 of dataset, fold and class",
        repeats=False,
        source="this suite: how much hangs on the support? (docs/questions.md)",
    ),
    _ways(2),
    _ways(5),
)

PROTOCOLS: dict[str, Protocol] = {protocol.name: protocol for protocol in _ALL}
DEFAULT_PROTOCOL = "fixed-v1"


PROMPTS = ("box", "scribble", "point", "eroded", "dilated")


def known_protocols() -> list[str]:
    """Every name that `get_protocol` takes."""
    return [*PROTOCOLS, *(f"{name}+{prompt}" for name in PROTOCOLS for prompt in PROMPTS)]


def unknown_protocol(name: str) -> str:
    """The message for an unknown name; names with a prompt are offered where one was meant."""
    return unknown("protocol", name, known_protocols() if "+" in name else PROTOCOLS)


def get_protocol(name: str) -> Protocol:
    """The protocol called `name`; with `+point` and the like at its end, prompts stand for masks.

    Raises:
        BenchError: for an unknown name, with the nearest ones.
    """
    base, plus, prompt = name.partition("+")
    if base not in PROTOCOLS or (plus and prompt not in PROMPTS):
        raise BenchError(unknown_protocol(name))
    return replace(PROTOCOLS[base], name=name, prompt=prompt) if plus else PROTOCOLS[base]
