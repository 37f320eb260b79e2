"""What a log says of the software and the processes that made it, and what it is refused for."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradwire.common.codecs import parse
from gradwire.common.errors import LogError
from gradwire.common.training.config import RunConfig
from gradwire.server import replay
from gradwire.server.fold import Fold
from gradwire.server.log import provenance, rows
from gradwire.server.log.provenance import Resolved, this_release
from gradwire.server.log.run_log import RunLog
from tests.common.downlinks.rounds import record_of
from tests.server.log_victim import of_version_1, of_version_2, of_version_3
from tests.system.harness import Run, cancel, run_script, simulate, whole_run

CONFIG = RunConfig(
    task="least_squares(samples=16, dim=6)", codec="cross_polytope(repeats=4)",
    optimizer="sgd(lr=0.1, momentum=0.5)", workers=3, rounds=12, digest_every=1, seed=7,
)  # fmt: skip


def execute(folder: Path, sql: str, *values: Any) -> list[Any]:
    with closing(sqlite3.connect(folder / "run.db")) as db, db:
        return db.execute(sql, values).fetchall()


def begun(folder: Path, rounds: int = 2) -> Fold:
    fold = Fold(RunLog.create(folder, CONFIG, b"run"))
    fold.begin(bytes(24), fold.codec_at(6))
    for round_ in range(rounds):
        fold.append(record_of(fold.codec, round_, (0, 1, 2)))
    return fold


def opened(folder: Path) -> Fold:
    log = RunLog.open(folder)
    try:
        return Fold(log)
    finally:
        log.close()


# ---- what the model is computed with -------------------------------------------------------------------------


def test_specs_are_stored_with_every_default(tmp_path: Path) -> None:
    fold = begun(tmp_path)
    fold.log.close()
    with RunLog.open(tmp_path) as log:
        assert log.resolved() == Resolved(
            6,
            "cross_polytope(repeats=4, gain=exact, coding=tuple, scale=1.0)",
            parse(CONFIG.codec, 6).fingerprint,
            "sgd(lr=0.1, schedule=constant, momentum=0.5, every=100, factor=0.5)",
            "log",
        )
        assert log.releases() == [(0, this_release())]


CHANGES = [
    ("optimizer_spec", "sgd(lr=0.2)", "the run's optimizer is sgd(lr=0.1, schedule=constant"),
    ("dim", 7, "the run's dim is 6 here, but 7 in its log"),
    ("codec_spec", "cross_polytope(repeats=5)", "the run's codec is cross_polytope(repeats=4, gain=exact"),
    ("codec_fingerprint", b"\xab" * 16, f"here, but {'ab' * 16} in its log"),
    ("downlink_spec", "sum", "the run's downlink is log here, but sum in its log"),
]


@pytest.mark.parametrize(("field", "value", "message"), CHANGES, ids=[change[0] for change in CHANGES])
def test_log_that_was_computed_otherwise_is_refused(
    field: str, value: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold = begun(tmp_path)
    fold.log.close()
    other = fold.started.resolved._replace(**{field: value})
    names = ", ".join(f"{name} = ?" for name in (*Resolved._fields, "checksum"))
    execute(tmp_path, f"UPDATE resolved SET {names}", *other, rows.checksum(*other))
    monkeypatch.setattr(provenance, "version", lambda _: "9.9")
    with pytest.raises(
        LogError, match=r"resume it with the installation that wrote it, gradwire [^9][\d.]*$"
    ) as caught:
        opened(tmp_path)
    assert message in str(caught.value)
    with RunLog.open(tmp_path) as log:
        assert [round_ for round_, _ in log.releases()] == [0], "a release that refuses leaves no trace"


def test_release_with_another_default_refuses_before_it_folds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(tmp_path).log.close()
    monkeypatch.setattr(
        replay, "codec_of", lambda config, dim, averaged=0: parse(f"{config.codec[:-1]}, scale=2.0)", dim)
    )
    monkeypatch.setattr(replay, "aggregate", lambda *_: pytest.fail("folded"))
    with pytest.raises(LogError, match=r"codec is .*scale=2.0\) here, but .*scale=1.0\) in its log"):
        opened(tmp_path)


def test_releases_are_stored_with_their_first_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(tmp_path, rounds=2).log.close()
    first = this_release()
    for version in ("7.1", "7.1", "8.0"):
        monkeypatch.setattr(provenance, "version", lambda _, found=version: found)
        fold = Fold(RunLog.open(tmp_path))
        fold.append(record_of(fold.codec, fold.model.round, (0, 2)))
        fold.log.close()
    with RunLog.open(tmp_path) as log:
        assert log.releases() == [
            (0, first),
            (2, first._replace(version="7.1")),
            (4, first._replace(version="8.0")),
        ]


@pytest.mark.parametrize("table", ["resolved", "releases"])
def test_missing_provenance_is_damage(table: str, tmp_path: Path) -> None:
    begun(tmp_path).log.close()
    execute(tmp_path, f"DELETE FROM {table}")
    with pytest.raises(LogError, match="is damaged"):
        opened(tmp_path)


# ---- a log of version 1 --------------------------------------------------------------------------------------


def test_log_of_version_1_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    of_version_1(folder)
    with RunLog.open(folder) as log:
        assert (log.config, log.next_round, log.resolved(), log.releases(), log.senders()) == (
            *(CONFIG, 7, None, []),
            [],
        )
    assert execute(folder, "PRAGMA user_version") == [(1,)], "reading changes nothing"
    summary = whole_run(CONFIG, folder, [(0, 2), (1,)])
    assert summary["digest"] == f"{simulate(CONFIG).digest:016x}" and summary["replicas_agree"]
    assert execute(folder, "PRAGMA user_version") == [(4,)]
    with RunLog.open(folder) as log:
        assert log.releases() == [(7, this_release())]
        assert log.resolved() == Fold(log).started.resolved
        assert [round_ for round_, _, _ in log.senders()] == [7, 7]
        assert len(list(log.read(0, 12))) == 12


def test_log_of_version_1_that_replays_otherwise_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The release that wrote it can still go on."""
    of_version_1(tmp_path / "run")
    monkeypatch.setattr(
        replay, "codec_of", lambda config, dim, averaged=0: parse(f"{config.codec[:-1]}, scale=2.0)", dim)
    )
    with pytest.raises(LogError, match="this machine computes differently"):
        opened(tmp_path / "run")
    assert execute(tmp_path / "run", "PRAGMA user_version") == [(1,)]


