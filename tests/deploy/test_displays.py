"""What a run looks like: lines, the live table, the report at its end, and the state they draw from."""

import io
import math
from typing import Any

import pytest
from rich.console import Console

from gradwire.common.privacy.statement import privacy_statement
from gradwire.deploy.run.live import Lines, LiveTable, display_for, live_table, status_line
from gradwire.deploy.run.report import byte_table, closing_lines, print_report
from gradwire.deploy.run.view import View
from gradwire.deploy.units import counted, duration, human, number
from tests.deploy.fakes import summary

LISTENING = {"event": "listening", "address": "127.0.0.1:1", "run_id": "0a", "round": 0}
JOINED = {"event": "joined", "process": "worker-0", "workers": [0, 1], "live": 2, "expected": 4}


def round_event(round_: int, **changes: Any) -> dict[str, Any]:
    row = {"event": "round", "round": round_, "rounds": 100, "loss": 0.5, "workers": 4, "uplink_bits": 8528,
           "downlink_bits": 17056, "uplink_bytes": 1100 * (round_ + 1), "downlink_bytes": 2200 * (round_ + 1),
           "seconds": 1.0}  # fmt: skip
    return {**row, **changes}


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def plain(clock: Clock | None = None, **settings: Any) -> tuple[Lines, io.StringIO]:
    out = io.StringIO()
    clock = clock or Clock()
    return Lines(View(100, 4), Console(file=out), clock=clock, **settings), out


def text_of(renderable: Any) -> str:
    out = io.StringIO()
    Console(file=out, width=100).print(renderable)
    return out.getvalue()


def test_the_first_warning_of_each_process_is_shown_once() -> None:
    lines, out = plain()
    for name in ("worker-0", "worker-1"):
        lines.log(name, "gradwire worker: joined as worker-0")
        for round_ in range(3):
            lines.log(name, f"gradwire worker: WARNING: round {round_} is odd")
    lines.log("worker-2", "gradwire worker: WARNING: the disk is full")
    assert out.getvalue() == (
        "worker-0: round 0 is odd; pass --verbose to see the rest\n"
        "worker-2: the disk is full; pass --verbose to see the rest\n"
    )


def test_a_line_every_two_seconds() -> None:
    clock = Clock()
    lines, out = plain(clock)
    for event in (LISTENING, JOINED, {**JOINED, "process": "worker-1"}):
        lines.show(event)
    for round_ in range(17):
        lines.show(round_event(round_, seconds=0.125 * round_))
        lines.tick()
        clock.now += 0.125
    assert out.getvalue() == (
        "round 17/100  loss 0.5  up 2.13 kbit per worker and round  down 8.53 kbit per process  "
        "total 18.7 kB up, 37.4 kB down  8 rounds/s  ETA 0:00:10\n"
    )
    clock.now += 2.0
    lines.tick()
    assert out.getvalue().count("\n") == 1  # nothing new to tell


def test_the_last_round_is_told_at_the_end() -> None:
    lines, out = plain()
    lines.show(round_event(99, loss=None))
    lines.show({"event": "finished", "summary": {}})
    assert out.getvalue().startswith("round 100/100  loss —")


def test_what_private_pushes_cost_is_told_while_they_run() -> None:
    view = View(100, 4, max_epsilon=8.0, delta=1e-5)
    view.apply(round_event(49, epsilon=0.1))
    told = "epsilon 0.1 per push, 2.845 spent at delta 1e-05 (their sum is 5) of 8"
    assert told in status_line(view) and told in text_of(live_table(view))
    view.apply(round_event(50))
    assert view.privacy is None and "privacy" not in text_of(live_table(view))


def test_what_private_pushes_cost_is_told_at_the_end() -> None:
    told = privacy_statement(0.1, 50, 8.0, 1e-5)
    lines = closing_lines({**summary(4), "restarts": {}, "privacy": told})
    assert lines[1] == (
        "privacy of a worker's inputs: epsilon 0.1 per push, 5 (pure), 3.643 (advanced), 2.845 (tightest) "
        "in 50 pushes at delta 1e-05 of 8"
    )
    pure = closing_lines({**summary(4), "restarts": {}, "privacy": privacy_statement(0.1, 50, 0.0, 0.0)})
    assert pure[1] == "privacy of a worker's inputs: epsilon 0.1 per push, 5 (pure) in 50 pushes"
    assert privacy_statement(math.inf, 50, 8.0, 0.0) is None


