"""Stochastic rounding, uniform levels, and CUQ: laws and variances written out from theory 2.2."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradwire.common.arrays import rounding
from gradwire.common.codecs import parse
from gradwire.common.codecs.forms.levels import UniformLevels
from gradwire.common.errors import PayloadError, SpecError
from tests.common.codecs import checks
from tests.common.codecs.law_checks import law_of
from tests.common.codecs.refusal_checks import check_refuses_payload, with_field
from tests.common.codecs.vectors import heavy, ramp
from tests.grids import looped

Y = np.array([0.0, -0.0, 1.0, -3.0, 0.25, -0.25, 2.999, -1e-300, 1e-300, 2.0**30 + 0.5, -(2.0**30) - 0.5])

# ---- rounding ----------------------------------------------------------------------------------------------


@given(y=st.floats(-1e6, 1e6), u=st.integers(0, 2**53 - 1))
def test_rounding_is_exact_to_the_coin(y: float, u: int) -> None:
    """Up when u < y - floor(y), in exact arithmetic, but for what a float64 fraction may lose of tiny negative y."""
    seen = int(rounding.stochastic_levels(np.array([y]), np.array([u * 2.0**-53]))[0])
    fraction = Fraction(y) - math.floor(y)
    meant = math.floor(y) + (Fraction(u, 2**53) < fraction)
    assert seen == meant or abs(Fraction(u, 2**53) - fraction) <= Fraction(1, 2**53)


def test_integers_are_not_rounded() -> None:
    whole = np.array([-4.0, -1.0, 0.0, 7.0])
    for u in (0.0, 0.5, 1 - 2.0**-53):
        assert rounding.stochastic_levels(whole, np.full(4, u)).tolist() == [-4, -1, 0, 7]


def test_rounding_agrees_with_torch() -> None:
    torch = pytest.importorskip("torch")
    y = np.concatenate([Y, np.random.default_rng(1).standard_normal(10_000) * 50])
    u = np.random.default_rng(2).random(y.size)
    expected = rounding.stochastic_levels(y, u)
    seen = rounding.stochastic_levels(torch.from_numpy(y), torch.from_numpy(u))
    assert expected.dtype == np.int32 and seen.dtype == torch.int32
    assert (seen.numpy() == expected).all()


def test_law_of_rounding() -> None:
    y = np.array([0.25, -1.75, 2.0])
    law = list(rounding.levels_law(y))
    assert len(law) == 4 and math.fsum(p for _, p in law) == pytest.approx(1, abs=1e-15)
    assert np.sum([p * levels for levels, p in law], axis=0) == pytest.approx(y, abs=1e-15)


@pytest.mark.parametrize(
    ("count", "multiple"), [(0, 1), (1, 1), (1 << 18, 1), ((1 << 18) + 1, 3), (10**6, 7)]
)
def test_slabs_cover_the_vector(count: int, multiple: int) -> None:
    parts = list(rounding.slabs(count, multiple))
    assert [i for p in parts for i in (p.start, p.stop)][1:-1:2] == [p.start for p in parts[1:]]
    assert all((p.stop - p.start) % multiple == 0 for p in parts[:-1])
    assert sum(p.stop - p.start for p in parts) == count and all(p.stop > p.start for p in parts)


@pytest.mark.parametrize("spec", ["cuq", "ratq", "ratq(group=3)", "lq_split(p=1.2)", "subsample(0.5, cuq)"])
def test_slabs_are_no_part_of_the_wire_format(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = parse(spec, 1000)
    payload = checks.encode(codec, heavy(1000))
    decoded = checks.decode(codec, payload)
    monkeypatch.setattr(rounding, "SLAB", 48)
    assert checks.encode(codec, heavy(1000)) == payload
    assert (checks.decode(codec, payload) == decoded).all()


# ---- levels ------------------------------------------------------------------------------------------------


@looped("count", [2, 3, 4, 7, 8, 255, 256, 1 << 24])
def test_levels(count: int) -> None:
    levels = UniformLevels(count)
    symbols = np.unique(np.minimum([0, 1, (count - 1) // 2, count // 2, count - 1], count - 1))
    values = levels.values(symbols)
    assert values[0] == -1 and values[-1] == 1 and (0 in values) == (count % 2 == 1)
    exact = [Fraction(2 * int(s), count - 1) - 1 for s in symbols]
    assert values == pytest.approx([float(v) for v in exact], abs=2.0**-53)
    assert levels.width == math.ceil(math.log2(count))
    for u in (0.0, 0.999):
        assert (levels.draw(np.array([-1.0, 1.0, -1.5, 1.5]), np.full(4, u)) == [0, count - 1] * 2).all()


@looped("count", [1, 0, -3, (1 << 24) + 1])
def test_numbers_of_levels_are_checked(count: int) -> None:
    with pytest.raises(SpecError, match=rf"^cuq: levels is {count}, expected 2 to"):
        parse(f"cuq(levels={count})", 3)


# ---- CUQ ---------------------------------------------------------------------------------------------------


def coordinate_law(x: float, reach: float, k: int) -> dict[float, float]:
    """Decoded value -> probability: the two levels -M + 2 M l / (k - 1) around x, by distance."""
    grid = [-reach + 2 * reach * level / (k - 1) for level in range(k)]
    if reach == 0:
        return {0.0: 1.0}
    above = next(level for level in range(k) if grid[level] >= x - 1e-15 * reach)
    if above == 0 or abs(grid[above] - x) <= 1e-15 * reach:
        return {grid[above]: 1.0}
    up = (x - grid[above - 1]) / (grid[above] - grid[above - 1])
    return {grid[above - 1]: 1 - up, grid[above]: up}


@looped("k", [2, 3, 4, 7, 15])
@looped("x", [ramp(3), heavy(3), np.array([0.0, 0.0, -0.75]), np.array([0.5, -0.5, 0.5]), np.zeros(3)])
def test_law_of_cuq(k: int, x: np.ndarray) -> None:
    reach = float(np.abs(x).max())
    codec = parse(f"cuq(levels={k}, gain=bound({reach or 1.0}))", 3)
    seen = law_of(codec, x)
    expected = [coordinate_law(float(xi), reach or 1.0, k) for xi in x]
    for point in itertools.product(*expected):
        here = np.abs(seen.points - np.array(point)).max(axis=1) < 1e-12
        meant = math.prod(law[value] for law, value in zip(expected, point, strict=True))
        assert seen.probabilities[here].sum() == pytest.approx(meant, abs=1e-12)
    assert seen.error(x) == pytest.approx(codec.variance_at(x), abs=1e-12)


def test_gain_is_the_largest_magnitude_exactly() -> None:
    """A float32 gradient's l_inf norm is a float32: the gain is not rounded up."""
    for dim in (3, 1000):
        x = heavy(dim).astype(np.float32)
        x[dim // 2] = np.float32(-1.7)
        payload = checks.encode(parse("cuq", dim), x)
        assert np.frombuffer(payload[:4], "<f4")[0] == np.float32(1.7)
        assert checks.decode(parse("cuq", dim), payload)[dim // 2] == -np.float64(np.float32(1.7))


@looped("k", [3, 7, 15, 4, 8])
@looped("dim", [1, 2, 5, 100])
def test_largest_variance_is_attained(k: int, dim: int) -> None:
    """The closed form of the docstring, at the vector it names, and not exceeded at any other tried."""
    codec = parse(f"cuq(levels={k})", dim)
    ratio = 2 * math.sqrt(dim - 1) / (k - 1)
    angle = math.pi / 2 - math.atan(ratio) / 2 if k % 2 else 0.0  # tan(2 angle) = -ratio, M = sin(angle)
    worst = np.full(dim, math.cos(angle) / math.sqrt(max(1, dim - 1)) if k % 2 else 0.0)
    worst[0] = math.sin(angle) if k % 2 and dim > 1 else 1.0
    assert np.linalg.norm(worst) == pytest.approx(1)
    assert codec.variance_at(worst) == pytest.approx(codec.variance(1.0), rel=1e-9, abs=1e-12)
    rng = np.random.default_rng(k * dim)
    for _ in range(200):
        x = rng.standard_normal(dim) ** rng.integers(1, 6)
        assert codec.variance_at(x) <= codec.variance(float(np.linalg.norm(x))) * (1 + 1e-9) + 1e-14 * (x @ x)


def test_variance_under_a_public_bound_is_never_exceeded() -> None:
    rng = np.random.default_rng(5)
    for k, dim in itertools.product((2, 3, 7, 8), (1, 2, 30)):
        codec = parse(f"cuq(levels={k}, gain=bound(1.5))", dim)
        for scale in (0.01, 0.3, 1.0, 4.0):
            x = scale * rng.standard_normal(dim) ** 3
            assert codec.variance_at(x) <= codec.variance(float(np.linalg.norm(x))) * (1 + 1e-9)


def test_zeros_have_no_variance() -> None:
    """With an odd number of levels zero is one of them; this is why k = 2^b - 1."""
    x = np.zeros(1000)
    x[::50] = ramp(20)
    kept = x != 0
    for spec in ("cuq(levels=7)", "cuq(levels=15)"):
        codec = parse(spec, 1000)
        assert (checks.decode(codec, checks.encode(codec, x))[~kept] == 0).all()
        alone = parse(spec, 20)
        assert codec.variance_at(x) == pytest.approx(alone.variance_at(x[kept]), rel=1e-12)
    assert parse("cuq(levels=8)", 1000).variance_at(x) > 3 * parse("cuq(levels=7)", 1000).variance_at(x)


@looped("dim", [3, 128, 1000, 795_010, 12_332_010])
@looped("k, bits", [(3, 2), (7, 3), (15, 4), (4, 2), (9, 4), (2, 1)])
def test_bits_of_cuq(k: int, bits: int, dim: int) -> None:
    assert parse(f"cuq(levels={k})", dim).nbits == 32 + dim * bits
    assert parse(f"cuq(levels={k}, gain=bound(1.0))", dim).nbits == dim * bits


def test_unused_symbol_is_refused() -> None:
    """The papers' overflow mark: 2^b - 1 for k = 2^b - 1 levels."""
    codec = parse("cuq(levels=7)", 9)
    payload = checks.encode(codec, ramp(9))
    for place in (0, 4, 8):
        check_refuses_payload(codec, with_field(payload, 32 + 3 * place, 3, 7))
    with pytest.raises(PayloadError, match=r"^cuq: a level is 7, expected below 7"):
        codec.validate(with_field(payload, 32, 3, 7))
