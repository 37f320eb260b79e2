"""Composition against the exact law of repeated randomised response, and against what must hold of any accountant."""

import math
import subprocess
import sys

import pytest
from scipy.special import gammaln

from gradwire.common.errors import ConfigError
from gradwire.common.privacy.accounting import (
    LONGEST_PLD,
    advanced,
    affordable,
    check_delta,
    check_epsilon,
    epsilon_for,
    pure,
    spent,
    tightest,
)
from tests.grids import rest_slow


def exact(epsilon: float, pushes: int, delta: float) -> float:
    """[KOV] Theorem 3.3, from the binomial law itself.

    Of ``pushes`` answers to the question which of two inputs it is, j are true; the loss is (2j - pushes) epsilon, and
    delta(e) is the mean of (1 - e^(e - loss))+.
    """
    n = pushes
    terms = []
    for j in range(n + 1):
        log_mass = gammaln(n + 1) - gammaln(j + 1) - gammaln(n - j + 1)
        log_mass += j * -math.log1p(math.exp(-epsilon)) + (n - j) * -math.log1p(math.exp(epsilon))
        terms.append(((2 * j - n) * epsilon, math.exp(log_mass)))

    def delta_at(value: float) -> float:
        return math.fsum(mass * -math.expm1(value - loss) for loss, mass in terms if loss > value)

    low, high = 0.0, n * epsilon
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (low, middle) if delta_at(middle) <= delta else (middle, high)
    return high


CASES = [(0.1, 200), (1.0, 10), (0.02, 2000), (4.0, 5), (0.5, 1), (3.0, 60), (0.004, 40_000)]


@pytest.mark.parametrize(("epsilon", "pushes"), CASES)
@pytest.mark.parametrize("delta", rest_slow([1e-5, 1e-3, 1e-9]))
def test_tightest_is_the_optimal_composition(epsilon: float, pushes: int, delta: float) -> None:
    wanted = exact(epsilon, pushes, delta)
    assert tightest(epsilon, pushes, delta) == pytest.approx(wanted, rel=1e-3)
    assert tightest(epsilon, pushes, delta) >= wanted * (1 - 1e-12)


@pytest.mark.parametrize(("epsilon", "pushes"), CASES)
def test_accountants_are_in_order(epsilon: float, pushes: int) -> None:
    for delta in (1e-3, 1e-5, 1e-9):
        costs = [f(epsilon, pushes, delta) for f in (tightest, advanced)] + [pure(epsilon, pushes)]
        assert costs == sorted(costs)


@pytest.mark.parametrize("accountant", [tightest, advanced])
def test_cost_is_monotone(accountant: object) -> None:
    assert callable(accountant)
    by_pushes = [accountant(0.3, pushes, 1e-5) for pushes in range(1, 120)]
    by_epsilon = [accountant(epsilon / 50, 40, 1e-5) for epsilon in range(1, 120)]
    assert by_pushes == sorted(by_pushes) and by_epsilon == sorted(by_epsilon)


def test_without_delta_only_the_sum_holds() -> None:
    assert pure(0.25, 8) == advanced(0.25, 8, 0) == tightest(0.25, 8, 0) == 2.0


def test_long_runs_are_bounded_in_closed_form() -> None:
    beyond = LONGEST_PLD + 1
    assert tightest(1e-3, beyond, 1e-5) == advanced(1e-3, beyond, 1e-5)
    assert tightest(1e-3, beyond - 1, 1e-5) < advanced(1e-3, beyond - 1, 1e-5) < pure(1e-3, beyond - 1)
    assert tightest(600.0, 3, 1e-5) == 1800.0
    assert 0.99 * 25 * 28.5 < tightest(28.5, 25, 1e-5) <= 25 * 28.5


@pytest.mark.parametrize(
    ("budget", "epsilon", "delta"),
    [
        (8, 0.4, 0.0),
        (0.3, 0.1, 0.0),
        (8, 0.4, 1e-5),
        (2, 0.05, 1e-5),
        (8, 8, 1e-5),
        (1, 2, 1e-5),
        (1, 2, 0.0),
    ],
)
def test_affordable_count_is_the_largest(budget: float, epsilon: float, delta: float) -> None:
    pushes = affordable(budget, epsilon, delta)
    assert tightest(epsilon, pushes, delta) <= budget * (1 + 1e-8)
    assert tightest(epsilon, pushes + 1, delta) > budget


def test_nothing_is_affordable_without_privacy() -> None:
    assert affordable(8.0, math.inf) == affordable(8.0, math.inf, 1e-5) == 0


@pytest.mark.parametrize(("budget", "pushes"), [(8.0, 1), (8.0, 200), (2.0, 200), (0.5, 10)])
@pytest.mark.parametrize("delta", [0.0, 1e-5])
def test_epsilon_for_pushes_pays_for_them(budget: float, pushes: int, delta: float) -> None:
    epsilon = epsilon_for(budget, pushes, delta)
    assert affordable(budget, epsilon, delta) >= pushes
    assert epsilon == budget or affordable(budget, epsilon * (1 + 1e-6), delta) < pushes


def test_report_has_every_accountant() -> None:
    assert spent(0.1, 200, 0.0) == {"pure": pytest.approx(20.0), "advanced": None, "tightest": None}
    costs = spent(0.1, 200, 1e-5)
    assert costs == {
        "pure": pytest.approx(20.0),
        "advanced": advanced(0.1, 200, 1e-5),
        "tightest": tightest(0.1, 200, 1e-5),
    }


@pytest.mark.parametrize("epsilon", [0.0, -1.0, math.nan, math.inf, 1e300])
def test_bad_epsilon(epsilon: float) -> None:
    with pytest.raises(ConfigError, match=r"^max-epsilon is .*, expected above 0 and at most 10000"):
        check_epsilon(epsilon, "max-epsilon")


@pytest.mark.parametrize("delta", [0.0, -1e-5, 1.0, 1.5, math.nan, math.inf])
def test_bad_delta(delta: float) -> None:
    with pytest.raises(ConfigError, match=r"^delta is .*, expected inside \(0, 1\)"):
        check_delta(delta)


HIDE = """
import sys
sys.modules["dp_accounting"] = None
from gradwire.common.privacy import accounting
assert accounting.spent(0.1, 200, 1e-5)["tightest"] is None and accounting.affordable(8.0, 0.1) == 80
accounting.tightest(0.1, 200, 1e-5)
"""


def test_missing_dp_accounting() -> None:
    done = subprocess.run([sys.executable, "-c", HIDE], capture_output=True, text=True, check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and "ConfigError" in last and "pip install 'gradwire[privacy]'" in last
