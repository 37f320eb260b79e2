"""Damaged and hostile files: each is refused by one line, whatever the library that parses it raises."""

import io
import random
import struct
import zipfile
import zlib
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from gradwire.common.errors import DataError, GradwireError
from gradwire.worker.data.own import csv as own_csv
from gradwire.worker.data.own import first_schema, read_schema, read_table, schema_of
from gradwire.worker.data.own.csv import CsvFormat
from gradwire.worker.data.own.npz import NpzFormat
from gradwire.worker.data.own.parquet import ParquetFormat

NPZ = schema_of(NpzFormat(), ("1", "2"), "y", ("0", "1"))
CSV = schema_of(CsvFormat(), ("a", "b"), "y", ("0", "1"))
SCHEMA = 'format = "csv"\nlabel = "y"\nclasses = [0, 1]\nfeatures = [{name = "a", offset = 0}]\n'


def refused(path: Path) -> str:
    """What ``gradwire data schema`` and a worker say of a file."""
    with pytest.raises(DataError) as caught:
        first_schema(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    return str(caught.value)


def npy(array: object) -> bytes:
    file = io.BytesIO()
    np.save(file, np.asarray(array))
    return file.getvalue()


def header(shape: str) -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def npz(folder: Path, x: bytes) -> Path:
    with zipfile.ZipFile(folder / "t.npz", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x.npy", x)
        file.writestr("y.npy", npy([0, 1, 0]))
    return folder / "t.npz"


X = npy(np.arange(6, dtype=np.float32).reshape(3, 2))


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (header(f"({1 << 40}, {1 << 20})"), "memory"),
        (header(f"({1 << 70},)"), "cannot read"),
        (header("(-1, 2)"), "cannot read"),
        (header("(True, 2)") + bytes(8), "cannot read"),
        (b"\x93NUMPY\x01\x00\x10\x00" + b"(" * 16, "cannot read"),
        (b"hello", "x is no array"),
        (X[:-4], "cannot read"),
    ],
)  # fmt: skip
def test_npz_with_other_arrays_than_it_says(tmp_path: Path, x: bytes, says: str) -> None:
    assert says in refused(npz(tmp_path, x))


def test_npz_with_any_three_bytes_changed(tmp_path: Path) -> None:
    """Read as it was, or refused: zlib, zipfile and NumPy raise errors of eight types."""
    says = []
    whole = npz(tmp_path, X).read_bytes()
    for seed in range(200):
        draw, damaged = random.Random(seed), bytearray(whole)
        for _ in range(3):
            damaged[draw.randrange(4, len(damaged))] = draw.randrange(256)
        (tmp_path / "t.npz").write_bytes(damaged)
        try:
            read_table(tmp_path / "t.npz", NPZ)
        except GradwireError as error:
            says.append(str(error))
    assert len(says) > 100 and not any("\n" in text for text in says)


def test_npz_that_unpacks_to_more_than_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = npz(tmp_path, npy(np.zeros((3, 1_000_000), np.float32)))
    assert path.stat().st_size < 100_000
    monkeypatch.setattr("gradwire.common.system.memory.memory_bytes", lambda: 10_000_000)
    with pytest.raises(GradwireError, match=r"the array x of .* takes 0.0 GB"):
        first_schema(path)


@pytest.mark.parametrize(
    ("label", "says"),
    [
        ([[1], [2]], "y is list<element: int64>, expected a column of numbers or texts"),
        ([b"\xff", b"x"], "y is binary, expected"),
        ([date(2020, 1, 1), date(2020, 1, 2)], "y is date32"),
        ([1.0, float("nan")], "row 2: the label y is nan, expected a value"),
        ([1.0, float("-inf")], "row 2: the label y is -inf, expected a value"),
    ],
)  # fmt: skip
def test_parquet_columns_of_other_kinds(tmp_path: Path, label: object, says: str) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"a": [1.0, 2.0], "y": label}), tmp_path / "t.parquet")
    assert says in refused(tmp_path / "t.parquet")


