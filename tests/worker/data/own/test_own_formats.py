"""NPZ, LIBSVM, Parquet and folders of images."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradwire.common.errors import DataError
from gradwire.worker.data.own import Schema, first_schema, format_of, read_table, schema_of
from gradwire.worker.data.own.images import ImagesFormat
from gradwire.worker.data.own.libsvm import LibsvmFormat
from gradwire.worker.data.own.npz import NpzFormat
from gradwire.worker.data.own.parquet import ParquetFormat


def refused(path: Path, schema: Schema) -> str:
    with pytest.raises(DataError) as caught:
        read_table(path, schema)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- NPZ ---------------------------------------------------------------------------------------------------


def npz(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "t.npz", **{name: np.asarray(array) for name, array in arrays.items()})
    return folder / "t.npz"


NPZ = schema_of(NpzFormat(), ("1", "2"), "y", ("0", "1"))


def test_npz(tmp_path: Path) -> None:
    path = npz(tmp_path, x=np.arange(12, dtype=np.uint8).reshape(3, 2, 2), y=[1.0, 0.0, 1.0])
    schema = first_schema(path).schema
    assert schema.names == ("1", "2", "3", "4") and schema.classes == ("0", "1") and schema.label == "y"
    x, y = read_table(path, schema)
    assert x.dtype == np.float32 and x.shape == (3, 4) and y.tolist() == [1, 0, 1]
    np.testing.assert_allclose(x.std(axis=0), 1, rtol=1e-5)


@pytest.mark.parametrize("label", ["", "digit"])
def test_npz_without_the_usual_names(tmp_path: Path, label: str) -> None:
    schema = first_schema(npz(tmp_path, digit=[1, 0], pixels=[[1.0, 2.0], [3.0, 4.0]]), label).schema
    assert schema.format == NpzFormat("pixels") and schema.label == "digit"
    with pytest.raises(DataError, match="has no array 'x'"):
        first_schema(npz(tmp_path, digit=[1, 0], pixels=[[1.0], [3.0]], masks=[[1.0], [3.0]]), "digit")


def test_npz_with_other_names_and_texts(tmp_path: Path) -> None:
    path = npz(tmp_path, features=[[1.0], [2.0]], target=["no", "yes"])
    schema = schema_of(NpzFormat("features"), ("1",), "target", ("yes", "no"))
    x, y = read_table(path, schema)
    assert x.tolist() == [[1], [2]] and y.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"x": [[1, 2]]}, "has no array 'y'"),
        ({"z": [[1, 2]], "y": [0]}, "has no array 'x'"),
        ({"x": [[1, 2, 3]], "y": [0]}, "has 3 features, expected 2: is it the right file?"),
        ({"x": [[1, 2]], "y": [0, 1]}, "x has the shape [1, 2] and y [2], expected one label for each"),
        ({"x": np.zeros((0, 2)), "y": np.zeros(0)}, "of at least one sample"),
        ({"x": [[1, 2], [3, np.nan]], "y": [0, 1]}, "t.npz, row 2: 2 is nan, expected a finite number"),
        ({"x": [[1, 1e300]], "y": [0]}, "row 1: 2 is inf"),
        ({"x": [["a", "b"]], "y": [0]}, "x is <U1 [1, 2], expected an array of numbers"),
        ({"x": [[1, 2], [3, 4]], "y": [0, 7]}, "row 2: the label y is '7', expected one of 0, 1"),
    ],
)
def test_npz_that_is_refused(tmp_path: Path, arrays: dict[str, Any], says: str) -> None:
    assert says in refused(npz(tmp_path, **arrays), NPZ)


def test_npz_never_unpickles(tmp_path: Path) -> None:
    path = npz(tmp_path, x=np.array([[{}, {}]], object), y=[0])
    assert "cannot read" in refused(path, NPZ)
    (tmp_path / "t.npz").write_bytes(b"PK\x03\x04 and no archive")
    assert "cannot read" in refused(path, NPZ)


# ---- LIBSVM ------------------------------------------------------------------------------------------------


def svm(folder: Path, text: str) -> Path:
    (folder / "t.svm").write_text(text)
    return folder / "t.svm"


def test_libsvm_with_any_numeric_labels(tmp_path: Path) -> None:
    path = svm(tmp_path, "3 1:0.5 4:-2\n-1.5\n3.0 2:1e2 # a comment\n7 1:1\n")
    schema = first_schema(path).schema
    assert schema.names == ("1", "2", "3", "4") and schema.classes == ("-1.5", "3", "7")
    assert set(schema.offsets) == {0.0} and set(schema.scales) == {1.0}
    x, y = read_table(path, schema_of(LibsvmFormat(), tuple("12345"), "", schema.classes))
    assert x.tolist() == [[0.5, 0, 0, -2, 0], [0] * 5, [0, 100, 0, 0, 0], [1, 0, 0, 0, 0]]
    assert y.tolist() == [1, 0, 1, 2]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1 1:2\n1 2:nan\n", "t.svm, line 2: cannot read '1 2:nan'; expected a label and index:value pairs"),
        ("1 0:2\n", "line 1: cannot read"),
        ("1 2:1 1:1\n", "line 1: the feature numbers do not ascend"),
        ("1 1:1\n1 3:1\n", "t.svm, line 2: feature 3, expected at most 2"),
        ("1 1:1\n9 1:1\n", "line 2: the label is '9', expected one of 0, 1"),
        ("a,b,c\n1,2,3\n", "line 1: cannot read 'a,b,c'"),
        ("", "is empty"),
    ],
)
def test_libsvm_that_is_refused(tmp_path: Path, text: str, says: str) -> None:
    assert says in refused(svm(tmp_path, text), schema_of(LibsvmFormat(), ("1", "2"), "", ("0", "1")))


# ---- Parquet -----------------------------------------------------------------------------------------------

Writer = Callable[[dict[str, list[Any]]], Path]


@pytest.fixture
def parquet(tmp_path: Path) -> Writer:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    def write(columns: dict[str, list[Any]]) -> Path:
        write_table(pyarrow.table(columns), tmp_path / "t.parquet")
        return tmp_path / "t.parquet"

    return write


PARQUET = schema_of(ParquetFormat(), ("age", "size"), "kind", ("a", "b"))


def test_parquet(parquet: Writer) -> None:
    path = parquet({"id": ["p", "q"], "size": [2.5, 4.0], "age": [1, 2], "kind": ["b", "a"]})
    found = first_schema(path)
    schema, left_out = found.schema, found.left_out
    assert (
        schema.names == ("size", "age") and schema.classes == ("a", "b") and left_out == {"id": "not numbers"}
    )
    x, y = read_table(path, PARQUET)
    assert x.dtype == np.float32 and x.tolist() == [[1, 2.5], [2, 4]] and y.tolist() == [1, 0]


def test_parquet_with_missing_values(parquet: Writer) -> None:
    nothing = [None] * 3
    path = parquet(
        {"gone": nothing, "age": [1, None, 3], "size": [np.nan, 2.0, None], "kind": ["b", "a", "b"]}
    )
    schema = first_schema(path).schema
    assert schema.names == ("age", "size")
    assert schema.missing == (2.0, 2.0) and schema.offsets == (2.0, 2.0) and schema.scales == (1.0, 1.0)
    assert read_table(path, schema)[0].tolist() == [[-1, 0], [0, 0], [1, 0]]


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"age": [1], "kind": ["a"]}, "has no column 'size'"),
        (
            {"age": [1, 2], "size": [1.0, None], "kind": ["a", "b"]},
            "t.parquet, row 2: size is empty, expected a value; correct or remove the row, or give the feature",
        ),
        ({"age": [1, 2], "size": [1.0, np.inf], "kind": ["a", "b"]}, "row 2: size is inf"),
        ({"age": [1], "size": ["x"], "kind": ["a"]}, "size is <U1, expected a column of numbers"),
        (
            {"age": [1, 2], "size": [1, 2], "kind": ["a", None]},
            "row 2: kind is empty, expected a value; correct or remove the row",
        ),
        ({"age": [1, 2], "size": [1, 2], "kind": ["a", "c"]}, "row 2: the label kind is 'c'"),
    ],
)
def test_parquet_that_is_refused(parquet: Writer, columns: dict[str, list[Any]], says: str) -> None:
    assert says in refused(parquet(columns), PARQUET)


def test_parquet_that_is_damaged_or_empty(parquet: Writer) -> None:
    path = parquet({"age": [], "size": [], "kind": []})
    assert "has no rows" in refused(path, PARQUET)
    path.write_bytes(path.read_bytes()[:-20] + b"PAR1")
    assert "cannot read" in refused(path, PARQUET)


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradwire.worker.data.own.parquet.find_spec", lambda name: None)
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    assert "install it with pip install 'gradwire[parquet]'" in refused(tmp_path / "t.parquet", PARQUET)


# ---- images ------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    image = pytest.importorskip("PIL.Image")
    for name, shade in (("cat/1.png", 255), ("cat/2.png", 51), ("dog/1.png", 0)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        image.new("L", (3, 2), shade).save(tmp_path / name)
    (tmp_path / "dog" / "notes.txt").write_text("no image")
    return tmp_path


def test_images(folder: Path) -> None:
    schema = first_schema(folder).schema
    assert schema.format == ImagesFormat(3, 2, "L") and schema.classes == ("cat", "dog")
    x, y = read_table(folder, schema)
    assert x.dtype == np.float32 and x.shape == (3, 6) and y.tolist() == [0, 0, 1]
    np.testing.assert_allclose(x[:, 0], [1, 0.2, 0], rtol=1e-6)


def test_images_of_another_size_and_mode(folder: Path) -> None:
    format = ImagesFormat(4, 4, "RGB")
    schema = schema_of(format, format.columns(folder, "")[0], "", ("dog", "cat", "owl"))
    x, y = read_table(folder, schema)
    assert x.shape == (3, 48) and y.tolist() == [1, 1, 0] and x[0].tolist() == [255] * 48


def test_images_that_are_refused(folder: Path) -> None:
    schema = schema_of(ImagesFormat(3, 2, "L"), tuple("123456"), "", ("cat", "owl"))
    assert "1.png: the label is 'dog', expected one of cat, owl" in refused(folder, schema)
    (folder / "cat" / "2.png").write_bytes(b"no image")
    assert "cannot read" in refused(folder, schema) and "2.png as an image" in refused(folder, schema)
    (folder / "cat" / "2.png").write_bytes((folder / "cat" / "1.png").read_bytes()[:-30])
    assert "2.png as an image: image file is truncated; replace it" in refused(folder, schema)


def test_a_folder_without_images(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no images: expected a subfolder for each class"):
        format_of(tmp_path)


def test_images_without_pillow(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradwire.worker.data.own.images.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"install it with pip install 'gradwire\[images\]'"):
        format_of(folder)
