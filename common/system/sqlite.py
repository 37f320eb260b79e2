"""SQLite files that hold state across crashes: made whole, held by one process, changed in durable transactions."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gradwire.common.errors import GradwireError
from gradwire.common.system.atomic import make_folder, replacing
from gradwire.common.system.locks import FileLock
from gradwire.common.system.sqlite_directory import exclusive_lock, existing, shared_lock
from gradwire.common.system.sqlite_format import SqliteFormat
from gradwire.common.system.sqlite_reading import connect_read_only

# A file under construction is thrown away after a crash: it needs no journal, and is synced when it is complete.
_CONSTRUCTION = "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF;"

PEEKS = 5  # attempts to read a file that changes meanwhile


class SqliteFile:
    """An open file, usable from any thread, and the lock on its directory."""

    def __init__(
        self, file_format: SqliteFormat, where: str, db: sqlite3.Connection, lock: FileLock | None
    ) -> None:
        """Take over a connection and a lock; ``create``, ``open`` and ``in_memory`` are what callers use.

        Args:
            file_format: what the file is.
            where: names the file in errors.
            db: in autocommit mode.
            lock: on the file's directory; None in memory.
        """
        self.where = where
        self.mutex = threading.RLock()  # held over a transaction: statements of two threads never mix
        self._format = file_format
        self._db = db
        self._lock = lock

    @classmethod
    def create(
        cls,
        file_format: SqliteFormat,
        directory: Path,
        fill: Callable[[sqlite3.Connection], object] = lambda _: None,
        *,
        reopen: bool = False,
    ) -> SqliteFile:
        """Make the file, in a directory that is made where it is missing; a crash on the way leaves none.

        Args:
            file_format: what to make.
            directory: where.
            fill: writes the rows that the file is never without.
            reopen: open a file that is there already, instead of refusing it.

        Raises:
            GradwireError: of the format's class: the file is there, in use, something else, or cannot be written.
        """
        with file_format.errors(directory):
            if directory.exists() and not directory.is_dir():
                raise file_format.error(f"{directory} is a file, expected a folder: pass another --state-dir")
            make_folder(directory)
        return cls._held(file_format, directory, lambda: _make(file_format, directory, fill, reopen=reopen))

    @classmethod
    def open(cls, file_format: SqliteFormat, directory: Path) -> SqliteFile:
        """Open a file that is there.

        Raises:
            GradwireError: of the format's class: there is none, it is in use, something else, of another version, or
                cannot be written.
        """
        existing(file_format, directory)
        return cls._held(file_format, directory, lambda: None)

    @classmethod
    def open_read_only(cls, file_format: SqliteFormat, directory: Path) -> SqliteFile:
        """Open a file that is there without changing anything in its directory; writing to it raises.

        Raises:
            GradwireError: as ``open``; a process that writes it holds the directory.
        """
        path = existing(file_format, directory)
        lock = shared_lock(file_format, directory)
        try:
            with file_format.errors(path):
                return cls(file_format, str(path), _connect_read_only(file_format, path), lock)
        except BaseException:
            if lock is not None:
                lock.close()
            raise

    @classmethod
    def peek(cls, file_format: SqliteFormat, directory: Path) -> SqliteFile:
        """Read a file that is there as ``open_read_only`` does, but without its lock: nobody is kept from writing.

        Raises:
            GradwireError: of the format's class: there is none, it is something else, or it is being written.
        """
        path = existing(file_format, directory)
        for _ in range(PEEKS):
            before = _stamps(path)
            with file_format.errors(path):
                file = cls(file_format, str(path), _connect_read_only(file_format, path), None)
            if _stamps(path) == before:
                return file
            file.close()
        raise file_format.error(f"{path} is being written by a {file_format.holder}: try again")

    @classmethod
    def in_memory(cls, file_format: SqliteFormat) -> SqliteFile:
        """A file that lasts as long as this object."""
        db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        db.executescript(f"{file_format.schema} PRAGMA user_version = {file_format.version};")
        return cls(file_format, "memory", db, None)

    @classmethod
    def _held(cls, file_format: SqliteFormat, directory: Path, prepare: Callable[[], object]) -> SqliteFile:
        path, lock = directory / file_format.name, exclusive_lock(file_format, directory)
        try:
            with file_format.errors(path):
                prepare()
                return cls(file_format, str(path), _connect(file_format, path), lock)
        except BaseException:
            lock.close()
            raise

    def rows(self, sql: str, *values: Any) -> list[Any]:
        """All rows of a query."""
        with self.mutex, self._format.errors(self.where):
            return self._db.execute(sql, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A transaction: durable once the block has ended, and undone if anything in it, or its commit, raises."""
        with self.mutex, self._format.errors(self.where):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # SQLite has undone it by itself when the disk is full
                    self._db.execute("ROLLBACK")
                raise

    @property
    def outdated(self) -> bool:
        """Whether the file is of an earlier version; ``upgrade`` changes that."""
        return self.version < self._format.version

    def upgrade(self, db: sqlite3.Connection) -> None:
        """Bring the file to the present version within a transaction; a file that is current stays as it is."""
        for version in range(self.version, self._format.version):
            for statement in self._format.upgrades[version]:
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {version + 1}")

    @property
    def version(self) -> int:
        """The version of the format that the file has."""
        ((version,),) = self.rows("PRAGMA user_version")
        return int(version)

    def damaged(self) -> GradwireError:
        """The error to raise where rows are damaged or missing."""
        return self._format.error(f"{self.where} is damaged: {self._format.restore}")

    def close(self) -> None:
        """Close the file, then let another process have the directory; closing twice is harmless."""
        with self.mutex:
            self._db.close()
            if self._lock is not None:
                self._lock.close()


