"""SimQ+: the mean of k SimQ draws, for gradients in an l_q ball."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradwire.common.codecs import Example, register
from gradwire.common.codecs.forms.gain import Length
from gradwire.common.codecs.simq.l1_ball_codec import L1BallCodec
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import SpecError
from gradwire.common.spec import Spec


@register
@dataclass(frozen=True, kw_only=True)
class SimQPlus(L1BallCodec):
    """SimQ+ for gradients in an l_q ball, 1/p + 1/q = 1, p in [2, inf]: the mean of k independent SimQ draws.

    The l1 ball has radius B' = B d^(1/p), where B bounds |x|_q ([S] section 4.2, equation 5, Theorem 4.2). k
    is ``repeats``; 0 means the paper's k = d^(2/p), rounded down because Theorem 3.1 needs an integer
    (erratum S7). Payload: the gain B, then k indices of ceil(log2(2d+1)) bits (the tuple code); the paper's own
    is ``coding=type_signs``, the shortest ``coding=l1_ball``. Unbiased; variance (B' |x|_1 - |x|^2) / k (theory 2.1).
    """

    repeats: int = 0
    p: float = 2.0
    gain: Spec = Spec("exact")

    name = "simq_plus"
    source = "SimQ 4.2, Thm 4.2 (S7)"

    def __post_init__(self) -> None:
        if not self.p >= 2:
            raise SpecError(
                f"simq_plus: p is {self.p}, expected 2 to inf (for p below 2, [S] uses a split quantizer)"
            )
        if self.repeats == 0:
            object.__setattr__(self, "repeats", max(1, math.floor(self.dim ** (2 / self.p) + 1e-9)))
        super().__post_init__()

    @property
    def q(self) -> float:
        """The dual exponent p / (p - 1)."""
        return 1.0 if math.isinf(self.p) else self.p / (self.p - 1)

    @property
    def radius(self) -> float:
        return float(self.dim ** (1 / self.p))

    def _norm(self, x: NDArray[np.floating]) -> float:
        return float(np.linalg.norm(x, self.q))

    def _prepare(self, vector: GradientVector) -> GradientVector:
        flat = self.p == 2 and vector.l1_bound > self.radius * vector.norm
        return vector.with_exact_sums() if flat else vector

    def _length(self, vector: GradientVector) -> Length:
        hull = vector.l1_bound / self.radius
        if self.q == 1:
            return Length(hull, hull)
        if self.q == 2:
            return Length(max(vector.norm, hull), max(vector.norm_bound, hull))
        norm = vector.lq(self.q)
        return Length(max(norm, hull), max(norm, hull))

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("simq_plus(repeats=2)", 3, enumerable=True),
            Example("simq_plus(p=4.0)", 4, enumerable=True),
            Example("simq_plus(repeats=2, p=inf, gain=bound(1.5))", 2, enumerable=True),
            Example("simq_plus(repeats=3, coding=type_signs)", 3, enumerable=True),
            Example("simq_plus(repeats=3, coding=l1_ball)", 2, enumerable=True),
            Example("simq_plus", 1000),
            Example("simq_plus(coding=type_signs)", 1000),
            Example("simq_plus(repeats=50, p=3.0)", 70_001),
        )
