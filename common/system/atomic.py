"""What is on the disk when a call returns: files and folders by themselves, and SQLite files with every commit."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path


def sync(path: Path) -> None:
    """Make a file, or the names in a folder, durable.

    Raises:
        OSError: it cannot be opened or written back.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def open_database(path: Path, check: Callable[[int, int], None]) -> sqlite3.Connection:
    """An existing SQLite file for any thread, in autocommit mode: what is committed is durable.

    Args:
        path: of the file, which is never made here.
        check: takes the ``application_id`` and the ``user_version`` before anything is written, and raises what is
            wrong with them.

    Raises:
        sqlite3.Error: there is no such file, it is no database, or it cannot be written.
    """
    uri = f"{path.resolve().as_uri()}?mode=rw"
    db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    try:
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
        check(application, version)
        db.execute("PRAGMA journal_mode = WAL")
        # The write-ahead log is on the disk before a commit returns; on macOS fsync alone does not see to that.
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA fullfsync = ON")
    except BaseException:
        db.close()
        raise
    return db
