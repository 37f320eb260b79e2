"""Temporary folders that are gone at the end: if their process was killed, when the next of their kind is made."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
        os.close(lock)


def _made(prefix: str) -> tuple[Path, int]:
    """A folder, and the descriptor that holds its lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix))
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / _LOCK).exists():
            return folder, lock
        os.close(lock)  # somebody took it for an orphan before it was locked


def _remove_orphans(prefix: str) -> None:
    """Remove folders that nobody holds; one without a lock is being made just now, or is another program's."""
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        try:
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            continue  # as above, or another user's
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue  # in use
        else:
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)
