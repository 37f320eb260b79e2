"""Codecs that rotate and round to the nearest: scales, unbiasedness over rotations, and variances beside the bound."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from gradwire.common.arrays.largest import largest_on_sphere
from gradwire.common.arrays.rotation import Rotation
from gradwire.common.codecs import AnyCodec, parse
from gradwire.common.codecs.forms import random_rotation as rotation_module
from gradwire.common.codecs.forms.random_rotation import RandomRotationCodec, random_rotation
from gradwire.common.codecs.payloads import unpack_checked
from gradwire.common.codecs.rotations.eden import ENERGY, LEVELS
from gradwire.common.errors import DomainError, PayloadError, SpecError
from gradwire.common.randomness import derived_seed
from gradwire.deploy.planning.bounds import variance_lower_bound
from tests.common.codecs.checks import encode
from tests.common.codecs.coins import ReplayCoins
from tests.common.codecs.refusal_checks import check_refuses_gains, read_as_written, with_field
from tests.common.codecs.vectors import SHAPES, ramp
from tests.grids import looped, rest_slow

F64 = NDArray[np.float64]
D = 65_536
NAMES = ("nearest", "top_signs", "eden", "drive")


def estimate(codec: AnyCodec, x: NDArray[np.floating], shared: int) -> F64:
    return codec.decode(codec.encode(x, ReplayCoins(), shared=shared), shared=shared)


def relative_error(codec: AnyCodec, x: NDArray[np.floating], shared: int) -> float:
    return float(((estimate(codec, x, shared) - x) ** 2).sum() / (x.astype(np.float64) ** 2).sum())


def bits_of(count: int) -> int:
    return (count - 1).bit_length()


# ---- lengths -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [3, 128, 1000, 795_010, 12_332_010])
def test_bits(dim: int) -> None:
    """A float32; then all blocks' vertices jointly, the set and signs, or a bit and a half a coordinate."""
    size = max(64, 1 << (dim - 1).bit_length())
    for blocks in (1, 5, 60):
        m, longer = divmod(size, blocks)
        count = (2 * m) ** (blocks - longer) * (2 * m + 2) ** longer
        assert parse(f"nearest({blocks})", dim).nbits == 32 + bits_of(count)
    for count in (1, 7, 60):
        assert parse(f"top_signs({count})", dim).nbits == 32 + bits_of(math.comb(size, count)) + count
        for rotations, more in ((1, 0), (2, 1), (5, 3), (64, 6)):
            codec = parse(f"top_signs({count}, {rotations})", dim)
            assert codec.nbits == 32 + bits_of(math.comb(size, count)) + count + more
    assert parse("eden(1.5)", dim).nbits == 32 + size + size // 2
    assert parse("eden(4)", dim).nbits == 32 + 4 * size
    assert parse("drive", dim).nbits == parse("eden", dim).nbits == 32 + size


@looped(
    "spec",
    [
        *(
            "nearest(0)",
            "nearest(65)",
            "top_signs(0)",
            "top_signs(65)",
            "top_signs(3, 0)",
            "top_signs(3, 65)",
        ),
        *("eden(0)", "eden(4.01)", "drive(2)"),
    ],
)
def test_parameters(spec: str) -> None:
    with pytest.raises(SpecError):
        parse(spec, 50)
    assert parse("nearest(64)", 50).nbits and parse("top_signs(64)", 50).nbits  # of 64 rotated coordinates