def test_log_of_version_1_without_a_model_begins(tmp_path: Path) -> None:
    of_version_1(tmp_path / "run")
    row = rows.run_row(CONFIG.to_json(), b"run", 0)
    execute(tmp_path / "run", "UPDATE run SET config = ?, run_id = ?, rounds = ?, checksum = ?", *row)
    for table in ("rounds", "snapshots", "metrics", "meta", "assignments"):
        execute(tmp_path / "run", f"DELETE FROM {table}")
    summary = whole_run(CONFIG, tmp_path / "run", [(0, 1, 2)])
    assert summary["digest"] == f"{simulate(CONFIG).digest:016x}"
    assert execute(tmp_path / "run", "PRAGMA user_version") == [(4,)]


# ---- a log of version 2 --------------------------------------------------------------------------------------


def test_log_of_version_2_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    of_version_2(folder)
    with RunLog.open(folder) as log:
        before = log.resolved(), log.releases(), log.senders()
        assert (log.config, log.next_round, log.layout(), log.constants()) == (CONFIG, 7, None, ())
        assert log.best_round() is None
    assert execute(folder, "PRAGMA user_version") == [(2,)], "reading changes nothing"
    losses = execute(folder, "SELECT * FROM losses")
    summary = whole_run(CONFIG, folder, [(0, 2), (1,)])
    assert summary["digest"] == f"{simulate(CONFIG).digest:016x}" and summary["replicas_agree"]
    assert execute(folder, "PRAGMA user_version") == [(4,)]
    with RunLog.open(folder) as log:
        resolved, releases, senders = before
        assert log.resolved() == resolved == Fold(log).started.resolved
        assert log.releases()[: len(releases)] == releases and log.senders()[: len(senders)] == senders
        assert len(list(log.read(0, 12))) == 12
    assert execute(folder, "SELECT * FROM losses")[:7] == losses and len(losses) == 7


