"""The optimizer contract, and optimizers by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.update import Vector
from gradwire.common.registry import Registry
from gradwire.common.spec import Spec, parse_spec, spec_of

F32: TypeAlias = NDArray[np.float32]
State: TypeAlias = dict[str, F32]  # named float32 arrays [dim], part of every snapshot


@dataclass(frozen=True, kw_only=True)
class Optimizer(ABC):
    """One deterministic step, replayed by the server and by every replica with equal bits.

    ``portable``: its bits are the same on every machine, because it uses additions, multiplications, divisions, square
    roots and sums in a fixed order only. An optimizer that is not portable (powers differ in the last bit between
    processors) is stepped by the server alone: its runs send the model.

    ``start``: the round of the run that is the optimizer's round 0, by which its schedule is ahead; see ``restarted``.
    """

    start: int = field(default=0, metadata={"spec": False})

    name: ClassVar[str]
    portable: ClassVar[bool] = True

    @property
    def sparse(self) -> bool:
        """Whether a sparse update changes its own coordinates only: the cost is then independent of dim."""
        return False

    def initial_state(self, params: F32) -> State:
        """The state before round 0, for initial parameters [dim]: named float32 arrays [dim]."""
        return {}

    @abstractmethod
    def step(self, params: F32, state: State, update: Vector, round_: int) -> None:
        """Apply the mean update of one round to ``params`` [dim] and ``state``, in place.

        The update is float32; of a ``portable`` optimizer all machines get the same bits.
        """

    def observe(self, params: F32, state: State, round_: int) -> None:  # noqa: B027 - most have nothing to do
        """Update derived state after the parameters [dim] were replaced."""

    def restarted(self, round_: int) -> Optimizer:
        """The optimizer for a state that is initial before round ``round_``, which is then its round 0.

        Schedules continue; bias corrections and averages begin anew. A worker whose local steps reset their state in
        every round steps with it.
        """
        return replace(self, start=round_)

    @property
    def spec(self) -> str:
        """The canonical spelling."""
        return str(spec_of(self))


_REGISTRY: Registry[Optimizer] = Registry("optimizer", Optimizer, "gradwire.optimizers", "--allow-optimizer")
register = _REGISTRY.register
allow_optimizers = _REGISTRY.allow


def optimizers() -> Mapping[str, type[Optimizer]]:
    """Every optimizer by name."""
    return MappingProxyType(_REGISTRY)


def parse_optimizer(text: str | Spec) -> Optimizer:
    """An optimizer from its spec, e.g. ``sgd(lr=0.1)``.

    Raises:
        SpecError: unknown name, unknown argument or a value outside its range.
    """
    return _REGISTRY.build(parse_spec(text) if isinstance(text, str) else text)
