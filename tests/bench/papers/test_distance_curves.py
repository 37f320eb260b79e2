"""Runs as curves: what they hold, and the number of rounds to a threshold."""

import pytest

from gradwire.bench.papers.curves import curve, first_at_most, mean_and_deviation, plus_minus
from gradwire.common.codecs import parse

SETTINGS = {"task": "least_squares(samples=64, dim=8)", "workers": 4, "rounds": 5, "seed": 3}


@pytest.mark.parametrize(("codec", "downlink"), [("cross_polytope(repeats=2)", "log"), ("float32", "model")])
def test_a_curve_counts_what_was_sent(codec: str, downlink: str) -> None:
    found = curve("distance", codec=codec, downlink=downlink, optimizer="sgd(lr=0.1)", **SETTINGS)
    assert found is not None
    assert found["rounds"] == list(range(6)) and len(found["values"]) == 6
    made = parse(codec, 8)
    assert found["bits"] == made.nbits and found["up"] == made.nbytes
    assert found["down"] == (4 * made.nbytes if downlink == "log" else 4 * 8)


def test_exact_gradients_contract_and_repeat() -> None:
    runs = [curve("distance", codec="float32", optimizer="sgd(lr=0.5)", **SETTINGS) for _ in range(2)]
    assert runs[0] == runs[1] and runs[0] is not None
    assert all(b < a for a, b in zip(runs[0]["values"], runs[0]["values"][1:], strict=False))


def test_a_run_that_diverges_has_no_curve() -> None:
    settings = {**SETTINGS, "rounds": 100}
    assert curve("distance", codec="float32", optimizer="sgd(lr=1e6)", **settings) is None


def test_evaluations_may_be_rarer() -> None:
    found = curve("distance", codec="float32", optimizer="sgd(lr=0.1)", evaluate_every=2, **SETTINGS)
    assert found is not None and found["rounds"] == [0, 2, 4, 5] and len(found["values"]) == 4


def test_thresholds_and_deviations() -> None:
    assert first_at_most([3.0, 2.0, 1.0], 2.5) == 1 and first_at_most([3.0], 1.0) is None
    assert mean_and_deviation([]) == (None, None) and mean_and_deviation([4.0]) == (4.0, None)
    assert mean_and_deviation([1.0, 2.0, 3.0]) == (2.0, 1.0)
    assert plus_minus([]) is None and plus_minus([0.25]) == "0.25"
