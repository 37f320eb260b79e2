"""``simq-theorem-3-1``: what is measured agrees with closed forms, and the quantizers keep the paper's bits."""

import math

import pytest

from gradwire.bench.papers.experiments.simq_theorem_3_1 import SimqTheorem31, aguq, bits_at, statement, unit
from gradwire.bench.papers.simq_bounds import draws, simq_plus_bits, upper_bits


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0, 4.0, 8.0, math.inf])
@pytest.mark.parametrize("dim", [16, 100, 1024])
def test_our_quantizer_is_never_longer_than_the_theorem(p: float, dim: int) -> None:
    found = bits_at(dim, p)
    whole = math.ceil(upper_bits(dim, p))  # a payload has whole bits (S7)
    assert found["bits"] <= whole and found["upper"] == upper_bits(dim, p)
    assert found["lower"] <= found["bits"]


def test_the_bound_of_simq_plus_is_the_theorems_at_the_classic_rate() -> None:
    assert simq_plus_bits(1024, draws(1024, 2)) == pytest.approx(upper_bits(1024, 2), rel=0.2)


@pytest.mark.parametrize("at", ["flat", "one", "decaying"])
def test_measured_second_moments_are_the_closed_form(at: str) -> None:
    found = statement("Theorem 4.2", 3.0, at, 400)
    assert abs(found["moment"] - found["exact"]) <= 5 * found["error"] + 1e-6
    assert found["exact"] <= found["bound"] and found["bias"] <= 2 * found["by_chance"]


def test_inputs_lie_on_the_sphere() -> None:
    for q in (1.5, 2.0, 3.0, math.inf):
        norm = float((abs(unit("decaying", 50, q)) ** q).sum() ** (1 / q)) if q < math.inf else 1.0
        assert norm == pytest.approx(1, abs=1e-4)


def test_the_bias_of_aguq_is_below_what_is_stated() -> None:
    for horizon in (10, 1000):
        found = aguq(horizon)
        assert 0 < found["bias"] <= found["stated"] and found["moment"] <= found["bound"]


def test_every_kind_of_case_is_there() -> None:
    kinds = {case["kind"] for case in SimqTheorem31().cases(full=False)}
    assert kinds == {"statement", "remark 8", "aguq", "bits"}
