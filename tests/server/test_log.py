"""What the run's log remembers, and what it refuses."""

import doctest
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradwire.common.errors import LogError
from gradwire.common.training.config import RunConfig
from gradwire.common.training.record import RoundRecord
from gradwire.server.log import rows as log_rows
from gradwire.server.log import run_log as log_module
from gradwire.server.log.run_log import RunLog
from tests.server.log_victim import RESOLVED

CONFIG = RunConfig(task="mlp(mnist, hidden=10)", workers=3, rounds=50, deadline=1.5, quorum=2)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[RunLog]:
    with RunLog.create(tmp_path, CONFIG, b"run") as log:
        yield log


def record(round_: int, size: int = 10) -> RoundRecord:
    return RoundRecord(round_, (0, 2), (bytes([round_ % 256]) * size, b"z" * size))


def filled(log: RunLog, rounds: int) -> RunLog:
    log.set_initial(b"initial", RESOLVED)
    for round_ in range(log.next_round, rounds):
        log.append(record(round_), digest=round_ * 2**40)
    return log


@st.composite
def records(draw: st.DrawFn) -> RoundRecord:
    """Records whose round number is still to be set."""
    steps = draw(st.lists(st.integers(1, 300), min_size=1, max_size=20))
    length = draw(st.integers(0, 9))
    equal, any_length = st.binary(min_size=length, max_size=length), st.binary(max_size=9)
    payloads = [draw(draw(st.sampled_from([equal, any_length]))) for _ in steps]
    examples = draw(st.one_of(st.just(()), st.tuples(*[st.integers(1, 2**32 - 1)] * len(steps))))
    return RoundRecord(0, tuple(accumulate(steps, initial=-1))[1:], tuple(payloads), examples)


# ---- what goes in comes out ------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.lists(st.tuples(records(), st.one_of(st.none(), st.integers(0, 2**64 - 1))), max_size=4))
def test_rounds_are_read_as_they_were_appended(entries: list[tuple[RoundRecord, int | None]]) -> None:
    rounds = [RoundRecord(i, r.workers, r.payloads, r.examples) for i, (r, _) in enumerate(entries)]
    digests = [digest for _, digest in entries]
    with TemporaryDirectory() as folder:
        with RunLog.create(Path(folder), CONFIG, b"run") as log:
            for entry, digest in zip(rounds, digests, strict=True):
                log.append(entry, digest)
            assert list(log.read(0, len(rounds))) == rounds
        with RunLog.open(Path(folder)) as log:
            assert log.next_round == len(rounds)
            assert list(log.read(0, len(rounds))) == rounds
            assert [log.digest_at(i) for i in range(len(rounds))] == digests


def test_configuration_and_id_survive(tmp_path: Path) -> None:
    assert not RunLog.exists(tmp_path / "new")
    with RunLog.create(tmp_path / "new", CONFIG, b"\0\xff"):
        assert RunLog.exists(tmp_path / "new")
    with RunLog.open(tmp_path / "new") as log:
        assert (log.config, log.run_id, log.next_round) == (CONFIG, b"\0\xff", 0)


