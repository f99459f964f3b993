"""Mutated lists and settings: pickles, episodes, folds, manifests, text lists, YAML."""

import itertools
import json
import pickle
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.config.file import read_config
from benchmarks.errors import BenchError
from datasets_prep.datasets.coco.index import read_index
from datasets_prep.datasets.folder.fold_file import read_fold_file
from datasets_prep.datasets.folder.legend import read_legend
from datasets_prep.datasets.pascal.lists import ListFiles
from datasets_prep.episodes.episode import Episode, read_episodes, to_jsonl
from datasets_prep.errors import DatasetError
from datasets_prep.formats.splitfiles import coco_folds, pascal_pairs
from datasets_prep.prepared.dataset import PreparedDataset
from datasets_prep.prepared.folds import FoldSet, contiguous, read_folds, split, to_json
from tests.fuzz.mutate import fuzzed, mutated, mutated_value, read_or_refused


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lists")


LISTS = {index: [f"val2014/COCO_val2014_{n:012d}.jpg" for n in range(3)] for index in range(4)}
PICKLES = [pickle.dumps(LISTS, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
OPCODES = [getattr(pickle, name) for name in dir(pickle) if name.isupper()]


LAUGHS = "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in itertools.pairwise("abcdefghijkl")
)


def _flow(depth: int) -> str:
    """Lists of nine times the list before, in one line."""
    lines = ["&a0 [x]"] + [f"&a{n + 1} [{', '.join([f'*a{n}'] * 9)}]" for n in range(depth)]
    return ", ".join(lines)


@pytest.mark.parametrize("name", ["folds.yaml", "bench.yaml"])
def test_aliases_that_multiply(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(f"a: &a [x]\n{LAUGHS}" if name == "bench.yaml" else f"folds: [[{_flow(9)}]]")
    with pytest.raises((BenchError, DatasetError), match=name):
        READERS[name](path)


def spoken(seed: int) -> bytes:
    """A pickle put together of opcodes at random, with some bytes for them to take."""
    dice = random.Random(seed)
    codes = [code for code in OPCODES if isinstance(code, bytes) and len(code) == 1]
    parts = (dice.choice(codes) + dice.randbytes(dice.choice((0, 0, 1, 4))) for _ in range(20))
    return b"\x80\x04" + b"".join(parts) + b"."


@fuzzed
@given(content=st.sampled_from(PICKLES).flatmap(mutated) | st.integers(0, 2**63).map(spoken))
def test_split_pickles(place: Path, content: bytes) -> None:
    path = place / "fold0.pkl"
    path.write_bytes(content)
    read_or_refused("split pickles", lambda: coco_folds([path] * 4, None), path)


EPISODES = to_jsonl(Episode(n, n % 3, f"q{n}", (f"s{n}", "é")) for n in range(5)).encode()


def lines(value: list[object]) -> bytes:
    return "".join(json.dumps(each) + "\n" for each in value).encode()


@fuzzed
@given(
    content=mutated(EPISODES)
    | mutated_value([json.loads(line) for line in EPISODES.splitlines()]).map(lines)
)
def test_episode_lists(place: Path, content: bytes) -> None:
    path = place / "fold0_1shot.jsonl"
    path.write_bytes(content)

    def read() -> None:
        for episode in read_episodes(path):
            assert episode.query not in episode.supports

    read_or_refused("episode lists (JSONL)", read, path)


PAIRS = [(f"i{n}", n % 4) for n in range(8)]
FOLDS = to_json(FoldSet(split(contiguous(4, 2), PAIRS, PAIRS))).encode()


@fuzzed
@given(
    content=mutated(FOLDS)
    | mutated_value(json.loads(FOLDS)).map(lambda value: json.dumps(value).encode())
)
def test_folds(place: Path, content: bytes) -> None:
    path = place / "folds.json"
    path.write_bytes(content)
    read_or_refused("folds.json", lambda: read_folds(path), path)


MANIFEST = {
    "schema": 1,
    "dataset": "a",
    "digest": "0" * 64,
    "builder": {"name": "folder", "version": 1, "options": {}},
    "notes": ["x"],
    "episodes": {"hsnet/fold0_1shot": {"episodes": 1, "digest": "0" * 64}},
    "files": {},
}


@fuzzed
@given(
    content=mutated(json.dumps(MANIFEST).encode())
    | mutated_value(MANIFEST).map(lambda value: json.dumps(value).encode())
)
def test_manifests(place: Path, content: bytes) -> None:
    (place / "a/images").mkdir(parents=True, exist_ok=True)
    path = place / "a/manifest.json"
    path.write_bytes(content)
    read_or_refused("manifest.json", lambda: PreparedDataset(place, "a").digest, path, place)


@fuzzed
@given(content=mutated(b"".join(b"2007_%06d__%02d\n" % (n, n % 20 + 1) for n in range(8))))
def test_pascal_lists(place: Path, content: bytes) -> None:
    path = place / "fold0.txt"
    path.write_bytes(content)
    read_or_refused("PASCAL's lists", lambda: pascal_pairs(path), path)
    read_or_refused("PFENet's list", lambda: ListFiles({}, path).pfenet_images(), path)


CLASSES = ("cat", "dog", "car")
READERS: dict[str, Callable[[Path], object]] = {
    "fold0_1shot.jsonl": read_episodes,
    "folds.json": read_folds,
    "manifest.json": lambda path: PreparedDataset(path.parents[1], path.parent.name),
    "instances.json": read_index,
    "folds.yaml": lambda path: read_fold_file(path, CLASSES),
    "bench.yaml": read_config,
    "dataset.json": read_legend,
    "data.yaml": read_legend,
}


LEGENDS = {
    "labelmap.txt": b"cat:1,2,3::\ndog:3,2,1::\n",
    "labels.py": b"Label(  'road' , 7 , 0 , 'flat' , 1 , False , False , (128, 64, 128) ),",
    "data.yaml": b"names: {0: cat, 1: dog}",
    "dataset.json": b'[{"name": "cat", "id": 1, "color": "#dc2828"}, {"name": "x"}]',
}


@fuzzed
@pytest.mark.parametrize("name", LEGENDS)
@given(data=st.data())
def test_names_and_colours(place: Path, name: str, data: st.DataObject) -> None:
    path = place / name
    path.write_bytes(data.draw(mutated(LEGENDS[name])))
    read_or_refused("names and colours", lambda: read_legend(path), path)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
@pytest.mark.parametrize("name", READERS)
def test_what_is_nested_without_end(name: str, opening: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(opening * 1_500)
    with pytest.raises((BenchError, DatasetError), match=name):
        READERS[name](path)


TAGS = ("", "int", "bool", "float", "null", "timestamp", "binary", "set", "omap", "str", "x")
VALUES = ("x", "''", "2001-99-99", "0001-01-01T00:00:00+23:59", "9" * 5000, f"{'1:' * 300}1.", "[]")


def tagged(text: bytes) -> st.SearchStrategy[bytes]:
    """The text with a value that may not fit its tag in the place of one of its words."""
    words = [match.span() for match in re.finditer(rb"[\w.-]+", text)]

    def put(place: tuple[int, int], tag: str, value: str) -> bytes:
        return text[: place[0]] + f"{tag and '!!'}{tag} {value}".encode() + text[place[1] :]

    return st.builds(put, *map(st.sampled_from, (words, TAGS, VALUES)))


FOLD_FILE = b"folds: [[cat, dog], [car]] # ours\n"


@fuzzed
@given(content=mutated(FOLD_FILE) | tagged(FOLD_FILE))
def test_fold_files(place: Path, content: bytes) -> None:
    path = place / "folds.yaml"
    path.write_bytes(content)
    read_or_refused("fold files (YAML)", lambda: read_fold_file(path, CLASSES), path)


CONFIG = (Path(__file__).resolve().parents[2] / "bench.yaml").read_bytes()


@fuzzed
@given(content=mutated(CONFIG) | tagged(CONFIG))
def test_configurations(place: Path, content: bytes) -> None:
    path = place / "bench.yaml"
    path.write_bytes(content)
    read_or_refused("bench.yaml", lambda: read_config(path), path)
