"""How long a run will take: from its recent rounds, whatever stalled in between."""

import pytest

from gradwire.server.pace import Pace, clock_time


def paced(*steps: tuple[int, float]) -> Pace:
    """After rounds that came so many at a time, each step in so many seconds."""
    pace, round_, seconds = Pace(), 0, 0.0
    pace.add(round_, seconds)
    for rounds, took in steps:
        round_, seconds = round_ + rounds, seconds + took
        pace.add(round_, seconds)
    return pace


def test_one_round_says_nothing() -> None:
    pace = Pace()
    assert pace.rate is None and pace.remaining(10) is None
    pace.add(1, 5.0)
    assert pace.rate is None and pace.remaining(10) is None
    pace.add(2, 7.0)
    assert pace.rate == 0.5 and pace.remaining(10) == 16.0


def test_rounds_of_minutes_have_a_pace() -> None:
    assert paced(*[(1, 300.0)] * 3).rate == pytest.approx(1 / 300)


@pytest.mark.parametrize("stall", [60.0, 36_000.0])
def test_a_stalled_round_counts_as_five_at_most(stall: float) -> None:
    steady, stalled = paced(*[(1, 1.0)] * 12), paced(*[(1, 1.0)] * 6, (1, stall), *[(1, 1.0)] * 5)
    assert steady.rate == 1.0
    assert stalled.rate == pytest.approx(12 / (11 + 5))


def test_old_rounds_do_not_count() -> None:
    assert paced(*[(1, 1.0)] * 50, *[(1, 0.5)] * 40).rate == 2.0


def test_the_clock_of_the_run_stands_still_while_no_server_runs() -> None:
    pace = paced(*[(10, 1.0)] * 4)
    pace.add(50, 5.0)  # by the server that was started an hour later
    assert pace.rate == 10.0


def test_another_run_begins_anew() -> None:
    pace = paced(*[(1, 1.0)] * 5)
    pace.add(0, 0.0)
    assert pace.rate is None


def test_many_rounds_in_a_moment_are_few_points() -> None:
    pace = Pace()
    for round_ in range(100_000):
        pace.add(round_, round_ * 1e-4)
    assert pace.rate == pytest.approx(1e4) and len(pace._points) < 250


def test_the_last_round_is_near() -> None:
    assert paced((1, 1.0), (1, 1.0)).remaining(2) == 0.0


def test_a_time_span_in_words() -> None:
    assert [clock_time(s) for s in (0.4, 59.6, 3599.7, 86_400 * 5)] == [
        "0:00:00",
        "0:01:00",
        "1:00:00",
        "120:00:00",
    ]
