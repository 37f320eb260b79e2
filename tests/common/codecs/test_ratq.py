"""RATQ and rotations in front of codecs: constants, bits and laws of theory 2.3 and section 5, written out again."""

import itertools
import math

import numpy as np
import pytest

from gradwire.common.arrays.rotation import Rotation
from gradwire.common.arrays.tetration import range_bits, ranges
from gradwire.common.codecs import parse
from gradwire.common.codecs.forms.adaptive_levels import AdaptiveLevels
from gradwire.common.codecs.forms.levels import UniformLevels
from gradwire.common.codecs.simq import ratq as ratq_module
from gradwire.common.codecs.vector import GradientVector
from gradwire.common.errors import SpecError
from tests.common.codecs import checks
from tests.common.codecs.law_checks import law_of
from tests.common.codecs.refusal_checks import check_refuses_payload, with_field
from tests.common.codecs.vectors import SHAPES, heavy, ramp
from tests.grids import looped

DIMS = [3, 128, 1000, 795_010, 12_332_010]
E = math.e
TOWER = [1.0, E, E**E, E ** (E**E)]

# ---- constants ---------------------------------------------------------------------------------------------


def test_bits_of_ranges() -> None:
    """log2 h = ceil log2(1 + ln*(D / 3)): 0 up to 3, 2 from 9 to 11.44 million, 3 above (theory 2.3)."""
    assert [range_bits(d) for d in (1, 2, 3, 4, 8, 9)] == [0, 0, 0, 1, 1, 2]
    assert {range_bits(d) for d in (9, 16, 65_536, 11_440_000)} == {2}
    assert {range_bits(d) for d in (11_450_000, 12_332_010, 2**24, 2**40)} == {3}


@pytest.mark.parametrize(
    ("size", "group"), [(4, 1), (16, 2), (1024, 1), (1024, 2), (2**20, 2), (2**24, 3), (2**40, 3)]
)
def test_ranges(size: int, group: int) -> None:
    """M_i^2 = (3 e^{*i} + 2 ln s) / D, at most 1, and the last is 1: nothing overflows."""
    found = ranges(size, group, range_bits(size))
    meant = [min(1.0, math.sqrt((3 * t + 2 * math.log(group)) / size)) for t in TOWER]
    assert found[: len(TOWER)] == pytest.approx(meant[: found.size], rel=1e-7)
    assert found[-1] == 1 and (np.diff(found) > 0).all() and found.size <= 1 << range_bits(size)
    assert (found == found.astype(np.float32)).all()


def test_ranges_are_pinned() -> None:
    """They decide bits on the wire; a mathematics library that differs in a last digit must not change them."""
    pinned = {
        (4, 1): ["0x1.bb67aep-1", "0x1p0"],
        (1024, 2): ["0x1.0c139ap-4", "0x1.8b6036p-4", "0x1.b60e9p-3", "0x1p0"],
        (2**24, 3): ["0x1.23ce98p-11", "0x1.9bd5d6p-11", "0x1.b9d4f6p-10", "0x1.a6d74p-1", "0x1p0"],
    }
    for (size, group), expected in pinned.items():
        assert ranges(size, group, range_bits(size)).tolist() == [float.fromhex(h) for h in expected]


def test_levels_and_groups_of_the_papers() -> None:
    """log2(k + 1) = ceil log2(2 + sqrt(9 + 3 ln s)) = 3 bits, s = max(1, log2 h)."""
    for dim, group in ((1, 1), (3, 1), (8, 1), (9, 2), (1000, 2), (795_010, 2), (12_332_010, 3)):
        codec = parse("ratq", dim)
        assert (codec.levels, codec.group) == (7, group), dim


@looped("dim", DIMS)
@looped("levels, bits", [(0, 3), (3, 2), (15, 4)])
def test_bits_of_ratq(dim: int, levels: int, bits: int) -> None:
    """ceil(D / s) log2 h + D log2(k + 1), and 32 for the gain."""
    size = 2 ** math.ceil(math.log2(dim))
    h = {3: 1, 128: 2, 1000: 2, 795_010: 2, 12_332_010: 3}[dim]
    s = max(1, h)
    codec = parse(f"ratq(levels={levels})", dim)
    assert codec.nbits == 32 + math.ceil(size / s) * h + size * bits
    assert parse(f"ratq(levels={levels}, gain=bound(1.0))", dim).nbits == codec.nbits - 32


# ---- exact laws --------------------------------------------------------------------------------------------


