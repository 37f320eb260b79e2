"""alpha_0(Q; p), what the rate of stochastic optimization depends on: the second moment of what a codec decodes to."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gradwire.common.codecs import AnyCodec, parse
from gradwire.common.codecs.baselines.float32 import Float32
from gradwire.common.codecs.codec import LENGTHS
from gradwire.common.codecs.forms.aguq import AguqGain
from gradwire.common.codecs.forms.gain import BoundGain, Gain
from gradwire.common.codecs.forms.gain_codec import GainCodec, with_gain, without_gain
from gradwire.common.codecs.simq.cuq import Cuq
from gradwire.common.codecs.simq.lq_split import LqSplit
from gradwire.common.codecs.simq.ratq import Ratq
from gradwire.common.codecs.simq.simq import SimQ
from gradwire.common.codecs.simq.simq_plus import SimQPlus
from gradwire.common.codecs.wrappers.gain_shape import GainShape
from gradwire.common.errors import SpecError

RELATIVE_ERROR = 1e-9  # of variances that count as proportional to the squared length


@dataclass(frozen=True)
class OracleMoment:
    """What is stated of E|Q(x)|^2 over an l_q ball.

    Attributes:
        squared: alpha_0^2: no x in the ball has a larger E|Q(x)|^2; averaged over the public seed, where there is one.
        attained: some x in the ball has it.
        source: where it is proved.
    """

    squared: float
    attained: bool
    source: str

    @property
    def alpha_0(self) -> float:
        """The root."""
        return math.sqrt(self.squared)


def oracle_moment(codec: AnyCodec, p: float, bound: float = 1.0) -> OracleMoment:
    """alpha_0(Q; p)^2 of [S] section 2.2: the largest E|Q(x)|_2^2 (p from 2 on) or E|Q(x)|_q^2 (below), |x|_q <= bound.

    1/p + 1/q = 1. Under ``aguq`` x is random and E|x|_q^2 <= bound^2 ([S] Remark 1 and section 7).

    Args:
        codec: of the families of [S], ``gain_shape`` of these, ``float32``; or unbiased with a variance that is
            proportional to |x|^2.
        p: of the norm in which functions are Lipschitz, 1 to inf.
        bound: B.

    Raises:
        SpecError: p or bound outside their range; a public bound below ``bound``, or one of ``aguq`` that is another.
        NotImplementedError: none is stated for this codec and p.
    """
    if not (p >= 1 and bound > 0):
        raise SpecError(f"alpha_0: p is {p} and the bound {bound}, expected p from 1 on and a positive bound")
    inner = codec._inner if isinstance(codec, GainShape) else codec
    ball = _Ball(inner.dim, p, bound)
    if not isinstance(inner, GainCodec):
        return _proportional(inner, ball)
    gain = inner._gain
    if isinstance(gain, AguqGain):
        return _mean_square(inner, gain, ball)
    if isinstance(gain, BoundGain) and gain.bound < bound:
        raise SpecError(f"alpha_0: the public bound is {gain.bound}, expected at least {bound}")
    return _of_family(inner, gain, ball)


@dataclass(frozen=True)
class _Ball:
    """The l_q ball, and in which norm second moments count."""

    dim: int
    p: float
    bound: float

    @property
    def q(self) -> float:
        return math.inf if self.p == 1 else 1.0 if math.isinf(self.p) else self.p / (self.p - 1)

    def longest(self, r: float) -> float:
        """The largest l_r norm in it."""
        return float(self.bound * self.dim ** max(0.0, 1 / r - 1 / self.q))


def _of_family(codec: AnyCodec, gain: Gain, ball: _Ball) -> OracleMoment:
    if isinstance(codec, SimQ | SimQPlus):
        return _vertices(codec, gain, ball)
    if isinstance(codec, LqSplit) and codec.p == ball.p:
        return _split(gain, ball)
    if isinstance(codec, Cuq):
        return _uniform(codec, gain, ball)
    if isinstance(codec, Ratq):
        return _by_variance(codec, ball, "theory 2.3; [S] Lemma 5.2")
    return _proportional(codec, ball)


def _value(gain: Gain, longest: float) -> float:
    """The largest gain: the public bound, or the longest norm."""
    return gain.bound if isinstance(gain, BoundGain) else longest


def _vertices(codec: SimQ | SimQPlus, gain: Gain, ball: _Ball) -> OracleMoment:
    """|x|^2 (1 - 1/k) + B' |x|_1 / k, with all three norms as long as they can be."""
    hull = codec.radius * _value(gain, ball.longest(codec.q))
    kept = (1 - 1 / codec.repeats) * ball.longest(2) ** 2
    # Flat vectors attain it for q = 2, and for k = 1, where |x|^2 does not count; single coordinates for q = 1.
    same_ball = codec.q == ball.q and ball.q <= 2
    attained = same_ball and (ball.q in (1.0, 2.0) or codec.repeats == 1)
    return OracleMoment(
        kept + hull * ball.longest(1) / codec.repeats, attained, "[S] Theorems 4.1 and 4.2; theory 2.1"
    )