# ---- a log of version 3 --------------------------------------------------------------------------------------


def test_log_of_version_3_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    of_version_3(folder)
    with RunLog.open(folder) as log:
        assert log.last_counted().tolist() == [6, 6, 6], "of the rounds that it has"
    assert execute(folder, "PRAGMA user_version") == [(3,)], "reading changes nothing"
    summary = whole_run(CONFIG, folder, [(0, 2), (1,)])
    assert summary["digest"] == f"{simulate(CONFIG).digest:016x}" and summary["replicas_agree"]
    assert execute(folder, "PRAGMA user_version") == [(4,)]
    with RunLog.open(folder) as log:
        assert log.last_counted().tolist() == [11, 11, 11]


def test_pruned_rounds_of_a_log_of_version_3_are_taken_as_counted(tmp_path: Path) -> None:
    """Before version 4 nothing says who was in them: a worker is not told to take back what may have counted."""
    folder = tmp_path / "run"
    of_version_3(folder)
    kept = execute(folder, "SELECT data FROM snapshots WHERE round = 0")[0][0]
    with RunLog.open(folder) as log:
        later = replay.replay(log, 4)
        execute(
            folder,
            "INSERT INTO snapshots VALUES (?, ?, ?, ?, ?)",
            *rows.snapshot_rows(4, later.model.snapshot())[0],
        )
    execute(folder, "DELETE FROM rounds WHERE round < 4")
    execute(folder, "DELETE FROM rounds WHERE round > 4")
    config, run_id = execute(folder, "SELECT config, run_id FROM run")[0]
    execute(folder, "UPDATE run SET rounds = 5, checksum = ?", rows.run_row(config, run_id, 5).checksum)
    assert len(kept) == len(later.model.snapshot())
    lacking = rows.round_row(replace(record_of(later.codec, 4, (0, 2)), round=4), None)
    execute(
        folder,
        "UPDATE rounds SET workers = ?, lengths = ?, digest = ?, payloads = ?, checksum = ?",
        *(lacking.workers, lacking.lengths, lacking.digest, lacking.payloads, lacking.checksum),
    )
    opened(folder)
    with RunLog.open(folder) as log:
        assert log.last_counted().tolist() == [4, 3, 4]


# ---- who sent what -------------------------------------------------------------------------------------------


def test_losses_are_stored_by_worker(tmp_path: Path) -> None:
    whole_run(CONFIG, tmp_path, [(0, 2), (1,)])
    with RunLog.open(tmp_path) as log:
        means = [measured["loss"] for round_, measured in log.metrics().items() if round_ < 12]
    stored = execute(tmp_path, "SELECT * FROM losses ORDER BY round")
    assert [row[0] for row in stored] == list(range(12))
    assert all(rows.is_whole(row) for row in stored)
    losses = [np.frombuffer(row[1], "<f4") for row in stored]
    assert all(loss.size == 3 and len(set(loss)) == 3 for loss in losses)
    assert [loss.astype(float).mean() for loss in losses] == pytest.approx(means, rel=1e-12)


def test_senders_follow_the_process_that_a_payload_came_from(tmp_path: Path) -> None:
    async def script(run: Run, group: asyncio.TaskGroup) -> None:
        group.create_task(run.work("steady", (0, 1)))
        mortal = asyncio.create_task(run.work("mortal", (2,)))
        await run.committed(4)
        await cancel(mortal)
        group.create_task(run.work("heir", (2,)))

    run_script(replace(CONFIG, rounds=24), tmp_path, script)
    with RunLog.open(tmp_path) as log:
        (*first, (taken, process, ids)) = log.senders()
        assert first == [(0, "mortal", (2,)), (0, "steady", (0, 1))]
        assert (process, ids) == ("heir", (2,)) and 5 <= taken <= 24
        assert log.assignments() == {"steady": (0, 1), "heir": (2,)}
