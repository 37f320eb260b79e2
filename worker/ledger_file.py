"""The SQLite file of a ledger: made whole, held by one process, durable with every commit."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gradwire.common.errors import LogError
from gradwire.common.system.atomic import open_database, sync

LOCK = "privacy.lock"
APPLICATION = 0x67727076  # "grpv", in SQLite's header
VERSION = 1

SCHEMA = f"""
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
CREATE TABLE runs (
    run BLOB PRIMARY KEY, fingerprint BLOB NOT NULL, epsilon REAL NOT NULL, workers TEXT NOT NULL,
    pushes INTEGER NOT NULL
);
CREATE TABLE pushes (run BLOB, worker INTEGER, round INTEGER, payload BLOB, PRIMARY KEY (run, worker, round));
CREATE INDEX by_round ON pushes (run, round);
"""


@contextmanager
def named(where: str) -> Iterator[None]:
    """Turn the errors of SQLite and of the operating system into ours.

    Raises:
        LogError: what went wrong, and where.
    """
    try:
        yield
    except (sqlite3.Error, OverflowError) as error:
        raise LogError(f"{where}: {error}; nothing was changed") from error
    except OSError as error:
        raise LogError(f"{where}: {error.strerror}; nothing was changed") from error


def lock(directory: Path) -> int:
    """Take the directory's ledger for this process; the lock ends with it, however it ends.

    Raises:
        LogError: another process has it, or the directory cannot be written.
    """
    with named(str(directory)):
        directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise LogError(
                f"the ledger in {directory} is in use by another worker: give each process its own --state-dir"
            ) from None
    return handle


def unlock(handle: int) -> None:
    """Give a lock back; -1 is none."""
    if handle >= 0:
        os.close(handle)


def connect(path: Path | None) -> sqlite3.Connection:
    """The ledger at ``path``, made if there is none; None is one in memory.

    Raises:
        LogError: it is something else, of another version, or cannot be used.
    """
    if path is None:
        db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        db.executescript(SCHEMA)
        return db
    with named(str(path)):
        if not path.exists():
            _build(path)
        return _opened(path)


def _build(path: Path) -> None:
    """Make the file under another name first: whatever is found at ``path`` was whole once."""
    partial = path.with_name(f"{path.name}.new")
    partial.unlink(missing_ok=True)
    db = sqlite3.connect(partial, isolation_level=None)
    try:
        db.executescript(SCHEMA)
    finally:
        db.close()
    sync(partial)
    partial.replace(path)
    sync(path.parent)


def _opened(path: Path) -> sqlite3.Connection:
    def check(application: int, version: int) -> None:
        if (application, version) != (APPLICATION, VERSION):
            raise LogError(
                f"{path} is not a ledger of version {VERSION}: restore it from a copy, or use the release that wrote it"
            )

    return open_database(path, check)
