"""Temporary folders that are gone at the end: if their process was killed, when the next of their kind is made."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gradwire.common.system.locks import FileLock

_LOCK = ".lock"  # held by the process that the folder is of, however that ends


@contextmanager
def scratch(kind: str) -> Iterator[Path]:
    """A new folder ``gradwire-KIND-…`` for this user alone; keys may be in it.

    Raises:
        OSError: the folder for temporary files cannot be written to.
    """
    prefix = f"gradwire-{kind}-"
    _remove_orphans(prefix)
    folder, lock = _made(prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.close()


def _made(prefix: str) -> tuple[Path, FileLock]:
    """A folder, and the lock on it."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix))
        lock = FileLock(folder / _LOCK, create_mode=0o600)
        lock.acquire()
        if (folder / _LOCK).exists():
            return folder, lock
        lock.close()  # somebody took it for an orphan before it was locked


def _remove_orphans(prefix: str) -> None:
    """Remove folders that nobody holds; one without a lock is being made just now, or is another program's."""
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        try:
            lock = FileLock(folder / _LOCK, follow_links=False)
        except OSError:
            continue  # as above, or another user's
        if lock.acquire(blocking=False):
            shutil.rmtree(folder, ignore_errors=True)
        lock.close()
