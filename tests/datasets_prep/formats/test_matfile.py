import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat, savemat
from scipy.sparse import csc_matrix

from datasets_prep.errors import DatasetError
from datasets_prep.formats import matfile
from datasets_prep.formats.matfile import read_mat

PARTS = np.empty((1, 2), dtype=object)
PARTS[0, 0] = {"part_name": "head", "mask": np.eye(5, 7, dtype=np.uint8)}
PARTS[0, 1] = {"part_name": "é", "mask": np.zeros((0, 0), np.uint8)}
VALUES: dict[str, Any] = {
    "labels": np.arange(24, dtype=np.uint8).reshape(4, 6),
    "wide": np.arange(24, dtype=np.float64).reshape(2, 3, 4),
    "single": np.float32(1.5),
    "long": np.array([[-(2**40)]]),
    "flag": np.array([[True, False]]),
    "text": "aeroplane",
    "rows": np.array(["ab", "cd"]),
    "nothing": np.zeros((0, 0)),
    "no_text": "",
    "cells": PARTS,
    "nested": {"class": "cat", "parts": {"deep": {"mask": np.eye(3, dtype=np.int16)}}},
    "structs": np.array([(1, "x"), (2, "yy")], dtype=[("number", object), ("name", object)]),
}


def saved(values: dict[str, Any], **options: Any) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, values, **options)
    return buffer.getvalue()


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def same(ours: Any, theirs: Any) -> None:
    if isinstance(theirs, np.ndarray | np.void) and theirs.dtype.names:
        assert ours.dtype.names == theirs.dtype.names and ours.shape == theirs.shape
        for name in theirs.dtype.names:
            same(ours[name], theirs[name])
    elif isinstance(theirs, np.ndarray) and theirs.dtype == object:
        assert ours.shape == theirs.shape
        for mine, other in zip(ours.ravel(), theirs.ravel(), strict=True):
            same(mine, other)
    else:
        np.testing.assert_array_equal(ours, theirs)
        assert np.shape(ours) == np.shape(theirs)


@pytest.mark.parametrize("packed", [False, True])
def test_everything_is_as_scipy_reads_it(packed: bool, tmp_path: Path) -> None:
    content = saved(VALUES, do_compression=packed)
    path = write(tmp_path / "a.mat", content)
    theirs = loadmat(io.BytesIO(content))
    for name in VALUES:
        same(read_mat(path, name, lambda found: found, name), theirs[name])


def test_what_no_dataset_has_is_none(tmp_path: Path) -> None:
    odd = {"sparse": csc_matrix(np.eye(3)), "complex": np.array([[1j]]), "mask": np.eye(2)}
    path = write(tmp_path / "a.mat", saved({"anno": odd}))
    found = read_mat(path, "anno", lambda anno: anno[0, 0], "anno")
    assert found["sparse"] is None and found["complex"] is None
    np.testing.assert_array_equal(found["mask"], np.eye(2))


def element(kind: int, body: bytes) -> bytes:
    return struct.pack("<II", kind, len(body)) + body + bytes(-len(body) % 8)


def matrix(kind: int, shape: tuple[int, ...], *parts: bytes, name: bytes = b"") -> bytes:
    head = element(6, struct.pack("<II", kind, 0)) + element(
        5, struct.pack(f"<{len(shape)}i", *shape)
    )
    return element(14, head + element(1, name) + b"".join(parts))


def nested(depth: int) -> bytes:
    inner = matrix(9, (1, 1), element(2, b"\1"))
    for _ in range(depth):
        inner = matrix(1, (1, 1), inner)
    return matrix(1, (1, 1), inner, name=b"x")


HEADER = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (matrix(9, (2, 2), element(2, b"\1"), name=b"x"), "1 numbers in an array of size"),
        (matrix(1, (1 << 20, 1 << 10), name=b"x"), "parts in too few bytes"),
        (matrix(2, (1, 1), element(5, b"\0\0\0\0"), element(1, b"a"), name=b"x"), "no length"),
        (matrix(9, (-1, 1), element(2, b""), name=b"x"), "an array of size"),
        (matrix(4, (1, 9), element(4, b"a\0"), name=b"x"), "1 characters in a text"),
        (matrix(1, (1, 1), element(2, b"\1"), name=b"x"), "part is no array"),
        (nested(40), "without end"),
        (matrix(9, (1, 1), element(2, b"\1"), name=b"y"), "KeyError"),
        (element(15, zlib.compress(bytes(100_000))), "unpacks to too much"),
    ],
)
def test_what_no_reader_should_follow_is_named(
    body: bytes, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matfile, "_LARGEST", 50_000)
    path = write(tmp_path / "a.mat", HEADER + body)
    with pytest.raises(DatasetError, match=f"a.mat is not a readable annotation with x.*{words}"):
        read_mat(path, "x", lambda found: found, "x")
