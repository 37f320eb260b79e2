"""The summary covers the whole run, and both ends check every stream, whichever of them were broken."""

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gradwire.common.errors import Unavailable
from gradwire.common.training.config import RunConfig
from gradwire.server.coordinator import Coordinator
from gradwire.server.measures import SiteMetrics
from gradwire.server.outgoing import OutgoingEntry
from gradwire.server.serving import Interrupted
from gradwire.server.stream.session import Session
from tests.system.fault_injection import killed, run_with_two_servers
from tests.system.harness import Run, simulate, whole_run

CONFIG = RunConfig(
    task="least_squares(samples=64, dim=24)",
    codec="cross_polytope(repeats=9)",
    workers=3,
    rounds=12,
    digest_every=1,
    evaluate_every=2,
)


async def stopped(run: Run, server: "asyncio.Task[Any]") -> None:
    with run.signals:
        signal.raise_signal(signal.SIGTERM)
    with pytest.raises(Interrupted):
        await server


@pytest.mark.parametrize("end", [killed, stopped])
def test_summary_covers_the_whole_run(
    end: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = whole_run(CONFIG, tmp_path / "undisturbed", [(0,), (1,), (2,)])

    summary, _ = run_with_two_servers(CONFIG, tmp_path / "run", after=5, end=end)
    assert summary["digest"] == undisturbed["digest"] == f"{simulate(CONFIG).digest:016x}"
    assert summary["history"] == undisturbed["history"]
    assert summary["first_round"] == 0 and summary["predicted_equals_measured"]
    bits = CONFIG.workers * CONFIG.rounds * summary["payload_bits_per_push"]
    assert undisturbed["uplink"]["payload_bits"] == bits
    assert bits <= summary["uplink"]["payload_bits"] <= bits * 13 // 12  # pushes of the open round come again
    # Entries that were sent when the server was killed are not counted; those that came again are.
    assert summary["downlink"]["payload_bits"] >= undisturbed["downlink"]["payload_bits"] * 10 // 12
    assert summary["reconnects"] == 3 and summary["streams"] == 6
    assert summary["tcp"]["complete"] is (end is stopped)
    assert summary["seconds"] > 0 and summary["rounds_per_second"] == 12 / summary["seconds"]


def test_metrics_lost_with_a_stream_are_sent_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed = whole_run(CONFIG, tmp_path / "undisturbed", [(0,), (1,), (2,)])
    note, lost = Coordinator.note_metrics, [4, 8]

    async def lose(self: Coordinator, session: Session, round_: int, found: SiteMetrics) -> None:
        if round_ in lost:
            lost.remove(round_)
            raise Unavailable("the connection broke")
        await note(self, session, round_, found)

    monkeypatch.setattr(Coordinator, "note_metrics", lose)
    summary = whole_run(CONFIG, tmp_path / "run", [(0,), (1,), (2,)])
    assert summary["history"] == undisturbed["history"] and summary["reconnects"] == 2 and not lost


def test_broken_stream_is_checked_after_reconnect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    send_entry, cuts = Session.send_entry, [3, 6]

    def cut(self: Session, entry: OutgoingEntry) -> None:
        send_entry(self, entry)
        if self.process == "process-1" and cuts and self.received.messages and len(done) >= cuts[0]:
            cuts.pop(0)
            self.abort("a test breaks the stream")
        done.append(entry)

    done: list[OutgoingEntry] = []
    monkeypatch.setattr(Session, "send_entry", cut)
    summary = whole_run(CONFIG, tmp_path, [(0,), (1, 2)])
    assert not cuts and summary["reconnects"] == 2
    assert (summary["streams"], summary["streams_checked"]) == (4, 4)
    assert summary["predicted_equals_measured"] and summary["digest"] == f"{simulate(CONFIG).digest:016x}"


def test_other_counts_on_a_broken_stream_fail_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream that was not compressed is found, although the last stream was in order."""
    send_entry, cut = Session.send_entry, []

    def cut_once(self: Session, entry: OutgoingEntry) -> None:
        send_entry(self, entry)
        if not cut and self.process == "process-1" and self.received.messages:
            cut.append(self.stream_id)
            self.received.payload_bytes += 1000  # more than one lost push would explain
            self.abort("a test breaks the stream")

    monkeypatch.setattr(Session, "send_entry", cut_once)
    summary = whole_run(CONFIG, tmp_path, [(0,), (1, 2)])
    assert cut and not summary["predicted_equals_measured"]
