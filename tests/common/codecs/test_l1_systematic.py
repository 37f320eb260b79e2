"""Systematic draws: the exact law, counts that are floor or ceil, and the variance of theory 5."""

from __future__ import annotations

import dataclasses
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gradwire.common.arrays.blocks import CHUNK, block_sums
from gradwire.common.arrays.sampling import draw_systematically
from gradwire.common.codecs import parse
from gradwire.common.codecs.simq.l1_systematic import L1Systematic
from tests.common.codecs.chance import Chance
from tests.common.codecs.checks import encode
from tests.common.codecs.coins import ReplayCoins, coins
from tests.common.codecs.vectors import SHAPES, heavy, ramp
from tests.grids import looped

F64 = NDArray[np.float64]


def law_by_offsets(x: list[Fraction], bound: Fraction, draws: int) -> dict[tuple[int, ...], Fraction]:
    """Net counts of each coordinate -> probability, by walking u through all its breakpoints in exact fractions."""
    edges = [draws * sum(map(abs, x[: i + 1])) / bound for i in range(len(x))]
    breaks = sorted({Fraction(0), Fraction(1), *(e - math.floor(e) for e in edges)})
    law: dict[tuple[int, ...], Fraction] = {}
    for start, stop in itertools.pairwise(breaks):
        u = (start + stop) / 2
        counts = [0] * len(x)
        for j in range(draws):
            at = next((i for i, e in enumerate(edges) if u + j < e), None)
            if at is not None:
                counts[at] += 1 if x[at] > 0 else -1
        law[tuple(counts)] = law.get(tuple(counts), Fraction(0)) + stop - start
    return law


@pytest.mark.parametrize("coding", ["l1_ball", "multiset", "type_signs", "tuple"])
@looped("draws", [1, 2, 3, 7])
@looped("x", [(3, -1, 2), (1, 1, 1), (0, -5, 0), (7, 0, -3, 1, 1), (1,), (-4, 1, 64)])
def test_law(x: tuple[int, ...], draws: int, coding: str) -> None:
    """Against exact fractions, under a public bound and with the exact gain; multiples of 1/4 are float32 values."""
    values = np.array(x) / 4
    for bound in (Fraction(20), Fraction(sum(map(abs, x)), 4)):
        codec = parse(f"l1_systematic({draws}, gain=bound({float(bound)}), coding={coding})", len(x))
        check_law(codec, values, bound, draws)
    exact = parse(f"l1_systematic({draws}, coding={coding})", len(x))
    check_law(exact, values, Fraction(sum(map(abs, x)), 4), draws)


def check_law(codec: L1Systematic, x: F64, bound: Fraction, draws: int) -> None:
    if float(bound) < np.abs(x).sum():
        return
    expected = law_by_offsets([Fraction(v) for v in x.tolist()], bound, draws)
    seen: dict[tuple[int, ...], float] = {}
    for payload, probability in codec.law(x).items():
        counts = np.rint(codec.decode(payload) * draws / float(bound)).astype(int)
        assert np.allclose(codec.decode(payload), counts * float(bound) / draws, rtol=1e-6)
        key = tuple(counts.tolist())
        seen[key] = seen.get(key, 0.0) + probability
    # A clipped length is certain to 10^-12, an exact gain is a float32: breakpoints move by as much.
    slack = 1e-11 if "bound" in codec.spec else 1e-6 * draws
    for key in seen.keys() | expected.keys():
        meant = float(expected.get(key, 0))
        assert seen.get(key, 0.0) == pytest.approx(meant, abs=slack), (key, seen, expected)


def stated_by_theory(x: F64, bound: float, draws: int) -> float:
    """(L1 / s)^2 sum f (1 - f), f = frac(s |v_i| / L1), for a length ``bound`` >= |x|_1."""
    shares = [draws * abs(float(v)) / bound for v in x]
    return (bound / draws) ** 2 * math.fsum((a - math.floor(a)) * (1 - a + math.floor(a)) for a in shares)