def test_metrics_of_an_earlier_model_say_so() -> None:
    view = View(100, 4)
    view.apply(round_event(9))
    view.apply({"event": "metrics", "round": 10, "metrics": {"accuracy": 0.91}})
    assert "accuracy 0.91  up" in status_line(view)
    view.apply(round_event(10))
    assert "accuracy 0.91 (after 10)  up" in status_line(view)


def test_metrics_of_several_sites_have_their_range_and_no_late_report_goes_back() -> None:
    view = View(100, 4)
    view.apply(round_event(9))
    found = {
        "metrics": {"accuracy": 0.91},
        "metrics_min": {"accuracy": 0.8},
        "metrics_max": {"accuracy": 0.95},
    }
    view.apply({"event": "metrics", "round": 10, **found})
    assert "accuracy 0.91 (0.8 to 0.95)  up" in status_line(view)
    view.apply({"event": "metrics", "round": 5, "metrics": {"accuracy": 0.5}})
    assert "accuracy 0.91 (0.8 to 0.95)  up" in status_line(view)


def test_outcome_of_an_earlier_model_says_so() -> None:
    last = {"metrics": {}, "metrics_round": 1, "last_metrics": {"accuracy": 0.9}}
    assert closing_lines({**summary(4), "restarts": {}, **last})[0].endswith(
        "loss 0.25, last evaluated after round 1 of 3: accuracy 0.9"
    )


def test_local_steps_stand_with_the_rounds() -> None:
    local = "local(steps=50, optimizer=sgd(lr=0.05))"
    assert closing_lines({**summary(4), "restarts": {}, "local": local})[0].startswith(
        "3 rounds of 50 local steps in 1.5 s"
    )


def test_missing_workers_are_told() -> None:
    lines, out = plain()
    for event in (JOINED, {**JOINED, "process": "worker-1"}, round_event(0)):
        lines.show(event)
    lines.show({"event": "left", "process": "worker-1", "live": 2})
    lines.show({"event": "finished", "summary": {}})
    assert out.getvalue().endswith("2 of 4 workers\n")


def test_remarks_come_at_once_and_logs_on_demand() -> None:
    lines, out = plain()
    lines.log("worker-0", "quiet")
    lines.note("a [remark] of any length " + "x" * 200)
    lines.show({"event": "resync", "process": "worker-1", "round": 7})
    lines.show({"event": "warning", "message": "the log would grow"})
    lines.verbose = True
    lines.log("worker-0", "loud")
    assert out.getvalue().splitlines() == [
        "a [remark] of any length " + "x" * 200,
        "worker-1 differed from the server after round 7 and received its model",
        "warning: the log would grow",
        "worker-0: loud",
    ]


@pytest.mark.parametrize(
    ("done", "line"), [(0, ""), (40, "resuming after round 40\n"), (100, "the run is complete: 100 rounds\n")]
)
def test_a_resumed_run_says_so(done: int, line: str) -> None:
    lines, out = plain()
    lines.show({**LISTENING, "round": done})
    assert out.getvalue() == line


def test_bytes_are_those_of_the_whole_run_as_the_server_tells_them() -> None:
    view = View(100, 4)
    view.apply(LISTENING)
    view.apply(JOINED)
    view.apply(round_event(9))
    view.apply({**LISTENING, "round": 10})
    assert view.live == {} and view.round == 10
    view.apply(round_event(10, uplink_bytes=12_100, downlink_bytes=24_200))
    assert (view.uplink.message_bytes, view.downlink.message_bytes) == (12_100, 24_200)


def test_how_long_it_will_take_is_told_from_the_second_round_on() -> None:
    view = View(100, 4)
    view.apply(round_event(0, seconds=2.0))
    assert view.rate is None and view.remaining is None
    assert "ETA" not in status_line(view) and "ETA" not in text_of(live_table(view))
    view.apply(round_event(1, seconds=42.0))
    assert view.remaining == 98 * 40.0
    assert "ETA 1:05:20" in status_line(view) and "ETA 1:05:20" in text_of(live_table(view))


