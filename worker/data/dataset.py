"""A data set in memory, and its description before it is read."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float32]
Labels = NDArray[np.int64]
Arrays = tuple[Features, Labels, Features, Labels]  # x_train, y_train, x_test, y_test


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples and labels with a fixed split into training and test.

    Attributes:
        x_train, x_test: float32 [samples, dim], read-only because every logical worker of a process shares them.
        y_train, y_test: int64 [samples], class numbers 0 … classes-1. In a two-class set, class 1 is the label +1.
    """

    name: str
    x_train: Features
    y_train: Labels
    x_test: Features
    y_test: Labels
    classes: int

    def __post_init__(self) -> None:
        for array in (self.x_train, self.y_train, self.x_test, self.y_test):
            array.flags.writeable = False

    @property
    def dim(self) -> int:
        """Features per sample."""
        return int(self.x_train.shape[1])


@dataclass(frozen=True)
class DatasetInfo:
    """One row of ``gradwire data list``, made without reading the data.

    Attributes:
        samples: training samples that are available here or for download.
        where: "embedded", a folder in GRADWIRE_DATA, "cached", "to download" or "not available".
        nbytes: size of the files in bytes; None where it is not known before the download.
        note: how it differs from the published data set, or "".
    """

    name: str
    samples: int
    test_samples: int
    dim: int
    classes: int
    where: str
    source: str
    nbytes: int | None
    note: str = ""
