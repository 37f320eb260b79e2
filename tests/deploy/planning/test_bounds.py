"""The lower bound: theory's table, closed forms, both ends of its range, and codecs that it holds for."""

import itertools
import math

import numpy as np
import pytest
from scipy.special import betainc

from gradwire import register_points
from gradwire.common.codecs import parse
from gradwire.common.errors import SpecError
from gradwire.deploy.planning.bounds import (
    bounds_of,
    point_set_bits,
    radius_lower_bound,
    variance_lower_bound,
)


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


# ---- the radius of point sets --------------------------------------------------------------------------------


def test_theorem_5_in_its_exact_form() -> None:
    """V9: 15.02 bits at d = 1,024, R = 8, and 190.4 at d = 65,536, R = 16; the incomplete beta function elsewhere."""
    assert round(point_set_bits(1024, 8), 2) == 15.02 and round(point_set_bits(65_536, 16), 1) == 190.4
    for dim, radius in ((2, 1.5), (3, 1.2), (8, 2.0), (20, 3.0), (300, 5.0), (5000, 70.0)):
        share = betainc((dim - 1) / 2, 0.5, 1 - 1 / radius**2) / 2
        assert point_set_bits(dim, radius) == pytest.approx(-math.log2(share), rel=1e-12)
    assert point_set_bits(5, 1) == math.inf and point_set_bits(1, 3) == 1.0


@pytest.mark.parametrize(
    ("dim", "radius"), [(2, 1.1), (7, 3.0), (1024, 8.0), (65_536, 16.0), (795_010, 100.0)]
)
def test_radius_and_bits_are_inverse(dim: int, radius: float) -> None:
    bits = point_set_bits(dim, radius)
    bound = radius_lower_bound(dim, bits)
    assert bound.cap == pytest.approx(radius**2 - 1, rel=1e-9)
    assert bound.printed == max(0, dim / (32 * math.log(2 * 2**bits)) - 1) if bits < 1000 else True
    assert bound.printed < bound.cap
    assert bound.cap >= variance_lower_bound(dim, bits)  # the longest is at least the mean square


def test_printed_bound_of_the_paper() -> None:
    """V9: 0 bits at d = 1,024, R = 8, and 10.5 at d = 65,536, R = 16: read the other way, those radii."""
    assert radius_lower_bound(65_536, 10.542).printed == pytest.approx(16**2 - 1, rel=1e-3)
    assert radius_lower_bound(1024, 1).printed < 8**2 - 1 < radius_lower_bound(1024, 1).cap == math.inf


LONGEST = {
    **{("cross_polytope(gain=bound(1.0))", d): math.sqrt(d) for d in (1, 2, 16, 1000)},
    **{("simplex(gain=bound(1.0))", d): max(2 * d, 4 * math.sqrt(d)) for d in (2, 100)},
    **{("hadamard(1, gain=bound(1.0))", d): float(d) for d in (3, 127)},
    **{("epsilon_net(0.5, gain=bound(1.0))", d): None for d in (2, 5, 8)},
    **{(f"gaussian({bits}, gain=bound(1.0))", d): None for bits, d in ((6, 2), (10, 3), (12, 6))},
}


@pytest.mark.parametrize(("spec", "dim"), LONGEST)
def test_radius_bound_holds_for_every_set(spec: str, dim: int) -> None:
    """The longest point of each set of the paper, and of those that come close to the sphere."""
    codec = parse(spec, dim)
    radius = LONGEST[spec, dim] or codec.radius
    bound = bounds_of(codec)["radius_bound"]
    assert dim == 1 or 0 < bound <= radius**2 - 1 + 1e-12


def test_polygons_attain_it() -> None:
    """Equal points on the circle need R = 1 / cos(pi / |C|): the caps that they cover just meet."""
    for bits in (2, 3, 6):
        corners = 2**bits
        angles = 2 * math.pi * np.arange(corners) / corners
        digest = register_points(
            np.column_stack([np.cos(angles), np.sin(angles)]) / math.cos(math.pi / corners)
        )
        codec = parse(f"points({digest}, gain=bound(1.0))", 2)
        assert codec.radius**2 - 1 == pytest.approx(radius_lower_bound(2, bits).cap, rel=1e-4)
