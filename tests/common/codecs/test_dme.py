"""Distributed mean estimation: its laws and variances written down again, its histogram, and its rotation."""

from __future__ import annotations

import itertools
import math
import struct

import numpy as np
import pytest

from gradwire.common.arrays.bits import BitWriter
from gradwire.common.arrays.rotation import Rotation
from gradwire.common.codecs import parse
from gradwire.common.codecs.baselines.dme import Interval
from gradwire.common.codecs.forms.stochastic_rounding import GridLevels
from gradwire.common.codecs.payloads import unpack_checked
from gradwire.common.errors import DomainError, PayloadError, SpecError
from tests.common.codecs import checks, law_checks
from tests.common.codecs.refusal_checks import random_behind, read_as_written
from tests.common.codecs.vectors import SHAPES, laws_are_checked_at, ramp
from tests.grids import looped

SEED = 0xFEDCBA9876543210_0123456789ABCDEF
VECTORS = [pytest.param(x, id=label) for label, x in laws_are_checked_at(3)]


def levels(low: float, high: float, k: int) -> list[float]:
    return [low + (high - low) * r / (k - 1) for r in range(k)]


def one_coordinate(value: float, grid: list[float]) -> dict[float, float]:
    """B_i(r) and B_i(r + 1) around it, with the probabilities that make the mean right (section 2.2)."""
    for low, high in itertools.pairwise(grid):
        if low <= value <= high and low < high:
            p = (value - low) / (high - low)
            return {low: 1 - p, high: p}
    return {grid[0]: 1.0}


@pytest.mark.parametrize(
    "spec", ["dme", "dme(levels=3)", "dme(levels=6, entropy_coded=true)", "dme(span=norm)"]
)
@looped("x", VECTORS)
def test_law_of_the_paper(spec: str, x: np.ndarray) -> None:
    codec = parse(spec, 3)
    law = law_checks.law_of(codec, x)
    low, high = struct.unpack("<2f", law.payloads[0][:8])
    assert low <= x.min() and x.max() <= high
    if codec.span == "range":
        assert low == pytest.approx(x.min(), rel=2**-23, abs=2**-149)
        assert high == pytest.approx(x.max(), rel=2**-23, abs=2**-149)
    else:
        assert high - low == pytest.approx(math.sqrt(2) * math.hypot(*x), rel=1e-6, abs=2**-147)
    marginals = [one_coordinate(v, levels(low, high, codec.levels)) for v in x.tolist()]
    for i, marginal in enumerate(marginals):
        for value, probability in marginal.items():
            seen = law.probabilities[np.abs(law.points[:, i] - value) <= 1e-9 * (high - low)].sum()
            assert seen == pytest.approx(probability, abs=1e-9), (i, value)
    assert len(law.payloads) <= math.prod(len(m) for m in marginals)


def noise(x: np.ndarray, k: int, low: float, high: float) -> float:
    """[DME] Lemma 2 and its like for k levels: sum (B(r + 1) - x)(x - B(r))."""
    total = 0.0
    for value in x.tolist():
        grid = list(one_coordinate(value, levels(low, high, k)))
        total += (grid[-1] - value) * (value - grid[0])
    return total


@looped("k", [2, 3, 16])
@looped("shape", sorted(SHAPES))
def test_variance_at(k: int, shape: str) -> None:
    x = SHAPES[shape](40)
    at = parse(f"dme(levels={k})", 40).variance_at(x)
    assert at == pytest.approx(noise(x, k, x.min(), x.max()), rel=1e-6, abs=1e-12)


@looped("dim", [2, 3, 8, 100])
@looped("k", [2, 4, 16])
def test_worst_vector(dim: int, k: int) -> None:
    """(1, -1, 0, …): zero lies half way between two levels when k is even."""
    x = np.zeros(dim)
    x[:2] = 1, -1
    codec = parse(f"dme(levels={k})", dim)
    assert codec.variance_at(x) == pytest.approx(codec.variance(math.sqrt(2)), rel=1e-12)
    assert codec.variance(1.0) <= dim / (2 * (k - 1) ** 2)  # [DME] Lemma 3
    rng = np.random.default_rng(dim)
    for _ in range(100):
        y = (rng.normal(size=dim) * np.exp(rng.normal(size=dim))).astype(np.float32)
        assert codec.variance_at(y) <= codec.variance(float(np.linalg.norm(y))) * (1 + 1e-6) + 1e-14


