"""TernGrad, natural compression, scaled signs and 1-bit SGD against their papers, written down again."""

from __future__ import annotations

import math
import struct
from fractions import Fraction

import numpy as np
import pytest

from gradwire.common.arrays.bits import BitWriter
from gradwire.common.codecs import parse
from gradwire.common.codecs.baselines.natural import Natural
from gradwire.common.errors import DomainError, PayloadError
from tests.common.codecs import checks, law_checks
from tests.common.codecs.chance import Chance, check_counts
from tests.common.codecs.coins import coins
from tests.common.codecs.refusal_checks import random_behind, read_as_written
from tests.common.codecs.vectors import SHAPES, heavy, laws_are_checked_at, one_hot, ramp
from tests.grids import looped

DIMS = [3, 128, 1000, 795_010, 12_332_010]
VECTORS = [pytest.param(x, id=label) for label, x in laws_are_checked_at(3)]
every_shape = looped("shape", sorted(SHAPES))


@pytest.mark.parametrize("dim", DIMS)
def test_bits(dim: int) -> None:
    assert parse("terngrad", dim).nbits == 32 + 8 * (dim // 5) + math.ceil(math.log2(3 ** (dim % 5)))
    assert parse("natural", dim).nbits == 9 * dim
    assert parse("sign", dim).nbits == 32 + dim
    assert parse("onebit", dim).nbits == 64 + dim


def marginals(spec: str, x: np.ndarray) -> list[dict[float, float]]:
    """Decoded value -> probability of every coordinate; the product law is checked on the way."""
    law = law_checks.law_of(parse(spec, x.size), x)
    found: list[dict[float, float]] = [{} for _ in range(x.size)]
    for point, probability in zip(law.points, law.probabilities, strict=True):
        for i, value in enumerate(point.tolist()):
            found[i][value] = found[i].get(value, 0.0) + probability
    for point, probability in zip(law.points, law.probabilities, strict=True):
        assert probability == pytest.approx(
            math.prod(found[i][v] for i, v in enumerate(point.tolist())), abs=1e-12
        )
    return found


# ---- TernGrad ----------------------------------------------------------------------------------------------


@looped("x", VECTORS)
def test_terngrad_law(x: np.ndarray) -> None:
    """P(b = 1) = |x_i| / max |x| ([TernGrad] equations 1 and 3); the vectors are float32, and so is their maximum."""
    s = float(np.abs(x).max())
    for value, law in zip(x.tolist(), marginals("terngrad", x), strict=True):
        p = abs(value) / s if s else 0.0
        assert law.get(math.copysign(s, value), 0.0) == pytest.approx(p if s else 1.0, abs=1e-12)
        if 0 < p < 1:
            assert law[0.0] == pytest.approx(1 - p, abs=1e-12) and len(law) == 2


@every_shape
def test_terngrad_variance(shape: str) -> None:
    x = SHAPES[shape](60)
    l1 = math.fsum(np.abs(x).tolist())
    assert parse("terngrad", 60).variance_at(x) == pytest.approx(
        np.abs(x).max() * l1 - float(x @ x), rel=1e-9, abs=1e-13
    )


@pytest.mark.parametrize("dim", [1, 2, 5, 100, 10_001])
def test_terngrad_worst_vector(dim: int) -> None:
    angle = math.atan(math.sqrt(dim - 1)) / 2
    x = np.full(dim, math.sin(angle) / math.sqrt(dim - 1) if dim > 1 else 0.0)
    x[0] = math.cos(angle)
    x *= 2.0 / np.linalg.norm(x)
    codec = parse("terngrad", dim)
    assert codec.variance_at(x) == pytest.approx(codec.variance(2.0), rel=1e-6, abs=1e-6)


# ---- natural compression -----------------------------------------------------------------------------------


def powers_around(value: float) -> dict[float, Fraction]:
    """[Natural] Definition 1, by exact arithmetic; below 2^-126 the neighbours are 0 and that."""
    size, sign = Fraction(abs(value)), -1.0 if value < 0 else 1.0
    if size == 0:
        return {0.0: Fraction(1)}
    low = Fraction(2) ** math.floor(math.log2(abs(value)))
    low = low / 2 if low > size else 2 * low if 2 * low <= size else low
    high = 2 * low
    if high <= Fraction(2) ** -126:
        low, high = Fraction(0), Fraction(2) ** -126
    up = (size - low) / (high - low)
    return {k: p for k, p in ((sign * float(low) if low else 0.0, 1 - up), (sign * float(high), up)) if p}


@looped("x", [*VECTORS, np.array([2.0**-126, -(2.0**-127), 2.0**-149]), np.array([1e-300, 2**127.0, 0.1])])
def test_natural_law(x: np.ndarray) -> None:
    for value, law in zip(x.tolist(), marginals("natural", x), strict=True):
        meant = powers_around(value)
        assert law.keys() <= meant.keys()
        for power, p in meant.items():
            assert law.get(power, 0.0) == pytest.approx(float(p), abs=1e-12)
        # Unbiased without any rounding
        assert sum(Fraction(k) * p for k, p in meant.items()) == Fraction(value)


@every_shape
@looped("scale", [1.0, 2.0**-120, 2.0**-140])
def test_natural_variance(shape: str, scale: float) -> None:
    x = (SHAPES[shape](60) * scale).astype(np.float32).astype(float)
    meant = sum(
        sum((Fraction(k) - Fraction(v)) ** 2 * p for k, p in powers_around(v).items()) for v in x.tolist()
    )
    codec = parse("natural", 60)
    assert codec.variance_at(x) == pytest.approx(float(meant), rel=1e-12)
    assert codec.variance_at(x) <= codec.variance(float(np.linalg.norm(x))) * (1 + 1e-12)


def test_natural_worst_vector() -> None:
    """|x_i| = 4/3 of a power of two, whatever its sign and which power: exactly |x|^2 / 8."""
    x = np.array([4 / 3, -4 / 3, 1 / 3, 2 / 3, -1 / 6])
    assert parse("natural", 5).variance_at(x) == pytest.approx(float(x @ x) / 8, rel=1e-15)


def test_natural_draws_exponents_fairly(chance: Chance) -> None:
    """Coordinates just above and just below a power of two, and subnormal ones."""
    values = np.repeat(np.array([1 + 2.0**-20, 2 - 2.0**-9, -1.25, 3 * 2.0**-128], np.float32), 100_000)
    payload = parse("natural", values.size).encode(values, coins(chance.rng))
    decoded = parse("natural", values.size).decode(payload).reshape(4, -1)
    for i, row in enumerate(decoded):
        law = powers_around(float(values[100_000 * i]))
        counts = np.array([(row == power).sum() for power in law])
        assert counts.sum() == row.size
        check_counts(
            counts, np.array([float(p) for p in law.values()]), chance.part(i, 4), f"natural at {law}"
        )


def test_natural_ends_of_float32() -> None:
    codec = Natural(dim=2)
    largest = np.array([2.0**127, -(2.0**127)])
    assert codec.decode(checks.encode(codec, largest)).tolist() == largest.tolist()
    for value in (float(np.nextafter(np.float32(2.0**127), np.float32(np.inf))), -3e38, 1e39):
        with pytest.raises(DomainError, match=r"beyond 2\*\*127"):
            checks.encode(codec, np.array([value, 0.0]))
    for symbol in (255, 256, 511):
        out = BitWriter()
        out.write(np.array([1, symbol]), 9)
        with pytest.raises(PayloadError, match=f"a symbol is {symbol}, expected a finite power of two"):
            codec.validate(out.tobytes())


# ---- one bit per coordinate ----------------------------------------------------------------------------------


@every_shape
@looped("dim", [1, 7, 300])
def test_sign(shape: str, dim: int) -> None:
    x = SHAPES[shape](dim)
    l1, codec = math.fsum(np.abs(x).tolist()), parse("sign", dim)
    decoded = codec.decode(checks.encode(codec, x))
    scale = np.float32(l1 / dim)
    assert decoded == pytest.approx(np.where(x < 0, -scale, scale), rel=2e-7)
    assert codec.variance_at(x) == pytest.approx(float(x @ x) - l1**2 / dim, rel=1e-6, abs=1e-12)


@every_shape
@looped("dim", [1, 7, 300])
def test_onebit(shape: str, dim: int) -> None:
    x = SHAPES[shape](dim)
    codec, meant, error = parse("onebit", dim), np.zeros(dim), 0.0
    for group in (x < 0, x >= 0):
        if group.any():
            meant[group] = math.fsum(x[group].tolist()) / group.sum()
            error += math.fsum(((x[group] - meant[group]) ** 2).tolist())
    assert codec.decode(checks.encode(codec, x)) == pytest.approx(meant, rel=2e-7)
    assert codec.variance_at(x) == pytest.approx(error, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("name", ["sign", "onebit"])
@pytest.mark.parametrize("dim", [1, 2, 50])
def test_worst_vectors_of_one_bit(name: str, dim: int) -> None:
    codec = parse(name, dim)
    assert not codec.unbiased
    assert codec.variance_at(-one_hot(dim)) == pytest.approx(codec.variance(0.75), rel=1e-7, abs=1e-12)
    rng = np.random.default_rng(dim)
    for _ in range(100):
        x = (rng.normal(size=dim) * np.exp(2 * rng.normal(size=dim))).astype(np.float32)
        assert codec.variance_at(x) <= codec.variance(float(np.linalg.norm(x))) * (1 + 1e-9) + 1e-12


def test_scales_of_large_vectors() -> None:
    """Sums in float32 over several chunks."""
    x = heavy(300_000)
    for name in ("sign", "onebit"):
        decoded = parse(name, x.size).decode(checks.encode(parse(name, x.size), x.astype(np.float32)))
        for group in (x < 0, x >= 0):
            mean = np.abs(x).mean() if name == "sign" else np.abs(x[group]).mean()
            np.testing.assert_allclose(np.abs(decoded[group]), mean, rtol=5e-5)


def test_means_without_values_are_refused() -> None:
    codec = parse("onebit", 8)
    for above, below, bits in ((1.0, 1.0, 0x00), (1.0, 0.5, 0xFF)):
        with pytest.raises(PayloadError, match="the mean of no coordinates is not zero"):
            codec.validate(struct.pack("<2f", above, below) + bytes([bits]))
    for means in ((-1.0, 1.0), (1.0, -0.0), (math.nan, 1.0), (1.0, math.inf)):
        with pytest.raises(PayloadError, match=r"^onebit: "):
            codec.validate(struct.pack("<2f", *means) + b"\x0f")


@pytest.mark.parametrize("name", ["terngrad", "sign"])
def test_impossible_scales_are_refused(name: str) -> None:
    codec = parse(name, 12)
    payload = checks.encode(codec, ramp(12))
    for scale in (-1.0, -0.0, math.nan, math.inf):
        with pytest.raises(PayloadError, match=rf"^{name}: "):
            codec.validate(struct.pack("<f", scale) + payload[4:])


@pytest.mark.parametrize("name", ["terngrad", "natural", "sign", "onebit"])
def test_payloads_are_canonical(name: str) -> None:
    header = {"terngrad": 4, "natural": 0, "sign": 4, "onebit": 8}[name]
    codec = parse(name, 6)
    assert read_as_written(codec, random_behind((b"\0\0\x80\x3f" * 2)[:header], codec, 500)) > 50


@pytest.mark.parametrize("name", ["terngrad", "sign", "onebit"])
def test_beyond_float32(name: str) -> None:
    with pytest.raises(DomainError, match="beyond float32"):
        checks.encode(parse(name, 2), np.array([1e39, 1e39]))