def test_parquet_that_is_damaged_after_its_footer_was_read(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"a": [1.0, 2.0], "y": ["0", "1"]}), tmp_path / "t.parquet")
    whole = (tmp_path / "t.parquet").read_bytes()
    schema = schema_of(ParquetFormat(), ("a",), "y", ("0", "1"))
    refusals = 0
    for seed in range(60):
        draw, damaged = random.Random(seed), bytearray(whole)
        for _ in range(5):
            damaged[draw.randrange(4, len(damaged))] = draw.randrange(256)
        (tmp_path / "t.parquet").write_bytes(damaged)
        try:
            read_table(tmp_path / "t.parquet", schema)
        except GradwireError as error:
            refusals += "\n" not in str(error)
    assert refusals > 5


def test_parquet_without_columns_or_with_two_of_one_name(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({}), tmp_path / "t.parquet")
    assert "has no columns" in refused(tmp_path / "t.parquet")
    columns = [pa.array([1.0, 2.0]), pa.array([1.0, 2.0]), pa.array(["0", "1"])]
    pq.write_table(pa.Table.from_arrays(columns, names=["a", "a", "y"]), tmp_path / "t.parquet")
    assert "two columns called 'a'; rename one" in refused(tmp_path / "t.parquet")


def png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    ihdr = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes((width + 1) * min(height, 10)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", ihdr) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (png(60_000, 60_000), "cannot read .*2.png as an image"),
        (png(10_000, 10_000), "2.png has 10000 by 10000 pixels, expected at most 67,108,864"),
        (png(4, 4)[:-30], "cannot read .*2.png as an image"),
        (b"", "cannot read .*2.png as an image"),
        (b"hello", "cannot read .*2.png as an image"),
    ],
)
def test_images_that_are_damaged_or_bombs(tmp_path: Path, image: bytes, says: str) -> None:
    pytest.importorskip("PIL")
    for place, content in ((("a", "1.png"), png(4, 4)), (("b", "2.png"), image)):
        tmp_path.joinpath(*place).parent.mkdir()
        tmp_path.joinpath(*place).write_bytes(content)
    with pytest.raises(DataError, match=says):
        first_schema(tmp_path)


@pytest.mark.parametrize("text", ["a," * 600 + "y\n1,2,0\n", "a,b,y\n1,2,0\n" + "1" * 1200 + ",2,1\n"])
def test_csv_with_a_line_without_end(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found without reading the line to its end: it may be as long as the file."""
    monkeypatch.setattr(own_csv, "MAX_LINE", 500)
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    number = 1 + text.startswith("a,b") * 2
    for read in (lambda: first_schema(tmp_path / "t.csv"), lambda: read_table(tmp_path / "t.csv", CSV)):
        with pytest.raises(DataError, match=f"line {number}: more than 500 characters"):
            read()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("offset = 0", "scale = 1e-300", "scale not 0, also in float32"),
        ("offset = 0", f"scale = {'9' * 400}", "expected a number that fits into float32"),
        ("offset = 0", f"scale = {'9' * 5000}", "is not TOML"),
        ("[0, 1]", "[nan, 1]", "a class is nan, expected texts or finite"),
        ("[0, 1]", '["", 1]', "names the class '', expected printable"),
        ("[0, 1]", '[1, "1.0"]', "names the class 1 twice"),
        ('label = "y"', 'label = ""', "has the label '', expected the name"),
        ("[0, 1]", "[" * 2000 + "]" * 2000, "is not TOML"),
    ],
)
def test_schemas_with_numbers_and_names_that_are_none(tmp_path: Path, old: str, new: str, says: str) -> None:
    (tmp_path / "s.toml").write_text(SCHEMA.replace(old, new), encoding="utf-8")
    with pytest.raises(DataError, match=says):
        read_schema(tmp_path / "s.toml")
