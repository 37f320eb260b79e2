"""Optimizers around another one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from gradwire.common.arrays.update import Vector
from gradwire.common.spec import Spec, parse_spec
from gradwire.common.training.optimizers.base import F32, Optimizer, State, parse_optimizer


@dataclass(frozen=True, kw_only=True)
class Wrapper(Optimizer):
    """Steps as ``inner`` does, with its state, unless a subclass says more."""

    inner: Spec = Spec("sgd")

    def __post_init__(self) -> None:
        object.__setattr__(self, "inner", parse_spec(self._inner.spec))

    @cached_property
    def _inner(self) -> Optimizer:
        return parse_optimizer(self.inner).restarted(self.start)

    @property
    def portable(self) -> bool:  # type: ignore[override]
        return self._inner.portable

    @property
    def sparse(self) -> bool:
        return self._inner.sparse

    def initial_state(self, params: F32) -> State:
        return self._inner.initial_state(params)

    def step(self, params: F32, state: State, update: Vector, round_: int) -> None:
        self._inner.step(params, state, update, round_)

    def observe(self, params: F32, state: State, round_: int) -> None:
        self._inner.observe(params, state, round_)
