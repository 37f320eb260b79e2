"""The lower bound: theory's table, closed forms, both ends of its range, and codecs that it holds for."""

import itertools
import math

import numpy as np
import pytest

from gradwire.common.codecs import parse
from gradwire.common.errors import SpecError
from gradwire.deploy.planning.bounds import variance_lower_bound


@pytest.mark.parametrize(
    ("bits", "without_header", "with_header"),
    [(100, 728, 489), (1000, 48.6, 47.0), (10_000, 4.26, 4.25), (100_000, 0.137, 0.137)],
)
def test_table(bits: int, without_header: float, with_header: float) -> None:
    """Theory 5, d = 65,536: for b - 32 bits and for b."""
    assert float(f"{variance_lower_bound(65_536, bits - 32):.3g}") == without_header
    assert float(f"{variance_lower_bound(65_536, bits):.3g}") == with_header


def test_the_papers_setting() -> None:
    """d = 795,010 and 2,060 bits: 279 (theory 5)."""
    assert round(variance_lower_bound(795_010, 2060)) == 279


def test_on_the_circle() -> None:
    """d = 2, b bits: arcs of 2^-b of the circle, E[Z | Z >= z] = sin(pi p) / (pi p)."""
    for bits in (1, 2, 3, 7, 20):
        p = 2.0**-bits
        expected = (math.pi * p / math.sin(math.pi * p)) ** 2 - 1
        assert variance_lower_bound(2, bits) == pytest.approx(expected, rel=1e-9 if bits < 10 else 1e-3)


def test_on_the_sphere() -> None:
    """d = 3: Z is uniform on [-1, 1], so E[Z | Z >= 1 - 2p] = 1 - p."""
    for bits in (1, 1.5, 2, 8, 30, 400, 1000):
        p = 2.0**-bits
        assert variance_lower_bound(3, bits) == pytest.approx(math.expm1(-2 * math.log1p(-p)), rel=1e-12)


@pytest.mark.parametrize("dim", [2, 3, 10, 1000, 65_536, 12_332_010])
def test_one_bit(dim: int) -> None:
    """1 / E[|Z|]^2 - 1 = pi Gamma((d + 1) / 2)^2 / Gamma(d / 2)^2 - 1, which is pi d / 2 - 1 for many coordinates."""
    exact = math.pi * math.exp(2 * (math.lgamma((dim + 1) / 2) - math.lgamma(dim / 2))) - 1
    assert variance_lower_bound(dim, 1) == pytest.approx(exact, rel=1e-12 if dim < 100 else 1e-7)
    assert variance_lower_bound(dim, 1) == pytest.approx(math.pi * dim / 2 - 1, abs=1, rel=1e-6)


@pytest.mark.parametrize("rate", [1e-4, 0.01, 0.5, 2.0])
def test_many_coordinates(rate: float) -> None:
    dim = 12_332_010
    assert variance_lower_bound(dim, rate * dim) == pytest.approx(1 / (4**rate - 1), rel=0.02)


@pytest.mark.parametrize("dim", [1, 2, 3, 50, 65_536, 12_332_010])
def test_falls_with_bits_and_never_breaks(dim: int) -> None:
    bounds = [variance_lower_bound(dim, b) for b in (1, 1.01, 2, 10, 100, 1e3, 1e4, 1e5, 1e6)]
    assert all(a > b or a == b == 0 for a, b in itertools.pairwise(bounds))
    assert all(0 <= b < math.inf for b in bounds)


@pytest.mark.parametrize(
    ("spec", "dim"),
    [
        ("nearest(3)", 64),
        ("top_signs(10)", 128),
        ("drive", 1024),
        ("cross_polytope(5)", 64),
        ("rand_k(3)", 64),
    ],
)
def test_no_codec_is_below(spec: str, dim: int) -> None:
    codec = parse(spec, dim)
    assert codec.variance() >= variance_lower_bound(dim, codec.nbits)


def test_monte_carlo() -> None:
    """E[Z | Z >= z_p] of a sampled sphere."""
    u = np.random.default_rng(0).standard_normal((400_000, 8))
    z = np.sort(u[:, 0] / np.linalg.norm(u, axis=1))
    for bits in (1, 3, 6):
        top = z[-(z.size >> bits) :].mean()
        assert variance_lower_bound(8, bits) == pytest.approx(1 / top**2 - 1, rel=0.02)


@pytest.mark.parametrize(("dim", "bits"), [(0, 5), (5, 0), (5, 0.5), (5, math.inf), (5, math.nan)])
def test_refusals(dim: int, bits: float) -> None:
    with pytest.raises(SpecError, match="expected at least 1 of each"):
        variance_lower_bound(dim, bits)
