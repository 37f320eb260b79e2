"""SQLite files that are made whole, held by one process and durable with every commit."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gradwire.common.errors import PrivacyError
from gradwire.common.system.sqlite import SqliteFile
from gradwire.common.system.sqlite_format import SqliteFormat

FORMAT = SqliteFormat(
    what="card index",
    name="cards.db",
    holder="librarian",
    application_id=5,
    version=7,
    schema="CREATE TABLE cards (name TEXT PRIMARY KEY);",
    restore="ask for a copy",
    error=PrivacyError,  # any class of ours
)


def insert(db: sqlite3.Connection) -> object:
    return db.execute("INSERT INTO cards VALUES ('first')")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    SqliteFile.create(FORMAT, tmp_path / "some" / "folder", insert).close()
    return tmp_path / "some" / "folder"


def names(file: SqliteFile) -> list[str]:
    return [name for (name,) in file.rows("SELECT name FROM cards ORDER BY name")]


def test_created_file_has_its_first_rows(directory: Path) -> None:
    assert sorted(path.name for path in directory.iterdir()) == ["cards.db", "cards.lock"]
    file = SqliteFile.open(FORMAT, directory)
    assert names(file) == ["first"]
    file.close()
    file.close()


def test_every_commit_is_durable(directory: Path) -> None:
    file = SqliteFile.open(FORMAT, directory)
    pragmas = {
        name: file.rows(f"PRAGMA {name}")[0][0] for name in ("journal_mode", "synchronous", "fullfsync")
    }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "fullfsync": 1}
    with file.transaction() as db:
        db.execute("INSERT INTO cards VALUES ('second')")
        assert db.in_transaction
    assert not db.in_transaction
    file.close()


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), sqlite3.OperationalError()])
def test_failed_transaction_changes_nothing(directory: Path, error: BaseException) -> None:
    file = SqliteFile.open(FORMAT, directory)

    def change() -> None:
        with file.transaction() as db:
            db.execute("INSERT INTO cards VALUES ('second')")
            raise error

    with pytest.raises(PrivacyError if isinstance(error, sqlite3.Error) else type(error)):
        change()
    assert names(file) == ["first"]
    file.close()


def test_existing_file_is_reopened_or_refused(directory: Path) -> None:
    with pytest.raises(PrivacyError, match=r"already holds a card index \(cards\.db\)"):
        SqliteFile.create(FORMAT, directory)
    file = SqliteFile.create(FORMAT, directory, insert, reopen=True)
    assert names(file) == ["first"]
    file.close()


@pytest.mark.parametrize("reopen", [False, True])
def test_stray_journal_is_refused(tmp_path: Path, reopen: bool) -> None:
    (tmp_path / "cards.db-wal").touch()
    with pytest.raises(PrivacyError, match=r"already holds a card index \(cards\.db-wal\)"):
        SqliteFile.create(FORMAT, tmp_path, reopen=reopen)


def test_failed_creation_leaves_no_file(tmp_path: Path) -> None:
    def fail(db: sqlite3.Connection) -> None:
        insert(db)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SqliteFile.create(FORMAT, tmp_path, fail)
    assert [path.name for path in tmp_path.iterdir()] == ["cards.lock"]
    SqliteFile.create(FORMAT, tmp_path).close()  # the lock is free


TAKE: list[Callable[[Path], SqliteFile]] = [
    lambda directory: SqliteFile.open(FORMAT, directory),
    lambda directory: SqliteFile.create(FORMAT, directory),
    lambda directory: SqliteFile.create(FORMAT, directory, reopen=True),
]


@pytest.mark.parametrize("take", TAKE)
def test_one_holder_at_a_time(directory: Path, take: Callable[[Path], SqliteFile]) -> None:
    file = SqliteFile.open(FORMAT, directory)
    with pytest.raises(PrivacyError, match="in use by another librarian: stop it, or"):
        take(directory)
    file.close()
    SqliteFile.open(FORMAT, directory).close()


@pytest.mark.parametrize(
    ("pragma", "message"),
    [
        ("application_id = 6", r"cards\.db is not a card index: check the path"),
        ("user_version = 8", r"cards\.db has card index version 8, expected 7: use the release"),
    ],
)
def test_foreign_file_is_refused_unchanged(
    directory: Path, monkeypatch: pytest.MonkeyPatch, pragma: str, message: str
) -> None:
    path = directory / "cards.db"
    db = sqlite3.connect(path, isolation_level=None)
    db.execute(f"PRAGMA {pragma}")
    db.close()
    before, opened, connect = path.read_bytes(), [], sqlite3.connect

    def remembering(*args: Any, **options: Any) -> sqlite3.Connection:
        opened.append(connect(*args, **options))
        return opened[-1]

    monkeypatch.setattr(sqlite3, "connect", remembering)
    with pytest.raises(PrivacyError, match=message):
        SqliteFile.open(FORMAT, directory)
    assert path.read_bytes() == before
    (db,) = opened
    with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
        db.execute("SELECT * FROM cards")


@pytest.mark.parametrize("content", [b"no database " * 1000, None])
def test_damage_is_one_line_with_its_remedy(directory: Path, content: bytes | None) -> None:
    path = directory / "cards.db"
    path.write_bytes(content if content is not None else path.read_bytes()[:5000])
    with pytest.raises(PrivacyError, match=r"cards\.db: .*; nothing was changed: ask for a copy") as caught:
        names(SqliteFile.open(FORMAT, directory))
    assert "\n" not in str(caught.value)


def test_open_makes_nothing(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "missing"):
        with pytest.raises(PrivacyError, match=r"holds no card index: expected cards\.db in it"):
            SqliteFile.open(FORMAT, directory)
    assert list(tmp_path.iterdir()) == []


def test_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PrivacyError, match="is a file, expected a folder"):
        SqliteFile.create(FORMAT, tmp_path / "file")
    with pytest.raises(PrivacyError, match="nothing was changed"):
        SqliteFile.create(FORMAT, tmp_path / "file" / "below")


def test_in_memory_file_is_like_any_other() -> None:
    file = SqliteFile.in_memory(FORMAT)
    with file.transaction() as db:
        insert(db)
    assert names(file) == ["first"] and file.where == "memory"
    file.close()
    with pytest.raises(PrivacyError, match="memory: Cannot operate on a closed database"):
        names(file)


def test_earlier_version_is_opened_as_it_is_and_upgraded_on_demand(directory: Path) -> None:
    newer = replace(
        FORMAT,
        version=9,
        upgrades={7: ("CREATE TABLE shelves (name TEXT)",), 8: ("INSERT INTO shelves VALUES ('a')",)},
    )
    file = SqliteFile.open(newer, directory)
    assert file.outdated and names(file) == ["first"]

    def fail_after_upgrade() -> None:
        with file.transaction() as db:
            file.upgrade(db)
            raise KeyError

    with pytest.raises(KeyError):
        fail_after_upgrade()
    assert file.outdated and file.rows("SELECT name FROM sqlite_master WHERE name = 'shelves'") == []
    for _ in range(2):  # the second time there is nothing to do
        with file.transaction() as db:
            file.upgrade(db)
        assert not file.outdated and file.rows("SELECT name FROM shelves") == [("a",)]
    file.close()
    with pytest.raises(PrivacyError, match="card index version 9, expected 7"):
        SqliteFile.open(FORMAT, directory)
    with pytest.raises(PrivacyError, match="card index version 9, expected 10"):
        SqliteFile.open(replace(newer, version=10), directory)
