"""Codecs under error feedback contract at every gradient, so that the memory stays bounded; all others are refused."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gradwire.common.codecs import AnyCodec, codecs, parse
from gradwire.common.codecs.codec import Codec
from gradwire.common.errors import SpecError
from gradwire.common.randomness import SystemCoins, shared_seed, worker_coins
from gradwire.worker import feedback
from gradwire.worker.feedback import ErrorFeedback
from tests.common.codecs.examples import named_examples
from tests.grids import looped, rest_slow

ROUNDS = 3000
SEEDS = 100  # of codecs whose law is over public seeds: their mean is known to about 15 %
# Fine enough to contract; beside the examples of all families.
FINE = [
    ("qsgd(levels=5)", 8), ("dme(levels=16)", 8), ("dme(levels=16, rotate=true)", 8), ("natural", 5),
    ("rand_k(6)", 8), ("subsample(0.75, float32)", 8), ("simq(repeats=20)", 8), ("cross_polytope(repeats=20)", 8),
    ("simq_plus(repeats=12)", 8), ("cuq(levels=63)", 8), ("ratq", 8), ("eden(2)", 8), ("eden(1.5)", 8),
    ("rotated(1, qsgd(levels=5))", 8), ("float32_tail(top_k(2), size=2)", 8), ("lq_split(p=1.0)", 4),
    ("l1_systematic(20)", 8), ("epsilon_net(0.5)", 4), ("float32", 8),
]  # fmt: skip
BOUNDED = [
    "ratq(gain=bound(1.0))", "ratq(gain=bound(1e30))", "cuq(levels=255, gain=bound(1.0))",
    "cuq(levels=255, gain=bound(1.2e-38))", "cuq(levels=255, gain=bound(3e38))", "simq(repeats=500, gain=bound(4.0))",
    "simq_plus(repeats=500, gain=bound(1.0))", "cross_polytope(repeats=500, gain=bound(1.0))",
    "l1_systematic(500, gain=bound(4.0))", "lq_split(p=1.0, gain=bound(1.0))", "reed_muller(500, gain=bound(1.0))",
    "gain_shape(aguq(0.5, 16), ratq)", "gain_shape(aguq(0.5, 16), cuq(levels=255))",
    "rotated(3, cuq(levels=255, gain=bound(1.0)))", "float32_tail(ratq(gain=bound(1.0)), size=2)",
    "subsample(0.99, ratq(gain=bound(1.0)))", "cpsgd(levels=1000, trials=2)", "private(rr(20.0), simq(repeats=10000))",
    "private_top(40.0, repeats=2)",
]  # fmt: skip


def is_accepted(codec: AnyCodec) -> bool:
    try:
        ErrorFeedback(codec)
    except SpecError as error:
        message = str(error)
    else:
        return True
    assert "\n" not in message and "no feedback" in message
    return False


SMALL = sorted({(e.spec, e.dim) for _, e in named_examples() if e.dim <= 8} | set(FINE))
ACCEPTED = [(spec, dim) for spec, dim in SMALL if is_accepted(parse(spec, dim))]
# One of each family that has any: those of three thousand rounds.
CHEAP = ["sign", "top_k", "cuq", "qsgd", "rand_k"]
BY_FAMILY = {parse(spec, dim).name: (spec, dim) for spec, dim in ACCEPTED}
LONG = [BY_FAMILY[name] for name in [*CHEAP, *sorted(BY_FAMILY.keys() - set(CHEAP))]]


def adversarial(dim: int) -> list[np.ndarray]:
    """Directions: one coordinate, flat, alternating, halves, geometric, nearly flat, midway between levels."""
    sign = np.where(np.arange(dim) % 2, -1.0, 1.0)
    found = [
        np.eye(dim)[0], -np.eye(dim)[-1], np.ones(dim), sign, sign * 3.0 ** -np.arange(dim), np.arange(1.0, dim + 1),
        1 + 1e-3 * sign, np.where(np.arange(dim) < dim / 2, 1.0, 1e-4), sign * (np.arange(dim) + 0.5),
    ]  # fmt: skip
    return [x / np.linalg.norm(x) for x in found]


def mean_error(codec: AnyCodec, x: np.ndarray) -> float:
    """E|decode(encode(x)) - x|^2 / |x|^2: from the exact law, or over fixed public seeds."""
    if codec.shared_randomness:
        seeds = [shared_seed(1, k, 2) for k in range(SEEDS)]
        coins = (worker_coins(1, k, 2) for k in range(SEEDS))
        errors = [
            np.sum((codec.decode(codec.encode(x, c, shared=s), shared=s) - x) ** 2)
            for c, s in zip(coins, seeds, strict=True)
        ]
        return float(np.mean(errors) / (x @ x))
    try:
        law = codec.law(x)
    except NotImplementedError:
        drawn = [codec.encode(x, worker_coins(1, k, 2)) for k in range(SEEDS)]
        law = {payload: drawn.count(payload) / SEEDS for payload in drawn}
    return float(sum(p * np.sum((codec.decode(b) - x) ** 2) for b, p in law.items()) / (x @ x))


def is_enumerable(spec: str, dim: int) -> bool:
    """Whether the law of that codec is short enough to be listed for many vectors."""
    codec = parse(spec, dim)
    return codec.shared_randomness or (getattr(codec, "repeats", 1) <= 3 and dim <= 5)


def check_contracts(codec: AnyCodec, lengths: list[float]) -> None:
    room = 1.25 if codec.shared_randomness else 1 + 1e-6
    for length in lengths:
        for direction in adversarial(codec.dim)[:: 2 if codec.shared_randomness else 1]:
            lost = mean_error(codec, length * direction)
            assert lost <= codec.contraction * room + 1e-6, f"{codec}: loses {lost} at {length} * {direction}"
            assert lost < 1


LENGTHS = [1e-30, 1.0, 50.0, 1e30]


@pytest.mark.parametrize(("spec", "dim"), rest_slow([pair for pair in ACCEPTED if is_enumerable(*pair)], 24))
def test_accepted_codecs_contract_at_every_length(spec: str, dim: int) -> None:
    codec = parse(spec, dim)
    check_contracts(codec, [1e-30, 1e30] if codec.shared_randomness else LENGTHS)
    # natural's own error at the shortest of the lengths tried is 2.4e-3 larger: coordinates below 2^-126.
    assert codec.contraction == pytest.approx(codec.variance(1.0), rel=3e-3, abs=1e-12)


@pytest.mark.parametrize("spec", BOUNDED)
def test_bounded_codecs_are_refused(spec: str) -> None:
    assert not is_accepted(parse(spec, 8))


@looped(
    "spec, dim",
    [("simq_plus(repeats=2)", 3), ("simq", 2), ("cross_polytope(repeats=3)", 4), ("rand_k(4)", 8)],
)
def test_error_of_exactly_one_is_refused(spec: str, dim: int) -> None:
    """Also where floats put it just below: a header that is rounded up adds more than that."""
    assert not is_accepted(parse(spec, dim)) and parse(spec, dim).contraction == pytest.approx(1, abs=1e-12)


def test_biased_codecs_may_contract_by_very_little() -> None:
    assert is_accepted(parse("sign", 12_332_010)) and is_accepted(parse("top_k(1)", 12_332_010))


def test_refusal_of_a_bound_says_why() -> None:
    with pytest.raises(
        SpecError, match=r"its bound does not grow with the gradient.* expected a codec without a bound"
    ):
        ErrorFeedback(parse("ratq(gain=bound(1.0))", 8))


def test_every_family_with_a_bound_is_refused() -> None:
    """Whatever an example's parameters: with a public bound, no codec contracts at all lengths."""
    tried = 0
    for name, example in named_examples():
        codec = parse(example.spec, example.dim)
        if "bound(" in codec.spec or "aguq(" in codec.spec or name in ("private", "private_top"):
            assert codec.contraction >= 1 and not is_accepted(codec)
            tried += 1
    assert tried >= 30 and len(codecs()) > len(LONG)


