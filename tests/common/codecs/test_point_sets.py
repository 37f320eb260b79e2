"""The structured point sets of vqSGD against the closed forms of its sections 5 and 6, errata V1 to V9 applied."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest

from gradwire.common.arrays.blocks import CHUNK
from gradwire.common.codecs import AnyCodec, parse
from gradwire.common.codecs.payloads import unpack_checked
from gradwire.common.errors import SpecError
from tests.common.codecs import law_checks
from tests.common.codecs.coins import ReplayCoins, coins
from tests.common.codecs.oracles import F64, PointLaw, axis, clip, square
from tests.common.codecs.vectors import laws_are_checked_at, ramp
from tests.grids import looped

Oracle = Callable[[F64, float], PointLaw]


def sylvester(n: int) -> F64:
    """H_1 = [1], H_2n = [H H; H -H] ([V] section 3)."""
    h = np.ones((1, 1))
    while len(h) < n:
        h = np.block([[h, h], [h, -h]])
    return h


def over(x: F64, gain: float) -> F64:
    return x / gain if gain else np.zeros(len(x))


def scaled_cross_polytope(scale: float) -> Oracle:
    """±scale sqrt(d) e_i, v_i / (scale sqrt d) in place of v_i / sqrt d, g = 1 - |v|_1 / (scale sqrt d) (Prop. 15)."""

    def law(x: F64, gain: float) -> PointLaw:
        d, v = len(x), over(x, gain)
        radius = scale * math.sqrt(d)
        g = 1 - math.fsum(abs(v)) / radius
        return [
            (axis(i, d, gain * sign * radius), max(sign * v[i], 0) / radius + g / (2 * d))
            for i in range(d)
            for sign in (1, -1)
        ]

    return law


def signs(points: F64) -> Oracle:
    """Code words as ±1 and their complements: w = c·v / n, |w| + g / 2n on the side of w, g / 2n opposite (V7)."""

    def law(x: F64, gain: float) -> PointLaw:
        n = len(points)
        w = points @ over(x, gain) / n
        g = 1 - math.fsum(abs(w))
        return [
            (gain * sign * c, max(sign * wc, 0) + g / (2 * n))
            for c, wc in zip(points, w, strict=True)
            for sign in (1, -1)
        ]

    return law


def reed_muller(x: F64, gain: float) -> PointLaw:
    n = 1 << (len(x) - 1).bit_length()
    return signs(sylvester(n)[:, : len(x)])(x, gain)


def hadamard(kappa: float) -> Oracle:
    """Kappa sqrt(d) h_i with probability (1 + h_i·v / (kappa sqrt d)) / n, h_i a row without its first entry (V1)."""

    def law(x: F64, gain: float) -> PointLaw:
        d = len(x)
        rows = sylvester(1 << d.bit_length())[:, 1 : d + 1]
        radius = kappa * math.sqrt(d)
        return [(gain * radius * h, (1 + h @ over(x, gain) / radius) / len(rows)) for h in rows]

    return law


def simplex(x: F64, gain: float) -> PointLaw:
    """a_0 = 1/3 - sum v / 6d at -4·1, a_i = v_i / 2d + 2 a_0 / d at 2d e_i ([V] equation 7)."""
    d, v = len(x), over(x, gain)
    first = 1 / 3 - math.fsum(v) / (6 * d)
    law = [(axis(i, d, gain * 2 * d), v[i] / (2 * d) + 2 * first / d) for i in range(d)]
    return [(np.full(d, -4 * gain), first), *law]


def words(*rows: str) -> F64:
    """Half of all sums of the rows and the all-ones word, one of each complementary pair, as ±1."""
    bits = np.array([[int(b) for b in row] for row in rows])
    spanned = {tuple(np.array(c) @ bits % 2) for c in itertools.product((0, 1), repeat=len(rows))}
    half = {w if w[0] == 0 else tuple(1 - np.array(w)) for w in spanned}
    return 1.0 - 2 * np.array(sorted(half))


HAMMING = words("1101000", "0110100", "0011010", "0001101")  # the cyclic form: another order of coordinates
LAWS: dict[tuple[str, int], Oracle] = {
    ("cross_polytope(scale=1)", 4): scaled_cross_polytope(1),
    ("cross_polytope(scale=2)", 3): scaled_cross_polytope(2),
    ("cross_polytope(scale=1.5, gain=bound(2))", 3): scaled_cross_polytope(1.5),
    **{("reed_muller", d): reed_muller for d in (1, 2, 3, 4, 5, 8)},
    ("reed_muller(gain=bound(2))", 3): reed_muller,
    **{("hadamard", d): hadamard(2) for d in (1, 2, 3, 5, 7)},
    ("hadamard(1)", 3): hadamard(1),
    ("hadamard(kappa=1.25, gain=bound(0.5))", 4): hadamard(1.25),
    **{("simplex", d): simplex for d in (1, 2, 3, 4, 7)},
    ("simplex(gain=bound(2))", 3): simplex,
    ('linear_code("d0/68/34/1a")', 7): signs(HAMMING),
    ('linear_code("a8/64/1c")', 6): signs(words("101010", "011001", "000111")),
    ('linear_code("5/3/1")', 4): signs(words("0101", "0011", "0001")),
    ('linear_code("5/3/f/6")', 4): signs(words("0101", "0011")),
}


@pytest.mark.parametrize(("spec", "dim"), LAWS, ids=str)
def test_law_of_the_paper(spec: str, dim: int) -> None:
    codec, oracle = parse(spec, dim), LAWS[spec, dim]
    for label, x in laws_are_checked_at(dim):
        law = law_checks.law_of(codec, x)
        gain = sent_gain(codec, law)
        if law_checks.is_clipped(codec):
            x = clip(x, gain, 2)
        expected = oracle(x, gain)
        assert math.fsum(p for _, p in expected) == pytest.approx(1, abs=1e-12)
        points = np.array([point for point, _ in expected])
        masses = np.array([p for _, p in expected])
        for point in points:
            near = 1e-12 * gain * dim
            seen = law.probabilities[np.abs(law.points - point).max(axis=1) <= near].sum()
            meant = masses[np.abs(points - point).max(axis=1) <= near].sum()
            assert seen == pytest.approx(meant, abs=1e-11), (label, point)


def sent_gain(codec: AnyCodec, law: law_checks.Law) -> float:
    return float(unpack_checked(codec, law.payloads[0]).gain)


def simplex_variance(x: F64) -> float:
    """16 d a_0 + 4 d^2 (1 - a_0) - |v|^2, times the gain squared (theory 1.1)."""
    d, gain = len(x), math.sqrt(square(x))
    a = 1 / 3 - (math.fsum(x) / gain if gain else 0.0) / (6 * d)
    return gain**2 * (16 * d * a + 4 * d**2 * (1 - a) - 1)


VARIANCES: dict[str, Callable[[F64], float]] = {
    "cross_polytope(scale=2)": lambda x: (4 * len(x) - 1) * square(x),
    "reed_muller": lambda x: (len(x) - 1) * square(x),
    "reed_muller(repeats=7)": lambda x: (len(x) - 1) * square(x) / 7,
    "linear_code": lambda x: (len(x) - 1) * square(x),
    "hadamard": lambda x: (4 * len(x) ** 2 - 1) * square(x),
    "hadamard(1.5, repeats=3)": lambda x: (2.25 * len(x) ** 2 - 1) * square(x) / 3,
    "simplex": simplex_variance,
    "simplex(repeats=4)": lambda x: simplex_variance(x) / 4,
}


@pytest.mark.parametrize("spec", VARIANCES)
@looped("dim", [1, 3, 6, 1000])
def test_variance_of_the_paper(spec: str, dim: int) -> None:
    codec = parse(spec, dim)
    for _, x in laws_are_checked_at(dim):
        scale = dim**2 * square(x)
        assert codec.variance_at(x) == pytest.approx(VARIANCES[spec](x), rel=1e-12, abs=1e-12 * scale)


DIMS = (3, 128, 1000, 795_010, 12_332_010)
WIDTHS = {  # ceil(log2 2d) and ceil(log2(d + 1))
    "cross_polytope(scale=2)": (3, 8, 11, 21, 25),
    "reed_muller": (3, 8, 11, 21, 25),
    "hadamard": (2, 8, 10, 20, 24),
    "simplex": (2, 8, 10, 20, 24),
}


@pytest.mark.parametrize("name", WIDTHS)
def test_bits(name: str) -> None:
    head = name.removesuffix(")") + (", " if "(" in name else "(")
    for dim, width in zip(DIMS, WIDTHS[name], strict=True):
        assert parse(name, dim).nbits == 32 + width
        assert parse(f"{head}repeats=100, gain=bound(1))", dim).nbits == 100 * width


@pytest.mark.parametrize(
    ("spec", "dim", "nbits"),
    [
        ("linear_code", 1000, 11),
        ("linear_code(hamming)", 7, 4),
        ("linear_code(hamming)", 15, 11),
        ("linear_code(golay)", 23, 12),
        ("linear_code(golay)", 24, 12),
    ],
)
def test_bits_of_codes(spec: str, dim: int, nbits: int) -> None:
    """Log2 of the number of words; all of these hold the all-ones word, so complements add nothing."""
    assert parse(spec, dim).nbits == 32 + nbits


@pytest.mark.parametrize(
    ("name", "dim", "distance"), [("hamming", 7, 3), ("hamming", 15, 3), ("golay", 23, 7)]
)
def test_named_codes(name: str, dim: int, distance: int) -> None:
    """The words are a linear code with the minimum distance that the name promises; H and complements are its words."""
    codec = parse(f"linear_code({name})", dim)
    points = sylvester(codec.axes)[:, codec.columns]
    weights = (points < 0).sum(axis=1)
    assert min(*weights[1:], *(dim - weights)) == distance
    decoded = np.array([codec.synthesise(row) for row in np.eye(codec.axes)[:40]])
    assert (decoded == points[:40]).all()


def test_golay_with_parity() -> None:
    codec = parse("linear_code(golay)", 24)
    weights = (sylvester(codec.axes)[:, codec.columns] < 0).sum(axis=1)
    both = np.bincount(np.concatenate([weights, 24 - weights]), minlength=25)
    assert {w: int(both[w]) for w in np.flatnonzero(both)} == {0: 1, 8: 759, 12: 2576, 16: 759, 24: 1}


@pytest.mark.parametrize("dim", [1, 3, 4, 129, 1000])
def test_first_order_code_is_reed_muller(dim: int) -> None:
    one, other = parse("reed_muller(repeats=50)", dim), parse("linear_code(reed_muller_1, repeats=50)", dim)
    payload = one.encode(ramp(dim), ReplayCoins())
    assert payload == other.encode(ramp(dim), ReplayCoins())
    assert (one.decode(payload) == other.decode(payload)).all()


def test_equivalent_generators_give_the_same_points() -> None:
    payloads = {
        parse(f'linear_code("{rows}", repeats=20)', 6).encode(ramp(6), ReplayCoins())
        for rows in ("a8/64/1c", "1c/a8/64", "cc/64/1c/a8", "a8/64/e0")  # e0 = 1c ^ fc, its complement
    }
    assert len(payloads) == 1


@pytest.mark.parametrize(
    ("spec", "dim", "message"),
    [
        ('linear_code("f/a")', 4, "columns 0 and 2 of f/a are equal at dim 4"),
        ("linear_code(hamming)", 3, "7 or 15"),
        ("linear_code(golay)", 25, "23 or 24"),
        ("linear_code(golai)", 23, "did you mean golay"),
        ('linear_code("f8")', 4, "does not have 1 hexadecimal digits"),
        ('linear_code("A8/64/1C")', 6, "lower-case"),
        ('linear_code("a9/64/1c")', 6, "bits beyond coordinate 5"),
        ("linear_code", 2**20 + 1, "use reed_muller"),
        ('linear_code("' + "/".join(f"{1 << k:08x}" for k in range(32)) + '")', 32, r"2\*\*32 words"),
        ("hadamard(0.99)", 3, "kappa"),
        ("hadamard(nan)", 3, "kappa"),
        ("hadamard(inf)", 3, "kappa"),
        ("cross_polytope(scale=0.5)", 3, "scale"),
        ("cross_polytope(scale=nan)", 3, "scale"),
    ],
)
def test_refused_parameters(spec: str, dim: int, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse(spec, dim)


def test_own_parameters_come_first() -> None:
    assert parse("hadamard(3, 7)", 3) == parse("hadamard(kappa=3, repeats=7)", 3)
    assert parse("cross_polytope(7)", 3) == parse("cross_polytope(repeats=7, scale=1)", 3)


def test_scale_one_keeps_the_payloads() -> None:
    plain = parse("cross_polytope(repeats=9)", 50).encode(ramp(50), ReplayCoins())
    assert plain == parse("cross_polytope(repeats=9, scale=1.0)", 50).encode(ramp(50), ReplayCoins())


@pytest.mark.parametrize("name", ["reed_muller", "hadamard", "simplex"])
def test_one_transform_for_all_workers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = parse(f"{name}(repeats=5)", 300)
    payloads = [codec.encode(ramp(300), coins(seed)) for seed in range(20)]
    calls = []
    synthesise = type(codec).synthesise
    monkeypatch.setattr(
        type(codec), "synthesise", lambda self, total: calls.append(1) or synthesise(self, total)
    )
    total = codec.accumulator()
    total.add_all(payloads)
    total.mean()
    assert len(calls) == 1


def test_sparse_while_no_constant_was_drawn() -> None:
    codec = parse("simplex", 1000)
    kinds = {
        type(codec.synthesise(codec.partial_decode(codec.encode(ramp(1000), coins(s))).gather())).__name__
        for s in range(40)
    }
    assert kinds == {"Sparse", "ndarray"}


@pytest.mark.parametrize("name", ["hadamard", "simplex"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_only_drawn_blocks_are_read(name: str, dtype: type) -> None:
    """Encoding makes nothing of the gradient's size: 16 or 32 MiB of it, and a third of that at the peak."""
    import tracemalloc

    codec = parse(f"{name}(repeats=10)", 32 * CHUNK)
    x = ramp(codec.dim).astype(dtype)
    codec.encode(x, coins(1))
    tracemalloc.start()
    codec.encode(x, coins(1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < x.nbytes / 3
