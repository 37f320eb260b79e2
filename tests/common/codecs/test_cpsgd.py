"""cpSGD: binomial noise bit by bit, its law by polynomials, and its (epsilon, delta) against exact divergences."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradwire.common.arrays import binomial
from gradwire.common.arrays.binomial import fair_binomials
from gradwire.common.arrays.bits import BitWriter
from gradwire.common.codecs import parse
from gradwire.common.errors import PayloadError, SpecError
from tests.common.codecs import checks, law_checks
from tests.common.codecs.chance import Chance, check_counts
from tests.common.codecs.coins import ReplayCoins, coins, word_list
from tests.common.codecs.vectors import SHAPES, laws_are_checked_at
from tests.grids import looped

# ---- the noise ---------------------------------------------------------------------------------------------


class Words:
    """Coins that are a given list of bytes."""

    secret = True

    def __init__(self, content: bytes) -> None:
        self._left = np.frombuffer(content, "<u8")

    def words(self, count: int) -> np.ndarray:
        out, self._left = self._left[:count], self._left[count:]
        assert out.size == count
        return out

    def uniforms(self, count: int) -> np.ndarray:
        raise AssertionError("not asked for")


@looped("trials", range(1, 9))
def test_law_over_all_coins(trials: int) -> None:
    """Every byte once: exactly C(m, j) 2^(8 - m) variables are j."""
    counts = np.bincount(fair_binomials(trials, 256, Words(bytes(range(256)))), minlength=trials + 1)
    assert counts.tolist() == [math.comb(trials, j) * 2 ** (8 - trials) for j in range(trials + 1)]


@looped("trials", [1, 8, 9, 16, 17, 31, 32, 33, 63, 64, 65, 100, 128, 200, 1000])
def test_counts_use_separate_bits(trials: int) -> None:
    found = fair_binomials(trials, 20, ReplayCoins())
    whole, rest = divmod(trials, 64)
    words = [int(w) for w in word_list(2000)]
    ones = [sum(w.bit_count() for w in words[i * whole : (i + 1) * whole]) for i in range(20)]
    if rest:
        lane = min(b for b in (8, 16, 32, 64) if b >= rest)
        stream = b"".join(w.to_bytes(8, "little") for w in words[20 * whole :])
        for i in range(20):
            field = int.from_bytes(stream[i * lane // 8 : (i + 1) * lane // 8], "little")
            ones[i] += (field & ((1 << rest) - 1)).bit_count()
    assert found.tolist() == ones


def test_slabs_do_not_change_the_payload(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {t: fair_binomials(t, 1000, ReplayCoins()).tolist() for t in (3, 20, 64, 130, 192)}
    for slab in (1, 3, 64):
        monkeypatch.setattr(binomial, "SLAB", slab)
        assert {t: fair_binomials(t, 1000, ReplayCoins()).tolist() for t in expected} == expected


@pytest.mark.parametrize("trials", [5, 70])
def test_noise_is_binomial(trials: int, chance: Chance) -> None:
    drawn = fair_binomials(trials, 200_000, coins(chance.rng))
    law = np.array([math.comb(trials, j) / 2**trials for j in range(trials + 1)])
    check_counts(np.bincount(drawn, minlength=trials + 1), law, chance, f"Binomial({trials}, 1/2)")


# ---- the codec ---------------------------------------------------------------------------------------------


def symbol_law(y: float, levels: int, trials: int) -> np.ndarray:
    """Generating functions: (1 - f + f z) z^floor(y) ((1 + z) / 2)^m."""
    low = min(math.floor(y), levels - 2)
    law = np.array([1 - (y - low), y - low])
    for _ in range(trials):
        law = np.convolve(law, [0.5, 0.5])
    return np.concatenate([np.zeros(low), law])


@pytest.mark.parametrize(("levels", "trials", "bound"), [(2, 1, 1.0), (3, 4, 2.0), (4, 2, 0.5)])
@looped("x", [pytest.param(x, id=label) for label, x in laws_are_checked_at(2)])
def test_law(levels: int, trials: int, bound: float, x: np.ndarray) -> None:
    codec = parse(f"cpsgd(levels={levels}, trials={trials}, gain=bound({bound}))", 2)
    law = law_checks.law_of(codec, x)
    norm, step = math.hypot(*x), 2 * bound / (levels - 1)
    kept = x * min(1.0, bound / norm) if norm else x
    laws = [symbol_law((v + bound) / step, levels, trials) for v in kept.tolist()]
    for a, p in enumerate(laws[0]):
        for b, q in enumerate(laws[1]):
            point = [-bound + step * (c - trials / 2) for c in (a, b)]
            seen = law.probabilities[np.abs(law.points - point).max(axis=1) < 1e-9 * bound].sum()
            assert seen == pytest.approx(p * q, abs=1e-9), (a, b)


@looped("shape", sorted(SHAPES))
@looped("scale", [1e-3, 1.0, 1e3])
def test_variance_at(shape: str, scale: float) -> None:
    """step^2 (d m / 4 + sum f (1 - f)), and what clipping took."""
    x, bound, k, m = SHAPES[shape](40) * scale, 2.5, 8, 12
    norm, step = float(np.linalg.norm(x)), 2 * bound / (k - 1)
    kept = x * min(1.0, bound / norm)
    noise = 0.0
    for value in kept.tolist():
        f = (value + bound) / step % 1.0
        noise += f * (1 - f)
    meant = step**2 * (40 * m / 4 + noise) + float(((x - kept) ** 2).sum())
    codec = parse(f"cpsgd(levels={k}, trials={m}, gain=bound({bound}))", 40)
    assert codec.variance_at(x) == pytest.approx(meant, rel=1e-9)
    assert codec.variance_at(x) <= codec.variance(norm) * (1 + 1e-9)


@looped("dim", [3, 128, 1000, 795_010, 12_332_010])
@looped("levels, trials", [(2, 1), (2, 2), (16, 240), (16, 241), (1000, 5)])
def test_bits(dim: int, levels: int, trials: int) -> None:
    codec = parse(f"cpsgd(levels={levels}, trials={trials})", dim)
    assert codec.nbits == dim * math.ceil(math.log2(levels + trials))


def test_symbols_beyond_the_last_are_refused() -> None:
    codec = parse("cpsgd(levels=3, trials=2)", 3)
    for symbol in (5, 6, 7):
        out = BitWriter()
        out.write(np.array([4, 0, symbol]), 3)
        with pytest.raises(PayloadError, match=f"a level is {symbol}, expected below 5"):
            codec.validate(out.tobytes())


@pytest.mark.parametrize(
    "args",
    ["levels=1", "levels=65537", "trials=0", "trials=1048577", "gain=exact", "gain=bound(0)", "gain=word"],
)
def test_bad_parameters(args: str) -> None:
    with pytest.raises(SpecError):
        parse(f"cpsgd({args})", 10)


def test_clipping_keeps_the_direction() -> None:
    codec = parse("cpsgd(levels=65536, trials=1, gain=bound(1.5))", 3)
    x = np.array([30.0, -40.0, 0.0])
    assert codec.decode(checks.encode(codec, x)) == pytest.approx(x * 0.03, abs=1e-3)


# ---- privacy -----------------------------------------------------------------------------------------------


def theorem_1(n: int, p: float, s: float, dim: int, delta: float, d1: float, d2: float, doo: float) -> float:
    """[cpSGD] equation 7 for any p, with b_p, c_p and d_p (equations 17, 12 and 16)."""
    b = 2 / 3 * (p**2 + (1 - p) ** 2) + 1 - 2 * p
    c = math.sqrt(2) * (3 * p**3 + 3 * (1 - p) ** 3 + 2 * p**2 + 2 * (1 - p) ** 2)
    d = 4 / 3 * (p**2 + (1 - p) ** 2)
    spread = n * p * (1 - p)
    if spread < max(23 * math.log(10 * dim / delta), 2 * doo / s):
        return math.inf
    first = d2 * math.sqrt(2 * math.log(1.25 / delta)) / (s * math.sqrt(spread))
    second = (d2 * c * math.sqrt(math.log(10 / delta)) + d1 * b) / (s * spread * (1 - delta / 10))
    third = 2 / 3 * doo * math.log(1.25 / delta) + doo * d * math.log(20 * dim / delta) * math.log(10 / delta)
    return first + second + third / (s * spread)


@pytest.mark.parametrize("delta", [1e-2, 1e-6])
@pytest.mark.parametrize(
    ("levels", "trials", "workers", "dim"), [(2, 64, 50, 1), (16, 240, 10_000, 1000), (16, 8, 7, 30)]
)
def test_epsilon_is_theorem_1(levels: int, trials: int, workers: int, dim: int, delta: float) -> None:
    codec, half, apart = parse(f"cpsgd(levels={levels}, trials={trials})", dim), delta / 2, levels - 1
    noise, rare = min(math.sqrt(dim) * apart, dim / 4), math.log(2 / half)
    excess = math.sqrt(2 * noise * rare) + rare / 3
    d1, d2 = math.sqrt(dim) * apart + excess, apart + math.sqrt(noise + excess)
    meant = theorem_1(workers * trials, 0.5, 1.0, dim, half, d1, d2, apart)
    assert codec.central_epsilon(delta, workers) == pytest.approx(meant)


def divergence(one: np.ndarray, other: np.ndarray, epsilon: float) -> float:
    """The least delta with which the first law is epsilon-close to the second."""
    return float(np.maximum(one - math.exp(epsilon) * other, 0).sum())


def noisy_sum(first: np.ndarray, trials: int) -> np.ndarray:
    """The law of one worker's level, given as a law, plus everybody's noise; the others' levels are known."""
    log = [
        math.lgamma(trials + 1) - math.lgamma(j + 1) - math.lgamma(trials - j + 1) for j in range(trials + 1)
    ]
    return np.convolve(first, np.exp(np.array(log) - trials * math.log(2)))


