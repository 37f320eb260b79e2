"""Files that are on the disk when a call returns, and databases that are with every commit."""

import errno
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from gradwire.common.errors import LogError
from gradwire.common.system.atomic import open_database, sync


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "some.db"
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript("PRAGMA application_id = 5; PRAGMA user_version = 7; CREATE TABLE t (x);")
    db.close()
    return path


def welcome(application: int, version: int) -> None:
    assert (application, version) == (5, 7)


def refuse(application: int, version: int) -> None:
    raise LogError(f"{application} and {version}")


@pytest.mark.parametrize("name", ["", "file"])
@pytest.mark.parametrize("fails", [False, True])
def test_sync_puts_that_very_file_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, fails: bool
) -> None:
    (tmp_path / "file").write_text("text")
    seen: list[tuple[int, os.stat_result]] = []

    def fsync(handle: int) -> None:
        seen.append((handle, os.fstat(handle)))
        if fails:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    if fails:
        with pytest.raises(OSError, match="No space left"):
            sync(tmp_path / name)
    else:
        sync(tmp_path / name)
    ((handle, status),) = seen
    assert os.path.samestat(status, (tmp_path / name).stat())
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handle)  # closed again


def test_every_commit_is_durable(database: Path) -> None:
    db = open_database(database, welcome)
    pragmas = {
        name: db.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "fullfsync")
    }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "fullfsync": 1}
    db.execute("INSERT INTO t VALUES (1)")
    assert not db.in_transaction
    db.close()


def test_a_refused_file_is_left_as_it_was_and_closed(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, opened, connect = database.read_bytes(), [], sqlite3.connect

    def remembering(*args: Any, **options: Any) -> sqlite3.Connection:
        opened.append(connect(*args, **options))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", remembering)
    with pytest.raises(LogError, match="5 and 7"):
        open_database(database, refuse)
    assert database.read_bytes() == before and list(database.parent.iterdir()) == [database]
    (db,) = opened
    with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
        db.execute("SELECT * FROM t")


def test_a_missing_file_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        open_database(tmp_path / "none.db", welcome)
    assert not list(tmp_path.iterdir())
