"""Progress on standard output: every event in JSON or in words, round events thinned out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gradwire.server.progress import ProgressFormat, reporter

SUMMARY = {
    "rounds": 3, "loss": None, "metrics": {"accuracy": 0.91234},
    "uplink": {"payload_bits": 94, "message_bytes": 36}, "digest": "0" * 16,
    "downlink": {"payload_bits": 188, "message_bytes": 40}, "predicted_equals_measured": True, "replicas_agree": False,
    "replicas_checked": 1, "processes": 2,
}  # fmt: skip
LINES = {
    "listening on 127.0.0.1:5, run ab, round 0": {
        "event": "listening", "address": "127.0.0.1:5", "run_id": "ab", "round": 0, "rounds": 3, "over": False,
    },
    "w joined: 1 of 2 workers": {"event": "joined", "process": "w", "workers": [0], "live": 1, "expected": 2},
    "w left: 0 of 2 workers": {"event": "left", "process": "w", "workers": [0], "live": 0, "expected": 2},
    "round 3 of 3: loss 0.1235, 94 bits up, 188 bits down": {
        "event": "round", "round": 2, "rounds": 3, "loss": 0.123456, "uplink_bits": 94, "downlink_bits": 188,
        "seconds": 1.0,
    },
    "round 3 of 3: loss —, 94 bits up, 188 bits down": {
        "event": "round", "round": 2, "rounds": 3, "loss": None, "uplink_bits": 94, "downlink_bits": 188,
        "seconds": 1.0,
    },
    "round 3 has waited 0:01:15 for alice, bob and 2 more": {
        "event": "pending", "round": 2, "seconds": 75.0, "workers": 5, "processes": ["alice", "bob"], "more": 2,
    },
    "after 2 rounds: accuracy 0.9123, distance 1.5": {
        "event": "metrics", "round": 2, "metrics": {"accuracy": 0.91234, "distance": 1.5},
    },
    "after 2 rounds: accuracy 0.9 (0.8 to 0.95), 2 of 3 sites": {
        "event": "metrics", "round": 2, "metrics": {"accuracy": 0.9}, "metrics_min": {"accuracy": 0.8},
        "metrics_max": {"accuracy": 0.95}, "sites_evaluated": 2, "sites_evaluating": 3,
    },
    "w differed in round 4 and is sent the server's model": {"event": "resync", "process": "w", "round": 4},
    "the run is finished; waiting 15 s to check the replicas of workers [1, 2]": {
        "event": "waiting", "seconds": 15.0, "workers": [1, 2],
    },
}  # fmt: skip


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in its last element."""
    now = [0.0]
    monkeypatch.setattr("gradwire.server.progress.time.monotonic", lambda: now[-1])
    return now


def round_event(round_: int, rounds: int = 10) -> dict[str, Any]:
    return {
        "event": "round", "round": round_, "rounds": rounds, "loss": 1.0, "uplink_bits": 8, "downlink_bits": 8,
        "seconds": float(round_),
    }  # fmt: skip


@pytest.mark.parametrize(("line", "event"), LINES.items())
def test_an_event_in_words(line: str, event: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    reporter(ProgressFormat.LINES)(event)
    assert capsys.readouterr().out == line + "\n"


def test_the_end_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    reporter(ProgressFormat.LINES)({"event": "finished", "summary": SUMMARY})
    assert capsys.readouterr().out.splitlines() == [
        "finished: 3 rounds, loss —, accuracy 0.9123",
        "up 94 bits in 36 bytes of messages",
        "down 188 bits in 40 bytes of messages",
        "predicted bytes were measured: yes",
        "replicas agree: NO (digest 0000000000000000, 1 of 2 checked)",
    ]


def test_json_is_the_event_itself_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    report = reporter(ProgressFormat.JSON)
    for event in LINES.values():
        report(event)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == list(LINES.values())


def test_nothing_is_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    reporter(ProgressFormat.NONE)(round_event(0))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("form", "every"), [(ProgressFormat.JSON, 0.05), (ProgressFormat.LINES, 2.0)])
def test_rounds_that_follow_closely_are_left_out_but_never_the_last(
    form: ProgressFormat, every: float, clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    report = reporter(form)
    for round_, time in enumerate([0, 0.5, 0.99, 1, 1.5, 2.5, 2.6, 2.7, 2.8, 2.9]):
        clock.append(time * every)
        report(round_event(round_))
    lines = capsys.readouterr().out.splitlines()
    shown = [json.loads(x)["round"] if form is ProgressFormat.JSON else int(x.split()[1]) - 1 for x in lines]
    assert shown == [0, 3, 5, 9]


def test_other_events_are_never_left_out(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    report = reporter(ProgressFormat.LINES)
    for _ in range(3):
        report({"event": "resync", "process": "w", "round": 4})
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_how_long_it_will_take_is_told_from_the_second_line_on(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    report = reporter(ProgressFormat.LINES)
    for round_, seconds in ((0, 3.0), (1, 6.0), (9, 30.0)):
        clock.append(seconds)
        report({**round_event(round_), "seconds": seconds})
    first, second, last = capsys.readouterr().out.splitlines()
    assert second.endswith(", ETA 0:00:24") and "ETA" not in first + last