# ---- variance, beside theory's numbers and the bound -------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "bits", "ratio", "theory"),
    rest_slow(
        [
            ("nearest(92)", 1000, 1.5, 64),
            ("top_signs(80)", 1000, 1.5, 66),
            ("top_signs(1219, rotations=8)", 10_000, 1.49, 6.5),
            ("eden(0.01477050781)", 1000, 2.2, 106),
            ("nearest(1559)", 10_000, 1.5, 6.2),
            ("top_signs(1219)", 10_000, 1.52, 6.5),
            ("top_signs(34585)", 100_000, 1.8, 0.234),
            ("eden(0.001037597)", 100, 2.1, 1520),
            ("eden(0.15209960937)", 10_000, 2.2, 9.3),
            ("eden(1.52539062)", 100_000, 2.3, 0.305),
        ],
        quick=4,
    ),
)
def test_near_the_lower_bound(spec: str, bits: int, ratio: float, theory: float) -> None:
    """Theory 5, d = 65,536, header included: measured on two vectors, stated, and at most so many bounds."""
    codec = parse(spec, D)
    assert codec.nbits <= bits
    assert codec.variance() == pytest.approx(theory, rel=0.04)
    assert codec.variance() <= ratio * variance_lower_bound(D, bits - 32)
    sparse = np.zeros(D, np.float32)
    sparse[[5, 77]] = 1, -0.5
    for x in (ramp(D).astype(np.float32), sparse):
        errors = [relative_error(codec, x, seed) for seed in range(8)]
        assert np.mean(errors) == pytest.approx(codec.variance(), rel=0.05)


def test_variances_are_those_of_the_scales() -> None:
    """1 / sum of E^2 - 1 over blocks of 9 or 10; count / E^2 - 1; Lloyd-Max's pi / 2 - 1 and the like."""
    nearest, top = parse("nearest(7)", 64), parse("top_signs(9)", 64)
    shorter, longer = largest_on_sphere(1, 9, 64), largest_on_sphere(1, 10, 64)
    assert nearest.variance(2.0) == pytest.approx(4 / (6 * shorter**2 + longer**2) - 4)
    assert top.variance() == pytest.approx(9 / largest_on_sphere(9, 64, 64) ** 2 - 1)
    assert parse("drive", D).variance() == pytest.approx(math.pi / 2 - 1)
    assert parse("eden(0.25)", D).variance() == pytest.approx(4 * math.pi / 2 - 1)
    assert [round(parse(f"eden({b})", D).variance(), 4) for b in (2, 3, 4)] == [0.1331, 0.0358, 0.0096]


@pytest.mark.parametrize("dim", rest_slow([64, 1024]))
@pytest.mark.parametrize("rotations", rest_slow([3, 2, 8]))
@pytest.mark.parametrize("share", [1 / 64, 1 / 8, 5 / 8, 1.0])
def test_variance_of_the_best_rotation(share: float, rotations: int, dim: int) -> None:
    """E[count / T^2] - 1 with T the largest of several, by 8,000 directions and draws among their sums: to 4 %."""
    count, rng = max(1, int(share * dim)), np.random.default_rng(3)
    directions = np.abs(rng.standard_normal((8000, dim)))
    sums = np.partition(directions, dim - count, axis=1)[:, dim - count :].sum(axis=1)
    sums /= np.linalg.norm(directions, axis=1)
    best = sums[rng.integers(0, sums.size, (200_000, rotations))].max(axis=1)
    stated = parse(f"top_signs({count}, {rotations})", dim).variance()
    assert stated == pytest.approx((count / best**2).mean() - 1, rel=0.04)
    assert stated < parse(f"top_signs({count})", dim).variance()


@pytest.mark.parametrize(
    "spec", rest_slow(["nearest(40)", "top_signs(60, rotations=4)", "top_signs(60)", "eden(0.5)", "drive"], 2)
)
def test_padding_lowers_the_variance(spec: str) -> None:
    """At d = 600 of D = 1024: what ``variance`` states, which is above what happens by a part in d."""
    codec, x = parse(spec, 600), ramp(600)
    errors = [relative_error(codec, x, seed) for seed in range(300)]
    assert np.mean(errors) == pytest.approx(codec.variance(), rel=0.05)
    assert codec.variance() < 0.62 * parse(spec, 1024).variance()


# ---- unbiased over rotations -------------------------------------------------------------------------------

