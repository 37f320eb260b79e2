"""Error feedback: decoded vectors and memory add up, the memory contracts, a restored one continues bit for bit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from gradwire.common.arrays.compat import to_host
from gradwire.common.codecs import parse
from gradwire.common.errors import DomainError, LogError, SpecError
from gradwire.common.randomness import shared_seed, worker_coins
from gradwire.worker.feedback import ErrorFeedback

DIM = 200
BIASED = ["top_k(20)", "top_k(20, coding=set)", "sign", "onebit"]
ALL = [*BIASED, "qsgd(levels=20)", "natural", "rand_k(150)", "dme(levels=64, rotate=true)"]
every_codec = pytest.mark.parametrize("spec", ALL)


def gradient(round_: int, dim: int = DIM) -> Any:
    rng = np.random.default_rng([round_, 77])
    return (rng.normal(size=dim) * np.exp(rng.normal(size=dim))).astype(np.float32)


def memory_for(spec: str) -> ErrorFeedback:
    return ErrorFeedback(parse(spec, DIM))


def push(memory: ErrorFeedback, round_: int, x: Any = None) -> bytes:
    """One round as a worker takes part in it: coins and public seed follow from run, round and worker."""
    x = gradient(round_) if x is None else x
    return memory.encode(x, worker_coins(5, round_, 3), shared=shared_seed(5, round_, 3))


def decoded(spec: str, payload: bytes, round_: int) -> np.ndarray:
    return parse(spec, DIM).decode(payload, shared=shared_seed(5, round_, 3))


@every_codec
def test_decoded_vectors_and_memory_add_up(spec: str) -> None:
    memory, sent, given = memory_for(spec), np.zeros(DIM), np.zeros(DIM)
    for round_ in range(30):
        before = memory.memory
        payload = push(memory, round_)
        whole = gradient(round_) + before
        assert (
            memory.memory.tobytes() == (whole - decoded(spec, payload, round_)).astype(np.float32).tobytes()
        )
        sent += decoded(spec, payload, round_)
        given += gradient(round_)
    np.testing.assert_allclose(
        sent + memory.memory, given, rtol=0, atol=30 * 2.0**-23 * np.abs(given).max() * 8
    )


@pytest.mark.parametrize("spec", BIASED)
def test_memory_contracts(spec: str) -> None:
    """|e|^2 <= (1 - δ) |p|^2 each round, so |e|^2 <= 4 (1 - δ) G^2 / δ^2, and without gradients it dies out."""
    memory, lost = memory_for(spec), parse(spec, DIM).variance(1.0)
    bound = 4 * lost / (1 - lost) ** 2
    for round_ in range(200):
        before = gradient(round_) / np.linalg.norm(gradient(round_)) + memory.memory
        push(memory, round_, gradient(round_) / np.linalg.norm(gradient(round_)))
        size = float((memory.memory.astype(float) ** 2).sum())
        assert size <= lost * float((before.astype(float) ** 2).sum()) * (1 + 1e-6)
        assert size <= bound
    for round_ in range(200, 260):
        push(memory, round_, np.zeros(DIM, np.float32))
        after = float((memory.memory.astype(float) ** 2).sum())
        assert after <= lost * size * (1 + 1e-6)
        size = after


@pytest.mark.parametrize("spec", ["qsgd", "rand_k(100)", "terngrad", "cpsgd"])
def test_codec_must_contract(spec: str) -> None:
    with pytest.raises(SpecError, match="expected below 1: use a finer codec"):
        memory_for(spec)


def test_sign_needs_feedback_to_converge() -> None:
    """[EF] counterexample 2: on |w1 + w2| / 2 + |w1 - w2| plain signs never leave w1 + w2 = 2."""

    def descend(memory: ErrorFeedback | None) -> float:
        codec, w = parse("sign", 2), np.array([1.5, 0.5])
        for round_ in range(4000):
            slope = 0.5 * np.sign(w.sum()) + np.where(w[0] >= w[1], 1.0, -1.0) * np.array([1.0, -1.0])
            coins = worker_coins(0, round_, 0)
            payload = memory.encode(slope, coins) if memory else codec.encode(slope, coins)
            w = w - 0.01 / math.sqrt(1 + round_) * codec.decode(payload)
        return float(abs(w.sum()))

    assert descend(None) > 1.9
    assert descend(ErrorFeedback(parse("sign", 2))) < 1.4


# ---- late payloads, refusals, backends ---------------------------------------------------------------------


@every_codec
def test_late_payload_is_added_back(spec: str) -> None:
    memory = memory_for(spec)
    push(memory, 0)
    whole = gradient(1) + memory.memory
    memory.add_back(push(memory, 1), shared=shared_seed(5, 1, 3))
    np.testing.assert_allclose(memory.memory, whole, rtol=0, atol=1e-6 * np.abs(whole).max())


@pytest.mark.parametrize(
    "wrong", [np.full(DIM, np.nan), np.zeros(1, np.float32), np.zeros((1, DIM)), np.zeros(DIM, int)]
)
def test_refused_update_changes_nothing(wrong: np.ndarray) -> None:
    memory, twin = memory_for("sign"), memory_for("sign")
    push(memory, 0)
    push(twin, 0)
    with pytest.raises(DomainError):
        push(memory, 1, wrong)
    assert push(memory, 1) == push(twin, 1) and memory.memory.tobytes() == twin.memory.tobytes()


def test_overflow_changes_nothing() -> None:
    memory = memory_for("sign")
    push(memory, 0, np.where(np.arange(DIM) == 0, np.float32(3e38), 0).astype(np.float32))
    before = memory.memory
    with pytest.raises(DomainError):
        push(memory, 1, np.full(DIM, 3e38, np.float32))
    assert memory.memory is before


@every_codec
def test_torch_gives_the_same_bits(spec: str) -> None:
    torch = pytest.importorskip("torch")
    memory, twin = memory_for(spec), memory_for(spec)
    for round_ in range(5):
        assert push(memory, round_) == push(twin, round_, torch.from_numpy(gradient(round_)))
        assert memory.memory.tobytes() == to_host(twin.memory).tobytes()


@every_codec
def test_restored_memory_continues_bit_for_bit(spec: str) -> None:
    memory, again = memory_for(spec), memory_for(spec)
    for round_ in range(3):
        push(memory, round_)
    again.restore(memory.memory)
    assert [push(again, t) for t in range(3, 6)] == [push(memory, t) for t in range(3, 6)]
    assert again.memory.tobytes() == memory.memory.tobytes()


@pytest.mark.parametrize("wrong", [None, np.zeros(DIM + 1, np.float32)])
def test_memory_of_another_shape_is_refused(wrong: Any) -> None:
    with pytest.raises(LogError, match="no error feedback of 200 numbers"):
        memory_for("sign").restore(wrong)
