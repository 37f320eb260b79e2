"""Finding data sets: in the folder GRADWIRE_DATA, in the cache, embedded, or at their publisher."""

from __future__ import annotations

import logging
import os
from functools import lru_cache
from pathlib import Path

from gradwire.common.errors import DataError
from gradwire.worker.data.catalog import CATALOG, Entry, entry_of
from gradwire.worker.data.dataset import Dataset, DatasetInfo
from gradwire.worker.data.digits import embedded_file
from gradwire.worker.data.download import download
from gradwire.worker.data.files import verify

VARIABLE = "GRADWIRE_DATA"
_log = logging.getLogger(__name__)


def user_folder() -> Path | None:
    """The folder GRADWIRE_DATA, None when it is unset.

    Raises:
        DataError: it is set to something that is not a folder.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        return None
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise DataError(f"{VARIABLE} is {named!r}, which is not a folder: correct it or unset it")
    return folder


def cache_folder() -> Path:
    """The folder for downloads: in the operating system's cache of this user."""
    import pooch

    return Path(pooch.os_cache("gradwire")) / "data"


def find(entry: Entry) -> Path | None:
    """The folder that holds a data set, in GRADWIRE_DATA or else in the cache; None when it is in neither."""
    if entry.embedded:
        return embedded_file().parent
    user = user_folder()
    roots = [user] if user is not None else []
    if entry.files:
        roots.append(cache_folder())
    return next((root / entry.name for root in roots if entry.is_in(root / entry.name)), None)


def load(name: str) -> Dataset:
    """A data set in memory, downloaded if necessary; the same object for every caller of a process.

    Raises:
        DataError: unknown, damaged, or neither available here nor for download.

    >>> load("digits").x_train.shape
    (1438, 64)
    """
    return _read(name, fetch(name, progress=False))


@lru_cache(maxsize=4)
def _read(name: str, folder: Path) -> Dataset:
    entry = entry_of(name)
    if note := _note(entry, folder):
        _log.warning("%s: %s", name, note)
    return Dataset(name, *entry.read(folder), entry.classes)


def fetch(name: str, progress: bool = True) -> Path:
    """Make a data set available, with verified checksums; returns the folder that holds it.

    Args:
        name: of the data set.
        progress: draw a bar for each file when standard error is a terminal.

    Raises:
        DataError: unknown, damaged, or neither available here nor for download.
    """
    folder = find(entry_of(name)) or cache_folder() / name
    _make_ready(name, folder, progress)
    return folder


@lru_cache(maxsize=32)
def _make_ready(name: str, folder: Path, progress: bool) -> None:
    """Verify the user's own files; in the cache, replace missing and damaged ones. Once per process."""
    entry = entry_of(name)
    if folder == cache_folder() / name:
        _download_all(entry, folder, progress)
        return
    for file in entry.files:
        if (folder / file.name).is_file():
            verify(folder / file.name, file)


def _download_all(entry: Entry, folder: Path, progress: bool) -> None:
    if not entry.files:
        raise DataError(
            f"{entry.name} is not available and has no public source: set {VARIABLE} to a folder that has it"
        )
    try:
        for file in entry.files:
            _log.info("downloading %s", file.name)
            download(file, folder, progress=progress)
    except DataError as error:
        raise DataError(
            f"{entry.name} is not available: set {VARIABLE} to a folder that has it, "
            f"or run `gradwire data fetch {entry.name}` with a network ({error})"
        ) from error


def available() -> list[DatasetInfo]:
    """Every data set of the catalogue and where it is; reads no data and needs no network.

    Raises:
        DataError: GRADWIRE_DATA is set to something that is not a folder.
    """
    return [_info(entry) for entry in CATALOG.values()]


def _info(entry: Entry) -> DatasetInfo:
    folder = find(entry)
    samples = entry.samples
    if folder is not None and entry.batches is not None:
        count, total = entry.batches
        samples = entry.samples * count(folder) // total
    where, nbytes = _where(entry, folder), _nbytes(entry, folder)
    note = "" if folder is None else _note(entry, folder)
    return DatasetInfo(
        entry.name, samples, entry.test_samples, entry.dim, entry.classes, where, entry.source, nbytes, note
    )


def _where(entry: Entry, folder: Path | None) -> str:
    if folder is None:
        return "to download" if entry.files else "not available"
    if entry.embedded:
        return "embedded"
    return "cached" if folder == cache_folder() / entry.name else str(folder)


def _nbytes(entry: Entry, folder: Path | None) -> int | None:
    if entry.embedded:
        return embedded_file().stat().st_size
    if folder is not None:
        return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    sizes = [file.nbytes for file in entry.files]
    return sum(size or 0 for size in sizes) if sizes and None not in sizes else None


def _note(entry: Entry, folder: Path) -> str:
    if entry.batches is None:
        return ""
    count, total = entry.batches
    held = count(folder)
    return (
        "" if held == total else f"{held} of {total} training batches: a part of the published training set"
    )