SPARSE = {
    "one": lambda dim: np.eye(dim)[dim // 3],
    "two": lambda dim: np.eye(dim)[0] - np.eye(dim)[1],
    "half": lambda dim: np.where(np.arange(dim) < dim // 2, 1.0, 0.0),
} | SHAPES


@pytest.mark.parametrize("shape", rest_slow(["two", "one", "half", "ramp", "wide"]))
@pytest.mark.parametrize(
    "spec", ["nearest(4)", "top_signs(8)", "top_signs(8, rotations=4)", "eden(0.5)", "eden(2)", "drive"]
)
@pytest.mark.parametrize("dim", rest_slow([64, 5]))
def test_mean_over_seeds(spec: str, dim: int, shape: str) -> None:
    """The mean over 400 seeds, the same in every run, is x but for what 267 of that variance leave."""
    codec = parse(spec, dim)
    assert isinstance(codec, RandomRotationCodec)
    x = SPARSE[shape](dim) / np.linalg.norm(SPARSE[shape](dim))
    mean = np.mean([estimate(codec, x, seed) for seed in range(400)], axis=0) - x
    assert np.linalg.norm(mean) <= 1.5 * math.sqrt(codec.variance() / 600) + 0.01


def test_too_few_rounds_are_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = parse("nearest(1)", 1024)
    x = np.eye(1024)[7]
    monkeypatch.setattr(rotation_module, "Rotation", lambda dim, rounds, seed: Rotation(dim, 1, seed))
    along = np.mean([estimate(codec, x, k) @ x for k in range(400)])
    # One round makes of a single coordinate 1,024 of the same magnitude: the largest is small
    assert along < 0.5


@looped("dim", [1, 3, 64, 100, 5000])
@pytest.mark.parametrize("spec", ["drive", "eden(1)", "eden(1.75)", "eden(3)", "top_signs(7, rotations=3)"])
def test_component_along_the_gradient(spec: str, dim: int) -> None:
    """EDEN's scale, and that of the best rotation: <x, estimate> = |x|^2 for each, up to the float32 that is sent."""
    codec = parse(spec, dim)
    for seed, shape in enumerate(("ramp", "one_hot", "flat", "wide")):
        x = SHAPES[shape](dim)
        assert estimate(codec, x, seed) @ x == pytest.approx(x @ x, rel=1e-6)


@pytest.mark.parametrize("dim", [5, 200])
def test_payload_names_the_best_rotation(dim: int) -> None:
    """Of the attempts one by one, that with the largest sum; the first for zero, where all are alike."""
    codec, x = parse("top_signs(9, rotations=5)", dim), ramp(dim)
    named = set()
    for seed in range(40):
        sums = []
        for attempt in range(5):
            own = derived_seed(seed, "attempt", attempt) if attempt else seed
            y = random_rotation(codec.size, own).apply(x)
            sums.append(np.sort(np.abs(y))[-9:].sum())
        symbols = unpack_checked(codec, codec.encode(x, ReplayCoins(), shared=seed))
        assert symbols.rotation == int(np.argmax(sums))
        assert symbols.scale == pytest.approx(x @ x * codec._mean / max(sums), rel=1e-6)
        named.add(symbols.rotation)
    assert named == set(range(5))
    assert unpack_checked(codec, codec.encode(np.zeros(dim), ReplayCoins(), shared=1)).rotation == 0


def test_one_rotation_keeps_the_spec() -> None:
    """Payloads of ``rotations=1`` are those of specs that do not know of it, and so are names and fingerprints."""
    assert parse("top_signs(3, rotations=1)", 8).spec == "top_signs(count=3)"
    assert parse("top_signs(3, rotations=1)", 8).fingerprint == parse("top_signs(3)", 8).fingerprint
    several = parse("top_signs(3, rotations=2)", 8)
    assert several.spec == "top_signs(count=3, rotations=2)" and parse(several.spec, 8) == several


def test_workers_need_seeds_of_their_own() -> None:
    """V14: the mean of 30 workers' estimates is 30 times as good with seeds apart, and no better under one seed."""
    codec, x = parse("nearest(10)", 1000), ramp(1000)
    apart = np.mean([estimate(codec, x, seed) for seed in range(30)], axis=0) - x
    together = np.mean([estimate(codec, x, 5) for _ in range(30)], axis=0) - x
    assert 15 < (together @ together) / (apart @ apart) < 60


# ---- what is sent ------------------------------------------------------------------------------------------


def test_levels_are_lloyd_max() -> None:
    """Each level is the mean between the midpoints to its neighbours, and the energies follow."""
    density = lambda t: math.exp(-t * t / 2) / math.sqrt(2 * math.pi)  # noqa: E731
    for levels, energy in zip(LEVELS[1:], ENERGY[1:], strict=True):
        edges = [0.0, *((a + b) / 2 for a, b in itertools.pairwise(levels)), math.inf]
        total = 0.0
        for low, high, level in zip(edges, edges[1:], levels, strict=False):
            mass = (math.erfc(low / math.sqrt(2)) - math.erfc(high / math.sqrt(2))) / 2
            assert level == pytest.approx((density(low) - density(high)) / mass, rel=1e-12)
            total += 2 * mass * level**2
        assert energy == pytest.approx(total, rel=1e-12)


def test_ties_go_to_the_first() -> None:
    """One coordinate, rotated once more than once, makes many equal magnitudes; torch agrees on all of them."""
    torch = pytest.importorskip("torch")
    for spec in ("nearest(3)", "top_signs(5)", "top_signs(33)", "top_signs(5, rotations=6)", "eden(1.5)"):
        codec = parse(spec, 64)
        for shape in ("one_hot", "flat", "alternating"):
            x = SHAPES[shape](64)
            for seed in range(20):
                ours = codec.encode(x, ReplayCoins(), shared=seed)
                assert codec.encode(torch.from_numpy(x), ReplayCoins(), shared=seed) == ours


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scales_of_gradients(name: str, dtype: type) -> None:
    """A power of two times a gradient has the estimate times as much, to the ends of float32; zero has zero."""
    codec = parse(name, 1000)
    x = ramp(1000).astype(dtype)
    once = estimate(codec, x, 3)
    for power in (-100, -40, 40, 110):
        assert np.allclose(
            estimate(codec, np.ldexp(x, power).astype(dtype), 3), np.ldexp(once, power), rtol=1e-6
        )
    assert not estimate(codec, np.zeros(1000, dtype), 3).any()
    assert np.isfinite(estimate(codec, np.full(1000, 1e-45, dtype), 3)).all()
    with pytest.raises(DomainError, match="beyond float32"):
        estimate(codec, np.full(1000, 3e38), 3)


@pytest.mark.parametrize("name", NAMES)
def test_headers(name: str) -> None:
    codec = parse(name, 100)
    check_refuses_gains(codec, encode(codec, ramp(100)))


def test_rotations_beyond_the_last_are_refused() -> None:
    """Three rotations in two bits: the last code stands for none."""
    codec = parse("top_signs(2, rotations=3)", 50)
    payload = encode(codec, ramp(50))
    codec.validate(with_field(payload, codec.nbits - 2, 2, 2))
    with pytest.raises(PayloadError, match="the rotation is 3, expected below 3: it is corrupt"):
        codec.validate(with_field(payload, codec.nbits - 2, 2, 3))


def test_vertices_are_read_as_written_or_refused() -> None:
    """Blocks of 21, 21 and 22: 42 * 42 * 44 of the 2^17 codes stand for vertices, each of them for others."""
    codec = parse("nearest(3)", 64)
    payload, codes = encode(codec, ramp(64)), range(5, 1 << 17, 37)
    read = read_as_written(codec, (with_field(payload, 32, 17, code) for code in codes))
    assert read / len(codes) == pytest.approx(42 * 42 * 44 / (1 << 17), abs=0.03)
