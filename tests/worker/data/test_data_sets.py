"""Gisette and its stand-in, the embedded digits, and the catalogue as a whole."""

from pathlib import Path

import numpy as np
import pytest

from gradwire.common.errors import DataError
from gradwire.worker.data import Dataset, load
from gradwire.worker.data.catalog import CATALOG, entry_of
from gradwire.worker.data.gisette import FILES as GISETTE_FILES
from gradwire.worker.data.gisette import STAND_IN, read_gisette_folder, read_stand_in_folder, scale_columns


def test_columns_scale_by_the_training_range() -> None:
    train = np.array([[0, 5, 1], [10, 5, 3]], np.float32)
    test = np.array([[5, 6, 5]], np.float32)
    scaled_train, scaled_test = scale_columns(train, test)
    np.testing.assert_array_equal(scaled_train, [[-1, -1, -1], [1, -1, 1]])  # a constant column goes to -1
    np.testing.assert_array_equal(scaled_test, [[0, 1, 3]])


def test_gisette_text(tmp_path: Path) -> None:
    for name, content in zip(GISETTE_FILES, ("0 999 \n500 0 \n", "1\n-1\n", "250 0 \n", "-1\n"), strict=True):
        (tmp_path / name).write_text(content)
    x_train, y_train, x_test, y_test = read_gisette_folder(tmp_path)
    np.testing.assert_array_equal(x_train, [[-1, 1], [1, -1]])
    np.testing.assert_array_equal(x_test, [[0, -1]])
    assert y_train.tolist() == [1, 0] and y_test.tolist() == [0]
    (tmp_path / GISETTE_FILES[1]).write_text("1\n2\n")
    with pytest.raises(DataError, match="expected -1 and"):
        read_gisette_folder(tmp_path)
    (tmp_path / GISETTE_FILES[0]).write_text("0 999\n500 x\n")
    with pytest.raises(DataError, match="cannot read"):
        read_gisette_folder(tmp_path)


def test_gisette_stand_in(tmp_path: Path) -> None:
    x, y = np.array([[0, 999], [999, 0]], np.uint16), np.array([-1, 1], np.int8)
    np.savez(tmp_path / STAND_IN, X_train=x, y_train=y, X_test=x[:1], y_test=y[:1])
    x_train, y_train, x_test, _ = read_stand_in_folder(tmp_path)
    np.testing.assert_array_equal(x_train, [[-1, 1], [1, -1]])
    assert y_train.tolist() == [0, 1] and x_test.dtype == np.float32
    np.savez(tmp_path / STAND_IN, X_train=x, y_train=y[:1], X_test=x[:1], y_test=y[:1])
    with pytest.raises(DataError, match=r"features \[2, 2\] with labels \[1\]"):
        read_stand_in_folder(tmp_path)
    np.savez(tmp_path / STAND_IN, X_train=x)
    with pytest.raises(DataError, match="expected the arrays X_train"):
        read_stand_in_folder(tmp_path)
    (tmp_path / STAND_IN).write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(DataError, match="cannot read"):
        read_stand_in_folder(tmp_path)


def test_gisette_stand_in_is_not_unpickled(tmp_path: Path) -> None:
    trap = np.array([{"a": 1}], dtype=object)
    np.savez(tmp_path / STAND_IN, X_train=trap, y_train=trap, X_test=trap, y_test=trap)
    with pytest.raises(DataError, match="cannot read"):
        read_stand_in_folder(tmp_path)


def test_digits_are_shared_and_read_only() -> None:
    digits = load("digits")
    assert (digits.x_train.shape, digits.x_test.shape, digits.classes) == ((1438, 64), (359, 64), 10)
    assert digits.x_train.dtype == np.float32 and digits.x_train.min() == 0 and digits.x_train.max() == 1
    assert set(digits.y_train.tolist()) == set(digits.y_test.tolist()) == set(range(10))
    assert load("digits") is digits
    with pytest.raises(ValueError, match="read-only"):
        digits.x_train[0, 0] = 1


def test_dataset_dimension() -> None:
    x, y = np.zeros((3, 7), np.float32), np.zeros(3, np.int64)
    assert Dataset("small", x, y, x, y, 2).dim == 7


def test_catalogue() -> None:
    assert set(CATALOG) == {
        "digits", "mnist", "fashion_mnist", "cifar10", "a5a", "a9a", "splice", "gisette", "mnist49"
    }  # fmt: skip
    for entry in CATALOG.values():
        for file in entry.files:
            assert len(bytes.fromhex(file.sha256)) == 32 and file.urls
            assert "/" not in file.name and all(url.endswith(file.name) for url in file.urls)


def test_unknown_data_set() -> None:
    with pytest.raises(DataError, match="did you mean mnist"):
        entry_of("mnits")
