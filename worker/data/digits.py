"""The 8x8 handwritten digits that scikit-learn contains: available everywhere, so every example uses them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from gradwire.worker.data.dataset import Arrays

EVERY = 5  # samples 4, 9, 14, … are the test split: it never changes, and both splits hold every writer


def embedded_file() -> Path:
    """The file in scikit-learn, found without importing it."""
    spec = find_spec("sklearn")
    assert spec is not None and spec.origin is not None, "scikit-learn is a dependency"
    return Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"


def read_digits(_folder: Path) -> Arrays:
    """1438 training and 359 test images, pixels 0 … 16 scaled to [0, 1]."""
    from sklearn.datasets import load_digits  # slow to import

    pixels, classes = load_digits(return_X_y=True)
    x, y = np.divide(pixels, 16, dtype=np.float32, casting="same_kind"), classes.astype(np.int64)
    test = np.arange(len(x)) % EVERY == EVERY - 1
    return x[~test], y[~test], x[test], y[test]
