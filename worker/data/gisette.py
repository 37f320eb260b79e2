"""Gisette (handwritten 4 against 9, d = 5000) and a local stand-in of its shape, columns scaled to [-1, 1]."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gradwire.common.errors import DataError
from gradwire.worker.data.dataset import Arrays, Features, Labels

FILES = ("gisette_train.data", "gisette_train.labels", "gisette_valid.data", "gisette_valid.labels")
STAND_IN = "mnist49_gisette_like.npz"
_KEYS = ("X_train", "y_train", "X_test", "y_test")


def scale_columns(train: Features, test: Features) -> tuple[Features, Features]:
    """Both splits under the affine map of each training column onto [-1, 1]; constant columns become -1."""
    low, high = train.min(axis=0), train.max(axis=0)
    step = np.float32(2) / np.where(high > low, high - low, np.float32(1))
    return (train - low) * step - np.float32(1), (test - low) * step - np.float32(1)


def _finish(x_train: Features, y_train: Labels, x_test: Features, y_test: Labels, name: str) -> Arrays:
    for x, y in ((x_train, y_train), (x_test, y_test)):
        if x.ndim != 2 or y.shape != (len(x),) or x.shape[1] != x_train.shape[1]:
            raise DataError(
                f"{name}: features {list(x.shape)} with labels {list(y.shape)}, expected [n, d], [n]"
            )
        if not np.isin(y, (-1, 1)).all():
            raise DataError(f"{name}: labels {np.unique(y)[:5]}, expected -1 and +1")
    scaled_train, scaled_test = scale_columns(x_train, x_test)
    return scaled_train, (y_train > 0).astype(np.int64), scaled_test, (y_test > 0).astype(np.int64)


def _table(path: Path) -> NDArray[np.float32]:
    try:
        return np.loadtxt(path, dtype=np.float32, ndmin=2)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {error}; remove it and fetch it again") from error


def read_gisette_folder(folder: Path) -> Arrays:
    """The published text files; the validation split is the test split, as its test labels are not public."""
    x_train, y_train, x_test, y_test = (_table(folder / name) for name in FILES)
    return _finish(x_train, y_train[:, 0].astype(np.int64), x_test, y_test[:, 0].astype(np.int64), "gisette")


def read_stand_in_folder(folder: Path) -> Arrays:
    """The stand-in's archive: X_train, y_train, X_test, y_test with values 0 … 999 and labels -1, +1."""
    path = folder / STAND_IN
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            x_train, y_train, x_test, y_test = (archive[key] for key in _KEYS)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"cannot read {path}: {error}; expected the arrays {', '.join(_KEYS)}") from error
    return _finish(
        x_train.astype(np.float32),
        y_train.astype(np.int64),
        x_test.astype(np.float32),
        y_test.astype(np.int64),
        STAND_IN,
    )
