"""The mean inverse of the best of several independent attempts."""

from __future__ import annotations

import math

import numpy as np

_REACH = 14.0  # standard deviations, in the logarithm of the odds, on either side
_STEPS = 2801


def inverse_of_best(mean: float, spread: float, attempts: int) -> float:
    """E[1 / X] for X the largest of ``attempts`` independent beta variables, such as squared cosines.

    Computed as a sum over the log-odds ln(X / (1 - X)), whose density is bell-shaped for all parameters.

    Args:
        mean: of one variable, above 0 and below 1.
        spread: the variance of one, over the square of its mean; with none the answer is 1 / ``mean``.
        attempts: at least 1.

    >>> round(inverse_of_best(0.6, 1 / 9, 1), 6)  # parameters 3 and 2
    2.0
    >>> inverse_of_best(0.5, 0.0, 7)
    2.0
    """
    if spread <= 0:
        return 1 / mean
    total = (1 - mean) / (mean * spread) - 1
    a, b = mean * total, (1 - mean) * total
    odds = math.log(a / b) + math.sqrt(1 / a + 1 / b) * np.linspace(-_REACH, _REACH, _STEPS)
    # X is 1 / (1 + e^-odds), and its density in the odds X^a (1 - X)^b.
    log_density = -a * np.logaddexp(0, -odds) - b * np.logaddexp(0, odds)
    law = np.exp(log_density - log_density.max())
    below = np.cumsum(law) / law.sum()
    of_best = np.diff(below**attempts, prepend=0.0)
    return float(of_best @ (1 + np.exp(-odds)))
