"""alpha_0(Q; p): by exact enumeration no input is above what is stated, and where it is attained one is at it."""

import math

import numpy as np
import pytest

from gradwire.common.codecs import AnyCodec, parse
from gradwire.common.codecs.forms.aguq import AguqGain
from gradwire.common.codecs.simq.oracle_moment import oracle_moment
from gradwire.common.errors import SpecError

DIM = 3
SEEDS = 8  # of public rotations, over which moments are averaged


def dual(p: float) -> float:
    return math.inf if p == 1 else 1.0 if math.isinf(p) else p / (p - 1)


def exact_moment(codec: AnyCodec, x: np.ndarray, order: float) -> float:
    """E|Q(x)|_order^2 over payloads and, where there are any, over some public seeds."""
    seeds = range(SEEDS) if codec.shared_randomness else [0]
    total = 0.0
    for shared in seeds:
        for payload, probability in codec.law(x, shared=shared).items():
            total += probability * np.linalg.norm(codec.decode(payload, shared=shared), order) ** 2
    return total / len(seeds)


def inputs(q: float, bound: float) -> list[np.ndarray]:
    """Vectors on the l_q sphere: an axis, flat ones, and random ones, some of them shorter."""
    rng = np.random.default_rng(0)
    raw = [np.eye(DIM)[0], np.ones(DIM), np.array([1.0, -1.0, 0.0]), *rng.normal(size=(12, DIM))]
    unit = [bound * x / np.linalg.norm(x, q) for x in raw]
    return [*unit, *(0.3 * x for x in unit[-4:])]


CASES = [
    ("float32", 1.0), ("float32", 1.5), ("float32", 2.0), ("float32", math.inf),
    ("simq", math.inf), ("simq(repeats=2)", math.inf), ("simq(gain=bound(1.5))", math.inf), ("simq", 2.0),
    ("simq", 1.5),
    ("simq_plus(repeats=1)", 2.0), ("simq_plus(repeats=2)", 2.0), ("simq_plus(p=4.0)", 4.0), ("simq_plus(p=3.0)", 3.0),
    ("simq_plus(repeats=2, gain=bound(2.0))", 2.0), ("simq_plus(repeats=1, p=3.0, gain=bound(1.0))", 3.0),
    ("simq_plus(repeats=2, p=inf)", math.inf), ("simq_plus(repeats=2)", 4.0), ("simq_plus(repeats=2)", 1.2),
    ("cuq", 1.0), ("cuq", 1.5), ("cuq", 2.0), ("cuq(levels=3, gain=bound(1.0))", 1.2), ("cuq(levels=2)", 1.0),
    ("cuq(levels=3, gain=bound(1.5))", 2.0), ("cuq(levels=3)", 3.0),
    ("ratq(levels=3)", 2.0), ("ratq(levels=3, gain=bound(1.5))", 2.0), ("ratq(levels=3)", 1.5), ("ratq(levels=3)", 4.0),
    ("lq_split(p=1.0)", 1.0), ("lq_split(p=1.2)", 1.2), ("lq_split(p=1.5)", 1.5),
    ("lq_split(p=1.5, positions=mask)", 1.5),
    ("gain_shape(bound(1.0), simq_plus(repeats=2))", 2.0), ("cross_polytope", 2.0), ("qsgd(levels=2)", 2.0),
]  # fmt: skip


@pytest.mark.parametrize("bound", [1.0, 0.75])
@pytest.mark.parametrize(("spec", "p"), CASES)
def test_no_input_is_above_it_and_one_is_at_it_where_stated(spec: str, p: float, bound: float) -> None:
    codec, q = parse(spec, DIM), dual(p)
    stated = oracle_moment(codec, p, bound)
    order = 2.0 if p >= 2 else q
    found = [exact_moment(codec, x, order) for x in inputs(q, bound * (1 - 1e-9))]
    assert max(found) <= stated.squared * (1 + 1e-6)
    assert stated.alpha_0**2 == pytest.approx(stated.squared)
    if stated.attained:
        assert max(found) == pytest.approx(stated.squared, rel=1e-5)


def test_the_papers_numbers() -> None:
    """[S] Theorems 4.1 and 4.2 and section 5: ours are at most what is printed."""
    assert oracle_moment(parse("simq", 100), math.inf).squared == 1
    for p in (2.0, 3.0, 8.0):
        for k in (1, 5, 100):
            printed = 1 + 100 ** (2 / p) / k
            ours = oracle_moment(parse(f"simq_plus({k}, p={p})", 100), p).squared
            assert ours == pytest.approx(printed - 1 / k)
    for p in (1.0, 1.5, 1.9):
        for gain in ("exact", "bound(1.0)"):
            assert oracle_moment(parse(f"lq_split(p={p}, gain={gain})", 4096), p).squared <= 12


def test_it_scales_with_the_square_of_the_bound() -> None:
    for spec, p in (("simq_plus(repeats=3)", 2.0), ("ratq", 1.5), ("lq_split(p=1.5)", 1.5), ("cuq", 1.5)):
        codec = parse(spec, 50)
        assert oracle_moment(codec, p, 3.0).squared == pytest.approx(9 * oracle_moment(codec, p).squared)


@pytest.mark.parametrize(
    ("shape", "p"),
    [("simq_plus(repeats=2)", 2.0), ("simq", math.inf), ("cuq(levels=3)", 1.0), ("ratq(levels=3)", 2.0)],
)
def test_aguq_over_norms_whose_mean_square_is_bounded(shape: str, p: float) -> None:
    """Norms 0 and g, E g^2 = 1, over the reach of the gain."""
    codec = parse(f"gain_shape(gain=aguq(1.0, 16), shape={shape})", DIM)
    stated = oracle_moment(codec, p)
    gain = AguqGain(1.0, 16)
    for direction in inputs(dual(p), 1 - 1e-9)[:5]:
        for g in np.geomspace(1, 1.2 * gain.reach, 12):
            moment = exact_moment(codec, direction * g, 2.0 if p >= 2 else dual(p)) / g**2
            assert moment <= stated.squared * (1 + 1e-6)


@pytest.mark.parametrize(
    ("spec", "p", "bound"),
    [
        ("simq_plus", 0.9, 1.0),
        ("simq_plus", 2.0, 0.0),
        ("simq(gain=bound(1.0))", 2.0, 1.5),
        ("ratq(gain=aguq(1.0, 9))", 2.0, 2.0),
    ],
)
def test_bad_input(spec: str, p: float, bound: float) -> None:
    with pytest.raises(SpecError, match=r"alpha_0.*expected"):
        oracle_moment(parse(spec, 10), p, bound)


@pytest.mark.parametrize(("spec", "p"), [("sign", 2.0), ("natural", 2.0), ("ratq(gain=aguq(1.0, 9))", 1.5)])
def test_nothing_is_stated_of_others(spec: str, p: float) -> None:
    with pytest.raises(NotImplementedError, match="no alpha_0 is stated"):
        oracle_moment(parse(spec, 10), p)
