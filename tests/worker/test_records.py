"""The durable record of a worker: what it holds comes back bit for bit, and nothing else is taken for it."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradwire.common.codecs import parse
from gradwire.common.errors import LogError
from gradwire.common.training.local import parse_local
from gradwire.worker.record_file import Record, Sent, read_record, write_record
from gradwire.worker.records import Records, bytes_per_round, owner_of

SIGN = parse("sign", 20)
LOCAL = parse_local("local(steps=3)")
OWNER = owner_of(b"\xab", SIGN, LOCAL, feedback=True)
ARRAYS = {
    "b": np.linspace(0, 1, 20, dtype=np.float32),
    "a": np.array([7]),
    "flags": np.array([[True, False]]),
    "none": np.zeros((0, 3), np.float64),
    "scalar": np.array(-0.0, np.float32),
    "bytes": np.arange(5, dtype=np.uint8),
}
LAST = Sent(4, b"payload", 0.1, 12)


def record(last: Sent | None = LAST) -> Record:
    return Record(OWNER, 5, last, ARRAYS)


@pytest.mark.parametrize("last", [LAST, None, Sent(0, b"", None, 1), Sent(3, b"\0" * 9, 1e-300, 1 << 31)])
def test_record_comes_back_bit_for_bit(last: Sent | None, tmp_path: Path) -> None:
    size = write_record(tmp_path / "r", record(last))
    again = read_record(tmp_path / "r")
    assert size == (tmp_path / "r").stat().st_size and list(tmp_path.iterdir()) == [tmp_path / "r"]
    assert (again.owner, again.round, again.last) == (OWNER, 5, last)
    assert again.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert again.arrays[name].dtype == array.dtype and again.arrays[name].shape == array.shape
        assert again.arrays[name].tobytes() == array.tobytes()


def test_arrays_that_are_read_can_be_written_to(tmp_path: Path) -> None:
    write_record(tmp_path / "r", record())
    read_record(tmp_path / "r").arrays["b"][:] = 1


def test_size_is_that_of_arrays_and_payload(tmp_path: Path) -> None:
    arrays = {"memory": np.zeros(10_000, np.float32)}
    assert 0 < write_record(tmp_path / "r", Record(OWNER, 1, LAST, arrays)) - 40_000 - len(LAST.payload) < 500


def test_other_dtypes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="the memory m is float16, expected one of"):
        write_record(tmp_path / "r", Record(OWNER, 1, None, {"m": np.zeros(2, np.float16)}))


def test_damaged_record(tmp_path: Path) -> None:
    path = tmp_path / "r"
    write_record(path, record())
    whole = path.read_bytes()
    for at in [*range(0, len(whole), 13), len(whole) - 1]:
        for bad in (whole[:at], whole[:at] + bytes([whole[at] ^ 4]) + whole[at + 1 :]):
            path.write_bytes(bad)
            with pytest.raises(LogError, match="is damaged: remove it to start with empty memories"):
                read_record(path)
    with pytest.raises(LogError, match="cannot be read"):
        read_record(tmp_path / "nowhere")


def test_crash_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "r"
    write_record(path, record())
    kept = path.read_bytes()

    def crash(handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(KeyboardInterrupt):
        write_record(path, record(None))
    assert path.read_bytes() == kept
    monkeypatch.undo()
    write_record(path, record(None))
    assert read_record(path).last is None


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LogError, match="cannot be written: No space left on device; nothing was changed"):
        write_record(tmp_path / "r", record())


# ---- whose they are -----------------------------------------------------------------------------------------


def test_worker_without_a_record(tmp_path: Path) -> None:
    assert Records(tmp_path / "new" / "folder", OWNER).load(0) is None
    assert (tmp_path / "new" / "folder").is_dir()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"run_id": b"\xac"}, "run ab, not of ac"),
        ({"codec": parse("onebit", 20)}, "codec sign.* at 20 coordinates, not of onebit.* at 20"),
        ({"codec": parse("sign", 21)}, "codec sign.* at 20 coordinates, not of sign.* at 21"),
        ({"local": None}, r"local steps local\(steps=3.*, not of none"),
        ({"local": parse_local("local(steps=4)")}, r"local steps local\(steps=3.*, not of local\(steps=4"),
        ({"feedback": False}, "error feedback error, not of none"),
    ],
)
def test_record_of_something_else_is_refused(change: dict[str, Any], what: str, tmp_path: Path) -> None:
    Records(tmp_path, OWNER).save(3, 5, LAST, ARRAYS)
    owner = owner_of(**{"run_id": b"\xab", "codec": SIGN, "local": LOCAL, "feedback": True, **change})
    with pytest.raises(LogError, match=f"record-3 is of the {what}") as refused:
        Records(tmp_path, owner).load(3)
    assert "\n" not in str(refused.value)


def test_record_under_another_workers_name_is_refused(tmp_path: Path) -> None:
    Records(tmp_path, OWNER).save(3, 5, LAST, ARRAYS)
    (tmp_path / "record-3").rename(tmp_path / "record-4")
    with pytest.raises(LogError, match="record-4 is of the worker 3, not of 4"):
        Records(tmp_path, OWNER).load(4)


def test_error_feedback_of_an_earlier_release_is_refused(tmp_path: Path) -> None:
    (tmp_path / "feedback-3").write_bytes(b"gwfeed01")
    with pytest.raises(LogError, match=r"feedback-3 is the error feedback of an earlier release \(0.2\)"):
        Records(tmp_path, OWNER).load(3)
    assert Records(tmp_path, OWNER).load(4) is None


def test_bytes_per_round_are_counted(tmp_path: Path) -> None:
    records = Records(tmp_path, OWNER)
    for round_ in (1, 2):
        for worker in (0, 1):
            records.save(worker, round_, LAST, ARRAYS)
    files = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert records.bytes_written == 2 * files and records.bytes_per_round == files


def test_files_of_a_run_are_what_a_round_writes(tmp_path: Path) -> None:
    made = [Records(tmp_path / f"worker-{i}", OWNER) for i in range(2)]
    for records in made:
        records.save(0, 5, LAST, ARRAYS)
    (tmp_path / "run.db").write_bytes(b"the server's")
    assert bytes_per_round(tmp_path) == sum(records.bytes_written for records in made) > 0


def test_worker_that_remembers_nothing_may_have_no_record(tmp_path: Path) -> None:
    records = Records(tmp_path, OWNER, always=False)
    records.save(0, 1, LAST, {})
    assert not list(tmp_path.iterdir()) and records.bytes_written == 0
    records.save(0, 2, LAST, ARRAYS)
    assert records.load(0) is not None