def _make(
    file_format: SqliteFormat, directory: Path, fill: Callable[[sqlite3.Connection], object], *, reopen: bool
) -> None:
    path = directory / file_format.name
    if reopen and path.exists():
        return
    # A stray journal counts as a file: SQLite would replay it into the new one.
    for name in (path.name, f"{path.name}-wal", f"{path.name}-journal"):
        if (directory / name).exists():
            raise file_format.error(
                f"{directory} already holds a {file_format.what} ({name}): resume it or choose another directory"
            )
    with replacing(path, sole_writer=True) as partial:
        _build(file_format, partial, fill)


def _build(file_format: SqliteFormat, path: Path, fill: Callable[[sqlite3.Connection], object]) -> None:
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.executescript(f"{_CONSTRUCTION} {file_format.schema}")
        db.execute(f"PRAGMA application_id = {file_format.application_id}")
        db.execute(f"PRAGMA user_version = {file_format.version}")
        fill(db)
    finally:
        db.close()


def _connect(file_format: SqliteFormat, path: Path) -> sqlite3.Connection:
    """An existing file, for any thread, checked before it is changed; in autocommit mode, every commit is durable."""
    uri = f"{path.resolve().as_uri()}?mode=rw"
    db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    try:
        _check(file_format, path, db)
        db.execute("PRAGMA journal_mode = WAL")
        # The write-ahead log is on the disk before a commit returns; on macOS fsync alone does not see to that.
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA fullfsync = ON")
    except BaseException:
        db.close()
        raise
    return db


def _stamps(path: Path) -> list[tuple[int, int] | None]:
    """Size and time of the last change of a file and of its write-ahead log."""
    stats = [each.stat() if each.exists() else None for each in (path, path.with_name(f"{path.name}-wal"))]
    return [None if stat is None else (stat.st_size, stat.st_mtime_ns) for stat in stats]


def _connect_read_only(file_format: SqliteFormat, path: Path) -> sqlite3.Connection:
    """An existing file as it is on the disk, checked; the connection can change nothing."""
    db = connect_read_only(path)
    try:
        _check(file_format, path, db)
    except BaseException:
        db.close()
        raise
    return db


def _check(file_format: SqliteFormat, path: Path, db: sqlite3.Connection) -> None:
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if application != file_format.application_id:
        raise file_format.error(f"{path} is not a {file_format.what}: check the path")
    if version != file_format.version and version not in file_format.upgrades:
        raise file_format.error(
            f"{path} has {file_format.what} version {version}, expected {file_format.version}: "
            "use the release that wrote it"
        )
