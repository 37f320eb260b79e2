"""Subsets, numbers and points of the l1 ball as integers: one to one, in the bits of theory, however unlikely."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gradwire.common.arrays.logarithms import log2_binomial, log2_power
from gradwire.common.errors import PayloadError
from gradwire.common.lossless import subset_code, unimodal_code
from gradwire.common.lossless.l1_ball_code import decode_point, encode_point, l1_ball_bits
from gradwire.common.lossless.radix_code import decode_digits, encode_digits, radix_bits
from gradwire.common.lossless.range_coder import RangeDecoder, RangeEncoder
from gradwire.common.lossless.ranking import rank, unrank
from gradwire.common.lossless.subset_code import decode_subset, encode_subset, subset_bits
from tests.grids import rest_slow

I64 = NDArray[np.int64]


def bits_of(count: int) -> int:
    """ceil(log2 count), exactly."""
    return (count - 1).bit_length()


def delannoy(dim: int, radius: int) -> int:
    """Integer points of the l1 ball, by the recursion for lattice paths, not by the sum that the code is from."""
    row = [1] * (radius + 1)
    for _ in range(dim):
        new = [1]
        for k in range(1, radius + 1):
            new.append(new[k - 1] + row[k] + row[k - 1])
        row = new
    return row[radius]


# ---- subsets -----------------------------------------------------------------------------------------------


def check_subset(positions: I64, cells: int) -> None:
    code = encode_subset(positions, cells)
    assert code.bit_length() <= subset_bits(cells, positions.size)
    found = decode_subset(code, cells, positions.size)
    assert found.dtype == np.int64 and np.array_equal(found, positions)


@pytest.fixture
def nothing_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Subsets of any size go through the range coder; counts that are powers of two have no room for its rounding."""
    monkeypatch.setattr(subset_code, "SMALL_STARS", 0)
    monkeypatch.setattr(subset_code, "SMALL_CELLS", 1)
    monkeypatch.setattr(subset_code, "subset_bits", lambda n, k: math.comb(n, k).bit_length())


@pytest.mark.usefixtures("nothing_is_small")
@pytest.mark.parametrize("most", rest_slow([9, 11]))
def test_range_coded_subsets_are_a_bijection(most: int) -> None:
    check_one_to_one(most)


def test_ranked_subsets_are_a_bijection() -> None:
    check_one_to_one(9)


def check_one_to_one(most: int) -> None:
    for cells in range(1, most + 1):
        for stars in range(cells + 1):
            nbits = subset_code.subset_bits(cells, stars)
            subsets = itertools.combinations(range(cells), stars)
            codes = {encode_subset(np.array(s, np.int64), cells): s for s in subsets}
            assert len(codes) == math.comb(cells, stars) and max(codes) < 1 << nbits
            for code in range(1 << nbits):
                try:
                    found = tuple(decode_subset(code, cells, stars).tolist())
                except PayloadError:
                    assert code not in codes
                else:
                    assert codes[code] == found