# ---- rotation ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["dme(rotate=true)", "dme(levels=5, rotate=true)"])
@pytest.mark.parametrize("dim", [3, 4])
def test_variance_given_the_rotation(spec: str, dim: int) -> None:
    """d / n times the noise of the rotated coordinates, because every entry of the rotation is ±1 / sqrt(n)."""
    codec = parse(spec, dim)
    for seed in (0, 1, SEED):
        matrix = np.array([Rotation(dim, 1, seed).apply(e) for e in np.eye(dim)]).T
        assert np.abs(matrix) == pytest.approx(1 / 2)
        for _, x in laws_are_checked_at(dim):
            y = matrix @ x
            law = law_checks.law_of(codec, x, seed)
            low, high = struct.unpack("<2f", law.payloads[0][:8])
            meant = dim / 4 * noise(np.clip(y, low, high), codec.levels, low, high)
            assert law.error(x) == pytest.approx(meant, rel=1e-6, abs=1e-9 * float(x @ x))


@pytest.mark.parametrize("dim", [600, 1024])
def test_variance_over_rotations(dim: int) -> None:
    """Where coordinates are few and large a rotation helps, and the stated bound holds on average."""
    codec, plain = parse("dme(levels=4, rotate=true)", dim), parse("dme(levels=4)", dim)
    spike = np.zeros(dim)
    spike[:2] = 1, -1
    assert not codec.variance_given_shared and codec.variance(1.0) < plain.variance(1.0) / 10
    for x in (spike, ramp(dim), np.eye(dim)[7]):
        found = []
        for seed in range(30):
            y = Rotation(dim, 1, seed).apply(x)
            found.append(dim / y.size * noise(y, 4, y.min(), y.max()))
        assert np.mean(found) < codec.variance(float(np.linalg.norm(x)))
    assert plain.variance_at(spike) > 5 * codec.variance(math.sqrt(2))


def test_seeds_matter() -> None:
    codec = parse("dme(levels=16, rotate=true)", 100)
    payload = codec.encode(ramp(100), np.random.default_rng(0), shared=3)
    near, far = (float(np.linalg.norm(codec.decode(payload, shared=s) - ramp(100))) for s in (3, 4))
    assert near < np.linalg.norm(ramp(100)) / 2 < far
    with pytest.raises(NotImplementedError, match="depends on the public seed"):
        codec.variance_at(ramp(100))
    assert not parse("dme", 3).shared_randomness and codec.shared_randomness


# ---- bits --------------------------------------------------------------------------------------------------


@looped("dim", [3, 128, 1000, 795_010, 12_332_010])
@looped("k", [2, 3, 16, 17, 1000])
def test_bits(dim: int, k: int) -> None:
    padded, each = 2 ** math.ceil(math.log2(dim)), math.ceil(math.log2(k))
    assert parse(f"dme(levels={k})", dim).nbits == 64 + dim * each
    assert parse(f"dme(levels={k}, rotate=true)", dim).nbits == 64 + padded * each
    histogram = (k - 1) * math.ceil(math.log2(dim + 1))
    assert parse(f"dme(levels={k}, entropy_coded=true)", dim).nbits == 64 + histogram + dim * each


@pytest.mark.parametrize("k", [2, 3, 9, 64])
@looped("shape", sorted(SHAPES))
def test_entropy_coded_length_is_huffmans(k: int, shape: str) -> None:
    codec = parse(f"dme(levels={k}, entropy_coded=true)", 500)
    payload = checks.encode(codec, SHAPES[shape](500))
    counts = np.bincount(unpack_checked(codec, payload).levels, minlength=k)
    out = BitWriter()
    codec._pack(unpack_checked(codec, payload), out)
    spent = out.nbits - 64 - 9 * (k - 1)
    share = counts[counts > 0] / 500
    entropy = float(-(share * np.log2(share)).sum()) * 500
    assert entropy - 1e-6 <= spent <= entropy + 500 and len(payload) == (out.nbits + 7) // 8 <= codec.nbytes
    assert out.tobytes() == payload
    if shape == "heavy" and k == 64:
        assert spent < 500 * 6 / 3  # most coordinates are on two levels


