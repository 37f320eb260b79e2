"""SQLite files read as they are on the disk, with nothing changed in their folder."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory


def connect_read_only(path: Path) -> sqlite3.Connection:
    """A connection, for any thread, that reads a file which no process writes to.

    SQLite reads a write-ahead log only where it may write beside it, and folds it into the file when it is done. Where
    there is one, which a killed process has left, a copy of both is read.

    Raises:
        sqlite3.Error: it is no SQLite file.
        OSError: there is no room for the copy.
    """
    log = path.with_name(f"{path.name}-wal")
    if not log.exists() or not log.stat().st_size:
        return _connect(path)
    with TemporaryDirectory(prefix="gradwire-") as folder:
        for source in (path, log):
            shutil.copyfile(source, Path(folder) / source.name)
        copy = Path(folder) / path.name
        with closing(sqlite3.connect(copy, isolation_level=None)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return _connect(copy)  # a deleted file stays readable as long as it is open


def _connect(path: Path) -> sqlite3.Connection:
    uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
    db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    try:
        db.execute("SELECT count(*) FROM sqlite_master").fetchall()  # opened now, not by the first query
    except BaseException:
        db.close()
        raise
    return db
