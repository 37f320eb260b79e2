"""Step sizes by round: ``constant``, ``inverse_sqrt``, ``step``, ``linear``, ``cosine``, ``warmup`` before another one.

All are computed in float64 from + - * / and square roots, so that their bits are the same on every machine.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import ClassVar

from gradwire.common.errors import SpecError
from gradwire.common.registry import Registry
from gradwire.common.spec import Spec, parse_spec, spec_of
from gradwire.common.training.optimizers.portable import cosine_of_half_turns


@dataclass(frozen=True, kw_only=True)
class Schedule(ABC):
    """The step size of each round, as a function of ``lr``."""

    name: ClassVar[str]

    @abstractmethod
    def rate(self, lr: float, round_: int) -> float:
        """The step size of round t, from 0."""


_REGISTRY: Registry[Schedule] = Registry("schedule", Schedule)
register = _REGISTRY.register


def schedules() -> Mapping[str, type[Schedule]]:
    """Every schedule by name."""
    return MappingProxyType(_REGISTRY)


def parse_schedule(text: str | Spec) -> Schedule:
    """A schedule from its spec.

    Raises:
        SpecError: unknown name, unknown argument or a value outside its range.

    >>> parse_schedule("warmup(9, cosine(100))").rate(1.0, 4)
    0.5
    """
    return _REGISTRY.build(parse_spec(text) if isinstance(text, str) else text)


@register
@dataclass(frozen=True, kw_only=True)
class Constant(Schedule):
    """lr_t = lr."""

    name = "constant"

    def rate(self, lr: float, round_: int) -> float:
        return lr


@register
@dataclass(frozen=True, kw_only=True)
class InverseSqrt(Schedule):
    """lr_t = lr / sqrt(t + 1)."""

    name = "inverse_sqrt"

    def rate(self, lr: float, round_: int) -> float:
        return lr / math.sqrt(round_ + 1)


@register
@dataclass(frozen=True, kw_only=True)
class Step(Schedule):
    """lr_t = lr factor^(t // every), by products rather than a power."""

    every: int = 100
    factor: float = 0.5

    name = "step"

    def __post_init__(self) -> None:
        if self.every < 1:
            raise SpecError(f"step: every is {self.every}, expected a number of rounds, at least 1")
        if not 0 < self.factor <= 1:
            raise SpecError(f"step: factor is {self.factor}, expected above 0 and at most 1")

    def rate(self, lr: float, round_: int) -> float:
        for _ in range(round_ // self.every):
            before, lr = lr, lr * self.factor
            if lr == before:  # 0, or a factor of 1: further products are the same
                break
        return lr


@dataclass(frozen=True, kw_only=True)
class Decay(Schedule):
    """From lr in round 0 to ``final`` lr in round ``rounds``, which later rounds keep.

    lr_t = lr (final + (1 - final) left(t)), left falling from 1 to 0.
    """

    rounds: int
    final: float = 0.0

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise SpecError(f"{self.name}: rounds is {self.rounds}, expected at least 1")
        if not 0 <= self.final <= 1:
            raise SpecError(f"{self.name}: final is {self.final}, expected a fraction of lr from 0 to 1")

    @abstractmethod
    def left(self, round_: int) -> float:
        """The part of the way that is left in round t, from 0 to ``rounds`` - 1."""

    def rate(self, lr: float, round_: int) -> float:
        if round_ >= self.rounds:
            return lr * self.final
        return lr * (self.final + (1 - self.final) * self.left(round_))


@register
@dataclass(frozen=True, kw_only=True)
class Linear(Decay):
    """lr_t = lr (final + (1 - final) (1 - t / rounds)); ``final`` lr from round ``rounds`` on."""

    name = "linear"

    def left(self, round_: int) -> float:
        return (self.rounds - round_) / self.rounds


@register
@dataclass(frozen=True, kw_only=True)
class Cosine(Decay):
    """lr_t = lr (final + (1 - final) (1 + cos(pi t / rounds)) / 2), [SGDR] equation 5 without restarts.

    ``final`` lr from round ``rounds`` on.
    """

    name = "cosine"

    def left(self, round_: int) -> float:
        return (1 + cosine_of_half_turns(round_, self.rounds)) / 2


@register
@dataclass(frozen=True, kw_only=True)
class Warmup(Schedule):
    """lr_t = lr (t + 1) / (rounds + 1) for t < rounds, the gradual warmup of [Goyal] section 2.2; after it ``then``.

    The round 0 of ``then`` is t = rounds.
    """

    rounds: int
    then: Spec = Spec("constant")

    name = "warmup"

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise SpecError(f"warmup: rounds is {self.rounds}, expected at least 1")
        object.__setattr__(self, "then", spec_of(self._then))

    @cached_property
    def _then(self) -> Schedule:
        return parse_schedule(self.then)

    def rate(self, lr: float, round_: int) -> float:
        if round_ < self.rounds:
            return lr * ((round_ + 1) / (self.rounds + 1))
        return self._then.rate(lr, round_ - self.rounds)