def shapes(cells: int, stars: int) -> Iterator[tuple[str, I64]]:
    """Subsets that no model expects, with one that it does."""
    rng = np.random.default_rng(stars)
    yield "first", np.arange(stars)
    yield "last", np.arange(cells - stars, cells)
    yield "evenly", np.arange(stars) * (cells // stars)
    yield "no two in a pair", np.arange(stars) * min(2, cells // stars)
    yield "both ends", np.r_[np.arange(stars // 2), np.arange(cells - (stars - stars // 2), cells)]
    some = np.unique(rng.integers(0, cells, 2 * stars))
    yield "random", np.sort(rng.permutation(some if some.size >= stars else np.arange(cells))[:stars])


@pytest.mark.parametrize(
    ("cells", "stars"),
    [(161, 129), (300, 140), (1001, 500), (5000, 4800), (100_000, 3000), (1_590_119, 200), (2**40 + 1, 300)],
)
def test_unlikely_subsets_fit(cells: int, stars: int) -> None:
    for _, positions in shapes(cells, stars):
        check_subset(positions, cells)


@settings(max_examples=60)
@given(data=st.data())
def test_subset_round_trip(data: st.DataObject) -> None:
    cells = data.draw(st.integers(1, 2000))
    ends = data.draw(st.lists(st.integers(0, cells), max_size=40, unique=True).map(sorted))
    inside = np.zeros(cells, bool)
    for start, stop in zip(ends[0::2], ends[1::2], strict=False):
        inside[start:stop] = True
    check_subset(np.flatnonzero(inside), cells)


@pytest.mark.parametrize(("cells", "stars"), [(2000, 700), (10**6, 200), (2000, 1900)])
def test_arbitrary_integers_are_subsets_or_refused(cells: int, stars: int) -> None:
    rng, nbits = np.random.default_rng(7), subset_bits(cells, stars)
    wrong = [int.from_bytes(rng.bytes(nbits // 8 + 1), "big") >> 8 - nbits % 8 for _ in range(30)]
    for code in [*wrong, 0, (1 << nbits) - 1]:
        try:
            positions = decode_subset(code, cells, stars)
        except PayloadError:
            continue
        assert encode_subset(positions, cells) == code, "two codes of one subset"
    with pytest.raises(PayloadError):
        decode_subset(1 << nbits, cells, stars)


@pytest.mark.parametrize(
    ("cells", "stars"), [(100, 7), (1000, 128), (1000, 129), (20_000, 9000), (10**6, 2000)]
)
def test_bits_of_subsets(cells: int, stars: int) -> None:
    """ceil(log2 C); the allowance for rounding, 2^-28 bits a star, moves it in none of these."""
    assert subset_bits(cells, stars) == subset_bits(cells, cells - stars) == bits_of(math.comb(cells, stars))


def test_loss_of_the_model_in_bits() -> None:
    """The coder's interval is 1 / C(cells, stars) to within 2^-30 bits a star, a quarter of the allowance."""
    for cells, stars in ((300, 140), (100_000, 3000), (2**40 + 1, 300)):
        for label, positions in shapes(cells, stars):
            coder, plain = RangeEncoder(), []
            subset_code.put_subset(positions, cells, coder, plain)
            narrow = coder._range.bit_length() - 60
            spent = coder._scale - narrow - math.log2(coder._range >> narrow) + sum(p.size for p in plain)
            loss = spent - float(log2_binomial(cells, stars))
            assert abs(loss) < stars * 2.0**-30 + 1e-9, (cells, stars, label, loss)


@given(st.sets(st.integers(0, 10**12), min_size=1, max_size=30))
def test_ranks(positions: set[int]) -> None:
    increasing = np.array(sorted(positions), np.int64)
    number = rank(increasing)
    assert unrank(number, int(increasing[-1]) + 1, increasing.size).tolist() == increasing.tolist()
    assert number == sum(math.comb(p, i + 1) for i, p in enumerate(sorted(positions)))


# ---- numbers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stars", "pairs"), [(2, 5), (40, 40), (1000, 40_000), (5000, 6000), (300, 2**40)])
def test_doubles_have_the_stated_probabilities(stars: int, pairs: int) -> None:
    """Against C(h, t) C(h - t, n - 2t) 2^(n - 2t) / C(2h, n) in exact integers, at the mode and at both ends."""
    law = subset_code._law_of_doubles(stars, pairs)
    mode = law.mode()
    for t in {0, mode // 2, mode, mode + (law.most - mode) // 3, law.most}:
        coder = RangeEncoder()
        unimodal_code.encode_number(t, law, coder)
        weight = math.comb(pairs, t) * math.comb(pairs - t, stars - 2 * t) << (stars - 2 * t)
        meant = float(log2_power(math.comb(2 * pairs, stars), 1) - log2_power(weight, 1))
        narrow = coder._range.bit_length() - 60
        spent = coder._scale - narrow - math.log2(coder._range >> narrow)
        assert spent == pytest.approx(meant, abs=2e-8 * (1 + meant / 14))
        nbits = math.ceil(meant + 1e-6)
        assert unimodal_code.decode_number(law, RangeDecoder(coder.finish(nbits), nbits)) == t


def test_modes() -> None:
    for stars, pairs in itertools.product(range(1, 30), range(30, 60)):
        law = subset_code._law_of_doubles(stars, pairs)
        weights = [
            math.comb(pairs, t) * math.comb(pairs - t, stars - 2 * t) << (stars - 2 * t)
            for t in range(law.most + 1)
        ]
        assert law.mode() == weights.index(max(weights))
        ratios = law.ratio(np.arange(law.most))
        assert np.allclose(ratios, [b / a for a, b in itertools.pairwise(weights)], rtol=1e-14)


# ---- points of the l1 ball ---------------------------------------------------------------------------------


def points(dim: int, radius: int) -> Iterator[tuple[int, ...]]:
    for point in itertools.product(range(-radius, radius + 1), repeat=dim):
        if sum(map(abs, point)) <= radius:
            yield point


@pytest.mark.parametrize(("dim", "radius"), [(1, 1), (1, 6), (2, 2), (3, 2), (2, 5), (4, 3)])
def test_points_are_a_bijection(dim: int, radius: int) -> None:
    nbits, codes = l1_ball_bits(dim, radius), {}
    for point in points(dim, radius):
        p = np.array(point, np.int64)
        codes[encode_point(np.flatnonzero(p), p[p != 0], dim, radius)] = point
    assert len(codes) == delannoy(dim, radius) and nbits == bits_of(delannoy(dim, radius))
    for code in range(1 << nbits):
        try:
            axes, values = decode_point(code, dim, radius)
        except PayloadError:
            assert code not in codes
            continue
        p = np.zeros(dim, np.int64)
        p[axes] = values
        assert codes[code] == tuple(p.tolist())


@pytest.mark.parametrize(("dim", "radius"), [(3, 100), (100, 3), (70, 70), (200, 300), (1000, 90)])
def test_bits_of_points(dim: int, radius: int) -> None:
    assert l1_ball_bits(dim, radius) == bits_of(delannoy(dim, radius))


def test_bits_of_points_at_the_papers_size() -> None:
    """theory 2.1: 166,657 bits for d = k = 65,536, 2.543 a coordinate."""
    assert l1_ball_bits(65_536, 65_536) == 166_657


# ---- digits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("radices", [((4, 3),), ((3, 5), (2, 3)), ((0, 7), (4, 2)), ((3, 1),), ((1, 200),)])
def test_digit_strings_are_a_bijection(radices: tuple[tuple[int, int], ...]) -> None:
    count = math.prod(radix**n for n, radix in radices)
    nbits = radix_bits(radices)
    assert nbits == bits_of(count)
    seen = set()
    for code in range(1 << nbits):
        try:
            digits = decode_digits(code, radices)
        except PayloadError:
            continue
        assert all(d.size == n and (d < radix).all() for d, (n, radix) in zip(digits, radices, strict=True))
        assert encode_digits(digits, radices) == code
        seen.add(code)
    assert len(seen) == count


@settings(max_examples=60)
@given(radix=st.one_of(st.integers(1, 40), st.integers(1, 2**41)), count=st.integers(1, 300), data=st.data())
def test_digits_round_trip(radix: int, count: int, data: st.DataObject) -> None:
    fill = data.draw(st.sampled_from(["lowest", "highest", "random"]))
    rng = np.random.default_rng(count)
    digits = {
        "lowest": np.zeros(count, np.int64),
        "highest": np.full(count, radix - 1),
        "random": rng.integers(0, radix, count),
    }
    nbits = radix_bits(((count, radix),))
    assert nbits == bits_of(radix**count)
    code = encode_digits([digits[fill]], ((count, radix),))
    assert code.bit_length() <= nbits
    assert np.array_equal(decode_digits(code, ((count, radix),))[0], digits[fill])


@pytest.mark.slow
def test_many_digits_and_stars() -> None:
    rng = np.random.default_rng(0)
    digits = rng.integers(0, 1_590_020, 100_000)
    assert np.array_equal(
        decode_digits(encode_digits([digits], ((100_000, 1_590_020),)), ((100_000, 1_590_020),))[0], digits
    )
    for _, positions in shapes(1_690_019, 100_000):
        check_subset(positions, 1_690_019)
