"""SimQ: vertices of an l1 ball that holds the gradient, drawn independently."""

from __future__ import annotations

from dataclasses import dataclass

from gradwire.common.codecs import Example, register
from gradwire.common.codecs.forms.gain import NormEstimate
from gradwire.common.codecs.simq.l1_ball_codec import L1BallCodec
from gradwire.common.codecs.vector import GradientVector


@register
@dataclass(frozen=True, kw_only=True)
class SimQ(L1BallCodec):
    """Vertices of the l1 ball of radius B, the gain: |x|_1 or a public bound on it.

    Vertex sign(x_i) B e_i has probability |x_i| / B, the zero vector the rest ([S] section 4.1, Algorithms 1 and 2,
    Theorem 4.1; the bits need a ceiling, erratum S7; theory 1.1).

    Payload: the gain, then ``repeats`` indices of ceil(log2(2d + 1)) bits.
    Unbiased; variance (B |x|_1 - |x|^2) / repeats, at most (d - 1) |x|^2 / repeats with the exact gain.

    >>> from gradwire.common.codecs import parse
    >>> parse("simq(repeats=64)", dim=1000).nbits
    736
    """

    name = "simq"
    source = "[S] 4.1, Theorem 4.1 (S7)"

    @property
    def radius(self) -> float:
        return 1.0

    @property
    def q(self) -> float:
        return 1.0

    def _norm_estimate(self, vector: GradientVector) -> NormEstimate:
        return NormEstimate(vector.l1_bound, vector.l1_bound)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("simq", 3, enumerable=True),
            Example("simq(repeats=2, gain=bound(2.5))", 3, enumerable=True),
            Example("simq(repeats=64)", 70_001),
        )
