"""docs/log-format.md: an auditor that follows it recomputes the model of real logs, and its tables are the file's."""

from __future__ import annotations

import json
import runpy
import sqlite3
from contextlib import closing
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradwire.common.codecs import parse
from gradwire.common.errors import LogError
from gradwire.common.randomness import worker_coins
from gradwire.common.training.config import RunConfig
from gradwire.common.training.digest import digest_of
from gradwire.common.training.record import RoundRecord
from gradwire.server import fold as fold_module
from gradwire.server.fold import Fold
from gradwire.server.log import rows
from gradwire.server.log.provenance import Resolved
from gradwire.server.log.run_log import RunLog
from gradwire.server.log.schema import RUN_LOG
from tests.docs.pages import blocks, examples, section, table, text_of
from tests.server.log_victim import of_version_1
from tests.server.test_log_provenance import CONFIG as CONFIG_1
from tests.system.harness import whole_run

AUDITOR = runpy.run_path(str(Path(__file__).parents[2] / "examples" / "audit_log.py"))
SGD = "sgd(lr=0.3, momentum=0.5, schedule=step, every=7)"
CONFIG = RunConfig(
    task="least_squares(samples=64, dim=24)", codec="cross_polytope(repeats=20)", optimizer=SGD, workers=4, rounds=12,
)  # fmt: skip


def audit(folder: Path) -> str:
    return f"{AUDITOR['audit'](folder):016x}"


# ---- the auditor -----------------------------------------------------------------------------------------------------

RUNS = [
    {},
    {"codec": "float32", "downlink": "sum", "weighting": "examples"},
    {
        "codec": "cross_polytope(repeats=3, scale=2.0)",
        "downlink": "model",
        "optimizer": "sgd(schedule=inverse_sqrt)",
    },
    {"codec": "float32", "optimizer": "sgd(lr=0.05)", "digest_every": 1},
    {"cohort": 2, "downlink": "log"},
]


@pytest.mark.parametrize("changes", RUNS, ids=str)
def test_auditor_recomputes_the_model_of_a_run(tmp_path: Path, changes: dict[str, Any]) -> None:
    summary = whole_run(replace(CONFIG, **changes), tmp_path, [(0, 3), (1, 2)])
    assert summary["replicas_agree"] and audit(tmp_path) == summary["digest"]


def served(config: RunConfig, folder: Path, rounds: int) -> Fold:
    """A server's part of a run with cohorts that vary, which then dies: the newest rounds are in the log alone."""
    fold, rng = Fold(RunLog.create(folder, config, bytes(16))), np.random.default_rng(3)
    dim = 300
    fold.begin(rng.standard_normal(dim).astype("<f4").tobytes(), fold.codec_at(dim))
    for t in range(rounds):
        cohort = tuple(sorted(rng.choice(4, int(rng.integers(2, 5)), replace=False).tolist()))
        payloads = tuple(fold.codec.encode(rng.standard_normal(dim), worker_coins(5, t, w)) for w in cohort)
        examples = (
            tuple(rng.integers(1, 70_000, len(cohort)).tolist()) if config.weighting == "examples" else ()
        )
        fold.append(RoundRecord(t, cohort, payloads, examples))
    return fold


@pytest.mark.parametrize("keep_log", [False, True])
@pytest.mark.parametrize("weighting", ["equal", "examples"])
@pytest.mark.parametrize("codec", ["float32", "cross_polytope(repeats=50)"])
def test_auditor_begins_a_pruned_log_at_its_snapshot(
    codec: str, weighting: str, keep_log: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fold_module, "SNAPSHOT_FLOOR", 10_000)
    monkeypatch.setattr(fold_module, "KEEP_LOG_BYTES", 0)
    config = replace(
        CONFIG, codec=codec, weighting=weighting, keep_log=keep_log, quorum=2, deadline=1.0, rounds=200
    )
    fold = served(config, tmp_path, rounds=90)
    assert (fold.log.first_kept() > 0) is not keep_log
    assert (fold.log.latest_snapshot() or (0,))[0] not in (0, 90), "rounds behind the snapshot"
    assert audit(tmp_path) == f"{fold.model.digest:016x}", "the write-ahead log is read too"
    fold.log.close()


@pytest.mark.parametrize("keep_log", [False, True])
def test_the_log_knows_who_was_counted_last_also_of_pruned_rounds(
    keep_log: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fold_module, "SNAPSHOT_FLOOR", 10_000)
    monkeypatch.setattr(fold_module, "KEEP_LOG_BYTES", 0)
    counted = {}

    def append(log: RunLog, record: RoundRecord, *others: Any) -> None:
        counted.update(dict.fromkeys(record.workers, record.round))
        real(log, record, *others)

    real = RunLog.append
    monkeypatch.setattr(RunLog, "append", append)
    config = replace(
        CONFIG, codec="float32", workers=5, keep_log=keep_log, quorum=2, deadline=1.0, rounds=200
    )
    fold = served(config, tmp_path, rounds=90)
    expected = [counted[0], counted[1], counted[2], counted[3], -1]
    assert fold.log.last_counted().tolist() == expected
    fold.log.close()
    with RunLog.open(tmp_path) as log:
        assert log.last_counted().tolist() == expected, "from the table and the rounds behind it"
    audit(tmp_path)
    with closing(sqlite3.connect(tmp_path / "run.db")) as db, db:
        ((covered,),) = db.execute("SELECT round FROM counted").fetchall()
        assert 0 < covered <= 90
        if keep_log:
            db.execute("DELETE FROM counted")
        else:
            db.execute("UPDATE counted SET round = 1")
    if keep_log:
        with RunLog.open(tmp_path) as log:
            assert log.last_counted().tolist() == expected, "from all rounds"
        return
    forged(tmp_path, "counted", "1", round=1)
    with RunLog.open(tmp_path) as log, pytest.raises(LogError, match="is damaged"):
        log.last_counted()


