"""Payloads that were unpacked before add up to the same bits as the payloads themselves, however batched."""

from functools import cache

import numpy as np
import pytest

from gradwire.common.arrays.update import as_dense
from gradwire.common.codecs import AnyCodec, parse
from gradwire.common.codecs.symbols import memory_bytes, stack, unstack
from gradwire.common.errors import PayloadError
from tests.common.codecs import checks
from tests.common.codecs.examples import every_codec_and_large
from tests.common.codecs.vectors import heavy, ramp

WEIGHTS = [1.0, 3.0, 0.1, 60_000.0, 1e-3]


@cache
def payloads_of(codec: AnyCodec) -> list[bytes]:
    made = []
    for k in range(len(WEIGHTS)):
        x = (ramp, heavy)[k % 2](codec.dim) * (1 + k)
        made.append(checks.encode(codec, checks.into_domain(codec, x), 31 * k))
    return made


@every_codec_and_large
def test_sums_of_unpacked_payloads_are_those_of_the_payloads(codec: AnyCodec) -> None:
    payloads, seeds = payloads_of(codec), [checks.shared_of(codec)] * len(WEIGHTS)
    whole, kept = codec.accumulator(), codec.accumulator()
    whole.add_all(payloads, WEIGHTS, shared=seeds)
    # As two processes push them, and in the order of the workers.
    first, second = list(codec.unpack_all(payloads[::2])), list(codec.unpack_all(payloads[1::2]))
    symbols = [first[0], second[0], first[1], second[1], first[2]]
    kept.add_unpacked(symbols, WEIGHTS, shared=seeds)
    assert kept.weight == whole.weight
    assert as_dense(kept.mean()).tobytes() == as_dense(whole.mean()).tobytes()


def test_payloads_of_codecs_without_batches_are_unpacked_one_at_a_time() -> None:
    codec = parse("float32", 3)
    good = checks.encode(codec, ramp(3), 1)
    reader = codec.unpack_all([good, good[:-1]])
    assert next(reader).tolist() == ramp(3).astype(np.float32).tolist()
    with pytest.raises(PayloadError):
        next(reader)


def test_unpacked_payloads_take_the_same_weights() -> None:
    codec = parse("cross_polytope(repeats=2)", 9)
    symbols = list(codec.unpack_all([checks.encode(codec, ramp(9), 1)]))
    total = codec.accumulator()
    with pytest.raises(ValueError, match="expected a positive finite number"):
        total.add_unpacked(symbols, [0.0], shared=[None])
    total.add_unpacked([], [], shared=[])
    assert total.weight == 0


def test_symbols_are_taken_apart_and_put_together() -> None:
    batch = (np.arange(6).reshape(3, 2), (np.array([0.5, 1.5, 2.5]), np.float64(7)))
    parts = unstack(batch, 3)
    assert parts[1][0].tolist() == [2, 3] and parts[1][1] == (1.5, 7)
    again = stack(parts)
    assert (
        again[0].tolist() == batch[0].tolist()
        and again[1][0].tolist() == [0.5, 1.5, 2.5]
        and again[1][1].tolist() == [7, 7, 7]
    )
    assert memory_bytes(parts[0]) == 16 and memory_bytes((3, None, batch)) == 48 + 24
    assert unstack((), 2) == [(), ()]
