"""Encoding is bound by memory: it reads the gradient, and builds nothing of the gradient's length beside it."""

import tracemalloc

import numpy as np
import pytest

from gradwire.common.codecs import parse

DIM = 4_000_000


@pytest.mark.parametrize(
    "spec", ["cross_polytope(repeats=100)", "simq(repeats=100)", "simq_plus(repeats=100)"]
)
def test_encoding_allocates_a_fraction_of_the_gradient(spec: str) -> None:
    codec = parse(spec, DIM)
    x = np.random.default_rng(0).standard_normal(DIM, dtype=np.float32)
    coins = np.random.default_rng(1)
    codec.encode(x, coins)
    tracemalloc.start()
    codec.encode(x, coins)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < x.nbytes / 4, f"{peak:,} bytes at the peak for a gradient of {x.nbytes:,}"


def test_accumulating_does_not_touch_the_dimension() -> None:
    codec = parse("cross_polytope(repeats=100)", 1 << 39)
    payload = np.random.default_rng(0).bytes(codec.nbytes - 1) + b"\0"
    gain = np.array([1.5], "<f4").tobytes()
    tracemalloc.start()
    total = codec.accumulator()
    total.add_all([gain + payload[4:]] * 100)
    update = total.mean()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert update.indices.size <= 100 and peak < 10_000_000
