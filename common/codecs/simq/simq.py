"""SimQ: vertices of the l1 ball of radius |x|_1, drawn independently."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gradwire.common.codecs import Example, register
from gradwire.common.codecs.forms.gain import Length
from gradwire.common.codecs.simq.l1_ball_codec import L1BallCodec
from gradwire.common.codecs.vector import GradientVector


@register
@dataclass(frozen=True, kw_only=True)
class SimQ(L1BallCodec):
    """SimQ: one or more vertices of the l1 ball of radius |x|_1 (or of a public l1 bound).

    Vertex sign(x_i) B e_i has probability |x_i| / B, the zero vector the rest ([S] section 4.1, Algorithms 1
    and 2, Theorem 4.1; the bits need a ceiling, erratum S7). Payload: the l1 gain B, then ``repeats`` indices
    of ceil(log2(2d+1)) bits. Unbiased; variance (B |x|_1 - |x|^2) / repeats, at most (d - 1) |x|^2 / repeats
    with the exact gain.
    """

    name = "simq"
    source = "SimQ 4.1, Thm 4.1 (S7)"

    @property
    def radius(self) -> float:
        return 1.0

    def _norm(self, x: NDArray[np.floating]) -> float:
        return float(np.abs(x).sum())

    def _length(self, vector: GradientVector) -> Length:
        return Length(vector.l1_bound, vector.l1_bound)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (
            Example("simq", 3, enumerable=True),
            Example("simq(repeats=2, gain=bound(2.5))", 3, enumerable=True),
            Example("simq(repeats=64)", 70_001),
        )
