"""Exact laws at small dimensions, and the closed forms of the papers against them."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradwire.common.codecs import AnyCodec, parse
from gradwire.common.codecs.forms.scales import round_up_float32
from gradwire.common.errors import DomainError, SpecError
from tests.common.codecs import checks, law_checks, oracles
from tests.common.codecs.examples import every_enumerable_codec, shared_seeds
from tests.common.codecs.vectors import TINY, laws_are_checked_at

VECTORS = [x for _, x in laws_are_checked_at(3)]


@every_enumerable_codec
def test_law(codec: AnyCodec) -> None:
    law_checks.check_law(codec)


@every_enumerable_codec
@settings(max_examples=15)
@given(data=st.data())
def test_law_at_any_vector(codec: AnyCodec, data: st.DataObject) -> None:
    values = st.floats(-(2.0**99), 2.0**99, width=32)
    x = np.array(data.draw(st.lists(values, min_size=codec.dim, max_size=codec.dim)))
    if checks.is_inside(codec, x):
        for shared in shared_seeds(codec):
            law_checks.check_probabilities(codec, x, shared)
            if codec.unbiased and codec.unbiased_given_shared:
                law_checks.check_mean(codec, x, shared)


@every_enumerable_codec
def test_variance_of_other_norms(codec: AnyCodec) -> None:
    for norm in (0.25, 1.0, 3.0):
        if checks.is_inside(codec, np.full(codec.dim, norm)):
            law_checks.check_variance_is_largest(codec, norm)


@given(value=st.floats(0, 3.4e38))
def test_gains_round_up(value: float) -> None:
    law_checks.check_gain_rounds_up(value)


def test_gains_beyond_float32() -> None:
    assert round_up_float32(float(np.finfo(np.float32).max)) == float(np.finfo(np.float32).max)
    with pytest.raises(DomainError, match="beyond float32"):
        round_up_float32(float(np.nextafter(np.finfo(np.float32).max, np.inf, dtype=np.float64)))


@pytest.mark.parametrize(
    "bound", ["0", "-1", "1e-300", "1e39", "inf", "nan", "1" + "0" * 400, "true", "word"]
)
def test_bad_bounds(bound: str) -> None:
    with pytest.raises(SpecError):
        parse(f"cross_polytope(gain=bound({bound}))", 3)


# ---- the papers' closed forms, written down again ----------------------------------------------------------


@pytest.mark.parametrize("spec", sorted(oracles.LAWS))
def test_law_of_the_paper(spec: str) -> None:
    """One draw, as decoded point -> probability, against the table of theory 1.1 and 2.1."""
    for x in VECTORS:
        check_law_of_the_paper(spec, x)


def check_law_of_the_paper(spec: str, x: np.ndarray) -> None:
    codec, oracle = parse(spec, x.size), oracles.LAWS[spec]
    law = law_checks.law_of(codec, x)
    length = oracles.norm(x, oracle.q)
    if oracle.bound is None:
        gain = struct.unpack("<f", law.payloads[0][:4])[0]
        assert length <= gain * (1 + 1e-12) and gain <= length * (1 + law_checks.GAIN_SLACK) + TINY
    else:
        gain, x = oracle.bound, oracles.clip(x, oracle.bound, oracle.q)
    expected = oracle.law(x, gain)
    assert math.fsum(p for _, p in expected) == pytest.approx(1, abs=1e-12)
    points = np.array([point for point, _ in expected])
    for point in np.unique(points, axis=0):
        seen = law.probabilities[same(law.points, point, gain)].sum()
        meant = sum(p for (_, p), here in zip(expected, same(points, point, gain), strict=True) if here)
        assert seen == pytest.approx(meant, abs=1e-11), (x, point, law, expected)


def same(points: np.ndarray, point: np.ndarray, scale: float) -> np.ndarray:
    return np.abs(points - point).max(axis=1) <= 1e-12 * scale


@pytest.mark.parametrize("spec", sorted(oracles.VARIANCES))
def test_variance_of_the_paper(spec: str) -> None:
    codec = parse(spec, 3)
    for x in VECTORS:
        assert codec.variance_at(x) == pytest.approx(oracles.VARIANCES[spec](x), rel=1e-12, abs=0), x


@pytest.mark.parametrize(("spec", "dim", "nbits"), oracles.BITS)
def test_bits_of_the_paper(spec: str, dim: int, nbits: int) -> None:
    assert parse(spec, dim).nbits == nbits


def test_chain_of_variances() -> None:
    """|x|_1^2 - 1 (SimQ) <= sqrt(d) |x|_1 - 1 (SimQ+) <= d - 1 (cross polytope), for |x| = 1 (theory 1.1)."""
    for _, x in laws_are_checked_at(5):
        at = [parse(s, 5).variance_at(x) for s in ("simq", "simq_plus(repeats=1)", "cross_polytope")]
        assert at[0] <= at[1] * (1 + 1e-12) and at[1] <= at[2] * (1 + 1e-12)


@pytest.mark.parametrize(
    ("p", "dim", "k"), [(2, 1000, 1000), (4, 1000, 31), (8, 1024, 5), (math.inf, 9, 1), (3, 8, 4)]
)
def test_repeats_of_simq_plus(p: float, dim: int, k: int) -> None:
    """k = floor(d^(2/p)), at least 1 (S7); 8^(2/3) is 4 although floating point says 3.99…"""
    assert parse(f"simq_plus(p={p})", dim).repeats == k
