"""What of a run's events becomes points of curves."""

import math
from typing import Any

from gradwire.common.privacy.accounting import advanced
from gradwire.server.sinks.points import Point, RunSoFar, points_of, safe


def round_event(round_: int, **changes: Any) -> dict[str, Any]:
    row = {
        "event": "round", "round": round_, "rounds": 100, "loss": 0.5, "workers": 4, "epsilon": None,
        "uplink_bits": 8528, "downlink_bits": 17056, "uplink_bytes": 1100, "downlink_bytes": 2200, "seconds": 1.5,
    }  # fmt: skip
    return {**row, **changes}


def test_a_round_is_one_point_per_curve() -> None:
    assert set(points_of(round_event(7))) == {
        Point("loss", 7, 0.5), Point("workers", 7, 4.0), Point("seconds", 7, 1.5), Point("bytes/up", 7, 1100.0),
        Point("bytes/down", 7, 2200.0), Point("payload_bits/up", 7, 8528.0), Point("payload_bits/down", 7, 17056.0),
    }  # fmt: skip


def test_what_is_not_a_number_is_no_point() -> None:
    for loss in (None, math.nan, math.inf):
        assert "loss" not in {point.name for point in points_of(round_event(7, loss=loss))}


def test_private_rounds_have_what_was_spent() -> None:
    spent = {p.name: p.value for p in points_of(round_event(19, epsilon=0.1))}
    assert spent["epsilon"] == 2.0
    spent = {p.name: p.value for p in points_of(round_event(199, epsilon=0.1), delta=1e-5)}
    assert spent["epsilon"] == advanced(0.1, 200, 1e-5) < 20


def test_metrics_are_a_mean_and_one_curve_per_site() -> None:
    event = {
        "event": "metrics", "round": 10, "metrics": {"accuracy": 0.8},
        "sites": {
            "alice": {"examples": 5, "metrics": {"accuracy": 0.7}, "round": 9}, "b/b": {"metrics": {"accuracy": 0.9}},
            "no values": {},
        },
    }  # fmt: skip
    assert list(points_of(event)) == [
        Point("accuracy", 10, 0.8), Point("accuracy/alice", 9, 0.7), Point(f"accuracy/{safe('b/b')}", 10, 0.9),
    ]  # fmt: skip


def test_other_events_have_no_points() -> None:
    assert not list(points_of({"event": "joined", "process": "a"}))


def test_names_are_plain_and_stay_distinct() -> None:
    names = ["a b", "a_b", "a/b", "..", "ä", "a=b"]
    assert len({safe(name) for name in names}) == len(names)
    assert all(safe(name).replace("-", "").replace("_", "").replace(".", "").isalnum() for name in names)


def test_the_log_has_losses_and_metrics() -> None:
    notes = {1: {"loss": 0.25, "metrics": {}}, 0: {"loss": None, "metrics": {"accuracy": 0.5}}}
    assert list(RunSoFar("ab", history=notes).points()) == [Point("accuracy", 0, 0.5), Point("loss", 1, 0.25)]
