"""Block sums bound what they say, on every backend to the bit, near every boundary of their layout."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradwire.common.arrays import blocks
from gradwire.common.arrays.blocks import CHUNK, LANES, ROWS, BlockSums, block_sums, first_of
from gradwire.common.codecs import parse
from gradwire.common.codecs.payloads import unpack_checked
from gradwire.common.codecs.vector import GradientVector
from tests.common.codecs import checks, law_checks, sampling_checks
from tests.common.codecs.vectors import SHAPES, flat, ramp
from tests.grids import looped, rest_slow

EDGES = [
    1,
    2,
    LANES - 1,
    LANES,
    LANES + 1,
    5 * LANES + 3,
    CHUNK - 1,
    CHUNK,
    CHUNK + 1,
    2 * CHUNK,
    2 * CHUNK + LANES + 1,
]
every_size = looped("dim", EDGES)
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def members_of(blocks: int) -> np.ndarray:
    """The coordinates of every block: [blocks, ROWS]."""
    return first_of(np.arange(blocks))[:, None] + LANES * np.arange(ROWS)


def check_block_sums(sums: BlockSums, x: np.ndarray) -> None:
    """Every coordinate lies in one block; bounds bound, and are tight to ``slack``; so do the totals."""
    members = members_of(sums.bounds.size)
    inside = members < x.size
    assert np.array_equal(np.sort(members[inside]), np.arange(x.size)), (
        "blocks do not partition the coordinates"
    )
    values = np.where(inside, np.abs(x.astype(np.float64))[np.minimum(members, x.size - 1)], 0.0)
    exact = values.astype(np.longdouble).sum(axis=1)  # its rounding is far below any slack
    assert (sums.bounds >= exact).all(), f"a block's bound is below its sum by {(exact - sums.bounds).max()}"
    assert (sums.bounds <= exact * sums.slack**2 + 1e-320).all(), "a bound is looser than it says"
    l1 = math.fsum(np.abs(x.astype(np.float64)))
    assert l1 <= sums.total <= l1 * sums.slack**2 * (1 + 1e-11) + 1e-320
    assert sums.total >= sums.bounds.sum()
    l2 = math.sqrt(math.fsum(x.astype(np.float64) ** 2))
    assert l2 / sums.slack <= sums.norm <= l2 * sums.slack and sums.norm_bound >= l2
    assert 1 < sums.slack < 1 + 4e-5


@every_dtype
@every_size
@pytest.mark.parametrize("shape", rest_slow(["heavy", "wide", "flat", "ramp"], 2))
def test_bounds(shape: str, dim: int, dtype: type) -> None:
    x = SHAPES[shape](dim).astype(dtype)
    check_block_sums(block_sums(x), x)
    exact = block_sums(x, exact=True)
    assert exact.slack < 1 + 1e-13
    check_block_sums(exact, x)


@every_dtype
@every_size
def test_backends_agree_to_the_bit(dim: int, dtype: type) -> None:
    torch = pytest.importorskip("torch")
    for f in SHAPES.values():
        x = f(dim).astype(dtype)
        for exact in (False, True):
            ours, theirs = block_sums(x, exact=exact), block_sums(torch.from_numpy(x), exact=exact)
            assert ours.bounds.tobytes() == theirs.bounds.tobytes()
            assert dataclasses.astuple(ours)[1:] == dataclasses.astuple(theirs)[1:]


@pytest.mark.parametrize("scale", [1e-45, 1e-40, 1e-30, 1e-23, 1e-19, 1e19, 1e30])
def test_squares_beyond_float32(scale: float) -> None:
    """Squares that float32 cannot hold are summed in float64, whichever way they leave its range."""
    x = (ramp(CHUNK + 3) * scale).astype(np.float32)
    check_block_sums(block_sums(x), x)
    lone = np.zeros(CHUNK + 3, np.float32)
    lone[7], lone[-1] = 1.0, scale
    check_block_sums(block_sums(lone), lone)


def test_sums_beyond_float32() -> None:
    x = np.full(CHUNK, 3e38, np.float32)
    sums = block_sums(x)
    assert math.isclose(sums.total, 3e38 * CHUNK, rel_tol=1e-6) and sums.slack < 1 + 1e-13
    check_block_sums(sums, x)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@every_dtype
def test_non_finite_values_propagate(value: float, dtype: type) -> None:
    for dim in (3, CHUNK, CHUNK + 5):
        for at in (0, dim - 1):
            x = np.zeros(dim, dtype)
            x[at] = value
            sums = block_sums(x)
            assert not (math.isfinite(sums.total) and math.isfinite(sums.norm))


@settings(max_examples=25)
@given(st.integers(1, 3000), st.integers(0, 2**32 - 1), st.floats(-300, 300))
def test_any_float64(dim: int, seed: int, exponent: float) -> None:
    x = np.random.default_rng(seed).standard_normal(dim) * 10.0**exponent
    sums = block_sums(x)
    members = members_of(sums.bounds.size)
    inside = np.where(members < dim, np.abs(x)[np.minimum(members, dim - 1)], 0.0)
    assert all(
        Fraction(b) >= sum(map(Fraction, row)) for b, row in zip(sums.bounds[:50], inside[:50], strict=True)
    )


# ---- float32 sums must not leak into the law ---------------------------------------------------------------


@pytest.mark.parametrize(
    "spec", ["cross_polytope", "cross_polytope(gain=bound(100))", "simq", "simq_plus(repeats=1)"]
)
@pytest.mark.parametrize("value", [0.1, -0.3, 1 / 3, 1e-20, 1e20])
def test_flat_vectors_of_many_chunks(spec: str, value: float) -> None:
    """A flat vector has the largest l1 norm of all: one float32 rounding too many, and the rest mass is negative."""
    dim = 200_000
    x = np.full(dim, value, np.float32)
    x[::3] *= -1
    codec = parse(spec, dim)
    vector = codec._prepare(GradientVector.of(x, dim))
    (choice,) = codec._gain.law(codec._norm_estimate(vector))
    assert choice.gain == float(np.float32(choice.gain)) and choice.scale <= 1
    law = sampling_checks.vertex_law(codec, x)
    assert law.min() >= 0 and abs(math.fsum(law) - 1) <= 1e-11
    signed = law[:dim] - law[dim : 2 * dim]
    point = codec._terms(np.array([0]), np.array([choice.gain])).weights[0]
    assert np.allclose(
        point * signed, choice.scale * x.astype(np.float64), rtol=1e-9, atol=1e-15 * point / dim
    )
    payload = checks.encode(codec, x)
    codec.validate(payload)


@pytest.mark.parametrize("dim", [CHUNK, 200_000])
def test_gain_of_many_chunks_is_close(dim: int) -> None:
    """Float32 sums cost the gain at most the slack they state; a flat vector's sums are taken again."""
    codec = parse("cross_polytope", dim)
    for x in (flat(dim), ramp(dim), SHAPES["heavy"](dim)):
        gain = unpack_checked(codec, checks.encode(codec, x.astype(np.float32))).gain
        assert gain == pytest.approx(np.linalg.norm(x), rel=4e-5)
    flat_gain = unpack_checked(codec, checks.encode(codec, flat(dim).astype(np.float32))).gain
    assert flat_gain == pytest.approx(np.linalg.norm(flat(dim)), rel=1e-6)