@settings(max_examples=100)
@given(x=st.lists(st.integers(-9, 9), min_size=1, max_size=12), draws=st.integers(1, 40))
def test_variance(x: list[int], draws: int) -> None:
    values = np.array(x, float)
    bound = float(np.abs(values).sum()) + 0.25
    codec = parse(f"l1_systematic({draws}, gain=bound({bound}))", len(x))
    assert codec.variance_at(values) == pytest.approx(stated_by_theory(values, bound, draws), abs=1e-9)
    iid = parse(f"simq({draws}, gain=bound({bound}))", len(x))
    assert codec.variance_at(values) <= iid.variance_at(values) * (1 + 1e-12)
    norm = float(np.linalg.norm(values))
    assert codec.variance_at(values) <= codec.variance(norm) * (1 + 1e-12) + 1e-12


def test_worst_variance() -> None:
    """d / s - 1 at flat vectors for 2 s <= d, and d^2 / 4 s^2 beyond, against vectors that an optimizer would find."""
    for dim, draws in ((8, 2), (8, 4), (8, 7), (8, 20), (50, 25)):
        codec, rng = parse(f"l1_systematic({draws})", dim), np.random.default_rng(dim)
        worst = dim / draws - 1 if 2 * draws <= dim else dim**2 / (4 * draws**2)
        assert codec.variance(2.0) == pytest.approx(4 * worst)
        tried = [np.ones(dim), *rng.standard_normal((300, dim)), *(rng.integers(0, 3, (300, dim)) + 1.0)]
        assert max(codec.variance_at(x / np.linalg.norm(x)) for x in tried) <= worst * (1 + 1e-9)


@looped("dtype", [np.float32, np.float64])
@looped("shape", sorted(SHAPES))
@pytest.mark.parametrize("dim", [5, 3000, 2 * CHUNK + 77])
def test_counts_are_floor_or_ceil(dim: int, shape: str, dtype: type) -> None:
    """Whatever the offset: the strongest form of unbiasedness, also where block sums are float32 bounds."""
    x = SHAPES[shape](dim).astype(dtype)
    sums = block_sums(x)
    for spare in (1.0, 1.3):
        total, draws = spare * sums.total, 2000
        for start in range(0, 50, 10):
            drawn = draw_systematically(x, sums, total, draws, ReplayCoins(start))
            hit = drawn.coordinate >= 0
            counts = np.bincount(drawn.coordinate[hit], minlength=dim)
            often = draws * np.abs(x.astype(np.float64)) / total
            assert (counts >= np.floor(often - 1e-9)).all() and (counts <= np.ceil(often + 1e-9)).all()
            assert (drawn.negative[hit] == (x[drawn.coordinate[hit]] < 0)).all()


def test_marginals_of_large_vectors(chance: Chance) -> None:
    """Mean counts over many offsets, in groups that no block aligns with: their spread is far below a count."""
    x = heavy(2 * CHUNK + 1234).astype(np.float32)
    sums, offsets, draws = block_sums(x), 400, 50
    group = np.arange(x.size) % 97
    seen, private = np.zeros(97), coins(chance.rng)
    for _ in range(offsets):
        drawn = draw_systematically(x, sums, 1.5 * sums.total, draws, private)
        seen += np.bincount(group[drawn.coordinate[drawn.coordinate >= 0]], minlength=97)
    meant = offsets * draws * np.bincount(group, np.abs(x.astype(np.float64))) / (1.5 * sums.total)
    # Each offset gives a group at most ``draws``; Hoeffding's bound for the sum of independent offsets.
    allowed = draws * math.sqrt(offsets / 2 * math.log(2 * 97 / chance.rate))
    assert (np.abs(seen - meant) <= allowed).all(), chance
    assert abs(seen.sum() - meant.sum()) <= offsets, "each offset draws floor or ceil of all the mass"


def test_exact_gain_at_the_papers_size() -> None:
    """nbits by theory: a float32 and the points of an l1 ball; and an estimate within its variance."""
    dim, draws = 795_010, 1000
    codec = parse(f"l1_systematic({draws})", dim)
    points = sum(math.comb(dim, j) * math.comb(draws, j) << j for j in range(draws + 1))
    assert codec.nbits == 32 + (points - 1).bit_length()
    x = ramp(dim).astype(np.float32)
    error = codec.decode(encode(codec, x)) - x
    assert float(error @ error) == pytest.approx(codec.variance_at(x), rel=0.05)
    multiset = dataclasses.replace(codec, coding="multiset")
    assert np.array_equal(multiset.decode(encode(multiset, x)), codec.decode(encode(codec, x)))


def test_not_private() -> None:
    assert parse("l1_systematic(3, gain=bound(1))", 4).epsilon == math.inf