STATE = {
    "event": "state", "run_id": "0a", "rounds": 100, "workers": 4, "max_epsilon": 0.0, "delta": 0.0, "epsilon": None,
    "round": 40, "finished": False, "loss": 0.25, "metrics": {"accuracy": 0.9}, "metrics_round": 40, "seconds": 80.0,
    "uplink_bytes": 44_000, "downlink_bytes": 88_000, "resyncs": 0, "live": {"alice": 1, "bob": 3}, "history": [],
}  # fmt: skip


def test_a_state_is_the_whole_view() -> None:
    view = View()
    view.apply(STATE)
    text = text_of(live_table(view))
    for part in ("round 40/100", "0.25", "accuracy 0.9", "44.0 kB so far", "4 of 4 connected"):
        assert part in text
    assert "0 bit" not in text and "ETA" not in text
    view.apply(round_event(40, seconds=82.0))
    assert view.remaining == 59 * 2.0


def test_who_is_waited_for_is_shown_until_the_round_ends() -> None:
    waits = {
        "event": "pending",
        "round": 40,
        "seconds": 75.2,
        "workers": 3,
        "processes": ["bob", "eve"],
        "more": 2,
    }
    view = View()
    for event in (STATE, waits):
        view.apply(event)
    assert "for bob, eve and 2 more, 0:01:15" in text_of(live_table(view))
    view.apply(round_event(40))
    assert "bob" not in text_of(live_table(view))
    first = View(100, 4)
    first.apply({**waits, "round": 0})
    assert "for bob, eve and 2 more" in text_of(live_table(first))


def test_lines_say_now_and_then_who_is_waited_for() -> None:
    lines, out = plain()
    for seconds in (2.0, 9.0, 10.0, 11.0, 19.0, 21.0, 30.0, 41.0):
        lines.show({"event": "pending", "round": 2, "seconds": seconds, "processes": ["bob"], "more": 0})
    assert out.getvalue().splitlines() == [
        "round 3 has waited 0:00:10 for bob",
        "round 3 has waited 0:00:21 for bob",
        "round 3 has waited 0:00:41 for bob",
    ]


def test_what_each_site_measured_is_in_the_table() -> None:
    view = View()
    sites = {f"site-{i}": {"examples": 10, "metrics": {"accuracy": 0.5 + i / 100}} for i in range(10)}
    for event in (STATE, {"event": "metrics", "round": 40, "metrics": {"accuracy": 0.55}, "sites": sites}):
        view.apply(event)
    text = text_of(live_table(view))
    assert "accuracy 0.55" in text and "site-7" in text and "accuracy 0.57" in text
    assert "site-8" not in text and "and 2 sites more" in text


def test_unknown_events_change_nothing() -> None:
    view = View(100, 4)
    view.apply({"event": "weather", "rain": True})
    assert view == View(100, 4)


def test_the_live_table() -> None:
    view = View(100, 4)
    assert text_of(live_table(view)) == "0 of 4 workers connected …\n"
    for event in (
        LISTENING,
        JOINED,
        round_event(16),
        {"event": "metrics", "round": 10, "metrics": {"accuracy": 0.91}},
    ):
        view.apply(event)
    text = text_of(live_table(view))
    for part in (
        "round 17/100",
        "0.5",
        "accuracy 0.91 (after 10)",
        "2.13 kbit per worker and round",
        "18.7 kB so far",
        "2 of 4 connected",
    ):
        assert part in text


def test_a_terminal_gets_the_live_table() -> None:
    out = io.StringIO()
    view = View(100, 4)
    with display_for(Console(file=out, force_terminal=True, width=100), view) as display:
        assert isinstance(display, LiveTable)
        display.show(round_event(3))
        display.note("a remark")
        display.tick()
    assert "round 4/100" in out.getvalue() and "a remark" in out.getvalue()
    assert not isinstance(display_for(Console(file=out), view), LiveTable)