def test_a_file_is_no_folder_for_a_run(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("rounds = 3")
    with pytest.raises(LogError, match="is a file, expected a folder: pass another --state-dir"):
        RunLog.create(path, CONFIG, bytes(16))
    assert path.read_text() == "rounds = 3"


def test_notes_survive(tmp_path: Path) -> None:
    with RunLog.create(tmp_path, CONFIG, b"run") as log:
        log.assign("a", (0, 2))
        log.assign("b", (1,))
        log.assign("c", ())
        log.record_metrics(4, {"loss": 2.0})
        log.record_metrics(4, {"loss": 1.5, "accuracy": 0.25})
        log.record_metrics(3, {"loss": float("inf")})
        log.put("bytes", "1")
        log.put("bytes", "2")
    with RunLog.open(tmp_path) as log:
        assert log.assignments() == {"a": (0, 2), "b": (1,), "c": ()}
        assert log.metrics() == {3: {"loss": float("inf")}, 4: {"loss": 1.5, "accuracy": 0.25}}
        assert (log.get("bytes"), log.get("nothing")) == ("2", None)
        log.assign("a", (1,))
        assert log.assignments() == {"a": (1,), "c": ()}


def test_commits_are_on_the_disk_when_they_return(log: RunLog) -> None:
    pragmas = {name: log._file.rows(f"PRAGMA {name}")[0][0] for name in ("journal_mode", "synchronous")}
    assert pragmas == {"journal_mode": "wal", "synchronous": 2}  # 2 is FULL: killing processes cannot test it


def test_rounds_are_read_while_others_are_appended(log: RunLog) -> None:
    filled(log, 3)
    reading = log.read(0, 3)
    first = next(reading)
    log.append(record(3), 0)
    assert [first, *reading] == [record(i) for i in range(3)]


@given(st.lists(st.integers(0, 2**64 - 1)) | st.lists(st.just(7)))
def test_packed_integers_unpack(values: list[int]) -> None:
    packed = log_rows.pack_ints(values)
    assert log_rows.unpack_ints(packed) == tuple(values)
    assert len(packed) <= 17 + 8 * max(0, len(values) - 1)


def test_a_whole_cohort_of_equal_payloads_costs_100_bytes_at_most() -> None:
    row = log_rows.round_row(RoundRecord(7, tuple(range(1000)), (b"x" * 22,) * 1000, (60,) * 1000), 2**63)
    assert sum(len(field) for field in row[1:]) <= 22_000 + 100


def test_the_documented_examples_run() -> None:
    assert all(doctest.testmod(module).failed == 0 for module in (log_module, log_rows))


def test_a_worker_has_one_host_and_a_process_without_any_is_forgotten(log: RunLog) -> None:
    log.assign("old", (0, 1, 2))
    log.assign("new", (1, 3))
    assert log.assignments() == {"old": (0, 2), "new": (1, 3)}
    log.assign("newer", (0, 2))
    assert log.assignments() == {"new": (1, 3), "newer": (0, 2)}


# ---- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("round_", [0, 2, 4, -1])
def test_only_the_next_round_is_appended(log: RunLog, round_: int) -> None:
    filled(log, 3)
    with pytest.raises(LogError, match=f"round {round_} cannot be appended, expected round 3"):
        log.append(record(round_), 0)
    assert (log.next_round, list(log.read(0, 3))) == (3, [record(i) for i in range(3)])


MALFORMED = {
    "ids that repeat": RoundRecord(0, (1, 1), (b"", b"")),
    "ids that fall": RoundRecord(0, (2, 1), (b"", b"")),
    "a negative id": RoundRecord(0, (-1, 1), (b"", b"")),
    "a payload short": RoundRecord(0, (1, 2), (b"",)),
    "an example count short": RoundRecord(0, (1, 2), (b"", b""), (5,)),
}


@pytest.mark.parametrize("bad", MALFORMED.values(), ids=MALFORMED)
def test_malformed_rounds_are_refused(log: RunLog, bad: RoundRecord) -> None:
    with pytest.raises(LogError, match="round 0"):
        log.append(bad, 0)
    assert log.next_round == 0


def test_rounds_that_are_not_there_are_not_read(log: RunLog) -> None:
    filled(log, 3)
    with pytest.raises(LogError, match="round 3 is not in the log"):
        log.read(1, 4)
    with pytest.raises(LogError, match="round 3"):
        log.digest_at(3)
    assert list(log.read(3, 3)) == []


# ---- snapshots and pruning -------------------------------------------------------------------------------------------


def test_the_initial_model_is_set_once_and_kept(log: RunLog) -> None:
    assert log.latest_snapshot() is None
    with pytest.raises(LogError, match="no initial model"):
        log.initial()
    with pytest.raises(LogError, match="set_initial"):
        log.snapshot(0, b"x")
    filled(log, 5)
    assert log.latest_snapshot() == (0, b"initial")
    with pytest.raises(LogError, match="has its initial model already"):
        log.set_initial(b"other", RESOLVED)
    log.snapshot(4, b"after four")
    with pytest.raises(LogError, match="has its initial model already"):
        log.set_initial(b"other", RESOLVED)
    assert log.initial() == b"initial"


def test_the_newest_snapshot_replaces_the_older(log: RunLog) -> None:
    filled(log, 5)
    log.snapshot(2, b"two")
    log.snapshot(4, b"four")
    for round_ in (3, 6):
        with pytest.raises(LogError, match="expected 4 to 5"):
            log.snapshot(round_, b"x")
    assert log.latest_snapshot() == (4, b"four")
    assert log._file.rows("SELECT round FROM snapshots") == [(0,), (4,)]


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 16, 17])
def test_snapshots_are_stored_in_parts(log: RunLog, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(log_rows, "PART_BYTES", 8)
    log.set_initial(bytes(range(size)), RESOLVED)
    assert log.latest_snapshot() == (0, bytes(range(size)))


def test_bytes_since_the_snapshot_are_counted(tmp_path: Path) -> None:
    with RunLog.create(tmp_path, CONFIG, b"run") as log:
        filled(log, 4)
        assert log.bytes_since_snapshot() == 80
        log.snapshot(3, b"x")
        assert log.bytes_since_snapshot() == 20
        log.append(record(4, size=100), 0)
    with RunLog.open(tmp_path) as log:
        assert log.bytes_since_snapshot() == 220


def test_pruning_keeps_what_the_snapshot_does_not_cover(log: RunLog) -> None:
    filled(log, 6)
    log.snapshot(4, b"four")
    with pytest.raises(LogError, match="the latest snapshot is after round 4"):
        log.prune(5)
    log.prune(4)
    log.prune(1)
    assert (log.first_kept(), log.next_round, log.bytes_since_snapshot()) == (4, 6, 40)
    assert list(log.read(4, 6)) == [record(4), record(5)]
    with pytest.raises(LogError, match="round 3 is no longer in the log, the first is 4"):
        log.read(3, 6)
    assert (log.digest_at(3), log.digest_at(4)) == (None, 4 * 2**40)


def test_a_log_pruned_to_the_last_round_goes_on(tmp_path: Path) -> None:
    with RunLog.create(tmp_path, CONFIG, b"run") as log:
        filled(log, 6).snapshot(6, b"six")
        log.prune(6)
    with RunLog.open(tmp_path) as log:
        assert (log.first_kept(), log.next_round, log.digest_at(5)) == (6, 6, None)
        log.append(record(6), 1)
        assert list(log.read(6, 7)) == [record(6)]
