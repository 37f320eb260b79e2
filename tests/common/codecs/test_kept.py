"""top-k and rand-k: which coordinates are kept, by sorting and by counting; and public random subsets."""

from __future__ import annotations

import math
import struct
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradwire.common.arrays.bits import BitWriter
from gradwire.common.arrays.random_subset import random_subset
from gradwire.common.codecs import parse
from gradwire.common.errors import DomainError, PayloadError, SpecError
from tests.common.codecs import checks
from tests.common.codecs.chance import Chance, check_counts
from tests.common.codecs.refusal_checks import random_behind, read_as_written
from tests.common.codecs.vectors import SHAPES, flat, ramp
from tests.grids import looped

DIMS = [3, 128, 1000, 795_010, 12_332_010]
CODINGS = ["tuple", "set"]


@looped("dim", DIMS)
@looped("k", [1, 3, 50])
def test_bits(dim: int, k: int) -> None:
    if k <= dim:
        assert parse(f"top_k({k})", dim).nbits == k * (32 + math.ceil(math.log2(dim)))
        assert parse(f"top_k({k}, coding=set)", dim).nbits == 32 * k + (math.comb(dim, k) - 1).bit_length()
        assert parse(f"rand_k({k})", dim).nbits == 32 * k


# ---- top-k -------------------------------------------------------------------------------------------------


def kept_by_sorting(x: np.ndarray, k: int) -> np.ndarray:
    first = sorted(range(x.size), key=lambda i: (-abs(float(x[i])), i))[:k]
    return np.array([v if i in first else 0.0 for i, v in enumerate(x.tolist())])


@pytest.mark.parametrize("coding", CODINGS)
@looped("shape", sorted(SHAPES))
@looped("k", [1, 7, 149, 150])
def test_largest_are_kept(coding: str, shape: str, k: int) -> None:
    x = SHAPES[shape](150).astype(np.float32)
    codec = parse(f"top_k({k}, coding={coding})", 150)
    decoded = codec.decode(checks.encode(codec, x))
    assert decoded.tolist() == kept_by_sorting(x, k).tolist()
    left_out = math.fsum(((x - kept_by_sorting(x, k)) ** 2).tolist())
    assert codec.variance_at(x) == pytest.approx(left_out, rel=1e-6)


@settings(max_examples=100)
@given(
    st.lists(st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 2.0**-149]), min_size=1, max_size=30),
    st.data(),
)
def test_ties_are_kept_by_index(values: list[float], data: st.DataObject) -> None:
    torch = pytest.importorskip("torch")
    x = np.array(values, np.float32)
    codec = parse(f"top_k({data.draw(st.integers(1, x.size))})", x.size)
    payload = checks.encode(codec, x)
    assert codec.decode(payload).tolist() == kept_by_sorting(x, codec.k).tolist()
    assert checks.encode(codec, torch.from_numpy(x)) == payload


@pytest.mark.parametrize(("k", "dim"), [(1, 1), (1, 4), (30, 100), (100, 100)])
def test_top_k_worst_vector(k: int, dim: int) -> None:
    codec = parse(f"top_k({k})", dim)
    assert codec.variance_at(flat(dim)) == pytest.approx(
        codec.variance(float(np.linalg.norm(flat(dim)))), abs=1e-12
    )
    assert codec.variance(3.0) == pytest.approx(9 * (1 - k / dim))
    x = np.random.default_rng(k).normal(size=dim)
    assert codec.variance_at(x) <= codec.variance(float(np.linalg.norm(x))) * (1 + 1e-9) + 1e-12


@pytest.mark.parametrize("coding", CODINGS)
def test_payload_is_values_then_coordinates(coding: str) -> None:
    codec = parse(f"top_k(2, coding={coding})", 9)
    payload = checks.encode(codec, np.array([0, 0, -3.5, 0, 0, 0, 0, 1.25, 0]))
    assert struct.unpack("<2f", payload[:8]) == (-3.5, 1.25)
    if coding == "tuple":
        assert int.from_bytes(payload[8:], "little") == 2 | 7 << 4
    else:
        assert len(payload) == 9  # 36 pairs: 6 bits


def test_coordinates_that_do_not_increase_are_refused() -> None:
    codec = parse("top_k(3)", 12)
    for indices in ([1, 1, 2], [2, 1, 3], [1, 2, 12], [15, 15, 15], [3, 2, 1]):
        out = BitWriter()
        out.write_floats32(np.ones(3, np.float32))
        out.write(np.array(indices), 4)
        with pytest.raises(PayloadError, match="are not increasing below 12"):
            codec.validate(out.tobytes())


