"""``hard_instance(dim, p, law)``: the functions of [S] section 6, on which few bits cost the most."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from gradwire.common.errors import SpecError, TaskError
from gradwire.common.spec import Spec
from gradwire.worker.site import Site
from gradwire.worker.tasks.base import Gradient, TaskKind, check_worker, checked_params, require_at_least
from gradwire.worker.tasks.own_data import refuse_own_data
from gradwire.worker.tasks.random_streams import random_stream
from gradwire.worker.tasks.registry import register_task

PRODUCT, AXES = "product", "axes"
MAX_TAIL = 1e6
DELTA = 0.25  # the proof's 1 / sqrt(T) lets even x = 0 have a gap that falls like 1 / sqrt(T)


@dataclass(frozen=True)
class HardInstanceTask:
    """Minimise f(x) = (2 delta / s) sum_i a_i x_i over the box |x_i| <= dim^(-1/p), a in {-1, 1}^dim from the seed.

    Of [S]'s constants B is 1 and D is 2, so the box is in the unit l_p ball; delta = 1/4. A gradient has l_q norm 1,
    1/p + 1/q = 1, and the mean 2 delta a / s:

    - ``product``, s = dim^(1/q): independent coordinates, ±dim^(-1/q), + with probability (1 + 2 delta a_i) / 2 (the
      proof's second bound, and Theorem 6.2); f(0) - min f = 2 delta;
    - ``axes``, s = dim: e_i or -e_i with probabilities (1 ± 2 delta a_i) / (2 dim) (its first bound, for p from 2 on);
      f(0) - min f = 2 delta dim^(-1/p).

    With ``tail`` above 1 that gradient is multiplied by ``tail`` with probability 1 / tail^2 and by 0 otherwise, and f
    by 1 / tail: only the mean square of the norms is 1 ([S] Remark 1).

    Gradients do not depend on the parameters. The domain is the optimizer's: ``projected_sgd(radius=r, p=inf)`` or
    ``mirror_descent(radius=r, domain=box)`` with r = ``half_side``.
    """

    dim: int
    p: float
    law: str
    tail: float
    workers: int
    seed: int

    @cached_property
    def signs(self) -> NDArray[np.float64]:
        """a: the minimum is at -``half_side`` a, float64 [dim]."""
        drawn = random_stream(self.seed, "hard instance").randint(0, 2, self.dim)
        return np.where(drawn == 1, 1.0, -1.0)

    @property
    def half_side(self) -> float:
        """dim^(-1/p), half of the box's side."""
        return float(self.dim ** (-1 / self.p))

    @property
    def step(self) -> float:
        """1 / s; under ``product`` the size of each coordinate of a gradient."""
        return 1 / self.dim if self.law == AXES else float(self.dim ** (1 / self.p - 1))

    def initial(self) -> NDArray[np.float32]:
        """Zeros [dim], the centre of the box."""
        return np.zeros(self.dim, np.float32)

    def gradient(self, params: NDArray[np.float32], *, round: int, worker: int) -> Gradient:
        """The oracle's answer in this round.

        Raises:
            TaskError: no such worker, or parameters of another shape.
        """
        checked_params(params, self.dim)
        check_worker(worker, self.workers)
        rng = random_stream(self.seed, "hard instance oracle", round, worker)
        if self.law == AXES:
            value = np.zeros(self.dim, np.float32)
            at = rng.randint(self.dim)
            value[at] = self._sign(rng.random_sample(1), self.signs[at : at + 1])[0]
        else:
            value = (self.step * self._sign(rng.random_sample(self.dim), self.signs)).astype(np.float32)
        if self.tail > 1:
            value *= np.float32(self.tail if rng.random_sample() < self.tail**-2 else 0.0)
        return Gradient(value, loss=None, examples=1)

    def _sign(self, uniform: NDArray[np.float64], signs: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.where(uniform < (1 + 2 * DELTA * signs) / 2, 1.0, -1.0)

    def size(self, worker: int) -> int:
        """One: all workers weigh alike."""
        return 1

    def evaluation_size(self) -> int:
        """One: the gap is exact."""
        return 1

    def evaluate(self, params: NDArray[np.float32]) -> dict[str, float]:
        """``gap`` = f(x) - min f over the box, exact; negative outside the box only.

        Raises:
            TaskError: parameters of another shape.
        """
        x = checked_params(params, self.dim).astype(np.float64)
        gap = 2 * DELTA * self.step / self.tail * float(np.sum(self.signs * x + self.half_side))
        return {"gap": gap}


@register_task
@dataclass(frozen=True)
class HardInstanceKind(TaskKind):
    """The hard instances of [S] section 6.

    Attributes:
        dim: coordinates.
        p: of the norm in which the function is Lipschitz, 1 to inf.
        law: ``product`` or, for p from 2 on, ``axes``.
        tail: the largest norm of a gradient, at least 1; above 1 most gradients are 0.
    """

    dim: int = 64
    p: float = 2.0
    law: str = PRODUCT
    tail: float = 1.0

    name = "hard_instance"

    def __post_init__(self) -> None:
        require_at_least(1, self.name, dim=self.dim)
        if not self.p >= 1:
            raise SpecError(f"{self.name}: p is {self.p}, expected 1 to inf")
        if not 1 <= self.tail <= MAX_TAIL:
            raise SpecError(f"{self.name}: tail is {self.tail}, expected 1 to {MAX_TAIL:g}")
        if self.law not in (PRODUCT, AXES):
            raise SpecError(f"{self.name}: law is {self.law!r}, expected {PRODUCT} or {AXES}")
        if self.law == AXES and self.p < 2:
            raise SpecError(
                f"{self.name}: law {AXES} with p {self.p}, expected p of at least 2 or law={PRODUCT}"
            )

    @property
    def known_dim(self) -> int:
        """Length of the parameter vector."""
        return self.dim

    def build(self, site: Site, *, workers: int, partition: Spec | None = None) -> HardInstanceTask:
        """Make the task.

        Raises:
            TaskError: fewer than one worker, or flags of the site that the task would ignore.
        """
        refuse_own_data(site, self.name)
        if partition is not None:
            raise TaskError(f"{self.name} has no data to deal: leave the partition out")
        if workers < 1:
            raise TaskError(f"a task for {workers} workers was asked for, expected at least 1")
        return HardInstanceTask(self.dim, self.p, self.law, self.tail, workers, site.seed)
