"""QSGD: its law and variance written down again, its bits counted by hand, and its longest payloads."""

from __future__ import annotations

import itertools
import math
import struct
from typing import Any

import numpy as np
import pytest

from gradwire.common.arrays.bits import BitWriter
from gradwire.common.arrays.update import Sparse, Terms
from gradwire.common.codecs import AnyCodec, parse
from gradwire.common.codecs.forms.stochastic_rounding import GridLevels
from gradwire.common.codecs.payloads import unpack_checked
from gradwire.common.errors import DomainError, PayloadError, SpecError
from tests.common.codecs import checks
from tests.common.codecs.coins import ReplayCoins
from tests.common.codecs.refusal_checks import random_behind, read_as_written
from tests.common.codecs.vectors import SHAPES, flat, heavy, laws_are_checked_at, one_hot, ramp
from tests.common.lossless.test_prefix_codes import codeword
from tests.grids import looped

CODINGS = ["fixed", "omega", "omega_dense", "gamma", "gamma_dense"]
every_coding = pytest.mark.parametrize("coding", CODINGS)


class Up:
    """Coins that round everything up that is not on a level already."""

    secret = True

    def words(self, count: int) -> Any:
        return np.zeros(count, np.uint64)

    def uniforms(self, count: int) -> Any:
        return np.zeros(count)


def levels_of(codec: AnyCodec, payload: bytes) -> list[int]:
    return [int(level) for level in unpack_checked(codec, payload).levels]


# ---- law and variance --------------------------------------------------------------------------------------


def expected(x: np.ndarray, norm: float, s: int) -> list[tuple[tuple[int, ...], float]]:
    """Definition of xi_i(v, s), QSGD section 3.1, with the norm that was sent."""
    choices = []
    for value in x.tolist():
        a = s * abs(value) / norm if norm else 0.0
        low = min(math.floor(a), s - 1)
        sign = -1 if value < 0 else 1
        choices.append([(sign * low, 1 - (a - low)), (sign * (low + 1), a - low)])
    return [(tuple(v for v, _ in c), math.prod(p for _, p in c)) for c in itertools.product(*choices)]


@pytest.mark.parametrize(
    "spec", ["qsgd", "qsgd(levels=3, coding=fixed)", "qsgd(levels=10, coding=gamma_dense)"]
)
@looped("x", [pytest.param(x, id=label) for label, x in laws_are_checked_at(3)])
def test_law_of_the_paper(spec: str, x: np.ndarray) -> None:
    codec = parse(spec, 3)
    seen: dict[tuple[int, ...], float] = {}
    for payload, probability in codec.law(x).items():
        (norm,) = struct.unpack("<f", payload[:4])
        assert math.hypot(*x) <= norm * (1 + 1e-12) and norm <= math.hypot(*x) * (1 + 2**-23) + 2**-149
        seen[tuple(levels_of(codec, payload))] = probability
    meant: dict[tuple[int, ...], float] = {}
    for levels, probability in expected(x, norm, codec.levels):
        meant[levels] = meant.get(levels, 0.0) + probability
    assert set(seen) <= set(meant)
    assert all(seen.get(k, 0.0) == pytest.approx(p, abs=1e-12) for k, p in meant.items())


@looped("s", [1, 2, 7, 40])
@looped("shape", sorted(SHAPES))
def test_variance_at(s: int, shape: str) -> None:
    """(|x| / s)^2 sum f (1 - f); the norm is sent as a float32."""
    x = SHAPES[shape](50)
    norm = float(np.linalg.norm(x))
    noise = 0.0
    for value in x.tolist():
        f = s * abs(value) / norm % 1.0
        noise += min(f, 1 - f) * max(f, 1 - f)
    at = parse(f"qsgd(levels={s})", 50).variance_at(x)
    assert at == pytest.approx((norm / s) ** 2 * noise, rel=1e-5, abs=2e-7 * s * norm**2)


@looped("s, dim", [(1, 4), (1, 100), (3, 36), (5, 100), (8, 100), (20, 64)])
def test_variance_is_sharper_than_lemma_3_1(s: int, dim: int) -> None:
    codec = parse(f"qsgd(levels={s})", dim)
    assert codec.variance(2.0) <= 4 * min(dim / s**2, math.sqrt(dim) / s)
    assert codec.variance_is_bound == (s > math.sqrt(dim) / 2)
    at_flat = codec.variance_at(np.full(dim, 1.0 / math.sqrt(dim)))
    if not codec.variance_is_bound:
        assert at_flat == pytest.approx(codec.variance(1.0), rel=1e-6)
    rng = np.random.default_rng(s)
    for _ in range(200):
        x = rng.normal(size=dim) * np.exp(rng.normal(size=dim))
        assert codec.variance_at(x / np.linalg.norm(x)) <= codec.variance(1.0) * (1 + 1e-6)


