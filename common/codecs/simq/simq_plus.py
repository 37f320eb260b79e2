"""SimQ+: the mean of k SimQ draws, for gradients in an l_q ball."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gradwire.common.codecs import Example, register
from gradwire.common.codecs.forms.gain import NormEstimate
from gradwire.common.codecs.simq.l1_ball_codec import L1BallCodec
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import SpecError
from gradwire.common.spec import Spec


@register
@dataclass(frozen=True, kw_only=True)
class SimQPlus(L1BallCodec):
    """The mean of k independent SimQ draws for gradients in an l_q ball, 1/p + 1/q = 1, p in [2, inf].

    The l1 ball has radius B' = B d^(1/p), where the gain B bounds |x|_q ([S] section 4.2, equation 5, Theorem 4.2;
    theory 2.1).

    Payload: the gain, then k indices of ceil(log2(2d + 1)) bits; [S]'s own code is ``coding=type_signs``, the shortest
    ``coding=l1_ball``.
    Unbiased; variance (B' |x|_1 - |x|^2) / k.

    Args:
        repeats: k; 0 is [S]'s d^(2/p), rounded down because Theorem 3.1 needs an integer (erratum S7).
        p: 2 to inf.

    Raises:
        SpecError: p below 2, or a parameter that ``VertexCodec`` refuses.

    >>> from gradwire.common.codecs import parse
    >>> parse("simq_plus(coding=l1_ball)", dim=65_536).nbits
    166689
    """

    repeats: int = 0
    p: float = 2.0
    gain: Spec = Spec("exact")

    name = "simq_plus"
    source = "[S] 4.2, Theorem 4.2 (S7)"

    def __post_init__(self) -> None:
        if not self.p >= 2:
            raise SpecError(
                f"simq_plus: p is {self.p}, expected 2 to inf (for p below 2, [S] uses a split quantizer)"
            )
        if self.repeats == 0:
            self._settle(repeats=max(1, math.floor(self.dim ** (2 / self.p) + 1e-9)))
        super().__post_init__()

    @property
    def q(self) -> float:
        """The dual exponent p / (p - 1)."""
        return 1.0 if math.isinf(self.p) else self.p / (self.p - 1)

    @property
    def radius(self) -> float:
        return float(self.dim ** (1 / self.p))

    def _prepare(self, vector: GradientVector) -> GradientVector:
        flat = self.p == 2 and vector.l1_bound > self.radius * vector.norm
        return vector.with_exact_sums() if flat else vector

    def _norm_estimate(self, vector: GradientVector) -> NormEstimate:
        hull = vector.l1_bound / self.radius
        if self.q == 2:
            return NormEstimate.l2(vector, at_least=hull)
        norm = hull if self.q == 1 else max(vector.lq(self.q), hull)
        return NormEstimate(norm, norm)

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
