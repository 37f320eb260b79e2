"""CIFAR-10's binary version: records of one label byte and 3072 pixel bytes (red, green, blue planes).

The published archive is read without unpacking it to disk. A folder may instead hold the batch files, plain or .xz; the
training batches that it holds are then used.
"""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path

import numpy as np

from gradwire.common.errors import DataError
from gradwire.worker.data.dataset import Arrays, Features, Labels
from gradwire.worker.data.files import read_unpacked
from gradwire.worker.data.idx import scaled_images

ARCHIVE = "cifar-10-binary.tar.gz"
TRAIN = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
TEST = "test_batch.bin"
PIXELS = 3 * 32 * 32


def parse_batch(content: bytes, name: str) -> tuple[Features, Labels]:
    """Images [n, 3072] in [0, 1] and labels [n] of one batch.

    Raises:
        DataError: not a whole number of records, none, or a label above 9.
    """
    if not content or len(content) % (1 + PIXELS):
        raise DataError(f"{name} has {len(content)} bytes, expected a multiple of {1 + PIXELS} (one record)")
    records = np.frombuffer(content, np.uint8).reshape(-1, 1 + PIXELS)
    if records[:, 0].max() > 9:
        raise DataError(f"{name} holds the label {records[:, 0].max()}, expected 0 … 9")
    return scaled_images(records[:, 1:]), records[:, 0].astype(np.int64)


def _batch_file(folder: Path, name: str) -> Path | None:
    candidates = (folder / name, folder / f"{name}.xz")
    return next((path for path in candidates if path.is_file()), None)


def train_batches(folder: Path) -> int:
    """How many of the five training batches a folder holds: all of them in the archive."""
    if (folder / ARCHIVE).is_file():
        return len(TRAIN)
    return sum(_batch_file(folder, name) is not None for name in TRAIN)


def is_present(folder: Path) -> bool:
    """Whether a folder holds the archive, or the test batch and at least one training batch."""
    if (folder / ARCHIVE).is_file():
        return True
    return _batch_file(folder, TEST) is not None and train_batches(folder) > 0


def _unpack_archive(path: Path) -> dict[str, bytes]:
    """The batches by name, in memory: nothing is written to a path that an archive names."""
    batches = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = Path(member.name).name
                file = archive.extractfile(member) if name in (*TRAIN, TEST) else None
                if file is not None:
                    batches[name] = file.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path}: {error}; remove it and fetch it again") from error
    if len(batches) != len(TRAIN) + 1:
        raise DataError(f"{path} holds {sorted(batches)}, expected {[*TRAIN, TEST]}")
    return batches


def read_cifar_folder(folder: Path) -> Arrays:
    """The training batches that the folder holds, in order, and the test batch."""
    if (folder / ARCHIVE).is_file():
        batches = _unpack_archive(folder / ARCHIVE)
    else:
        found = {name: _batch_file(folder, name) for name in (*TRAIN, TEST)}
        batches = {name: read_unpacked(path) for name, path in found.items() if path is not None}
    train = [parse_batch(batches[name], name) for name in TRAIN if name in batches]
    x_test, y_test = parse_batch(batches[TEST], TEST)
    return np.concatenate([x for x, _ in train]), np.concatenate([y for _, y in train]), x_test, y_test
