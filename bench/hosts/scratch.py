"""Temporary folders, removed at the end; those of a killed process when the next of their kind is made."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gradwire.common.system.locks import FileLock

_LOCK = ".lock"  # held by the folder's process; the kernel releases it


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
        lock.close()  # another process removed it as an orphan before it was locked


def _remove_orphans(prefix: str) -> None:
    """Remove folders whose lock no process holds; one without a lock file is just being made, or not ours."""
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        try:
            lock = FileLock(folder / _LOCK, follow_links=False)
        except OSError:
            continue  # as above, or another user's
        if lock.acquire(blocking=False):
            shutil.rmtree(folder, ignore_errors=True)
        lock.close()
