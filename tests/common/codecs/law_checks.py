"""The exact law of a codec's payloads against what the codec states of itself: nothing here is sampled."""

from __future__ import annotations

import dataclasses
import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradwire.common.codecs import AnyCodec
from gradwire.common.codecs.forms.scales import FLOAT32_TINY, round_up_float32
from gradwire.common.codecs.payloads import unpack_checked
from gradwire.common.spec import Spec
from tests.common.codecs.checks import check_padding, is_inside
from tests.common.codecs.examples import shared_seeds
from tests.common.codecs.privacy_checks import check_epsilon, public_bound
from tests.common.codecs.vectors import laws_are_checked_at, of_norm

F64 = NDArray[np.float64]
EXACT = 1e-12
# A gain rounded up to float32 may be 2^-23 above the norm, and a proved upper bound of the norm a little more.
GAIN_SLACK = 2.0**-23 + 1e-12


class Law(NamedTuple):
    """Payloads of one vector: their probabilities [n] and what they decode to [n, dim]."""

    payloads: list[bytes]
    probabilities: F64
    points: F64

    @property
    def mean(self) -> F64:
        return self.probabilities @ self.points

    def error(self, x: F64) -> float:
        """E|decode(encode(x)) - x|^2."""
        return float(self.probabilities @ ((self.points - x) ** 2).sum(axis=1))

    @property
    def reach(self) -> float:
        return float(np.sqrt((self.points**2).sum(axis=1)).max())


def law_of(codec: AnyCodec, x: F64, shared: int | None = None) -> Law:
    return _law_of(codec, tuple(x.tolist()), shared)


@lru_cache(maxsize=4)  # several checks look at one law in a row
def _law_of(codec: AnyCodec, x: tuple[float, ...], shared: int | None) -> Law:
    law = codec.law(np.array(x), shared=shared)
    points = np.array([codec.decode(p, shared=shared) for p in law])
    return Law(list(law), np.array(list(law.values())), points)


def is_clipped(codec: AnyCodec) -> bool:
    """Whether the codec clips to a public bound: then it is unbiased for the clipped vector."""
    return public_bound(codec) is not None


def overflows(codec: AnyCodec, x: F64) -> bool:
    """Whether a random gain gives up: AGUQ sends zero beyond bound * 2^(ceil(log2 horizon) / 2) (theory 2.3)."""
    gain = getattr(codec, "gain", None)
    if not isinstance(gain, Spec) or gain.name != "aguq":
        return False
    bound, horizon = (dict(gain.kwargs)[name] for name in ("bound", "horizon"))
    return bool(np.linalg.norm(x) > bound * 2 ** (math.ceil(math.log2(horizon)) / 2))


def check_probabilities(codec: AnyCodec, x: F64, shared: int | None = None) -> None:
    law = law_of(codec, x, shared)
    assert (law.probabilities >= 0).all(), f"{codec}: a probability is negative at {x}"
    assert abs(law.probabilities.sum() - 1) <= EXACT, (
        f"{codec}: probabilities sum to {law.probabilities.sum()!r} at {x}"
    )
    for payload in law.payloads:
        check_padding(codec, payload)
    if codec.fixed_length:
        assert {len(p) for p in law.payloads} == {codec.nbytes}


def check_mean(codec: AnyCodec, x: F64, shared: int | None = None) -> None:
    """Unbiased: the mean is x, or x scaled down where the codec clips to a public bound."""
    law = law_of(codec, x, shared)
    tolerance = EXACT * max(float(np.linalg.norm(x)), law.reach)
    kept = clipped_share(codec, x, law, shared) if is_clipped(codec) else 1.0 - overflows(codec, x)
    off = float(np.linalg.norm(law.mean - kept * x))
    assert off <= tolerance, f"{codec}: the mean is {law.mean}, expected {kept} * {x}: off by {off:.2e}"


