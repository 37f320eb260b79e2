"""A log that is damaged or foreign says so, and gives out nothing wrong."""

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gradwire.common.errors import LogError
from gradwire.server.log import rows as log_rows
from gradwire.server.log.run_log import RunLog
from tests.server.log_victim import filled, record

PAGE = 8192  # bytes


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    filled(tmp_path / "run")
    return tmp_path / "run"


def execute(directory: Path, sql: str, *values: object) -> None:
    with closing(sqlite3.connect(directory / "run.db")) as db, db:
        db.execute(sql, values)


# ---- damage ----------------------------------------------------------------------------------------------------------


def flip(file: Path, bit: int) -> None:
    data = bytearray(file.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    file.write_bytes(data)


def test_a_flipped_bit_in_a_payload_is_noticed_and_named(directory: Path) -> None:
    file = directory / "run.db"
    flip(file, 8 * file.read_bytes().index(record(1).payloads[1][:50]) + 77)
    with RunLog.open(directory) as log:
        with pytest.raises(LogError, match="round 1 is damaged"):
            list(log.read(0, 4))
        with pytest.raises(LogError, match="round 1 is damaged"):
            log.digest_at(1)
        assert list(log.read(2, 4)) == [record(2), record(3)]


@pytest.mark.parametrize("field", ["workers", "lengths", "examples", "digest", "payloads", "checksum"])
@pytest.mark.parametrize("value", [b"", b"\0" * 17, "text", 7, -1, 0.5])
def test_a_changed_field_is_noticed(directory: Path, field: str, value: object) -> None:
    execute(directory, f"UPDATE rounds SET {field} = ? WHERE round = 2", value)
    with RunLog.open(directory) as log, pytest.raises(LogError, match="round 2 is damaged"):
        list(log.read(0, 4))


def test_exchanged_rounds_are_noticed(directory: Path) -> None:
    execute(
        directory, "UPDATE rounds SET round = CASE round WHEN 1 THEN -2 ELSE -1 END WHERE round IN (1, 2)"
    )
    execute(directory, "UPDATE rounds SET round = -round WHERE round < 0")
    with RunLog.open(directory) as log, pytest.raises(LogError, match="round 1 is damaged"):
        list(log.read(0, 4))


def test_a_missing_round_is_noticed(directory: Path) -> None:
    execute(directory, "DELETE FROM rounds WHERE round = 1")
    with RunLog.open(directory) as log, pytest.raises(LogError, match="round 1 is missing"):
        list(log.read(0, 4))


def test_a_missing_last_round_is_noticed(directory: Path) -> None:
    execute(directory, "DELETE FROM rounds WHERE round = 3")
    with pytest.raises(LogError, match="ends after 3 rounds, expected 4"):
        RunLog.open(directory)


@pytest.mark.parametrize("change", ["data = zeroblob(100000)", "parts = 2", "round = 2"])
def test_a_damaged_snapshot_is_noticed(directory: Path, change: str) -> None:
    execute(directory, f"UPDATE snapshots SET {change} WHERE round = 3")
    with RunLog.open(directory) as log, pytest.raises(LogError, match="the snapshot after round"):
        log.latest_snapshot()


@pytest.mark.parametrize(
    "change",
    [
        "assignments SET workers = x'00'",
        "metrics SET round = 9",
        "meta SET value = 5",
        "resolved SET dim = 3",
        "best SET data = zeroblob(100000)",
        "best SET round = 3",
    ],
)
def test_damaged_notes_are_noticed(directory: Path, change: str) -> None:
    execute(directory, f"UPDATE {change}")
    with RunLog.open(directory) as log, pytest.raises(LogError, match="is damaged"):
        notes(log)


def everything(log: RunLog) -> tuple[object, ...]:
    rounds, digests = list(log.read(0, log.next_round)), [log.digest_at(i) for i in range(log.next_round)]
    return log.config, log.run_id, rounds, digests, log.initial(), log.latest_snapshot()


def notes(log: RunLog) -> tuple[object, ...]:
    return (
        log.assignments(),
        log.metrics(),
        log.get("key"),
        log.senders(),
        log.releases(),
        log.resolved(),
        log.best(),
    )


def bits(size: int) -> Iterator[int]:
    """Random bits of a file with that many pages: every other one where a page keeps its structure."""
    rng = random.Random(5)
    for _ in range(100):
        yield 8 * PAGE * rng.randrange(size) + rng.randrange(8 * PAGE)
        yield 8 * PAGE * rng.randrange(size) + rng.choice(
            [rng.randrange(800), 8 * PAGE - 1 - rng.randrange(3200)]
        )


def test_any_single_flipped_bit_is_noticed_or_harmless(directory: Path) -> None:
    with RunLog.open(directory) as log:
        expected, kept = everything(log), notes(log)
        older = (*expected[:-1], (0, log.initial()))
    file, noticed = directory / "run.db", 0
    pristine = file.read_bytes()
    for bit in bits(len(pristine) // PAGE):
        file.write_bytes(pristine)
        flip(file, bit)
        try:
            with RunLog.open(directory) as log:
                # A row can vanish: the fold then begins at the initial model, and a note is forgotten.
                assert everything(log) in (expected, older), f"bit {bit} went unnoticed"
                assert all(note == was or not note for note, was in zip(notes(log), kept, strict=True))
        except LogError:
            noticed += 1
        for left in directory.glob("run.db-*"):
            left.unlink()
    assert noticed > 100


# ---- not ours --------------------------------------------------------------------------------------------------------

FOREIGN = {
    "another version": (
        "PRAGMA user_version = 5",
        "run log version 5, expected 4: use the release that wrote it",
    ),
    "another program's": ("PRAGMA application_id = 5", "not a run log"),
    "no identity": ("DELETE FROM run", "is damaged"),
    "another identity": ("UPDATE run SET run_id = x'00'", "is damaged"),
    "no table": ("DROP TABLE rounds", "no such table"),
    "damaged senders": ("UPDATE senders SET process = 'b'", "is damaged"),
}


@pytest.mark.parametrize(("sql", "message"), FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_log_is_refused(directory: Path, sql: str, message: str) -> None:
    execute(directory, sql)
    for _ in range(2):  # the second time too: the refusal let go of the lock
        with pytest.raises(LogError, match=message):
            RunLog.open(directory)


@pytest.mark.parametrize("config", ["{", "[]", '{"task": "a", "new": 1}', '{"task": "a", "workers": 0}'])
def test_a_configuration_that_cannot_be_read_is_refused(directory: Path, config: str) -> None:
    row = log_rows.run_row(config, b"run", 4)
    execute(directory, "UPDATE run SET config = ?, checksum = ?", config, row.checksum)
    with pytest.raises(LogError, match="cannot read"):
        RunLog.open(directory)


@pytest.mark.parametrize("content", [b"", b"not a database" * 1000])
def test_another_file_is_refused(directory: Path, content: bytes) -> None:
    (directory / "run.db").write_bytes(content)
    with pytest.raises(LogError, match=r"run\.db"):
        RunLog.open(directory)


def test_a_cut_file_is_refused(directory: Path) -> None:
    content = (directory / "run.db").read_bytes()
    (directory / "run.db").write_bytes(content[: len(content) // 2])
    with pytest.raises(LogError, match="malformed"):
        RunLog.open(directory)


def test_no_run_is_refused(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "missing"):
        with pytest.raises(LogError, match="holds no run log"):
            RunLog.open(directory)
    assert list(tmp_path.iterdir()) == []
