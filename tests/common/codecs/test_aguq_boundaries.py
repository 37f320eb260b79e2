"""AGUQ at the boundary of every range and level, and beside it: the exact law of what a norm is sent with."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.blocks import CHUNK
from gradwire.common.codecs import parse
from gradwire.common.codecs.forms.aguq import REACH_SLACK, AguqGain
from gradwire.common.codecs.forms.gain import NormEstimate
from tests.common.codecs.coins import ReplayCoins
from tests.common.codecs.law_checks import law_of
from tests.grids import looped

GAINS = [
    AguqGain(bound, horizon) for bound in (1.0, 0.3, 1e-30, 7e20) for horizon in (1, 2, 3, 16, 1000, 10**6)
]
# Of estimates above the norm: float64 sums, and float32 sums of whole chunks.
SLACKS = (0.0, 1e-12, 2 * 130 * 2.0**-23)


def beside(value: float) -> list[float]:
    return [float(np.nextafter(value, 0)), value, float(np.nextafter(value, np.inf))]


def law(gain: AguqGain, norm: float) -> list[tuple[float, float, float]]:
    return [tuple(outcome) for outcome in gain.law(NormEstimate(norm, norm))]


def check_law(gain: AguqGain, norm: float) -> None:
    """Probabilities of at most two levels of one range, next to each other; the mean is the norm; all can be read."""
    outcomes = law(gain, norm)
    assert math.fsum(p for _, _, p in outcomes) == pytest.approx(1, abs=1e-15)
    assert math.fsum(g * p for g, _, p in outcomes) == pytest.approx(norm, rel=4e-16 * 8)
    assert all(scale == sent / norm for sent, scale, _ in outcomes)
    steps = max(g for g, _, _ in outcomes) - min(g for g, _, _ in outcomes)
    assert len(outcomes) <= 2 and steps <= gain.bound * 2 ** (gain.range_count / 2) / (
        gain._table.shape[1] - 1
    )
    for sent, _, _ in outcomes:
        out = BitWriter()
        gain.write(sent, out)
        assert out.nbits == gain.nbits and gain.read(BitReader(out.tobytes())) == sent


@looped("gain", GAINS)
def test_law_at_every_boundary_of_ranges_and_levels(gain: AguqGain) -> None:
    table = gain._table
    for level in np.unique(table[~np.isnan(table)])[1:].tolist():
        for norm in beside(level):
            if norm <= gain.reach:
                check_law(gain, norm)
            else:
                assert law(gain, norm) == [(gain.reach, gain.reach / norm, 1.0)]


@looped("gain", GAINS)
def test_boundaries_are_powers_of_the_root_of_two(gain: AguqGain) -> None:
    """M_j^2 = bound^2 2^j, to a rounding: exact rationals decide."""
    for j, reach in enumerate(gain._table[:, -1].tolist()):
        exact = Fraction(gain.bound) ** 2 * 2**j
        assert abs(Fraction(reach) ** 2 / exact - 1) <= Fraction(1, 2**51)
    assert gain._table[-1, -1] == pytest.approx(gain.reach, rel=1e-15)


@looped("gain", GAINS)
def test_reach_is_sent_however_it_was_estimated(gain: AguqGain) -> None:
    """The fault: estimates are up to 3.2e-5 above the norm, and all that was above the reach decoded to zero."""
    for slack in SLACKS:
        for norm in beside(gain.reach * (1 + slack)):
            ((sent, scale, p),) = law(gain, norm) if norm >= gain.reach else law(gain, gain.reach)
            assert sent == gain.reach and p == 1.0 and 1 - slack - 1e-15 <= scale <= 1
    assert law(gain, gain.reach * (1 + 2 * REACH_SLACK)) == [(0.0, 0.0, 1.0)]
    assert max(SLACKS) < REACH_SLACK


def flat_in_l1(dim: int, norm: float) -> np.ndarray:
    return np.full(dim, norm / dim)


@pytest.mark.parametrize(
    "shape", ["simq", "cross_polytope", "simq_plus(repeats=2)", "cuq(levels=3)", "simplex"]
)
@pytest.mark.parametrize("horizon", [1, 16, 1000])
def test_vector_at_the_reach(shape: str, horizon: int) -> None:
    """The exact law at d = 3: the mean is the vector, at the reach and just beside it."""
    codec = parse(f"gain_shape(aguq(1.0, {horizon}), {shape})", 3)
    reach = AguqGain(1.0, horizon).reach
    for direction in (np.array([1.0, 0, 0]), np.array([0.5, -0.3, 0.2]), np.full(3, 1.0)):
        length = {"simq": np.abs(direction).sum(), "cuq(levels=3)": np.abs(direction).max()}.get(
            shape, float(np.linalg.norm(direction))
        )
        for norm in beside(reach):
            x = direction * (norm / length)
            assert law_of(codec, x).mean == pytest.approx(x, rel=1e-9, abs=1e-12 * reach), norm
            assert law_of(codec, x).error(x) == pytest.approx(
                codec.variance_at(x), rel=1e-9, abs=1e-9 * reach**2
            )


@pytest.mark.parametrize("dim", [3, 1000, CHUNK, 2 * CHUNK + 5])
@pytest.mark.parametrize("shape", ["simq(repeats=4)", "cross_polytope(repeats=4)", "ratq(count=64)", "cuq"])
def test_gradient_at_the_reach_is_not_lost(dim: int, shape: str) -> None:
    if dim == 3:
        shape = shape.replace("(count=64)", "")
    codec = parse(f"gain_shape(aguq(1.0, 16), {shape})", dim)
    norm = {"simq": 4.0, "cuq": 4.0 * dim}.get(shape.partition("(")[0], 4.0 * math.sqrt(dim))
    x = flat_in_l1(dim, norm).astype(np.float32)
    shared = 5 if codec.shared_randomness else None
    for start in range(10):
        assert codec.decode(codec.encode(x, ReplayCoins(start), shared=shared), shared=shared).any()
