"""Optimizers with a step size by round."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from gradwire.common.errors import SpecError
from gradwire.common.spec import Spec, parse_spec, spec_of
from gradwire.common.training.optimizers.base import Optimizer
from gradwire.common.training.optimizers.schedules import Schedule, Step, parse_schedule

STEP = Spec("step")
SMALLEST, LARGEST = float(np.finfo(np.float32).smallest_normal), float(np.finfo(np.float32).max)


def check_fraction(name: str, parameter: str, value: float) -> None:
    """Check a decay such as momentum.

    Raises:
        SpecError: it is not from 0 to below 1.
    """
    if not 0 <= value < 1:
        raise SpecError(f"{name}: {parameter} is {value}, expected 0 to below 1")


def check_at_least_zero(name: str, parameter: str, value: float) -> None:
    """Check a size that may be zero.

    Raises:
        SpecError: it is negative or not a finite number.
    """
    if not 0 <= value < math.inf:
        raise SpecError(f"{name}: {parameter} is {value}, expected a finite number of at least 0")


def check_positive(name: str, parameter: str, value: float) -> None:
    """Check a size that may not be zero, nor become zero or infinite in float32, in which steps are taken.

    Raises:
        SpecError: it is not a positive finite number.
    """
    if not SMALLEST <= value <= LARGEST:
        within = f", {SMALLEST:.2g} to {LARGEST:.2g}" if 0 < value < math.inf else ""
        raise SpecError(f"{name}: {parameter} is {value}, expected a positive finite number{within}")


@dataclass(frozen=True, kw_only=True)
class Scheduled(Optimizer):
    """An optimizer whose rate lr_t follows from ``lr`` by ``schedule``."""

    lr: float = field(default=0.1, metadata={"first": True})
    schedule: Spec | str = Spec("constant")

    def __post_init__(self) -> None:
        check_positive(self.name, "lr", self.lr)
        if isinstance(self.schedule, str):
            object.__setattr__(self, "schedule", parse_spec(self.schedule))
        object.__setattr__(self, "schedule", self._spelled_schedule)

    @cached_property
    def _schedule(self) -> Schedule:
        return parse_schedule(self.schedule)

    @property
    def _spelled_schedule(self) -> Spec:
        return spec_of(self._schedule)

    def rate(self, round_: int) -> float:
        """lr_t for the round t = ``start`` + ``round_``, in float64."""
        return self._schedule.rate(self.lr, self.start + round_)


class ScheduledByFields(Scheduled):
    """An optimizer that also takes the arguments of ``step`` as its own: schedule=step, every=…, factor=…."""

    every: int
    factor: float

    def __post_init__(self) -> None:
        Step(every=self.every, factor=self.factor)
        super().__post_init__()

    @cached_property
    def _schedule(self) -> Schedule:
        if self.schedule == STEP:
            return Step(every=self.every, factor=self.factor)
        return parse_schedule(self.schedule)

    @property
    def _spelled_schedule(self) -> Spec:
        return STEP if self.schedule == STEP else spec_of(self._schedule)
