"""Step sizes by round."""

from __future__ import annotations

import math

from gradwire.common.errors import SpecError

SCHEDULES = ("constant", "inverse_sqrt", "step")


def check_rate(name: str, lr: float, schedule: str, every: int, factor: float) -> None:
    """Check the parameters of a step size.

    Args:
        name: of the optimizer, for errors.
        lr: the rate of round 0.
        schedule: one of ``SCHEDULES``.
        every: rounds between reductions, for ``step``.
        factor: of each reduction, for ``step``.

    Raises:
        SpecError: one of them is out of range.
    """
    if not 0 < lr < math.inf:
        raise SpecError(f"{name}: lr is {lr}, expected a positive finite number")
    if schedule not in SCHEDULES:
        raise SpecError(f"{name}: schedule is {schedule!r}, expected {', '.join(SCHEDULES)}")
    if every < 1:
        raise SpecError(f"{name}: every is {every}, expected a number of rounds, at least 1")
    if not 0 < factor <= 1:
        raise SpecError(f"{name}: factor is {factor}, expected above 0 and at most 1")


def rate(lr: float, schedule: str, every: int, factor: float, round_: int) -> float:
    """The step size of round t: lr, lr / sqrt(t + 1), or lr * factor^(t // every).

    Args:
        lr, schedule, every, factor: as for ``check_rate``.
        round_: t, from 0.
    """
    if schedule == "inverse_sqrt":
        return lr / math.sqrt(round_ + 1)
    if schedule == "step":
        for _ in range(round_ // every):  # products, not a power: the same bits from every C library
            lr *= factor
    return lr
