"""What a float32 header does to laws: rounded at random it has no bias; rounded up, a gap to the stated variance."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from gradwire.common.arrays.blocks import CHUNK
from gradwire.common.codecs import AnyCodec, parse
from gradwire.common.codecs.forms import random_rotation
from gradwire.common.codecs.forms.scales import FLOAT32_MAX, float32_law, nearest_float32, random_float32
from gradwire.common.codecs.payloads import unpack_checked
from gradwire.common.errors import DomainError
from tests.common.codecs.coins import CountedCoins, ReplayCoins
from tests.common.codecs.examples import SHARED, named_examples
from tests.common.codecs.law_checks import is_clipped, law_of
from tests.common.codecs.vectors import SHAPES, laws_are_checked_at, ramp
from tests.grids import looped

VALUES = [
    0.0, 1.0, 0.1, 1 / 3, 1 + 2.0**-23, 1 + 2.0**-24, 1 - 2.0**-25, 2 - 2.0**-52, 3e38, FLOAT32_MAX, 1e-30, 2.0**-126,
    2.0**-126 * (1 - 2.0**-30), 1e-40, 2.0**-149, 0.75 * 2.0**-149, 1e-60, 16_777_217.0, 1e10 / 7,
]  # fmt: skip
ROTATED = [
    "nearest(2)",
    "nearest(5)",
    "top_signs(3)",
    "top_signs(3, rotations=4)",
    "eden(0.5)",
    "eden(2)",
    "drive",
]


# ---- rounding at random ----------------------------------------------------------------------------------------------


@looped("value", VALUES)
def test_law_of_the_rounding(value: float) -> None:
    """Two neighbours among the float32 around the value, in exact rationals; the value itself if it is one."""
    law = float32_law(value)
    assert all(float(np.float32(v)) == v for v, _ in law)
    if value >= 2.0**-126:
        assert sum(Fraction(p) for _, p in law) == 1
        assert sum(Fraction(v) * Fraction(p) for v, p in law) == Fraction(value)
    else:
        assert abs(sum(Fraction(v) * Fraction(p) for v, p in law) - Fraction(value)) <= Fraction(2) ** -202
        assert abs(sum(Fraction(p) for _, p in law) - 1) <= Fraction(2) ** -53
    if len(law) == 2:
        (low, _), (high, above) = law
        assert (
            low < value < high == float(np.nextafter(np.float32(low), np.float32(np.inf))) and 0 < above < 1
        )
    else:
        assert law == ((value, 1.0),) and float(np.float32(value)) == value


@looped("value", VALUES)
def test_draws_follow_the_law(value: float) -> None:
    """Uniforms below the upper one's probability, and one coin whatever the value."""
    (low, _), (high, above) = float32_law(value)[0], float32_law(value)[-1]

    class Fixed(ReplayCoins):
        def __init__(self, uniform: float) -> None:
            super().__init__()
            self.uniform = uniform

        def uniforms(self, count: int) -> np.ndarray:
            return np.full(count, self.uniform)

    for uniform in (0.0, above / 2, max(0.0, above - 2.0**-53), above, (1 + above) / 2):
        assert random_float32(value, Fixed(uniform)) == (high if uniform < above else low)
    counted = CountedCoins(np.random.default_rng(0))
    random_float32(value, counted)
    assert counted.drawn == 1


@pytest.mark.parametrize("value", [FLOAT32_MAX * (1 + 2.0**-25), np.inf])
def test_beyond_float32_is_refused(value: float) -> None:
    with pytest.raises(DomainError, match="beyond float32"):
        float32_law(value)


def check_scale_is_unbiased(codec: AnyCodec, x: np.ndarray) -> None:
    """Given a seed, the mean scale is the exact one: the norm, or the one with <x, estimate> = |x|^2."""
    for shared in SHARED:
        law = law_of(codec, x, shared)
        symbols = [unpack_checked(codec, payload) for payload in law.payloads]
        mean = float(law.probabilities @ [s.scale for s in symbols])
        if codec.name == "nearest" or (codec.name == "top_signs" and codec.rotations == 1):
            assert mean == pytest.approx(float(np.linalg.norm(x)), rel=1e-15 * 8)
        elif codec.name != "eden" or codec.bits >= 1:
            assert law.mean @ x == pytest.approx(float(x @ x), rel=1e-13)
        assert mean == pytest.approx(exact_scale(codec, x, shared), rel=1e-15)


def exact_scale(codec: AnyCodec, x: np.ndarray, shared: int) -> float:
    from gradwire.common.codecs.vector import GradientVector

    return float(codec._choose(GradientVector.of(x, codec.dim), shared).scale)


