"""The counters of a run: what they add up, and that a restarted server goes on from what the log keeps."""

from __future__ import annotations

import json
import math

import pytest

from gradwire.common.transport.traffic import MessageSize, Size, Traffic
from gradwire.server.counters import Counters
from gradwire.server.history import Point
from gradwire.server.tcp.meter import TcpBytes

PUSH = MessageSize(Size(94, 94), Size(12, 12), Size(18, 18))
KEPT = {
    "reconnects": 1, "resyncs": 2, "late": 3, "streams": 4, "streams_checked": 3, "worker_mismatches": 0,
    "first_round": 0,
    "uplink": {
        "messages": 2, "payload_bits": {"predicted": 188, "measured": 188},
        "payload_bytes": {"predicted": 24, "measured": 24}, "message_bytes": {"predicted": 36, "measured": 36},
    },
    "downlink": {
        "messages": 0, "payload_bits": {"predicted": 0, "measured": 0},
        "payload_bytes": {"predicted": 0, "measured": 0}, "message_bytes": {"predicted": 0, "measured": 0},
    },
    "tcp_joining": {"received": 10, "sent": 20, "retransmitted": 0, "connections": 1, "complete": True},
    "tcp_total": None,
    "seconds": 0.0,
}  # fmt: skip


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in its last element."""
    now = [100.0]
    monkeypatch.setattr("gradwire.server.counters.time.monotonic", lambda: now[-1])
    return now


def test_what_the_log_keeps_is_this_and_read_back_as_it_was() -> None:
    counters = Counters(reconnects=1, resyncs=2, late=3, streams=4, streams_checked=3)
    counters.uplink.count(PUSH)
    counters.uplink.count(PUSH)
    joining = TcpBytes(received=10, sent=20, connections=1)
    kept = counters.to_json(joining, None)
    assert json.loads(kept) == KEPT
    again = Counters.restored(kept, {})
    assert again.uplink == counters.uplink and again.downlink == Traffic()
    assert (again.tcp_joining, again.tcp_total) == (joining, None)
    assert again.to_json(joining, None) == kept


def test_a_new_run_begins_with_nothing() -> None:
    counters = Counters.restored(None, {})
    assert counters.rows() == [] and counters.loss is None and counters.evaluated() == []
    assert counters.seconds == 0 and counters.as_predicted
    assert counters.tcp_joining == counters.tcp_total == TcpBytes()


def test_the_history_is_that_of_all_servers() -> None:
    history = {1: {"loss": 0.5, "metrics": {}}, 0: {"loss": 1.0, "metrics": {"accuracy": 0.1}}}
    counters = Counters.restored(None, history)
    assert counters.round_committed(2, [0.25, 0.75]).to_notes() == {"loss": 0.5, "metrics": {}}
    counters.point(3).metrics["accuracy"] = 0.2
    assert counters.rows() == [
        {"round": 0, "loss": 1.0, "accuracy": 0.1},
        {"round": 1, "loss": 0.5},
        {"round": 2, "loss": 0.5},
        {"round": 3, "loss": None, "accuracy": 0.2},
    ]
    assert counters.loss == 0.5 and [point.round for point in counters.evaluated()] == [0, 3]


def test_the_loss_of_a_round_is_the_mean_of_those_reported() -> None:
    counters = Counters()
    assert counters.round_committed(0, []).loss is None
    assert counters.round_committed(1, [math.nan, 2.0, 4.0]).loss == 3.0
    assert counters.round_committed(2, [math.nan]).loss is None
    assert counters.loss == 3.0 and counters.point(1) == Point(1, 3.0)


def test_the_loss_is_weighted_as_the_round_is() -> None:
    counters = Counters()
    assert counters.round_committed(0, [1.0, 2.0], [100, 900]).loss == pytest.approx(1.9)
    assert counters.round_committed(1, [math.nan, 2.0, 4.0], [5, 1, 3]).loss == pytest.approx(3.5)


def test_seconds_are_those_in_which_a_server_ran(clock: list[float]) -> None:
    counters = Counters()
    counters.round_committed(0, [])
    assert counters.seconds == 0, "no round of this server was open"
    counters.start(0)
    clock.append(103.0)
    counters.start(5)  # only the first counts
    assert counters.seconds <= 0, "no round has committed since"
    counters.round_committed(0, [])
    clock.append(110.0)
    assert counters.seconds == 3.0 and counters.first_round == 0
    again = Counters.restored(counters.to_json(None, None), {})
    clock.append(1000.0)
    again.start(1)
    clock.append(1002.0)
    again.round_committed(1, [])
    assert again.seconds == 5.0 and again.first_round == 0


def test_counting_begins_with_the_first_round_of_the_first_server_that_counted() -> None:
    counters = Counters.restored(None, {})
    counters.start(7)
    assert counters.first_round == 7
    again = Counters.restored(counters.to_json(None, None), {})
    again.start(9)
    assert again.first_round == 7


@pytest.mark.parametrize("layer", ["payload_bits", "payload_bytes", "message_bytes"])
@pytest.mark.parametrize("direction", ["uplink", "downlink"])
def test_one_byte_more_than_predicted_shows(direction: str, layer: str) -> None:
    counters = Counters()
    traffic = getattr(counters, direction)
    traffic.count(PUSH)
    assert counters.as_predicted and traffic.messages == 1
    traffic.count(MessageSize(**{layer: Size(8, 9)}))
    assert not counters.as_predicted and getattr(traffic, layer).measured == getattr(PUSH, layer).measured + 9


def test_a_worker_that_counted_other_bytes_shows() -> None:
    assert not Counters(worker_mismatches=1).as_predicted


def test_the_timeline_has_the_costs_of_reaching_each_round(clock: list[float]) -> None:
    counters = Counters()
    assert counters.timeline() == {"round": [], "seconds": [], "uplink_bytes": [], "downlink_bytes": []}
    counters.start(0)
    begun = clock[-1]
    for round_ in range(5):
        counters.uplink.count(PUSH)
        clock.append(begun + 2 * (round_ + 1))
        counters.round_committed(round_, [1.0])
        counters.downlink.count(PUSH)
    one = PUSH.message_bytes.measured
    assert counters.timeline() == {
        "round": [0, 1, 2, 3, 4, 5],
        "seconds": [0.0, 2.0, 4.0, 6.0, 8.0, 10.0],
        "uplink_bytes": [one * r for r in range(6)],
        "downlink_bytes": [one * r for r in range(6)],
    }
    assert counters.timeline(points=2)["round"] == [0, 3, 5], "few rows, and the end"


def test_a_restarted_server_goes_on_with_the_timeline(clock: list[float]) -> None:
    counters = Counters()
    counters.start(0)
    clock.append(clock[-1] + 3)
    counters.uplink.count(PUSH)
    notes = counters.round_committed(0, [1.0]).to_notes()
    again = Counters.restored(counters.to_json(None, None), {0: notes})
    clock.append(clock[-1] + 1000)
    again.start(1)
    clock.append(clock[-1] + 4)
    again.uplink.count(PUSH)
    again.round_committed(1, [1.0])
    assert again.timeline()["seconds"] == [0.0, 3.0, 7.0]
    assert again.timeline()["uplink_bytes"] == [0, *(n * PUSH.message_bytes.measured for n in (1, 2))]