def push(memory: ErrorFeedback, x: np.ndarray, round_: int) -> float:
    memory.encode(x, worker_coins(5, round_, 3), shared=shared_seed(5, round_, 3))
    return float(np.linalg.norm(memory.memory.astype(np.float64)))


def lengths_of(memory: ErrorFeedback, dim: int, rounds: int) -> list[float]:
    """|e| in each round of updates of length 1: along one direction and, the worst there is, along the memory."""
    constant, lengths = adversarial(dim)[5], []
    for round_ in range(rounds):
        e = memory.memory.astype(np.float64)
        length = float(np.linalg.norm(e))
        along = e / length if length > 0 and round_ % 2 else constant
        lengths.append(push(memory, along, round_))
    return lengths


def check_memory_is_bounded(memory: ErrorFeedback, codec: AnyCodec) -> None:
    """E|e|^2 <= 4 (1 - δ) G^2 / δ^2 ([EF] Lemma 3), over the last half of the rounds; float32 adds its rounding."""
    lost = codec.contraction
    rounds = 300 if codec.name == "gaussian" else ROUNDS  # each of its encodings is a linear program
    lengths = np.array(lengths_of(memory, codec.dim, rounds))
    bound = 4 * lost / (1 - lost) ** 2
    assert np.mean(lengths[rounds // 2 :] ** 2) <= bound * 1.05 + 1e-10, (
        f"{codec}: {lengths[-1]} after {rounds} rounds"
    )


@pytest.mark.parametrize(("spec", "dim"), rest_slow(LONG, 5))
def test_memory_stays_bounded(spec: str, dim: int) -> None:
    codec = parse(spec, dim)
    check_memory_is_bounded(ErrorFeedback(codec), codec)


@looped(
    "spec",
    [
        "ratq(gain=bound(1.0))",
        "cuq(levels=255, gain=bound(0.5))",
        "gain_shape(aguq(0.1, 16), cuq(levels=255))",
    ],
)
def test_without_the_refusal_the_memory_grows(monkeypatch: pytest.MonkeyPatch, spec: str) -> None:
    """The fault: what a bound cuts off stays in the memory, and more is added in every round."""
    codec = parse(spec, 8)
    monkeypatch.setattr(feedback, "_check_contracts", lambda codec: None)
    lengths = [push_constant(ErrorFeedback(codec), codec.dim, rounds) for rounds in (100, 400)]
    assert lengths[1] > 3 * lengths[0] > 30
    with pytest.raises(AssertionError):
        check_contracts(codec, LENGTHS[2:])


def push_constant(memory: ErrorFeedback, dim: int, rounds: int) -> float:
    return [push(memory, 2 * np.ones(dim) / math.sqrt(dim), k) for k in range(rounds)][-1]


def test_looking_at_length_one_alone_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Codec, "contraction", property(lambda codec: codec.variance(1.0)))
    assert is_accepted(parse("ratq(gain=bound(1.0))", 8))
    with pytest.raises(AssertionError):
        check_contracts(parse("cuq(levels=255, gain=bound(1.0))", 4), LENGTHS)


def test_private_coins_are_not_needed_to_be_refused() -> None:
    """Private codecs have a public bound, so none has a memory, whatever its epsilon."""
    codec = parse("private(rr(20.0), simq(repeats=10000), bound=3.0)", 3)
    assert codec.encode(np.zeros(3), SystemCoins()) and not is_accepted(codec)
