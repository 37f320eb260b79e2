"""How drawn vertices become bits: codings round-trip, in theory's bits, and read nothing that they did not write."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.codecs import parse
from gradwire.common.errors import PayloadError, SpecError
from gradwire.common.lossless.codings.base import CODINGS, Coding
from tests.grids import looped

I64 = NDArray[np.int64]
ORDERED = ("tuple", "joint")
SIGNED = ("type_signs", "l1_ball")  # for vertices +e_i, -e_i and 0, one sign an axis
NAMES = sorted(CODINGS)
DIMS = (3, 128, 1000, 795_010, 12_332_010)


def build(name: str, dim: int, draws: int) -> Coding:
    """For a cross-polytope's vertices, or SimQ's."""
    return CODINGS[name](2 * dim + (name in SIGNED), draws)


def written(coding: Coding, drawn: I64) -> bytes:
    out = BitWriter()
    coding.write(drawn, out)
    assert out.nbits == coding.nbits, f"{coding}: {out.nbits} bits"
    return out.tobytes()


def check_round_trip(coding: Coding, drawn: I64) -> None:
    """The draws come back, in order or, where the coding forgets it, as a multiset."""
    found = coding.read(BitReader(written(coding, drawn)))
    assert found.shape == drawn.shape and found.dtype == np.int64
    if coding.name in ORDERED:
        assert np.array_equal(found, drawn)
    else:
        assert np.array_equal(np.sort(found), np.sort(drawn))


def bits_of(count: int) -> int:
    return (count - 1).bit_length()


def nbits_by_theory(name: str, dim: int, draws: int) -> int:
    """Theory 2.1 and theory 3, in exact integers."""
    if name == "tuple":
        return draws * bits_of(2 * dim)
    if name == "joint":
        return bits_of((2 * dim) ** draws)
    if name == "multiset":
        return bits_of(math.comb(2 * dim + draws - 1, draws))
    if name == "type_signs":
        return bits_of(math.comb(dim + draws, draws)) + draws
    if name == "elias_fano":
        return min(draws * low + draws + ((2 * dim - 1) >> low) for low in range(60))
    return bits_of(sum(math.comb(dim, j) * math.comb(draws, j) << j for j in range(min(dim, draws) + 1)))


# ---- lengths -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@looped("draws", [1, 2, 100, 129, 500])
@looped("dim", DIMS)
def test_bits(name: str, dim: int, draws: int) -> None:
    assert build(name, dim, draws).nbits == nbits_by_theory(name, dim, draws)


def test_bits_of_the_papers() -> None:
    """V12: 2,061 bits jointly for s = 100 and MNIST's d, 2,456 for CIFAR's; section 2.1: 196,600 and 166,657."""
    assert build("joint", 795_010, 100).nbits == 2061 and build("joint", 12_332_010, 100).nbits == 2456
    assert build("tuple", 795_010, 100).nbits == 2100 and build("tuple", 12_332_010, 100).nbits == 2500
    assert build("type_signs", 65_536, 65_536).nbits == 196_600
    assert build("l1_ball", 65_536, 65_536).nbits == 166_657
    assert parse("simq_plus(coding=type_signs)", 65_536).nbits == 32 + 196_600


@pytest.mark.parametrize("draws", [10, 100, 1000, 10_000])
def test_order_of_lengths(draws: int) -> None:
    """Forgetting the order saves nearly log2 s! bits; Elias-Fano is 0.3 to 10.3% above the multiset (section 3)."""
    bits = {name: build(name, 795_010, draws).nbits for name in NAMES}
    assert bits["l1_ball"] <= bits["multiset"] + 1 and bits["l1_ball"] <= bits["type_signs"]
    assert bits["multiset"] < bits["elias_fano"] < 1.103 * bits["multiset"]
    assert bits["joint"] <= bits["tuple"]
    assert bits["multiset"] < bits["joint"] - math.lgamma(draws + 1) / math.log(2) + draws / 50 + 2


# ---- round trips -------------------------------------------------------------------------------------------


@st.composite
def draws_of(draw: st.DrawFn, signed: bool) -> tuple[int, I64]:
    """A dimension and draws: few or many, spread or all on few vertices."""
    dim = draw(st.one_of(st.integers(1, 6), st.integers(1, 300), st.integers(1, 2**40)))
    count = draw(st.one_of(st.integers(1, 6), st.integers(1, 400)))
    vertices = 2 * dim + signed
    reach = draw(st.sampled_from([1, 2, 10, vertices]))
    start = draw(st.integers(0, vertices - min(reach, vertices)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    drawn = rng.integers(start, start + min(reach, vertices), count)
    return dim, one_sign_an_axis(drawn, dim) if signed else drawn


def one_sign_an_axis(drawn: I64, dim: int) -> I64:
    return np.where(drawn == 2 * dim, drawn, drawn % dim + dim * (drawn % dim * 7 % 3 == 1))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60)
@given(data=st.data())
def test_draws_round_trip(name: str, data: st.DataObject) -> None:
    dim, drawn = data.draw(draws_of(name in SIGNED))
    check_round_trip(build(name, dim, drawn.size), drawn)


def extremes(dim: int, draws: int, zero: bool) -> Iterator[I64]:
    yield np.zeros(draws, np.int64)
    yield np.full(draws, 2 * dim - 1)
    yield np.arange(draws) % dim
    yield dim + np.arange(draws) % dim
    yield np.r_[np.zeros(draws // 2, np.int64), np.full(draws - draws // 2, dim - 1)]
    if zero:
        yield np.full(draws, 2 * dim)
        yield np.r_[np.full(draws // 2, 2 * dim), np.zeros(draws - draws // 2, np.int64)]


@pytest.mark.parametrize("name", NAMES)
@looped("dim, draws", [(1, 1), (1, 400), (3, 200), (128, 128), (1000, 300), (2**40, 300)])
def test_extreme_draws(name: str, dim: int, draws: int) -> None:
    for drawn in extremes(dim, draws, name in SIGNED):
        check_round_trip(build(name, dim, draws), drawn)


@pytest.mark.parametrize("name", NAMES)
@looped("dim, draws", [(1, 1), (1, 4), (2, 2), (2, 3), (3, 2)])
def test_bit_strings_are_canonical_or_refused(name: str, dim: int, draws: int) -> None:
    coding = build(name, dim, draws)
    meanings = {}
    for drawn in itertools.product(range(coding.vertices), repeat=draws):
        axes = {v % dim for v in drawn if v < 2 * dim}
        if name in SIGNED and len({v for v in drawn if v < 2 * dim}) > len(axes):
            continue  # both signs of an axis: SimQ never draws them
        meaning = drawn if name in ORDERED else tuple(sorted(drawn))
        payload = written(coding, np.array(drawn, np.int64))
        assert meanings.setdefault(payload, meaning) == meaning, "two meanings, one payload"
    assert Counter(meanings.values()).most_common(1)[0][1] == 1, "two payloads, one meaning"
    for bits in range(1 << coding.nbits):
        payload = bits.to_bytes((coding.nbits + 7) // 8, "little")
        try:
            found = coding.read(BitReader(payload)).tolist()
        except PayloadError:
            assert payload not in meanings
        else:
            assert meanings[payload] == tuple(found if name in ORDERED else sorted(found))


@pytest.mark.parametrize("name", NAMES)
@looped("dim, draws", [(5, 40), (1000, 200), (795_010, 150)])
def test_arbitrary_bits_are_refused_or_canonical(name: str, dim: int, draws: int) -> None:
    coding, rng = build(name, dim, draws), np.random.default_rng(3)
    size, padding = (coding.nbits + 7) // 8, -coding.nbits % 8
    payloads = [bytearray(rng.bytes(size)) for _ in range(20)]
    for wheel in range(20):  # and true ones with one byte changed
        payload = bytearray(written(coding, next(extremes(dim, draws, False))))
        payload[wheel * (size - 1) // 19] ^= 1 + wheel
        payloads.append(payload)
    for payload in payloads:
        payload[-1] &= 0xFF >> padding
        try:
            drawn = coding.read(BitReader(bytes(payload)))
        except PayloadError:
            continue
        assert written(coding, drawn) == bytes(payload)


def test_elias_fano_reads_batches() -> None:
    coding, rng = CODINGS["elias_fano"](2000, 50), np.random.default_rng(0)
    batch = [written(coding, rng.integers(0, 2000, 50)) for _ in range(7)]
    stacked = np.frombuffer(b"".join(batch), np.uint8).reshape(7, -1)
    together = coding.read(BitReader(stacked))
    assert np.array_equal(together, [coding.read(BitReader(p)) for p in batch])
    stacked = stacked.copy()
    stacked[3, -1] ^= 1
    with pytest.raises(PayloadError):
        coding.read(BitReader(stacked))


# ---- in specs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SIGNED)
def test_signed_codings_are_for_simq_only(name: str) -> None:
    assert parse(f"simq(coding={name})", 4).nbits and parse(f"simq_plus(coding={name})", 4).nbits
    for other in (f"cross_polytope(coding={name})", f"simplex(coding={name})"):
        with pytest.raises(SpecError, match="choose multiset"):
            parse(other, 4)
    with pytest.raises(AssertionError, match="both signs"):
        written(CODINGS[name](7, 2), np.array([1, 4]))


def test_unknown_codings_are_refused() -> None:
    with pytest.raises(SpecError, match="did you mean multiset"):
        parse("cross_polytope(coding=multset)", 3)