@pytest.mark.parametrize("spec", ["top_k(2)", "top_k(2, coding=set)", "rand_k(2)"])
@looped("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused(spec: str, value: float) -> None:
    codec = parse(spec, 12)
    payload = checks.encode(codec, ramp(12))
    with pytest.raises(PayloadError, match="a value is NaN or infinite"):
        codec.validate(payload[:4] + struct.pack("<f", value) + payload[8:])


@pytest.mark.parametrize("coding", CODINGS)
def test_payloads_are_canonical(coding: str) -> None:
    codec = parse(f"top_k(2, coding={coding})", 11)
    assert read_as_written(codec, random_behind(struct.pack("<2f", 1.0, -0.0), codec, 500)) > 50


@pytest.mark.parametrize("spec", ["top_k", "rand_k"])
def test_parameters(spec: str) -> None:
    for k in ("0", "-1", "11", "2.5", "word"):
        with pytest.raises(SpecError):
            parse(f"{spec}({k})", 10)
    with pytest.raises(SpecError, match=f"{spec} needs k: write"):
        parse(spec, 10)
    with pytest.raises(SpecError):
        parse(f"{spec}(2, coding=pairs)", 10)
    for x in (np.array([1e39, 1.0]), np.array([1.0, -1e39])):
        with pytest.raises(DomainError, match="beyond float32"):
            checks.encode(parse(f"{spec}(2)", 2), x)


# ---- rand-k ------------------------------------------------------------------------------------------------


def test_rand_k_sends_the_chosen_values() -> None:
    codec, x = parse("rand_k(30)", 100), ramp(100).astype(np.float32)
    for seed in (0, 1, 2**127 + 5):
        payload = codec.encode(x, np.random.default_rng(0), shared=seed)
        chosen = random_subset(100, 30, seed)
        assert payload == x[chosen].astype("<f4").tobytes()
        meant = np.zeros(100)
        meant[chosen] = x[chosen].astype(float) * (100 / 30)
        assert codec.decode(payload, shared=seed) == pytest.approx(meant, rel=1e-15)


@pytest.mark.parametrize(("k", "dim"), [(1, 4), (2, 5), (4, 5), (3, 3)])
def test_rand_k_variance(k: int, dim: int) -> None:
    """Over all subsets, each as likely as the others: mean x, and (d / k - 1) |x|^2 for every x."""
    codec, x = parse(f"rand_k({k})", dim), ramp(dim)
    estimates = []
    for chosen in combinations(range(dim), k):
        estimate = np.zeros(dim)
        estimate[list(chosen)] = x[list(chosen)] * dim / k
        estimates.append(estimate)
    assert np.mean(estimates, axis=0) == pytest.approx(x, rel=1e-12)
    error = float(((np.array(estimates) - x) ** 2).sum(axis=1).mean())
    assert codec.variance_at(x) == pytest.approx(error, rel=1e-12)
    assert codec.variance(float(np.linalg.norm(x))) == pytest.approx(error, rel=1e-12)


def test_terms_are_sparse() -> None:
    for spec in ("top_k(5)", "rand_k(5)"):
        codec = parse(spec, 1 << 20)
        total = codec.accumulator()
        for seed in range(3):
            total.add(codec.encode(ramp(1 << 20), np.random.default_rng(0), shared=seed), shared=seed)
        assert total.mean().indices.size <= 15


# ---- public subsets ----------------------------------------------------------------------------------------


@looped("size, count", [(1, 1), (1, 0), (2, 1), (5, 3), (1000, 1), (1000, 500), (1000, 999), (64, 64)])
def test_subsets_are_distinct_and_in_range(size: int, count: int) -> None:
    for seed in (0, 1, 2**128 - 1):
        chosen = random_subset(size, count, seed)
        assert chosen.dtype == np.int64 and chosen.size == count == len(set(chosen.tolist()))
        assert sorted(chosen.tolist()) == chosen.tolist() and all(0 <= i < size for i in chosen.tolist())
        assert (random_subset(size, count, seed) == chosen).all()


@pytest.mark.parametrize(("size", "count"), [(5, 2), (5, 3), (6, 1), (7, 6)])
def test_all_subsets_are_equally_likely(size: int, count: int, chance: Chance) -> None:
    cell = {c: i for i, c in enumerate(combinations(range(size), count))}
    counts = np.zeros(len(cell), np.int64)
    start = int(chance.rng.integers(2**62))
    for seed in range(start, start + 4000):
        counts[cell[tuple(random_subset(size, count, seed).tolist())]] += 1
    check_counts(counts, np.full(len(cell), 1 / len(cell)), chance, f"subsets of {count} out of {size}")


def test_subsets_are_pinned() -> None:
    """They are part of the wire format: the raw words of Philox, by its definition."""
    assert random_subset(12_332_010, 5, 2**100 + 7).tolist() == [3266123, 4477781, 4921604, 7466946, 9951548]
    assert random_subset(10, 7, 3).tolist() == [
        i for i in range(10) if i not in random_subset(10, 3, 3).tolist()
    ]
