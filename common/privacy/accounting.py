"""Composition: the privacy cost of many payloads, of one push, a run of T rounds, or a lifetime.

The model is local differential privacy: every reader of the payloads is the adversary, and any two inputs are
neighbours. A codec's ``epsilon`` bounds one payload: P(payload | x) <= e^epsilon P(payload | y) for any two gradients
x, y. This module bounds ``pushes`` such payloads of the same data, each drawn with fresh coins, where each gradient may
depend on all earlier payloads. There are three accountants, from the loosest to the tightest:

- ``pure``: the epsilons add up; holds with delta = 0;
- ``advanced``: [KOV] Theorem 3.4 for delta_i = 0, at (epsilon, delta);
- ``tightest``: the privacy loss distribution of the worst such randomiser, which is randomised response between two
  inputs with that epsilon ([KOV] Theorem 3.3), composed by dp-accounting, at (epsilon, delta).

Epsilons are natural logarithms throughout.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from gradwire.common.errors import ConfigError

MAX_EPSILON = 10_000.0  # e^epsilon overflows float64 by far: a larger one is no privacy
MAX_PUSHES = 1 << 40
LONGEST_PLD = 1 << 20  # pushes; the distribution has a point for each, and the advanced bound takes over
# Epsilons of one push: below, e^epsilon - 1 loses its digits; above, e^epsilon overflows.
_FINEST, _COARSEST = 1e-8, 500.0
_SLACK = 1 + 1e-9  # a budget of 0.3 pays for three pushes of 0.1 in spite of rounding


def check_epsilon(epsilon: float, name: str = "epsilon") -> float:
    """Check an epsilon: above 0, at most 10,000.

    Raises:
        ConfigError: zero, negative, not a number or absurdly large.
    """
    if not 0 < epsilon <= MAX_EPSILON:
        raise ConfigError(f"{name} is {epsilon:g}, expected above 0 and at most {MAX_EPSILON:g}, e.g. 8")
    return epsilon


def check_delta(delta: float) -> float:
    """Check a delta: inside (0, 1).

    Raises:
        ConfigError: anything else.
    """
    if not 0 < delta < 1:
        raise ConfigError(
            f"delta is {delta:g}, expected inside (0, 1), e.g. 1e-5; leave it out for pure privacy"
        )
    return delta


def require_accountant() -> None:
    """Check that dp-accounting is installed, before a run that needs it begins.

    Raises:
        ConfigError: it is not installed.
    """
    _dp_accounting()


def pure(epsilon: float, pushes: int) -> float:
    """Basic composition, delta = 0: the sum of the epsilons. Repeated randomised response attains it.

    >>> pure(0.5, 16)
    8.0
    """
    return pushes * epsilon


def advanced(epsilon: float, pushes: int, delta: float) -> float:
    """Advanced composition in its sharp closed form, never above the sum.

        k eps (e^eps - 1) / (e^eps + 1) + eps sqrt(2 k ln(1 / delta))

    Source: [KOV] Theorem 3.4.

    >>> round(advanced(0.1, 200, 1e-5), 3)
    7.785
    """
    if delta == 0:
        return pure(epsilon, pushes)
    drift = pushes * epsilon * math.tanh(epsilon / 2)
    return min(pure(epsilon, pushes), drift + epsilon * math.sqrt(-2 * pushes * math.log(delta)))


@lru_cache(maxsize=1 << 12)
def tightest(epsilon: float, pushes: int, delta: float) -> float:
    """The least epsilon that holds at ``delta`` for every such sequence of pushes, never above the sum.

    The loss of randomised response is ±epsilon, so a grid of that width holds its distribution without rounding. What
    the composition's Fourier transform rounds was measured below 4e-17 of probability per push: delta is lowered by
    more than that, so the result stays a guarantee. Above 2^20 pushes, and for a delta that small, it is ``advanced``.

    Raises:
        ConfigError: dp-accounting is not installed.

    >>> round(tightest(0.1, 200, 1e-5), 3)
    6.51
    """
    if delta == 0 or pushes == 0 or epsilon > _COARSEST:
        return pure(epsilon, pushes)
    reserve = 1e-14 + 1e-16 * pushes
    if pushes > LONGEST_PLD or epsilon < _FINEST or delta < 2 * reserve:
        return advanced(epsilon, pushes, delta)
    pld, common = _dp_accounting()
    one = pld.from_privacy_parameters(
        common.DifferentialPrivacyParameters(epsilon, 0), value_discretization_interval=epsilon
    )
    # A quotient may overflow: it then counts as infinite, and the closed form below holds.
    with np.errstate(over="ignore"):
        composed = float(one.self_compose(pushes).get_epsilon_for_delta(delta - reserve))
    return min(composed, advanced(epsilon, pushes, delta))


@lru_cache(maxsize=1 << 8)
def affordable(budget: float, epsilon: float, delta: float = 0.0) -> int:
    """The number of pushes of that epsilon that a budget pays for, by the tightest accountant; it may be 0.

    Raises:
        ConfigError: delta is not 0 and dp-accounting is not installed.

    >>> affordable(8.0, 0.1), affordable(8.0, 0.1, 1e-5)
    (80, 282)
    """
    if not math.isfinite(epsilon):
        return 0
    most = min(MAX_PUSHES, math.floor(budget * _SLACK / epsilon))
    if delta == 0:
        return most

    def fits(pushes: int) -> bool:
        return tightest(epsilon, pushes, delta) <= budget * _SLACK

    step = max(1, most)
    while most < MAX_PUSHES and fits(most + step):
        most, step = most + step, 2 * step
    while step > 1:
        step = (step + 1) // 2
        if fits(most + step):
            most += step
    return min(most, MAX_PUSHES)


def epsilon_for(budget: float, pushes: int, delta: float = 0.0) -> float:
    """The largest epsilon per push at which a budget pays for ``pushes``, to a relative error of 1e-9.

    Raises:
        ConfigError: delta is not 0 and dp-accounting is not installed.

    >>> epsilon_for(8.0, 80)
    0.1
    >>> round(epsilon_for(8.0, 282, 1e-5), 3)
    0.1
    """
    low, high = budget / pushes, budget
    if delta == 0:
        return low
    while high - low > 1e-9 * low:
        middle = (low + high) / 2
        low, high = (middle, high) if tightest(middle, pushes, delta) <= budget else (low, middle)
    return low


def spent(epsilon: float, pushes: int, delta: float) -> dict[str, float | None]:
    """The cost of ``pushes`` by each accountant; ``tightest`` is None where dp-accounting is not installed."""
    costs: dict[str, float | None] = {
        "pure": pure(epsilon, pushes),
        "advanced": advanced(epsilon, pushes, delta) if delta else None,
        "tightest": None,
    }
    if delta:
        try:
            costs["tightest"] = tightest(epsilon, pushes, delta)
        except ConfigError:
            return costs
    return costs


def _dp_accounting() -> tuple[Any, Any]:
    """The two modules that are used here; importing them takes a second."""
    try:
        from dp_accounting.pld import common, privacy_loss_distribution
    except ModuleNotFoundError as error:
        raise ConfigError(
            "accounting at a delta needs dp-accounting: pip install 'gradwire[privacy]', or leave --delta out"
        ) from error
    return privacy_loss_distribution, common
