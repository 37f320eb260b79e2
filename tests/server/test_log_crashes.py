"""A log whose process is killed, at a known event, holds every acknowledged round and nothing by halves."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gradwire.common.errors import LogError
from gradwire.server.log.provenance import this_release
from gradwire.server.log.run_log import RunLog
from tests.grids import rest_slow
from tests.server.log_victim import CONFIG, OPERATIONS, RESOLVED, filled, of_version_1, record

ROOT = Path(__file__).parents[2]
CHANGES = [
    ("append", "INSERT INTO rounds"),
    ("append", "UPDATE run"),
    ("append", "INSERT OR REPLACE INTO losses"),
    ("append", "INSERT OR REPLACE INTO senders"),
    ("append", "COMMIT"),
    ("snapshot", "INSERT"),
    ("snapshot", "COMMIT"),
    ("prune", "COMMIT"),
    ("assign", "INSERT"),
    ("assign", "COMMIT"),
    ("extend", "UPDATE run"),
    ("extend", "COMMIT"),
    ("keep_best", "DELETE FROM best"),
    ("keep_best", "INSERT INTO best"),
    ("keep_best", "COMMIT"),
]

Killed = Callable[..., bool]


def victim(*args: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.server.log_victim", *args]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def killed() -> Iterator[Killed]:
    """Does something to a log in a process of its own, and says whether a signal ended it."""
    with victim() as process:
        assert process.stdin is not None and process.stdout is not None
        inbox, outbox = process.stdin, process.stdout

        def run(directory: Path, how: str, *args: str | int) -> bool:
            print(json.dumps([str(directory), how, *args]), file=inbox, flush=True)
            return int(outbox.readline()) in (signal.SIGKILL, signal.SIGXFSZ)

        yield run


def contents(directory: Path) -> dict[str, Any]:
    with RunLog.open(directory) as log:
        rows = log._file.rows("SELECT name, sql FROM sqlite_master WHERE type = 'table'")
        return {
            "tables": dict(rows),
            "version": log._file.rows("PRAGMA user_version"),
            "next": log.next_round,
            "unfolded": log.bytes_since_snapshot(),
            **{name: log._file.rows(f"SELECT * FROM {name}") for name, _ in rows},
        }


@pytest.mark.parametrize("kills", rest_slow([[1, 30], [1, 2, 9, 30, 51]]))
def test_every_acknowledged_round_survives_kill_9(tmp_path: Path, kills: list[int]) -> None:
    RunLog.create(tmp_path, CONFIG, b"run").close()
    for events in kills:  # odd: killed right after "begin", so often inside append
        with victim(str(tmp_path)) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(events)]
            with pytest.raises(LogError, match="in use by another server"):
                RunLog.open(tmp_path)
            process.kill()
            lines += process.stdout.readlines()  # said before it died: acknowledged too
        assert process.returncode == -signal.SIGKILL
        assert_acknowledged_rounds_are_there(tmp_path, lines)


def assert_acknowledged_rounds_are_there(directory: Path, lines: list[str]) -> None:
    begun = [int(line.split()[1]) for line in lines if line.startswith("begin ")]
    done = [int(line.split()[1]) for line in lines if line.startswith("done ")]
    with RunLog.open(directory) as log:  # the dead process's lock is no obstacle
        assert max(done, default=0) <= log.next_round <= max(begun) + 1
        assert list(log.read(0, log.next_round)) == [record(i) for i in range(log.next_round)]


@pytest.mark.parametrize(("operation", "statement"), CHANGES)
def test_a_process_killed_inside_a_change_has_changed_nothing(
    tmp_path: Path, killed: Killed, operation: str, statement: str
) -> None:
    filled(tmp_path)
    before = contents(tmp_path)
    assert killed(tmp_path, "die_before", operation, statement)
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "statement",
    ["INSERT INTO snapshots", "INSERT OR REPLACE INTO resolved", "INSERT OR REPLACE INTO rel", "COMMIT"],
)
def test_a_process_killed_while_the_run_begins_has_no_model(
    tmp_path: Path, killed: Killed, statement: str
) -> None:
    RunLog.create(tmp_path, CONFIG, b"run").close()
    before = contents(tmp_path)
    assert killed(tmp_path, "die_before", "begin", statement)
    assert contents(tmp_path) == before
    with RunLog.open(tmp_path) as log:
        OPERATIONS["begin"](log)
        assert (log.initial(), log.resolved(), log.releases()) == (
            b"I" * 100_000,
            RESOLVED,
            [(0, this_release())],
        )


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE resolved",
        "CREATE TABLE losses",
        "PRAGMA user_version = 2",
        "CREATE TABLE layout",
        "PRAGMA user_version = 3",
        "CREATE TABLE counted",
        "PRAGMA user_version = 4",
        "INSERT OR REPLACE INTO counted",
        "INSERT OR REPLACE INTO rel",
        "COMMIT",
    ],
)
def test_a_process_killed_inside_an_upgrade_has_changed_nothing(
    tmp_path: Path, killed: Killed, statement: str
) -> None:
    of_version_1(tmp_path / "run")
    before = contents(tmp_path / "run")
    assert killed(tmp_path / "run", "die_before", "record_release", statement)
    assert contents(tmp_path / "run") == before and before["version"] == [(1,)]
    with RunLog.open(tmp_path / "run") as log:
        OPERATIONS["record_release"](log)
    after = contents(tmp_path / "run")
    assert {**after, "tables": 0, "version": 0} == {
        **before,
        "tables": 0,
        "version": 0,
        "resolved": after["resolved"],
        "releases": after["releases"],
        "senders": [],
        "losses": [],
        "layout": [],
        "constants": [],
        "best": [],
        "counted": after["counted"],
    }


@pytest.mark.parametrize("nbytes", [1, 8_000, 50_000])
@pytest.mark.parametrize("operation", ["append", "snapshot"])
def test_a_process_killed_inside_a_write_has_changed_nothing(
    tmp_path: Path, killed: Killed, operation: str, nbytes: int
) -> None:
    filled(tmp_path)
    before = contents(tmp_path)
    assert killed(tmp_path, "die_writing", operation, nbytes)
    assert contents(tmp_path) == before
    with RunLog.open(tmp_path) as log:
        OPERATIONS[operation](log)
    assert contents(tmp_path) != before


@pytest.mark.parametrize("step", ["_build", "sync", "_connect"])
def test_a_process_killed_while_it_makes_the_log_leaves_none_or_all(
    tmp_path: Path, killed: Killed, step: str
) -> None:
    assert killed(tmp_path, "die_creating", step)
    assert RunLog.exists(tmp_path) == (step == "_connect")
    (RunLog.open(tmp_path) if RunLog.exists(tmp_path) else RunLog.create(tmp_path, CONFIG, b"run")).close()
    assert RunLog.exists(tmp_path)
