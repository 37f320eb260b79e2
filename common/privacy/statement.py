"""The privacy statement of a run, in its summary and while it runs."""

from __future__ import annotations

import math
from typing import Any

from gradwire.common.privacy.accounting import pure, spent, tightest


def privacy_statement(epsilon: float, pushes: int, budget: float, delta: float) -> dict[str, Any] | None:
    """The guarantee of each worker's data after so many pushes, as JSON; None where payloads are not private.

    Args:
        epsilon: of one push; infinite where it is not private.
        pushes: the most that any worker sent.
        budget: max_epsilon, 0 for none.
        delta: 0 for pure privacy.
    """
    if not math.isfinite(epsilon):
        return None
    return {
        "model": "local: the payloads of one worker, any two inputs",
        "epsilon_per_push": epsilon,
        "pushes": pushes,
        "delta": delta or None,
        "spent": spent(epsilon, pushes, delta),
        "max_epsilon": budget or None,
    }


def spent_in_words(epsilon: float, pushes: int, budget: float, delta: float) -> str:
    """One line for a terminal.

    >>> spent_in_words(0.1, 200, 8.0, 1e-5)
    'epsilon 0.1 per push, 6.51 spent at delta 1e-05 (their sum is 20) of 8'
    >>> spent_in_words(0.1, 20, 0.0, 0.0)
    'epsilon 0.1 per push, 2 spent'
    """
    total = pure(epsilon, pushes)
    text = f"epsilon {epsilon:.4g} per push, "
    least = tightest(epsilon, pushes, delta)
    text += f"{least:.4g} spent" + (f" at delta {delta:g} (their sum is {total:.4g})" if delta else "")
    return f"{text} of {budget:g}" if budget else text