# ---- bits --------------------------------------------------------------------------------------------------


@looped("dim", [3, 128, 1000, 795_010, 12_332_010])
@looped("s", [1, 2, 3, 7, 100])
def test_bits_of_the_fixed_length(dim: int, s: int) -> None:
    assert parse(f"qsgd(levels={s}, coding=fixed)", dim).nbits == 32 + dim * math.ceil(math.log2(2 * s + 1))


def bits_by_hand(coding: str, levels: list[int]) -> int:
    """One codeword after the other, as the paper writes them."""
    name, dense = coding.split("_")[0], coding.endswith("dense")
    if dense:
        return 32 + sum(len(codeword(name, abs(v) + 1)) + (v != 0) for v in levels)
    places = [i for i, v in enumerate(levels) if v]
    gaps = [b - a for a, b in zip([-1, *places], places, strict=False)]
    words = [codeword(name, n) for gap, at in zip(gaps, places, strict=True) for n in (gap, abs(levels[at]))]
    return 32 + len(levels).bit_length() + sum(map(len, words)) + len(places)


@pytest.mark.parametrize("coding", CODINGS[1:])
@looped("s", [1, 4, 33])
@looped("shape", sorted(SHAPES))
def test_lengths_are_those_of_the_paper(coding: str, s: int, shape: str) -> None:
    codec = parse(f"qsgd(levels={s}, coding={coding})", 300)
    assert not codec.fixed_length
    payload = checks.encode(codec, SHAPES[shape](300))
    assert len(payload) == math.ceil(bits_by_hand(coding, levels_of(codec, payload)) / 8)
    out = BitWriter()
    codec._pack(unpack_checked(codec, payload), out)
    assert out.nbits == bits_by_hand(coding, levels_of(codec, payload)) and out.tobytes() == payload


@pytest.mark.parametrize("coding", CODINGS[1:])
@looped("dim, s", [(1, 1), (1, 6), (2, 3), (3, 4), (4, 2), (5, 1)])
def test_no_payload_is_longer_than_the_maximum(coding: str, dim: int, s: int) -> None:
    """Over every vector of levels that sum (|l| - 1)^2 <= s^2 allows; and the maximum is not far above."""
    codec = parse(f"qsgd(levels={s}, coding={coding})", dim)
    longest = 0
    for levels in itertools.product(range(s + 1), repeat=dim):
        if sum(max(0, v - 1) ** 2 for v in levels) <= s * s:
            longest = max(longest, bits_by_hand(coding, list(levels)))
    assert longest <= codec.nbits <= longest * 1.35 + 3


@pytest.mark.parametrize("coding", CODINGS[1:])
@looped("dim, s", [(1000, 1), (1000, 31), (997, 1000), (140_001, 3), (140_001, 400)])
def test_long_payloads(coding: str, dim: int, s: int) -> None:
    """Everything rounded up, at vectors that make many or large levels."""
    codec = parse(f"qsgd(levels={s}, coding={coding})", dim)
    every_other = np.where(np.arange(dim) % 2, 1.0, 0.0)
    two_sizes = np.where(np.arange(dim) % 2, 1.0, 1e-6)
    for x in (flat(dim), ramp(dim), heavy(dim), every_other, two_sizes, one_hot(dim) + 1e-9):
        payload = codec.encode(np.abs(x), Up())
        assert len(payload) <= codec.nbytes
        codec.validate(payload)


def test_payloads_are_short_where_the_paper_says_so() -> None:
    """s = 1: about sqrt(d) levels are not zero, and few bits tell them ([QSGD] Theorem 3.2)."""
    n, x = 10_000, np.random.default_rng(0).normal(size=10_000)
    sparse = [len(parse("qsgd", n).encode(x, ReplayCoins(9 * i))) * 8 for i in range(20)]
    assert np.mean(sparse) < (3 + 1.5 * math.log2(2 * (1 + n) / (1 + math.sqrt(n)))) * (1 + math.sqrt(n)) + 32