# ---- mutants -----------------------------------------------------------------------------------------------


def without_slack(x: np.ndarray) -> BlockSums:
    sums = block_sums(x)
    return dataclasses.replace(sums, bounds=sums.bounds / sums.slack)


def tail_forgotten(x: np.ndarray) -> BlockSums:
    return block_sums(np.append(x[: x.size // CHUNK * CHUNK], np.zeros(x.size % CHUNK, x.dtype)))


def norm_rounded_down(x: np.ndarray) -> BlockSums:
    sums = block_sums(x)
    return dataclasses.replace(sums, norm=sums.norm / sums.slack**2)


@pytest.mark.parametrize("faulty", [without_slack, tail_forgotten, norm_rounded_down])
def test_faulty_sums_are_detected(faulty: Callable[[np.ndarray], BlockSums]) -> None:
    x = np.abs(flat(CHUNK + 3)).astype(np.float32)
    check_block_sums(block_sums(x), x)
    with pytest.raises(AssertionError):
        check_block_sums(faulty(x), x)


def test_layout() -> None:
    """The numbers that payloads depend on: a change of them changes the bytes that equal coins give."""
    assert (blocks.ROWS, blocks.LANES, blocks.CHUNK) == (ROWS, LANES, CHUNK) == (128, 1024, 131_072)
    assert law_checks.GAIN_SLACK < 2.0**-22
