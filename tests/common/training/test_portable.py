"""Powers, cosines and norms by fixed operations: right, and the same bits whatever form the vector has."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradwire.common.arrays.update import Sparse
from gradwire.common.training.optimizers.portable import (
    ROW,
    cosine_of_half_turns,
    l2_norm,
    ordered_sum,
    power,
    rows,
)

SIZES = [0, 1, 2, 3, 1000, ROW - 1, ROW, ROW + 1, 2 * ROW, 3 * ROW + 7, 8 * ROW, 11 * ROW + 1]


@pytest.mark.parametrize("base", [0.0, 0.5, 0.9, 0.99, 0.999, 1 - 2**-30])
@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 7, 8, 100, 1000, 12_345])
def test_power(base: float, exponent: int) -> None:
    exact = float(Fraction(base) ** exponent)
    assert power(base, exponent) == pytest.approx(exact, rel=4e-16 * (exponent + 1), abs=1e-300)


def test_power_multiplies_from_the_lowest_bit_on() -> None:
    """Bits that every machine computes: another order of the products would change them."""
    second = 0.9 * 0.9
    fourth = second * second
    assert power(0.9, 13) == (0.9 * fourth) * (fourth * fourth) != ((fourth * fourth) * fourth) * 0.9


def test_power_ends_at_zero_for_the_last_rounds() -> None:
    assert power(0.999, 1 << 40) == 0 and power(0.0, 5) == 0


@pytest.mark.parametrize("denominator", [1, 2, 3, 4, 5, 6, 7, 8, 12, 97, 1000, 10_007])
def test_cosine(denominator: int) -> None:
    for numerator in range(denominator + 1):
        found = cosine_of_half_turns(numerator, denominator)
        assert abs(found - math.cos(math.pi * numerator / denominator)) <= 1e-15
        assert found == -cosine_of_half_turns(denominator - numerator, denominator)


@given(st.integers(1, 1 << 40), st.floats(0, 1))
def test_cosine_of_long_runs(denominator: int, at: float) -> None:
    numerator = min(denominator, int(at * denominator))
    assert (
        abs(cosine_of_half_turns(numerator, denominator) - math.cos(math.pi * numerator / denominator))
        <= 1e-15
    )


def test_cosine_at_simple_angles() -> None:
    exact = [1.0, math.sqrt(3) / 2, 0.5, 0.0, -0.5, -math.sqrt(3) / 2, -1.0]
    assert [cosine_of_half_turns(k, 6) for k in range(7)] == pytest.approx(exact, rel=0, abs=2e-16)


@pytest.mark.parametrize("size", SIZES)
def test_rows_cover_everything_once(size: int) -> None:
    assert [i for part in rows(size) for i in range(part.start, part.stop)] == list(range(size))


def test_ordered_sum_is_a_sum() -> None:
    x = np.random.default_rng(0).normal(size=1000)
    assert ordered_sum(x) == pytest.approx(math.fsum(x), abs=1e-12) and ordered_sum(np.zeros(0)) == 0


@pytest.mark.parametrize("size", SIZES)
def test_norm_is_the_root_of_the_ordered_sum(size: int) -> None:
    x = (np.random.default_rng(size).normal(size=size) ** 5).astype(np.float32)
    wide = x.astype(np.float64)
    assert l2_norm(x) == math.sqrt(ordered_sum(wide * wide))
    assert l2_norm(x) == pytest.approx(math.sqrt(math.fsum(wide * wide)), rel=1e-14)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [0, 1, 10, 20_000, 10**9])
def test_norm_of_a_sparse_vector_has_the_same_bits(size: int, count: int) -> None:
    rng = np.random.default_rng(size)
    indices = np.sort(rng.permutation(size)[: min(count, size)])
    sparse = Sparse(size, indices, (rng.normal(size=indices.size) ** 5).astype(np.float32))
    assert l2_norm(sparse) == l2_norm(sparse.dense())


def test_norm_of_extreme_values() -> None:
    huge = np.full(3, np.finfo(np.float32).max)
    assert l2_norm(huge) == pytest.approx(math.sqrt(3) * float(huge[0]), rel=1e-15)
    assert l2_norm(np.full(4, 1e-45, np.float32)) == 2 * float(np.float32(1e-45))
    assert math.isnan(l2_norm(np.array([1, np.nan], np.float32))) and l2_norm(np.array([np.inf])) == math.inf