@pytest.mark.parametrize("dim", [3, 64, 100])
@pytest.mark.parametrize("spec", ROTATED)
def test_header_has_no_bias(spec: str, dim: int) -> None:
    for shape in ("ramp", "one_hot", "wide"):
        for factor in (1.0, 1 / 3, 1e-3):
            check_scale_is_unbiased(parse(spec, dim), SHAPES[shape](dim) * factor)


@pytest.mark.parametrize("spec", ROTATED)
def test_rounding_to_nearest_is_detected(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault: a bias of up to 2^-25 of the gradient, the same in every round."""
    monkeypatch.setattr(random_rotation, "float32_law", lambda value: ((nearest_float32(value), 1.0),))
    with pytest.raises(AssertionError):
        check_scale_is_unbiased(parse(spec, 100), ramp(100) / 3)


@pytest.mark.parametrize("dim", [100, CHUNK + 5])
@pytest.mark.parametrize("spec", ["nearest(5)", "top_signs(30, rotations=2)", "eden(1.5)", "drive"])
def test_coins_give_the_same_bytes_in_torch(spec: str, dim: int) -> None:
    torch = pytest.importorskip("torch")
    codec, most = parse(spec, dim), 0
    for divisor in (3, 5, 7):
        x, headers = (ramp(dim) / divisor).astype(np.float32), set()
        for start in range(20 if dim < CHUNK else 2):
            ours = codec.encode(x, ReplayCoins(start), shared=7)
            assert codec.encode(torch.from_numpy(x), ReplayCoins(start), shared=7) == ours
            headers.add(ours[:4])
        most = max(most, len(headers))
    assert most == 2 or (most < 2 and dim > CHUNK)


# ---- the stated variance and the header ------------------------------------------------------------------------------

# ``variance_at`` is that of a header without rounding. Of E|estimate|^2 + |x|^2, rounding a float32 up adds at most
# 2^-22, and float64 sums of small vectors 2e-12.
GAP = 2.0**-22 + 1e-11


def has_variance_at(codec: AnyCodec) -> bool:
    try:
        codec.variance_at(ramp(codec.dim))
    except NotImplementedError:
        return False
    return True


SMALL = [e for _, e in named_examples() if e.enumerable and has_variance_at(parse(e.spec, e.dim))]


def gap(codec: AnyCodec, x: np.ndarray, shared: int | None) -> float:
    """The law's error less the stated one, over E|estimate|^2 + |x|^2."""
    law = law_of(codec, x, shared)
    moment = float(law.probabilities @ (law.points**2).sum(axis=1))
    return (law.error(x) - codec.variance_at(x)) / (moment + float(x @ x))


@pytest.mark.parametrize("example", SMALL, ids=lambda e: f"{e.spec} d={e.dim}")
def test_gap_to_the_stated_variance(example: object) -> None:
    """The exact law at small d: the header's rounding is all that is between it and ``variance_at``."""
    codec = parse(example.spec, example.dim)  # type: ignore[attr-defined]
    if not codec.variance_given_shared:
        return
    for _, x in laws_are_checked_at(codec.dim):
        # Beyond that a float32 keeps fewer digits, and below a bound's levels so does a float64.
        if not (1e-9 if is_clipped(codec) else 1e-30) < float(np.linalg.norm(x)) < 1e30:
            continue
        for shared in SHARED if codec.shared_randomness else (None,):
            if law_of(codec, x, shared).points.any():
                assert abs(gap(codec, x, shared)) <= GAP, x


@pytest.mark.parametrize("spec", ["cross_polytope", "simq", "simplex", "hadamard", "simq_plus(repeats=2)"])
def test_gap_is_that_of_rounding_up(spec: str) -> None:
    """Seen where a norm is just above a float32: about 2^-22, never below zero but for float64."""
    codec, widest = parse(spec, 3), 0.0
    for k in range(1, 40):
        found = gap(codec, np.array([0.3, -0.2, 0.1]) * (1 + k / 64), None)
        assert -1e-11 <= found <= GAP
        widest = max(widest, found)
    assert widest > 2.0**-26
    bound = parse(spec.removesuffix(")") + (", " if "(" in spec else "(") + "gain=bound(1.0))", 3)
    assert is_clipped(bound) and abs(gap(bound, np.array([0.3, -0.2, 0.1]), None)) <= 1e-12


def test_gap_of_float32_sums() -> None:
    """Of whole chunks l1 sums are float32, rounded up: the gain of simq is up to 3.2e-5 above the norm, not below."""
    codec = parse("simq", 2 * CHUNK)
    x = np.random.default_rng(0).normal(size=2 * CHUNK).astype(np.float32)
    gain = float(unpack_checked(codec, codec.encode(x, ReplayCoins())).gain)
    excess = gain / float(np.abs(x.astype(np.float64)).sum()) - 1
    assert 1e-6 < excess < 3.2e-5