def _split(gain: Gain, ball: _Ball) -> OracleMoment:
    """Errors of the two parts are on different coordinates, so E|Q - x|_q^2 <= B^2 and E|Q|_q^2 <= (2 B)^2.

    For q = inf there is one part, and no value is beyond B.
    """
    value = _value(gain, ball.bound)
    if math.isinf(ball.q):
        return OracleMoment(value**2, True, "theory 2.7; [S] 5 has 12 B^2")
    return OracleMoment((ball.bound + value) ** 2, False, "theory 2.7; [S] 5 has 12 B^2")


def _uniform(codec: Cuq, gain: Gain, ball: _Ball) -> OracleMoment:
    if ball.p >= 2:
        return _by_variance(codec, ball, "theory 2.2")
    # E|e|^q <= step^q / 4 for each coordinate, and no value is beyond the gain.
    value = _value(gain, ball.bound)
    step = 2 * value / (codec.levels - 1)
    spread = 0.0 if math.isinf(ball.q) else 1 / ball.q
    rounded = ball.bound + step * max(1.0, ball.dim / 4) ** spread
    farthest = value * ball.dim**spread
    return OracleMoment(min(rounded, farthest) ** 2, math.isinf(ball.q), "theory 2.7; [S] Lemma 5.1")


def _by_variance(codec: AnyCodec, ball: _Ball, source: str) -> OracleMoment:
    """|x|^2 + variance in l2, which is largest for the longest x; below p = 2 also by |Q|_q <= |x|_q + |Q - x|_2."""
    longest = ball.longest(2)
    variance = codec.variance(longest)
    squared = longest**2 + variance
    if ball.p < 2:
        squared = min(squared, (ball.bound + math.sqrt(variance)) ** 2)
    return OracleMoment(squared, False, source)


def _proportional(codec: AnyCodec, ball: _Ball) -> OracleMoment:
    if isinstance(codec, Float32):
        return OracleMoment(ball.bound**2, True, "[S] Theorem 2.2")
    share = codec.variance(1.0)
    close = all(math.isclose(codec.variance(n), share * n**2, rel_tol=RELATIVE_ERROR) for n in LENGTHS)
    if not (codec.unbiased and close):
        raise NotImplementedError(f"no alpha_0 is stated of {codec.spec} for p = {ball.p:g}")
    return _by_variance(codec, ball, codec.source)


def _mean_square(codec: AnyCodec, gain: AguqGain, ball: _Ball) -> OracleMoment:
    """E gain^2 times the shape's second moment on the unit ball of its norm, which must be that of l_q."""
    exponents = {SimQ: math.inf, Ratq: 2.0, Cuq: 1.0}
    own = codec.p if isinstance(codec, SimQPlus | LqSplit) else exponents.get(type(codec))
    if own != ball.p:
        raise NotImplementedError(f"no alpha_0 is stated of {codec.spec} for p = {ball.p:g}")
    if gain.bound != ball.bound:
        raise SpecError(f"alpha_0: the bound of aguq is {gain.bound}, expected {ball.bound}")
    shape = parse(with_gain(without_gain(codec), BoundGain(1.0).spec), codec.dim)
    own_ball = oracle_moment(shape, ball.p)
    return OracleMoment(gain.second_moment * own_ball.squared, False, f"[S] 7; {own_ball.source}")
