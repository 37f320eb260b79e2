"""The SQLite file of a run: made whole, held by one process, changed only in transactions.

The last field of every row is a checksum of the others: damage that SQLite does not notice is noticed all the same.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gradwire.common.errors import LogError
from gradwire.common.system.atomic import open_database, sync
from gradwire.server.log.rows import RunRow

NAME = "run.db"
LOCK = "run.lock"
NEW = "run.db.new"
APPLICATION = 0x67726164  # "grad", in SQLite's header
VERSION = 1

SCHEMA = f"""
PRAGMA journal_mode = MEMORY; -- a half-made file is thrown away: it needs no journal beside it
PRAGMA synchronous = OFF;
PRAGMA page_size = 8192; -- records of a few kB share pages, large ones take fewer
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
CREATE TABLE run (config TEXT NOT NULL, run_id BLOB NOT NULL, rounds INTEGER NOT NULL, checksum BLOB NOT NULL);
CREATE TABLE rounds (
    round INTEGER PRIMARY KEY, workers BLOB NOT NULL, lengths BLOB NOT NULL, examples BLOB NOT NULL,
    digest BLOB NOT NULL, payloads BLOB NOT NULL, checksum BLOB NOT NULL
);
CREATE TABLE snapshots (
    round INTEGER, part INTEGER, parts INTEGER NOT NULL, data BLOB NOT NULL, checksum BLOB NOT NULL,
    PRIMARY KEY (round, part)
);
CREATE TABLE assignments (process TEXT PRIMARY KEY, workers BLOB NOT NULL, checksum BLOB NOT NULL);
CREATE TABLE metrics (round INTEGER PRIMARY KEY, data TEXT NOT NULL, checksum BLOB NOT NULL);
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL, checksum BLOB NOT NULL);
"""

_MENDS = {  # by the beginning of SQLite's name of the error, most of which are the operating system's
    "SQLITE_FULL": "make room on the disk and start again",
    "SQLITE_READONLY": "let this user write there and start again",
    "SQLITE_PERM": "let this user write there and start again",
    "SQLITE_CORRUPT": "restore the directory from a copy",
    "SQLITE_NOTADB": "restore the directory from a copy",
    "": "see that the disk has room and may be written, and start again",
}


class LogFile:
    """An open ``run.db``, usable from any thread, and the lock on its directory.

    The lock belongs to the process: it ends with it, however it ends, and never has to be cleared by hand.
    """

    def __init__(self, directory: Path, lock: int) -> None:
        self.path = directory / NAME
        self.mutex = threading.RLock()  # held over a transaction: statements of two threads never mix
        self._lock = lock
        with _named(self.path):
            self._db = _connect(self.path)

    @classmethod
    def create(cls, directory: Path, run: RunRow) -> LogFile:
        """Make the file of a new run; a crash on the way leaves none.

        Raises:
            LogError: the directory holds a run, is in use or cannot be written.
        """
        if directory.exists() and not directory.is_dir():
            raise LogError(f"{directory} is a file, expected a folder for the run: pass another --state-dir")
        with _named(directory):
            if not directory.is_dir():
                directory.mkdir(parents=True, exist_ok=True)
                sync(directory.parent)
        with _locked(directory) as lock, _named(directory):
            _refuse_leftovers(directory)
            _build(directory / NEW, run)
            (directory / NEW).replace(directory / NAME)
            sync(directory)
            return cls(directory, lock)

    @classmethod
    def open(cls, directory: Path) -> LogFile:
        """Open the file of a run.

        Raises:
            LogError: there is none, it is in use, it is not a run's log, or of another schema version.
        """
        if not (directory / NAME).is_file():
            raise LogError(
                f"{directory} holds no run: expected {NAME} in it, check the path or start a new run"
            )
        with _locked(directory) as lock:
            return cls(directory, lock)

    def rows(self, sql: str, *values: Any) -> list[Any]:
        """All rows of a query."""
        with self.mutex, _named(self.path):
            return self._db.execute(sql, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A transaction: durable once the block has ended, and undone if anything in it, or its commit, raises."""
        with self.mutex, _named(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # SQLite has undone it by itself when the disk is full
                    self._db.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the file, then let another process have the directory; closing twice is harmless."""
        with self.mutex:
            self._db.close()
            if self._lock >= 0:
                os.close(self._lock)
            self._lock = -1


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn the errors of SQLite and of the operating system into ours."""
    try:
        yield
    except (sqlite3.Error, OverflowError, UnicodeDecodeError) as error:
        kind = getattr(error, "sqlite_errorname", "") or ""
        mend = next((mend for start, mend in _MENDS.items() if kind.startswith(start)), _MENDS[""])
        raise LogError(f"{path}: {error}; nothing was changed: {mend}") from error
    except OSError as error:
        raise LogError(f"{path}: {error.strerror}; nothing was changed: {_MENDS['']}") from error


@contextmanager
def _locked(directory: Path) -> Iterator[int]:
    """Take the directory's lock, and give it back if the block raises."""
    with _named(directory):
        lock = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _claim(directory, lock)
        yield lock
    except BaseException:
        os.close(lock)
        raise


def _claim(directory: Path, lock: int) -> None:
    with _named(directory):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LogError(
                f"{directory} is in use by another server: stop it or choose another directory"
            ) from None


def _refuse_leftovers(directory: Path) -> None:
    # A stray journal counts as a run: SQLite would replay it into a new one.
    for name in (NAME, f"{NAME}-wal", f"{NAME}-journal"):
        if (directory / name).exists():
            raise LogError(f"{directory} holds a run already ({name}): resume it or choose another directory")


def _build(path: Path, run: RunRow) -> None:
    """Write the file of a new run under a name that nothing opens."""
    path.unlink(missing_ok=True)
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.executescript(SCHEMA)
        db.execute("INSERT INTO run VALUES (?, ?, ?, ?)", run)
    finally:
        db.close()
    sync(path)


def _connect(path: Path) -> sqlite3.Connection:
    def check(application: int, version: int) -> None:
        if application != APPLICATION:
            raise LogError(f"{path} is not the log of a run: check the path")
        if version != VERSION:
            raise LogError(
                f"{path} has log version {version}, expected {VERSION}: use the release that wrote it"
            )

    return open_database(path, check)
