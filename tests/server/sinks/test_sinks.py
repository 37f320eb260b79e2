"""Curves in files: continued after any end of the server, and never at the run's expense."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gradwire.common.errors import ConfigError
from gradwire.server.sinks import base
from gradwire.server.sinks.base import Sink, SinkThread
from gradwire.server.sinks.metrics_log import FIELDS, MetricsLog
from gradwire.server.sinks.points import Point, RunSoFar
from gradwire.server.sinks.tensorboard import TensorBoard
from tests.server.sinks.test_points import round_event

Curves = dict[str, list[tuple[int, float]]]
RUN_ID = "0123456789abcdef"


def target(kind: type[Sink], folder: Path) -> Path:
    return folder / ("metrics.jsonl" if kind is MetricsLog else "curves")


def curves(kind: type[Sink], folder: Path) -> Curves:
    """What the target has, as its users read it."""
    found: Curves = {}
    if kind is MetricsLog:
        for line in target(kind, folder).read_text().splitlines():
            row = json.loads(line)
            assert row.keys() == FIELDS and isinstance(row["timestamp"], int)
            found.setdefault(row["key"], []).append((row["step"], row["value"]))
        return found
    reader = EventAccumulator(str(target(kind, folder) / RUN_ID[:8]))
    reader.Reload()
    for tag in reader.Tags()["scalars"]:
        found[tag] = [(scalar.step, scalar.value) for scalar in reader.Scalars(tag)]
    return found


def history(rounds: int) -> dict[int, Any]:
    return {round_: {"loss": loss_of(round_), "metrics": {}} for round_ in range(rounds)}


def loss_of(round_: int) -> float:
    return 1 / (1 << round_)  # exact in float32


def serve(kind: type[Sink], folder: Path, rounds: range, kept: int = 0) -> list[str]:
    """A server that commits these rounds, with a log that has so many before; its warnings."""
    warnings: list[str] = []
    sink = kind(target(kind, folder))
    sink.check()
    thread = SinkThread(sink, RunSoFar(RUN_ID, history=history(kept)), warnings.append)
    for round_ in rounds:
        thread.note(round_event(round_, loss=loss_of(round_)))
    thread.close()
    return warnings


BOTH = pytest.mark.parametrize("kind", [TensorBoard, MetricsLog])


@BOTH
def test_a_continued_run_continues_its_curves(kind: type[Sink], tmp_path: Path) -> None:
    assert not serve(kind, tmp_path, range(5))
    assert not serve(kind, tmp_path, range(5, 8), kept=5)
    found = curves(kind, tmp_path)
    assert found["loss"] == [(round_, loss_of(round_)) for round_ in range(8)]
    assert [step for step, _ in found["bytes/up"]] == list(range(8))


@BOTH
def test_points_that_a_killed_server_did_not_write_are_written_by_the_next(
    kind: type[Sink], tmp_path: Path
) -> None:
    serve(kind, tmp_path, range(3))
    serve(kind, tmp_path, range(6, 7), kept=6)  # the log has three rounds more than the file
    assert curves(kind, tmp_path)["loss"] == [(round_, loss_of(round_)) for round_ in range(7)]


@BOTH
def test_a_run_that_had_no_curves_before_gets_those_of_its_log(kind: type[Sink], tmp_path: Path) -> None:
    serve(kind, tmp_path, range(0), kept=4)
    assert curves(kind, tmp_path)["loss"] == [(round_, loss_of(round_)) for round_ in range(4)]


@BOTH
@pytest.mark.parametrize("cut", [1, 7, 30])
def test_a_record_that_was_cut_off_is_passed_over(kind: type[Sink], cut: int, tmp_path: Path) -> None:
    serve(kind, tmp_path, range(4))
    (path,) = [p for p in tmp_path.rglob("*") if p.is_file()]
    path.write_bytes(path.read_bytes()[:-cut])
    serve(kind, tmp_path, range(4, 6), kept=4)
    assert curves(kind, tmp_path)["loss"] == [(round_, loss_of(round_)) for round_ in range(6)]


def test_runs_stand_side_by_side_in_a_folder(tmp_path: Path) -> None:
    for name in ("aaaaaaaa00", "bbbbbbbb00"):
        thread = SinkThread(TensorBoard(tmp_path), RunSoFar(name), lambda _: None)
        thread.note(round_event(0))
        thread.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["aaaaaaaa", "bbbbbbbb"]


def test_metrics_of_another_run_are_not_mixed_with_ours(tmp_path: Path) -> None:
    serve(MetricsLog, tmp_path, range(3))
    with pytest.raises(ConfigError, match="metrics of another run"):
        serve(MetricsLog, tmp_path, range(3))
    other = {0: {"loss": 9.0, "metrics": {}}, 2: {"loss": 9.0, "metrics": {}}}
    with pytest.raises(ConfigError, match="metrics of another run"):
        SinkThread(MetricsLog(tmp_path / "metrics.jsonl"), RunSoFar(RUN_ID, history=other), lambda _: None)


# ---- bad targets ---------------------------------------------------------------------------------------------


def test_a_file_where_a_folder_is_expected(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "curves"):
        with pytest.raises(ConfigError, match="is a file, expected a folder"):
            TensorBoard(path).check()


def test_a_missing_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gradwire.server.sinks.tensorboard.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'gradwire\[tensorboard\]'"):
        TensorBoard(tmp_path).check()


def test_a_folder_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *args: False)  # root may write everywhere
    with pytest.raises(ConfigError, match="may not write in"):
        TensorBoard(tmp_path / "curves").check()


@pytest.mark.parametrize(
    "text", ["round,loss\n1,0.5\n", "[1]\n", '{"key": "loss"}\n', "x" * 10_000, '{"event": "round"}\n']
)
def test_a_file_of_something_else_is_left_alone(text: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text(text)
    with pytest.raises(ConfigError, match="something else in it than metrics"):
        MetricsLog(path).check()
    assert path.read_text() == text


def test_a_folder_where_a_file_is_expected(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="it is a folder"):
        MetricsLog(tmp_path).check()
    with pytest.raises(ConfigError, match="its folder does not exist"):
        MetricsLog(tmp_path / "none" / "file").check()


# ---- slow and failing ----------------------------------------------------------------------------------------


def test_a_full_disk_is_one_warning() -> None:
    warnings: list[str] = []
    thread = SinkThread(MetricsLog(Path("/dev/full")), RunSoFar(RUN_ID), warnings.append)
    for round_ in range(100):
        thread.note(round_event(round_))
    thread.close()
    assert warnings == ["no more points are written to /dev/full: No space left on device; the run goes on"]


class Stuck(Sink):
    """Takes one write for ever."""

    def __init__(self) -> None:
        super().__init__(Path("stuck"))
        self.released, self.written = threading.Event(), 0

    def check(self) -> None: ...
    def read(self, run: RunSoFar) -> dict[str, int]:
        return {}

    def open(self, run: RunSoFar) -> None:
        self.released.wait()

    def write(self, points: list[Point]) -> None:
        self.written += len(points)

    def close(self) -> None: ...


def test_a_sink_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "QUEUED", 10)
    monkeypatch.setattr(base, "CLOSE_SECONDS", 0.01)
    warnings: list[str] = []
    sink = Stuck()
    thread = SinkThread(sink, RunSoFar(RUN_ID), warnings.append)
    for round_ in range(50):
        thread.note(round_event(round_))
    thread.close()
    assert warnings == ["no more points are written to stuck: it is 10 events behind; the run goes on"]
    sink.released.set()
    thread._thread.join()


def test_a_sink_that_raises_anything_is_given_up() -> None:
    class Broken(Stuck):
        def open(self, run: RunSoFar) -> None:
            raise RuntimeError("a bug")

    warnings: list[str] = []
    thread = SinkThread(Broken(), RunSoFar(RUN_ID), warnings.append)
    thread.close()
    assert warnings == ["no more points are written to stuck: RuntimeError: a bug; the run goes on"]