def test_the_byte_table() -> None:
    table = summary(4, rounds=100, uplink={"payload_bits": 852_800, "payload_bytes": 106_800, "message_bytes": 110_000,
                                           "tcp_bytes": None})  # fmt: skip
    lines = [line.split() for line in text_of(byte_table(table)).splitlines()]
    assert ["payload", "bits", "24", "852,800", "2.13", "kbit"] in lines
    assert ["payload", "bytes", "6", "106,800", "267", "B"] in lines
    assert ["TCP", "bytes", "—", "—", "—"] not in lines and ["TCP", "bytes", "18", "—", "—"] in lines
    assert ["TCP", "bytes", "18", "18", "0.09", "B"] in lines  # downlink, over 100 rounds and 2 processes


def test_tcp_bytes_that_a_killed_server_took_with_it_are_not_passed_over() -> None:
    tcp = {"retransmitted": 0, "connections": 4, "complete": False}
    lines = [line.split() for line in text_of(byte_table(summary(4, rounds=100, tcp=tcp))).splitlines()]
    assert ["TCP", "bytes", "18", "≥", "18", "0.09", "B"] in lines
    unknown = summary(4, rounds=100, tcp={"retransmitted": None, "connections": None, "complete": False})
    assert "≥" not in text_of(byte_table(unknown))


def test_rounds_of_an_earlier_server_are_not_divided_by() -> None:
    lines = text_of(byte_table(summary(4, rounds=100, first_round=99))).splitlines()
    assert lines[2].split() == ["payload", "bits", "24", "24", "6", "bit"]


def test_the_closing_lines() -> None:
    lines = closing_lines({**summary(4), "restarts": {"worker-1": 2}, "resyncs": 1})
    assert lines == [
        "3 rounds in 1.5 s (2 rounds/s), loss 0.25, accuracy 0.9",
        "predicted bytes were measured: yes",
        "replicas agree: yes (digest 00ff, 2 of 2 checked)",
        "interruptions survived: worker-1 restarted 2 times, 1 resync",
    ]
    local = closing_lines({**summary(4), "restarts": {}, "record_bytes_per_round": 24_800})
    assert local[-1] == "workers' records: 24.8 kB written per round"
    broken = closing_lines(
        {**summary(4, replicas_agree=False, predicted_equals_measured=False), "restarts": {}}
    )
    assert (
        "predicted bytes were measured: NO" in broken
        and "replicas agree: NO (digest 00ff, 2 of 2 checked)" in broken
    )


def test_the_last_server_speaks_for_its_own_rounds() -> None:
    lines = closing_lines({**summary(4, rounds=800, first_round=452), "restarts": {}})
    assert lines[0].startswith("800 rounds, the last 348 counted here in 1.5 s (2 rounds/s)")


def test_a_run_without_rounds_left_has_no_byte_table() -> None:
    out = io.StringIO()
    nothing = {"payload_bits": 0}
    print_report(Console(file=out), {**summary(4, uplink=nothing), "restarts": {}})
    assert "payload" not in out.getvalue() and "replicas agree" in out.getvalue()


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "B", "0 B"), (267, "B", "267 B"), (188.4, "B", "188 B"), (0.5, "bit", "0.50 bit"), (999, "B", "999 B"),
        (999.6, "B", "1.00 kB"), (2132, "bit", "2.13 kbit"), (3_180_040, "B", "3.18 MB"), (99_960, "B", "100 kB"),
        (999_499, "B", "999 kB"), (999_500, "B", "1.00 MB"), (5e18, "B", "5000 PB"),
    ],
)  # fmt: skip
def test_sizes(value: float, unit: str, text: str) -> None:
    assert human(value, unit) == text


def test_other_units() -> None:
    assert [duration(s) for s in (8.31, 59.96, 75, 7265)] == ["8.3 s", "60.0 s", "1 min 15 s", "2 h 1 min"]
    assert [counted(n, "process") for n in (0, 1, 2)] == ["0 processes", "1 process", "2 processes"]
    assert [number(v) for v in (0.53217, 12345.678, None)] == ["0.5322", "1.235e+04", "—"]
