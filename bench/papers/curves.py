"""One run of an experiment as a curve: a measure of the model by round, and what a round cost in each direction."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

from gradwire.common.errors import DivergenceError, NotFiniteError
from gradwire.common.training.config import RunConfig
from gradwire.deploy.in_process.run import train

NEVER = 1 << 30  # rounds between digests: longer than any run, for one process has one replica


def curve(metric: str, *, allow_import: Collection[str] = (), **settings: Any) -> dict[str, Any] | None:
    """Train in this process; JSON values, or None if the run diverged.

    Args:
        metric: of the task's ``evaluate``, which is called after every round, or as ``evaluate_every`` says.
        allow_import: as in ``train``.
        settings: of the run, as ``RunConfig`` has them.

    Returns:
        ``values``, the metric after each of ``rounds``, the first of which is 0; and the means over workers and rounds
        of what was measured: ``bits`` of a payload, ``up`` and ``down`` in payload bytes. All workers are in one
        process, which receives one copy of what each worker would receive.
    """
    config = RunConfig(**{"evaluate_every": 1, "digest_every": NEVER, **settings})
    try:
        summary = train(config, allow_import=allow_import).summary
    except (NotFiniteError, DivergenceError):
        return None
    pushes = config.rounds * config.workers
    history = [row for row in summary["history"] if metric in row]
    return {
        "rounds": [row["round"] for row in history],
        "values": [row[metric] for row in history],
        "bits": summary["uplink"]["payload_bits"] / pushes,
        "up": summary["uplink"]["payload_bytes"] / pushes,
        "down": summary["downlink"]["payload_bytes"] / config.rounds,
    }


def first_at_most(values: Sequence[float | None], threshold: float) -> int | None:
    """The first round after which the metric is at most that; None if there is none.

    >>> first_at_most([8.0, 4.0, 1.0, 2.0], 2.0)
    2
    """
    return next((i for i, value in enumerate(values) if value is not None and value <= threshold), None)


def mean_and_deviation(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean and standard deviation (n - 1 in the denominator); None where there are too few values.

    >>> mean_and_deviation([1.0, 3.0])
    (2.0, 1.4142135623730951)
    """
    if not values:
        return None, None
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return mean, None
    return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))


def plus_minus(values: Sequence[float], digits: int = 3) -> str | None:
    """Mean ± standard deviation as text, with so many significant digits of the mean; None for no values.

    >>> plus_minus([0.1, 0.3])
    '0.2 ± 0.14'
    """
    mean, deviation = mean_and_deviation(values)
    if mean is None:
        return None
    return f"{mean:.{digits}g}" if deviation is None else f"{mean:.{digits}g} ± {deviation:.2g}"
