"""Downloads: pooch checks every file's SHA-256 in a temporary folder and then moves it into the cache."""

from __future__ import annotations

import contextlib
import logging
import sys
from pathlib import Path
from typing import Any

from gradwire.common.errors import DataError
from gradwire.worker.data.files import PublicFile

TIMEOUT = 30  # seconds without a byte after which the next address is tried
CHUNK = 1 << 16  # bytes


class _Bar:
    """A progress bar for pooch, drawn by rich on a terminal."""

    def __init__(self, label: str) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._progress = Progress(*columns, console=Console(stderr=True))
        self._task = self._progress.add_task(label, total=None)
        self._progress.start()

    @property
    def total(self) -> int:
        return int(self._progress.tasks[0].total or 0)

    @total.setter
    def total(self, value: int) -> None:
        self._progress.update(self._task, total=value or None)

    def update(self, advance: int) -> None:
        self._progress.advance(self._task, advance)

    def reset(self) -> None:
        self._progress.update(self._task, completed=0)

    def close(self) -> None:
        self._progress.stop()


def _retrieve(url: str, file: PublicFile, folder: Path, bar: _Bar | None) -> None:
    import pooch

    pooch.get_logger().setLevel(logging.WARNING)  # its own lines would break ours
    try:
        pooch.retrieve(
            url,
            known_hash=f"sha256:{file.sha256}",
            fname=file.name,
            path=folder,
            downloader=pooch.HTTPDownloader(progressbar=bar or False, chunk_size=CHUNK, timeout=TIMEOUT),
        )
    finally:
        if bar is not None:
            bar.close()


def _reason(error: Exception) -> str:
    """One line for an error; the text of requests' nested ones may be a page."""
    if isinstance(error, ValueError):
        return "its bytes are not the published ones (sha256 differs)"
    response: Any = getattr(error, "response", None)
    return f"HTTP status {response.status_code}" if response is not None else type(error).__name__


def download(file: PublicFile, folder: Path, *, progress: bool) -> None:
    """Download one file into ``folder``, from the first of its addresses that serves the published bytes.

    An existing file is kept if its checksum is right, and replaced if not.

    Raises:
        DataError: no address served it; the folder is as it was.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    failures = []
    for url in file.urls:
        bar = _Bar(file.name) if progress and sys.stderr.isatty() else None
        try:
            return _retrieve(url, file, folder, bar)
        except (OSError, ValueError) as error:
            failures.append(f"{url}: {_reason(error)}")
    for path in made:
        with contextlib.suppress(OSError):  # another program has put a file there
            path.rmdir()
    raise DataError(f"cannot download {file.name}: {'; '.join(failures)}")