def test_span_of_the_norm_makes_entropy_small() -> None:
    """[DME] Theorem 4, k = sqrt(d) + 1 levels over sqrt(2) |x|: d (2 + log2((k - 1)^2 / 2d + 5/4)) bits."""
    dim, k = 10_000, 101
    x = np.random.default_rng(0).normal(size=dim)
    codec = parse(f"dme(levels={k}, entropy_coded=true, span=norm)", dim)
    header = 64 + (k - 1) * 14
    assert 8 * len(checks.encode(codec, x)) - header < dim * (2 + math.log2((k - 1) ** 2 / (2 * dim) + 1.25))


# ---- edges -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["dme", "dme(levels=7, entropy_coded=true)", "dme(rotate=true)"])
def test_one_coordinate_and_flat_vectors_are_exact(spec: str) -> None:
    for value in (0.0, -0.0, 2.5, -3e38, 2.0**-149):
        one = np.array([value], np.float32)
        codec = parse(spec, 1)
        assert codec.decode(checks.encode(codec, one), shared=7).tolist() == one.tolist()
        if "rotate" not in spec:
            same = np.full(9, value, np.float32)
            assert parse(spec, 9).decode(checks.encode(parse(spec, 9), same)).tolist() == same.tolist()


def test_signs_of_zero_do_not_matter() -> None:
    """Which of two zeros is the smaller one depends on the library."""
    payloads = set()
    for zeros in itertools.product([0.0, -0.0], repeat=3):
        for x in ([*zeros, 1.0], [-1.0, *zeros]):
            payload = checks.encode(parse("dme", 4), np.array(x))
            payloads.add(payload[:8])
    assert payloads == {struct.pack("<2f", 0.0, 1.0), struct.pack("<2f", -1.0, 0.0)}


@pytest.mark.parametrize("args", ["levels=1", "levels=65537", "span=l2", "rotate=2", "entropy_coded=yes"])
def test_bad_parameters(args: str) -> None:
    with pytest.raises(SpecError):
        parse(f"dme({args})", 10)


def test_beyond_float32() -> None:
    for spec, x in (("dme", [1e39, 0.0]), ("dme", [-1e39, 0.0]), ("dme(span=norm)", [3e38, 3e38])):
        with pytest.raises(DomainError, match="beyond float32"):
            checks.encode(parse(spec, 2), np.array(x))


@looped("ends", [(1.0, 0.0), (-0.0, 1.0), (-1.0, -0.0), (math.nan, 1.0), (0.0, math.inf)])
@pytest.mark.parametrize("spec", ["dme(levels=4)", "dme(levels=4, entropy_coded=true)"])
def test_impossible_intervals_are_refused(ends: tuple[float, float], spec: str) -> None:
    payload = checks.encode(parse(spec, 5), ramp(5))
    with pytest.raises(PayloadError, match=r"^dme: "):
        parse(spec, 5).validate(struct.pack("<2f", *ends) + payload[8:])


def test_levels_of_an_empty_interval() -> None:
    codec = parse("dme(levels=4)", 3)
    with pytest.raises(PayloadError, match="is 0 and a level is not"):
        codec.validate(struct.pack("<2f", 1.0, 1.0) + b"\x01")
    assert codec.decode(struct.pack("<2f", 1.0, 1.0) + b"\x00").tolist() == [1.0, 1.0, 1.0]


def test_histogram_overflow_is_refused() -> None:
    codec, out = parse("dme(levels=3, entropy_coded=true)", 5), BitWriter()
    for end in (0.0, 1.0):
        out.write_float32(end)
    out.write(np.array([4, 2]), 3)
    with pytest.raises(PayloadError, match="a histogram of 5 levels counts 6"):
        codec.validate(out.tobytes())


def test_payloads_are_canonical() -> None:
    codec = parse("dme(levels=3, entropy_coded=true)", 4)
    assert read_as_written(codec, random_behind(struct.pack("<2f", -1, 1), codec, 5000)) > 5


def test_last_count_of_the_histogram_is_not_sent() -> None:
    """k - 1 counts are enough."""
    codec, out = parse("dme(levels=3, entropy_coded=true)", 4), BitWriter()
    codec._pack(GridLevels(Interval(0.0, 1.0), np.array([2, 2, 0, 2])), out)
    assert out.nbits == 64 + 2 * 3 + 4 and unpack_checked(codec, out.tobytes()).levels.tolist() == [
        2,
        2,
        0,
        2,
    ]
