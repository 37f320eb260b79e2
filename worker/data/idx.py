"""IDX, the format of MNIST and Fashion-MNIST: magic 0 0 8 n, n big-endian lengths, then unsigned bytes."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gradwire.common.errors import DataError
from gradwire.worker.data.dataset import Arrays, Features, Labels
from gradwire.worker.data.files import read_unpacked

UNSIGNED_BYTE = 8
FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)


def parse_idx(content: bytes, name: str) -> NDArray[np.uint8]:
    """The array that an unpacked IDX file of unsigned bytes holds, read-only.

    Raises:
        DataError: another format, or more or fewer bytes than its header announces.
    """
    if len(content) < 4 or content[:3] != bytes((0, 0, UNSIGNED_BYTE)):
        raise DataError(f"{name} starts with {content[:4].hex() or 'nothing'}, expected IDX bytes (000008…)")
    start = 4 + 4 * content[3]
    if len(content) < start:
        raise DataError(f"{name} ends inside its header: {len(content)} bytes, expected at least {start}")
    shape = struct.unpack(f">{content[3]}I", content[4:start])
    if len(content) != start + math.prod(shape):
        raise DataError(
            f"{name} has {len(content)} bytes, expected {start + math.prod(shape)} for shape {list(shape)}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def scaled_images(pixels: NDArray[np.uint8]) -> Features:
    """Pixels 0 … 255 as float32 in [0, 1], one flat row an image."""
    return np.divide(pixels.reshape(len(pixels), -1), 255, dtype=np.float32)


def _read_split(images: Path, labels: Path) -> tuple[Features, Labels]:
    pixels = parse_idx(read_unpacked(images), images.name)
    classes = parse_idx(read_unpacked(labels), labels.name)
    if pixels.ndim != 3 or classes.ndim != 1 or len(pixels) != len(classes):
        raise DataError(
            f"{images.name} has shape {list(pixels.shape)} and {labels.name} {list(classes.shape)}, "
            f"expected [n, height, width] and [n]"
        )
    if classes.max(initial=0) > 9:
        raise DataError(f"{labels.name} holds the label {classes.max()}, expected 0 … 9")
    return scaled_images(pixels), classes.astype(np.int64)


def read_idx_folder(folder: Path) -> Arrays:
    """Both splits of a ten-class image set in its four IDX files."""
    train_images, train_labels, test_images, test_labels = (folder / name for name in FILES)
    return *_read_split(train_images, train_labels), *_read_split(test_images, test_labels)
