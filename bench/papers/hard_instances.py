"""The hard instances of [S] section 6 as runs: codec, optimizer and step by the paper's rules."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gradwire.bench.papers.simq_bounds import draws
from gradwire.bench.papers.simq_descent import FLOAT32, SPLIT_MOMENT, guaranteed_gap, optimizer
from gradwire.common.training.config import RunConfig

ALL_BITS, FEW_BITS = FLOAT32, "quantized"
# Rounding to float32 makes some gradients a little longer than B = 1; none may be clipped.
BOUND = 1 + 2.0**-20


@dataclass(frozen=True)
class Instance:
    """A family of hard functions and how it is minimised.

    Attributes:
        p: of the norm.
        law: of the oracle, see ``hard_instance``.
    """

    p: float
    law: str

    @property
    def title(self) -> str:
        return f"p = {'inf' if math.isinf(self.p) else format(self.p, 'g')}, {self.law}"

    def codec(self, scheme: str, dim: int) -> str:
        """SimQ for p = inf, SimQ+ at the classic rate from 2 on, the split quantizer below; B = 1 is public."""
        if scheme == ALL_BITS:
            return FLOAT32
        if math.isinf(self.p):
            return f"simq(gain=bound({BOUND}))"
        if self.p >= 2:
            return f"simq_plus({draws(dim, self.p)}, p={self.p}, coding=type_signs, gain=bound({BOUND}))"
        return f"lq_split(p={self.p}, gain=bound({BOUND}))"

    def alpha(self, scheme: str, dim: int) -> float:
        """alpha_0: the stated root of the largest second moment, by which the step is chosen."""
        if scheme == ALL_BITS or math.isinf(self.p):  # [S] Theorem 4.1
            return 1.0
        return (
            math.sqrt(1 + dim ** (2 / self.p) / draws(dim, self.p))
            if self.p >= 2
            else math.sqrt(SPLIT_MOMENT)
        )

    def optimizer(self, scheme: str, dim: int, rounds: int) -> str:
        """Its spec; the step is that of ``simq_descent`` for T rounds and the scheme's alpha."""
        return optimizer(dim, self.p, self.alpha(scheme, dim), rounds)

    def config(self, scheme: str, dim: int, rounds: int, seed: int) -> RunConfig:
        """A run of one worker that is evaluated at its end."""
        return RunConfig(
            task=f"hard_instance(dim={dim}, p={self.p}, law={self.law})",
            workers=1,
            codec=self.codec(scheme, dim),
            optimizer=self.optimizer(scheme, dim, rounds),
            rounds=rounds,
            seed=seed,
            evaluate_every=0,
        )

    def at_zero(self, dim: int) -> float:
        """f(0) - min f: 1/2 under ``product``, dim^(-1/p) / 2 under ``axes``."""
        return 0.5 * (float(dim ** (-1 / self.p)) if self.law == "axes" else 1.0)

    def guarantee(self, scheme: str, dim: int, rounds: int) -> float:
        """What the mean iterate's gap is at most on average."""
        return guaranteed_gap(dim, self.p, self.alpha(scheme, dim), rounds)

    @property
    def allowed(self) -> float:
        """How much larger the gap may be with few bits: alpha_0 / B."""
        return math.sqrt(2) if self.p >= 2 else math.sqrt(SPLIT_MOMENT)


INSTANCES = tuple(
    Instance(p, law)
    for p, law in (
        (1.0, "product"), (1.5, "product"), (2.0, "product"), (2.0, "axes"), (math.inf, "product"), (math.inf, "axes")
    )
)  # fmt: skip
BY_TITLE = {instance.title: instance for instance in INSTANCES}