def clipped_share(codec: AnyCodec, x: F64, law: Law, shared: int | None) -> float:
    """The factor of clipping, from the law: clipping projects along rays, so longer vectors have the same mean."""
    length = float(np.linalg.norm(x))
    tolerance = EXACT * max(length, law.reach)
    share = float(law.mean @ (x / length)) / length if length else 1.0
    if abs(1 - share) * length <= tolerance:
        return 1.0
    assert 0 < share < 1, f"{codec} makes {x} longer by a factor {share}"
    for other, mean in ((2 * x, law.mean), (share * x, share * x)):
        off = float(np.abs(law_of(codec, other, shared).mean - mean).max())
        assert off <= tolerance, f"{codec} clips unevenly along {x}: the mean of {other} is off by {off:.2e}"
    return share


def check_variance(codec: AnyCodec, x: F64, shared: int | None = None) -> None:
    """``variance_at`` is the law's mean squared error; a float32 gain is allowed to be what was really sent."""
    law = law_of(codec, x, shared)
    try:
        stated = with_sent_gain(codec, law, x)
    except NotImplementedError:
        return  # no closed form: its largest value is checked all the same
    if stated is None:
        return
    error, expected = law.error(x), stated.variance_at(x)
    scale = error + float(x @ x) + law.reach**2 * 1e-3
    assert abs(error - expected) <= 1e-11 * scale, (
        f"{codec}: E|error|^2 is {error!r} at {x}, stated {expected!r}"
    )


def with_sent_gain(codec: AnyCodec, law: Law, x: F64) -> AnyCodec | None:
    """The codec whose gain is, exactly, the float32 that was sent: its variance is stated without rounding."""
    stated = codec.variance_at(x)
    if getattr(codec, "gain", None) != Spec("exact"):
        return codec
    gains = {unpack_checked(codec, p).gain for p in law.payloads}
    assert len(gains) == 1, f"{codec}: an exact gain is not random, got {gains}"
    gain = gains.pop()
    if gain < FLOAT32_TINY:
        return None  # below that a float32 keeps too few digits for any statement
    sent = dataclasses.replace(codec, gain=Spec("bound", (gain,)))
    assert abs(sent.variance_at(x) - stated) <= 3 * GAIN_SLACK * (stated + float(x @ x)), (
        f"{codec}: the gain {gain} is off"
    )
    return sent


def check_variance_is_largest(codec: AnyCodec, norm: float = 1.0) -> None:
    """``variance(norm)`` bounds the error of every vector of that norm, and some vector attains it.

    Where it is an average over public seeds, it is sampled instead, in test_sampling.
    """
    if not codec.variance_given_shared:
        return
    bound, largest = codec.variance(norm), 0.0
    for x in of_norm(norm, codec.dim):
        for shared in shared_seeds(codec):
            error = law_of(codec, x, shared).error(x)
            largest = max(largest, error)
            assert error <= bound + 3 * GAIN_SLACK * (bound + norm**2), (
                f"{codec}: E|error|^2 is {error} at {x}, above {bound}"
            )
    if not codec.variance_is_bound:
        assert largest >= bound * (1 - 1e-9) - EXACT, (
            f"{codec}: states {bound}, but {largest} is the worst of all tried"
        )


def check_law(codec: AnyCodec) -> None:
    """Everything that the exact law must satisfy, at all adversarial vectors."""
    for x in (x for _, x in laws_are_checked_at(codec.dim) if is_inside(codec, x)):
        for shared in shared_seeds(codec):
            check_probabilities(codec, x, shared)
            if codec.unbiased and codec.unbiased_given_shared:
                check_mean(codec, x, shared)
            if codec.variance_given_shared:
                check_variance(codec, x, shared)
    check_variance_is_largest(codec)
    if codec.private:
        check_epsilon(codec)


def check_gain_rounds_up(value: float) -> None:
    gain = round_up_float32(value)
    below = float(np.nextafter(np.float32(gain), np.float32(-np.inf)))
    assert below < value <= gain == float(np.float32(gain)), f"{value!r} is sent as {gain!r}"
