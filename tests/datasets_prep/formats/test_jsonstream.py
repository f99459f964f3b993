import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets_prep.errors import DatasetError
from datasets_prep.formats import jsonstream
from datasets_prep.formats.jsonstream import elements

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("json") / "file.json"


@given(
    wanted=st.lists(VALUES, max_size=6),
    other=VALUES,
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 2]),
    chunk=st.integers(1, 40),
    encoding=st.sampled_from(["utf-8", "utf-8-sig"]),
)
def test_elements_are_those_of_json_and_lie_where_it_says(
    path: Path,
    wanted: list[Any],
    other: Any,
    ascii_only: bool,
    indent: int | None,
    chunk: int,
    encoding: str,
) -> None:
    whole = {"first": other, "wanted": wanted, "last": [other]}
    path.write_text(json.dumps(whole, ensure_ascii=ascii_only, indent=indent), encoding)
    before = jsonstream._CHUNK
    jsonstream._CHUNK = chunk
    try:
        found = list(elements(path, ["wanted"]))
    finally:
        jsonstream._CHUNK = before
    assert [element.value for element in found] == wanted
    content = path.read_bytes()
    assert [json.loads(content[e.start : e.stop]) for e in found] == wanted


@given(st.data())
def test_a_damaged_file_is_named_or_still_read(path: Path, data: st.DataObject) -> None:
    good = json.dumps({"info": {"a": 1}, "images": [{"id": 1}, {"id": 22}], "x": [1.5, "é"]})
    content = bytearray(good.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(bytes(content[:cut]))
    try:
        list(elements(path, ["images"]))
    except DatasetError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "ends at byte 0"),
        ("[1]", "expected '{' at byte 0"),
        ('{"images": {"id": 1}}', r"expected '\[' at byte 11"),
        ('{"images": [1, 2', "ends at byte 16"),
        ('{"images": [1 2]}', "expected ',' at byte 14"),
        ('{"images": [1], "images": []}', "'images' is there twice"),
        ('{"images": [nul]}', "Expecting value at byte 12"),
        ('{"others": []}', "has no images"),
        ("{[1]: 2}", "a key is no text before byte 4"),
    ],
)
def test_what_is_wrong_and_where(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "instances.json"
    path.write_text(text)
    with pytest.raises(DatasetError, match=message):
        list(elements(path, ["images"]))


def test_a_syntax_error_stays_where_it_is_in_a_long_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonstream, "_CHUNK", 100)
    monkeypatch.setattr(jsonstream, "_LARGEST", 300)
    path = tmp_path / "instances.json"
    path.write_text('{"images": [1, {"a" 2}, ' + "3, " * 1000 + "4]}")
    with pytest.raises(DatasetError, match="Expecting ':' delimiter at byte 20"):
        list(elements(path, ["images"]))


def test_only_a_window_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonstream, "_CHUNK", 1000)
    path = tmp_path / "instances.json"
    path.write_text(json.dumps({"images": [{"id": n, "x": "y" * 50} for n in range(2000)]}))
    held = []

    class Watched(jsonstream._Text):
        def peek(self) -> str:
            held.append(len(self.window))
            return super().peek()

    monkeypatch.setattr(jsonstream, "_Text", Watched)
    assert [e.value["id"] for e in elements(path, ["images"])] == list(range(2000))
    assert max(held) <= 2000