def test_auditor_notices_another_worker_in_the_table_of_those_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fold_module, "SNAPSHOT_FLOOR", 1_000)
    served(replace(CONFIG, codec="float32"), tmp_path, rounds=12).log.close()
    audit(tmp_path)
    with closing(sqlite3.connect(tmp_path / "run.db")) as db:
        ((data,),) = db.execute("SELECT data FROM counted").fetchall()
    last = list(rows.unpack_ints(data))
    forged(tmp_path, "counted", "1", data=rows.pack_ints([last[0] - 1, *last[1:]]))
    with pytest.raises(SystemExit, match="table counted has other workers than the rounds up to"):
        audit(tmp_path)


def test_auditor_recomputes_what_version_1_began(tmp_path: Path) -> None:
    of_version_1(tmp_path / "run")
    summary = whole_run(CONFIG_1, tmp_path / "run", [(0, 2), (1,)])
    assert audit(tmp_path / "run") == summary["digest"]


DAMAGE = {
    "a payload": ("UPDATE rounds SET payloads = x'00' WHERE round = 5", "table rounds is damaged: 5"),
    "a codec": ("UPDATE resolved SET codec_spec = 'float32'", "table resolved is damaged"),
    "a round less": ("DELETE FROM rounds WHERE round = 5", "round 5 is missing"),
    "an old format": ("PRAGMA user_version = 1", "holds no log of version 4"),
}


@pytest.mark.parametrize(("sql", "message"), DAMAGE.values(), ids=DAMAGE)
def test_auditor_notices_damage(tmp_path: Path, sql: str, message: str) -> None:
    served(CONFIG, tmp_path, rounds=8).log.close()
    with closing(sqlite3.connect(tmp_path / "run.db")) as db, db:
        db.execute(sql)
    with pytest.raises(SystemExit, match=message):
        audit(tmp_path)


def forged(folder: Path, table: str, key: str, **changes: Any) -> None:
    """Change columns of one row, and its checksum with them."""
    with closing(sqlite3.connect(folder / "run.db")) as db, db:
        cursor = db.execute(f"SELECT * FROM {table} WHERE {key}")
        row = (
            dict(zip((column[0] for column in cursor.description), cursor.fetchone(), strict=True)) | changes
        )
        row["checksum"] = rows.checksum(*list(row.values())[:-1])
        db.execute(
            f"UPDATE {table} SET {', '.join(f'{name} = ?' for name in row)} WHERE {key}", [*row.values()]
        )


ZEROS = bytes(4 * parse(CONFIG.codec, 24).nbytes)
FORGERIES = {
    "other payloads": ("rounds", "round = 5", {"payloads": ZEROS}, "round 5 leads to another model"),
    "another codec": ("resolved", "1", {"codec_spec": "float32"}, "fingerprint is another codec's"),
    "another end": (
        "meta",
        "key = 'done process-0'",
        {"value": "0" * 16},
        "process-0 ended with another model",
    ),
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
def test_auditor_notices_what_checksums_do_not(tmp_path: Path, forgery: tuple[str, str, Any, str]) -> None:
    table, key, changes, message = forgery
    whole_run(replace(CONFIG, digest_every=1), tmp_path, [(0, 1, 2, 3)])
    forged(tmp_path, table, key, **changes)
    with pytest.raises(SystemExit, match=message):
        audit(tmp_path)


# ---- the page --------------------------------------------------------------------------------------------------------


def tables_of(sql: str) -> dict[str, str]:
    """The statement of each table, with single spaces."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(sql)
        made = db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
    return {name: " ".join(text.replace("(", " ( ").replace(")", " ) ").split()) for name, text in made}


def test_tables_are_those_of_the_file() -> None:
    assert tables_of("".join(blocks("log-format", "sql"))) == tables_of(RUN_LOG.schema)
    assert f"`user_version` {RUN_LOG.version}," in text_of("log-format")
    assert f"`application_id` 0x{RUN_LOG.application_id:x}" in text_of("log-format")


def test_page_names_every_column_and_setting() -> None:
    assert {row[0].strip("`") for row in table("log-format", "### resolved, releases")} == set(
        Resolved._fields
    )
    columns = {row[0].strip("`") for row in table("log-format", "### rounds")}
    assert columns == {*rows.RoundRow._fields} - {"round", "checksum"}
    assert all(f"`{setting.name}`" in section("log-format", "### run") for setting in fields(RunConfig))
    assert list(json.loads(CONFIG.to_json())) == sorted(asdict(CONFIG))


def test_worked_example() -> None:
    codec, digest = parse("cross_polytope(repeats=2)", 3), digest_of(np.array([0.5, 0.25, -1.0], np.float32))
    x = np.array([[1.0, -2.0, 0.5], [0.5, 0.5, -1.0]])
    payloads = tuple(codec.encode(x[worker], worker_coins(7, 20, worker)) for worker in (0, 1))
    row = rows.round_row(RoundRecord(20, (0, 1), payloads), digest)
    shown = [value.hex() if isinstance(value, bytes) else str(value) for value in row]
    assert examples("log-format") == {"log-round": shown}