@pytest.mark.parametrize(("levels", "workers"), [(2, 30), (4, 30), (9, 100)])
@pytest.mark.parametrize("delta", [0.1, 1e-3])
def test_exact_divergence_is_within_epsilon_and_delta(levels: int, workers: int, delta: float) -> None:
    """One coordinate: the sum of all payloads, with one worker's gradient at one end of the interval or elsewhere."""
    codec = parse(f"cpsgd(levels={levels}, trials=64)", 1)
    epsilon = codec.central_epsilon(delta, workers)
    assert math.isfinite(epsilon)
    grid = [symbol_law(y, levels, 0)[:levels] for y in (0.0, 0.3, (levels - 1) / 2, levels - 1.0)]
    laws = [noisy_sum(np.pad(g, (0, levels - g.size)), workers * 64) for g in grid]
    for one in laws:
        for other in laws:
            assert divergence(one, other, epsilon) <= delta
    assert delta == 0.1 or divergence(laws[0], laws[-1], 0.0) > delta  # epsilon is not for nothing


def test_epsilon_falls_with_more_workers() -> None:
    codec = parse("cpsgd(levels=4, trials=64)", 100)
    found = [codec.central_epsilon(1e-5, workers) for workers in (1, 10, 100, 1000, 10_000)]
    assert found[0] == math.inf and found == sorted(found, reverse=True) and found[-1] < 0.5
    assert math.isinf(codec.epsilon)
    for delta, workers in ((0.0, 5), (1.0, 5), (0.1, 0)):
        with pytest.raises(ValueError, match="expected 0 < delta < 1 and at least one worker"):
            codec.central_epsilon(delta, workers)