def test_few_levels_are_added_up_as_terms() -> None:
    """One level in a thousand coordinates: the mean of several payloads is sparse, and the same numbers."""
    codec, x = parse("qsgd", 1 << 20), np.random.default_rng(0).normal(size=1 << 20)
    payloads = [codec.encode(x, ReplayCoins(10**7 * i)) for i in range(3)]
    total = codec.accumulator()
    total.add_all(payloads)
    mean = total.mean()
    assert isinstance(mean, Sparse) and mean.indices.size < 4 * 1024
    dense = np.mean([codec.decode(p) for p in payloads], axis=0)
    # pytest.approx goes through a million numbers in Python.
    assert np.allclose(mean.dense(), dense, rtol=1e-6, atol=0)
    many = parse("qsgd(levels=64)", 1000)
    assert not isinstance(many.partial_decode(checks.encode(many, ramp(1000))), Terms)


# ---- edges -------------------------------------------------------------------------------------------------


@every_coding
def test_one_coordinate_is_its_norm(coding: str) -> None:
    codec = parse(f"qsgd(levels=3, coding={coding})", 1)
    for value in (0.0, 1.5, -1.5, 2.0**-149, -3e38):
        x = np.array([value], np.float32)
        assert codec.decode(checks.encode(codec, x)).astype(np.float32).tolist() == x.tolist()
        assert codec.variance_at(x) == codec.variance(value) == 0


@every_coding
def test_levels_do_not_exceed_the_largest(coding: str) -> None:
    """Norms in float32 over several chunks may come out below the one coordinate that matters."""
    codec = parse(f"qsgd(levels=5, coding={coding})", 300_000)
    for value in (1.0, 0.1, 1 / 3, 1e-3):
        x = np.zeros(300_000, np.float32)
        x[123_456] = value
        assert codec.decode(codec.encode(x, Up()))[123_456] == pytest.approx(value, rel=4e-5)


@pytest.mark.parametrize(
    "args", ["levels=0", "levels=-3", "levels=2.5", "levels=16777217", "coding=elias", "coding=3"]
)
def test_bad_parameters(args: str) -> None:
    with pytest.raises(SpecError):
        parse(f"qsgd({args})", 10)


def test_beyond_float32() -> None:
    for x in (np.array([1e39, 0.0]), np.array([3e38, 3e38])):
        with pytest.raises(DomainError, match="beyond float32"):
            checks.encode(parse("qsgd", 2), x)


@every_coding
def test_levels_without_a_norm_are_refused(coding: str) -> None:
    """A norm of zero, or below it, with levels beside it."""
    codec = parse(f"qsgd(levels=3, coding={coding})", 6)
    payload = checks.encode(codec, ramp(6))
    for norm in (0.0, -0.0, -1.0, math.nan, math.inf):
        with pytest.raises(PayloadError, match=r"^qsgd: "):
            codec.validate(struct.pack("<f", norm) + payload[4:])


@every_coding
def test_levels_beyond_the_last_are_refused(coding: str) -> None:
    codec, wide = (parse(f"qsgd(levels={s}, coding={coding})", 4) for s in (5, 7))
    payload = wide.encode(np.array([0.0, 0.0, 1.0, 0.0]), Up())
    with pytest.raises(PayloadError, match=r"a level is (7|14), expected|an integer beyond 6"):
        codec.validate(payload)


@pytest.mark.parametrize("coding", CODINGS[1:])
def test_too_long_payloads_are_refused(coding: str) -> None:
    """All levels at the top: the stream is sound, but no vector has so much of its norm in every coordinate."""
    codec = parse(f"qsgd(levels=64, coding={coding})", 500)
    out = BitWriter()
    codec._pack(GridLevels(1.0, np.full(500, -64)), out)
    with pytest.raises(PayloadError, match="expected"):
        codec.validate(out.tobytes())


@pytest.mark.parametrize("coding", ["omega", "gamma"])
def test_sparse_streams_stay_inside_the_vector(coding: str) -> None:
    # Counts of equal width
    codec, longer = (parse(f"qsgd(levels=3, coding={coding})", dim) for dim in (100, 127))
    with pytest.raises(PayloadError, match="beyond"):
        codec.validate(checks.encode(longer, one_hot(127)))
    out = BitWriter()
    out.write_float32(1.0)
    out.write_int(101, 7)
    with pytest.raises(PayloadError, match="101 levels of 100 are not zero"):
        codec.validate(out.tobytes())


@every_coding
def test_payloads_are_canonical(coding: str) -> None:
    codec = parse(f"qsgd(levels=2, coding={coding})", 7)
    assert read_as_written(codec, random_behind(b"\0\0\x80\x3f", codec, 3000)) > 2