def rotation_matrix(dim: int, rounds: int, seed: int) -> np.ndarray:
    """Row j makes coordinate j of the rotated vector: Sylvester's matrix and the public signs, multiplied out."""
    size = Rotation(dim, rounds, seed).size
    hadamard = np.array([[(-1.0) ** bin(i & j).count("1") for j in range(size)] for i in range(size)])
    out = np.eye(size)
    for round_ in range(rounds):
        out = (
            hadamard @ np.diag(Rotation(dim, rounds, seed)._signs(round_, np.float64)) @ out / math.sqrt(size)
        )
    return out[:, :dim]


def coordinate_laws(y: np.ndarray, group: int, levels: int) -> list[dict[float, float]]:
    """For each coordinate of a rotated unit vector: decoded value -> probability (theory 2.3, step 3)."""
    size = y.size
    h = range_bits(size)
    reaches = [min(1.0, math.sqrt((3 * t + 2 * math.log(group)) / size)) for t in TOWER][: 1 << h]
    laws = []
    for j in range(size):
        mine = y[j // group * group : j // group * group + group]
        reach = next(m for m in reaches if m >= np.abs(mine).max() - 1e-12)
        at = (y[j] / reach + 1) / 2 * (levels - 1)
        low = math.floor(at + 1e-12)
        value = [reach * (2 * n / (levels - 1) - 1) for n in (low, low + 1)]
        laws.append({value[0]: 1 - (at - low), value[1]: at - low} if at - low > 1e-12 else {value[0]: 1.0})
    return laws


@pytest.mark.parametrize(("spec", "group", "levels"), [("ratq", 1, 7), ("ratq(levels=3, group=2)", 2, 3)])
@looped("seed", [0, 1, 2**127 + 5])
@looped("shape", ["ramp", "one_hot", "heavy", "flat"])
def test_law_of_ratq(spec: str, group: int, levels: int, seed: int, shape: str) -> None:
    """Decoded points and probabilities, by a dense matrix and ranges that are not rounded to float32."""
    x = SHAPES[shape](3)
    codec = parse(f"{spec[:-1]}, gain=bound(4.0))" if "(" in spec else "ratq(gain=bound(4.0))", 3)
    matrix = rotation_matrix(3, 1, seed)
    laws = coordinate_laws(matrix @ x / 4, group, levels)
    seen = law_of(codec, x, seed)
    points = 4 * np.array(list(itertools.product(*laws))) @ matrix  # padding may send several to one
    meant = np.array([math.prod(p) for p in itertools.product(*(law.values() for law in laws))])
    for point in points:
        here, there = (np.abs(all_ - point).max(axis=1) < 1e-5 for all_ in (seen.points, points))
        assert seen.probabilities[here].sum() == pytest.approx(meant[there].sum(), abs=1e-6)
    assert seen.error(x) == pytest.approx(codec.variance_given(x, seed), abs=1e-11)
    assert seen.mean == pytest.approx(x, abs=1e-12)


@pytest.mark.parametrize("dim", [5, 7, 8])
@pytest.mark.parametrize("levels", [3, 7])
def test_variance_averaged_over_every_rotation(
    dim: int, levels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All 2^8 sign patterns: the stated variance holds on average, padding and all."""
    codec = parse(f"ratq(levels={levels}, gain=bound(1.0))", dim)
    for x in (np.eye(dim)[2], np.full(dim, dim**-0.5), ramp(dim) / np.linalg.norm(ramp(dim))):
        errors = []
        for signs in itertools.product((1.0, -1.0), repeat=8):
            monkeypatch.setattr(Rotation, "_signs", lambda self, round_, dtype, s=signs: np.array(s, dtype))
            errors.append(codec.variance_given(x, 0))
        assert np.mean(errors) <= codec.variance(1.0)


def test_variance_given_zero_and_clipped() -> None:
    assert parse("ratq", 5).variance_given(np.zeros(5), 1) == 0
    assert parse("ratq(gain=bound(1.0))", 4).variance_given(np.full(4, 5.0), 1) >= 81.0 * (1 - 1e-12)
    with pytest.raises(NotImplementedError, match="one round and all coordinates"):
        parse("ratq(rounds=2)", 5).variance_given(np.zeros(5), 1)


# ---- measured variance -------------------------------------------------------------------------------------


def sparse(dim: int, count: int) -> np.ndarray:
    x = np.zeros(dim)
    x[:: dim // count][:count] = 1.0
    return x[:dim]


@pytest.mark.parametrize("dim", [1024, 65_536])
@pytest.mark.parametrize("kind", ["gaussian", "sparse", "heavy", "one_hot", "ramp"])
def test_relative_variance(dim: int, kind: str) -> None:
    """Measured .09 to .12 (theory 2.3), the bound is .308; one-hot is flat once rotated, so in the first range."""
    rng = np.random.default_rng(3)
    x = {"gaussian": rng.standard_normal(dim), "sparse": sparse(dim, 20)}.get(kind)
    x = SHAPES[kind](dim) if x is None else x
    codec = parse("ratq", dim)
    seen = np.mean([codec.variance_given(x, seed) for seed in range(4)]) / (x @ x)
    assert 0.05 < seen < 0.125, seen
    assert codec.variance(1.0) == pytest.approx((9 + 3 * math.log(2)) / 36)


def test_ranges_need_the_rotation() -> None:
    """20-sparse flat input at d = 1024: variance .491 above the bound .308 without it, .090 with it (theory 2.3)."""
    x = sparse(1024, 20) / math.sqrt(20)
    plain = AdaptiveLevels(1024, 1024, 2, UniformLevels(7))
    rng = np.random.default_rng(0)
    without = np.mean([plain.variances(rng.permutation(x)).sum() for _ in range(50)])
    codec = parse("ratq", 1024)
    rotated = np.mean([codec.variance_given(x, seed) for seed in range(10)])
    assert without > codec.variance(1.0) > 3 * rotated
    assert without == pytest.approx(0.491, abs=0.02) and rotated == pytest.approx(0.090, abs=0.01)


@pytest.mark.parametrize("levels", [7, 15, 31])
def test_padding_removes_noise(levels: int) -> None:
    """dim / D of the noise is left: measured on whole encodings, not on the formula."""
    x, rng = ramp(600), np.random.default_rng(1)
    codec = parse(f"ratq(levels={levels})", 600)
    seen = np.mean(
        [np.sum((codec.decode(codec.encode(x, rng, shared=s), shared=s) - x) ** 2) for s in range(60)]
    )
    stated = np.mean([codec.variance_given(x, s) for s in range(60)])
    assert seen == pytest.approx(stated, rel=0.1)


# ---- fewer bits than coordinates ---------------------------------------------------------------------------


TABLE = [(100, 13, 5370), (1000, 193, 361), (10_000, 1993, 34), (100_000, 19_993, 2.49)]


@pytest.mark.parametrize(("budget", "count", "relative"), TABLE)
def test_row_of_the_table(budget: int, count: int, relative: float) -> None:
    """Theory 5, RATQ + coordinate subsampling, d = 65,536, Gaussian vector: 32 + 5 bits per coordinate (s = 1)."""
    codec = parse(f"ratq(budget={budget})", 65_536)
    assert (codec.count, codec.group, codec.levels) == (count, 1, 7)
    assert codec.nbits == 32 + 5 * count <= budget < codec.nbits + 5
    x = np.random.default_rng(1).standard_normal(65_536)
    rounding = parse("ratq(group=1)", 65_536).variance_given(x, 4) / (x @ x)
    assert (1 + rounding) * 65_536 / count - 1 == pytest.approx(relative, rel=0.01)


@pytest.mark.parametrize("spec", ["ratq(count=3)", "ratq(count=3, group=2, levels=3)"])
def test_subsets_of_rotated_coordinates(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """E|Q|^2 = (|x|^2 + V) / mu over all subsets, and the mean is x."""
    codec, x = parse(spec, 4), ramp(4)
    means, errors, rounding = [], [], 0.0
    for subset in itertools.combinations(range(4), 3):
        monkeypatch.setattr(ratq_module, "random_subset", lambda *_, s=subset: np.array(s))
        laws = codec.law(x, shared=11)
        points = [codec.decode(p, shared=11) for p in laws]
        means.append(np.array(list(laws.values())) @ points)
        errors.append(sum(p * np.sum((z - x) ** 2) for z, p in zip(points, laws.values(), strict=True)))
        y = Rotation(4, 1, 11).apply(x) / np.linalg.norm(x)
        rounding += codec._quantizer.variances(y[list(subset)]).sum() * (x @ x) / 3
    assert np.mean(means, axis=0) == pytest.approx(x, abs=1e-12)
    # The gain is a float32 a little above |x|, and noise is convex in it between levels: 10^-5 is room for that.
    assert np.mean(errors) == pytest.approx((4 / 3) * rounding + (4 / 3 - 1) * (x @ x), rel=1e-5)


def test_budgets() -> None:
    whole = parse("ratq", 1000)
    assert parse(f"ratq(budget={whole.nbits})", 1000) == whole == parse("ratq(budget=1000000)", 1000)
    less = parse(f"ratq(budget={whole.nbits - 1})", 1000)
    assert less.count is not None and less.count < 1024 and less.group == 1 and less.nbits < whole.nbits
    assert parse("ratq(count=1024)", 1000) == whole
    grouped = parse("ratq(budget=300, group=4)", 1000)
    assert grouped.nbits <= 300 and parse(f"ratq(count={grouped.count + 1}, group=4)", 1000).nbits > 300
    assert parse("ratq(budget=1000, gain=bound(1.0))", 65_536).count == 200


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("budget=36", "36 bits pay for no coordinate"),
        ("budget=-5", "pay for no coordinate"),
        ("budget=99, count=3", "count and budget are given"),
        ("count=0", "count is 0, expected 1 to 1024"),
        ("count=1025", "count is 1025"),
        ("rounds=0", "rounds is 0, expected 1 to 8"),
        ("rounds=9", "rounds is 9"),
        ("group=-1", "group is -1"),
        ("group=1025", "group is 1025"),
        ("levels=1", "levels is 1"),
        ("levels=-7", "levels is -7"),
    ],
)
def test_parameters_of_ratq(arguments: str, message: str) -> None:
    with pytest.raises(SpecError, match=f"^ratq: .*{message}"):
        parse(f"ratq({arguments})", 1000)


def test_unused_ranges_are_refused() -> None:
    """At D = 16 the third range is the whole ball already: two bits name it and one that no encoder uses."""
    codec = parse("ratq(group=1)", 16)
    payload = checks.encode(codec, ramp(16))
    for group in (0, 7, 15):
        codec.validate(with_field(payload, 32 + 2 * group, 2, 2))
        check_refuses_payload(codec, with_field(payload, 32 + 2 * group, 2, 3))


# ---- a rotation in front of any codec ----------------------------------------------------------------------


@pytest.mark.parametrize("rounds", [1, 3])
@pytest.mark.parametrize("inner", ["cuq", "simq(repeats=5)", "cross_polytope(repeats=4)", "float32"])
def test_rotated_is_the_inner_codec_of_the_rotated_vector(rounds: int, inner: str) -> None:
    codec, alone = parse(f"rotated({rounds}, {inner})", 100), parse(inner, 128)
    x, rotation = heavy(100), Rotation(100, rounds, 7)
    payload = checks.encode(codec, x)
    assert payload == checks.encode(alone, rotation.apply(x))
    assert checks.decode(codec, payload) == pytest.approx(rotation.invert(alone.decode(payload)), abs=1e-12)
    assert codec.nbits == alone.nbits and codec.variance(2.0) == alone.variance(2.0)


def test_rotations_in_rotations_differ() -> None:
    """Each layer has public randomness of its own: twice the same rotation would be the identity's permutation."""
    x = np.eye(64)[3]
    twice = parse("rotated(1, rotated(1, float32))", 64)
    payload = checks.encode(twice, x)
    inner = np.frombuffer(payload, "<f4")
    assert len(np.unique(np.abs(inner))) > 3
    assert checks.decode(twice, payload) == pytest.approx(x, abs=1e-6)


def test_rotations_take_over_guarantees() -> None:
    assert not parse("rotated(1, cross_polytope)", 8).index_domain
    rotated = parse("rotated(1, ratq(count=5))", 8)
    assert not rotated.unbiased_given_shared and not rotated.variance_given_shared
    assert parse("rotated(2, cuq)", 8).unbiased_given_shared
    for arguments, message in (
        ("rounds=0", "rounds is 0"),
        ("inner=nothing", "unknown codec"),
        ("inner=cuq(9, 9, 9)", "cuq takes"),
    ):
        with pytest.raises(SpecError, match=message):
            parse(f"rotated({arguments})", 8)


@pytest.mark.parametrize("spec", ["ratq", "rotated(1, cuq)"])
@pytest.mark.parametrize("scale", [2.0**-140, 2.0**-100, 2.0**60, 2.0**120])
def test_extreme_norms_keep_precision(spec: str, scale: float) -> None:
    """Above one chunk rotations run in float32, where products of such numbers would under- or overflow."""
    dim = 1 << 17
    x = (ramp(dim) * scale).astype(np.float32)
    codec = parse(spec, dim)
    estimate = checks.decode(codec, checks.encode(codec, x))
    exact = x.astype(np.float64)
    assert np.sum((estimate - exact) ** 2) < 0.5 * np.sum(exact**2)
    assert GradientVector.of(x, dim).norm > 0
