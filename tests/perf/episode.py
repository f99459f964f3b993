"""What an episode of a model over SAM costs: run `python -m tests.perf.episode DATASET MODEL`.

Prints processor seconds of one core, which other work on the machine disturbs less than the clock,
on the first episodes of a prepared dataset: by stage, SAM's decoder apart, and by episode. Naive,
an episode encodes its query and each of its supports anew; cached, each different image and
(image, mask) of the whole list is encoded once. Both follow from the stages' means. What supports
have no need of (`ImagePart.supports`) is encoded of queries alone, either way.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.evaluation.extras import episode_seed
from benchmarks.evaluation.loader import Loader
from benchmarks.evaluation.plan import make_plan
from datasets_prep.episodes.episode import Episode
from datasets_prep.prepared.dataset import PreparedDataset
from models.catalog import load_model
from models.methods.sam import Sam
from models.segmenter import Features, ImagePart, encode_parts, joined, trait

STAGES = (
    "encode_image",
    "encode_query",
    "encode_support",
    "segment",
    "decoder of support",
    "decoder of query",
)


class Spent:
    """Processor seconds of every call, by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {stage: [] for stage in STAGES}
        self.decoder = 0.0

    def timed(self, stage: str, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """`call`'s result; its seconds in SAM's decoder are noted too, where it may have some."""
        self.decoder, begin = 0.0, time.process_time()
        result = call(*args, **kwargs)
        self.seconds[stage].append(time.process_time() - begin)
        if stage in ("encode_support", "segment"):
            asked = "support" if stage == "encode_support" else "query"
            self.seconds[f"decoder of {asked}"].append(self.decoder)
        return result

    def mean(self, stage: str) -> float:
        """Seconds of a call; 0 without one."""
        return sum(self.seconds[stage]) / max(len(self.seconds[stage]), 1)


def main() -> None:
    """Print a table of each number of shots."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", help="its prepared folder")
    parser.add_argument("model")
    parser.add_argument("--option", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--protocol", default="mini-v1")
    parser.add_argument("--fold", type=int, default=0)
    parser.add_argument("--shots", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--episodes", type=int, default=3, help="of each list")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = Path(arguments.dataset)
    loader = Loader(PreparedDataset(folder.parent, folder.name), threads=1)
    model = load_model(arguments.model, dict(pair.split("=", 1) for pair in arguments.option))
    for shots in arguments.shots:
        listed = loader.dataset.episodes(arguments.protocol, arguments.fold, shots)
        with torch.inference_mode():
            spent = measured(model, loader, listed[: arguments.episodes])
        print(
            f"{arguments.model}, {shots} shots: seconds of a call, of the naive, of the cached way"
        )
        for name, figure in composed(spent, listed, loader, model).items():
            print(f"  {name:20} {figure:8.2f}")
    loader.close()


def measured(model: Any, loader: Loader, episodes: Sequence[Episode]) -> Spent:
    """Every stage of some episodes, one image and one mask at a time."""
    spent, decode = Spent(), Sam.decode
    parts = trait(model, "image_parts") or [ImagePart("", model.encode_image)]
    shared, of_queries = ([p for p in parts if p.supports is wanted] for wanted in (True, False))
    images: dict[str, Features] = {}
    queries: dict[str, Features] = {}
    supports: dict[tuple[str, int], Features] = {}

    def decoded(*args: Any, **kwargs: Any) -> Any:
        begin = time.process_time()
        result = decode(*args, **kwargs)
        spent.decoder += time.process_time() - begin
        return result

    def pixels(name: str) -> torch.Tensor:
        return loader.image(name, model.geometry)[None].float() / 255

    model.encode_image(pixels(episodes[0].query))  # what happens once only is not counted
    with patch.object(Sam, "decode", decoded):
        for episode in episodes:
            for name in (episode.query, *episode.supports):
                if name not in images:
                    (images[name],) = spent.timed(
                        "encode_image", encode_parts, shared, pixels(name)
                    )
            query = episode.query
            if query not in queries:
                queries[query] = images[query]
                if of_queries:
                    own = spent.timed("encode_query", encode_parts, of_queries, pixels(query))
                    queries[query] = joined([images[query], *own])
            for name in episode.supports:
                pair = name, episode.class_index
                if pair not in supports:
                    mask = loader.support_mask(*pair, model.geometry)[None].float()
                    given = pixels(name), mask, [images[name]]
                    (supports[pair],) = spent.timed("encode_support", model.encode_support, *given)
            shots = [supports[name, episode.class_index] for name in episode.supports]
            asked: dict[str, Any] = {}
            if "seeds" in trait(model, "wants"):
                asked["seeds"] = [episode_seed("0" * 8, episode.index)]
            spent.timed("segment", model.segment, [queries[query]], [shots], **asked)
    return spent


def composed(
    spent: Spent, listed: Sequence[Episode], loader: Loader, model: Any
) -> dict[str, float]:
    """Mean seconds of a call of each stage, and of an episode of the list both ways."""
    plan = make_plan(
        listed, lambda name: model.geometry.grid(loader.dataset.size(name)), len(listed)
    )
    means = {stage: spent.mean(stage) for stage in STAGES}
    image, query, support, segment = (means[stage] for stage in STAGES[:4])
    naive = plan.naive_image_encodes * image + plan.naive_support_encodes * support
    naive += plan.episodes * query
    cached = plan.images * image + plan.pairs * support
    cached += len({episode.query for episode in listed}) * query
    return means | {
        "naive episode": naive / plan.episodes + segment,
        "cached episode": cached / plan.episodes + segment,
    }


if __name__ == "__main__":
    main()
