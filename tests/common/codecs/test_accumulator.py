"""Sums of payloads: the weighted mean of what they decode to, in bits that follow from the order alone."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gradwire.common.arrays.update import Sparse, as_dense
from gradwire.common.codecs import AnyCodec, parse
from gradwire.common.errors import PayloadError
from tests.common.codecs import checks
from tests.common.codecs.examples import LARGE_DIM, every_codec, every_codec_and_large
from tests.common.codecs.vectors import heavy, ramp

WEIGHTS = [1.0, 3.0, 0.1, 60_000.0, 1e-3]


def payloads_of(codec: AnyCodec, count: int) -> list[bytes]:
    return [payload_of(codec, k) for k in range(count)]


@cache
def payload_of(codec: AnyCodec, k: int) -> bytes:
    """The k-th of a codec's payloads: equal coins give equal bytes, so it is made once for all tests."""
    x = (ramp, heavy)[k % 2](codec.dim) * (1 + k)
    return checks.encode(codec, checks.into_domain(codec, x), 31 * k)


@every_codec_and_large
def test_mean(codec: AnyCodec) -> None:
    if codec.dim == LARGE_DIM:
        checks.check_accumulator(codec, payloads_of(codec, 3), WEIGHTS[1:4])
        return
    payloads = payloads_of(codec, len(WEIGHTS))
    checks.check_accumulator(codec, payloads, WEIGHTS)
    checks.check_accumulator(codec, payloads[:1], [1.0])
    checks.check_accumulator(codec, payloads[:1] * 3, [0.1, 0.2, 0.3])


@every_codec
def test_refused_payloads_change_nothing(codec: AnyCodec) -> None:
    total, shared = codec.accumulator(), checks.shared_of(codec)
    payloads = payloads_of(codec, 2)
    total.add(payloads[0], 2.0, shared=shared)
    before = as_dense(total.mean()).tobytes()
    for wrong in (b"", payloads[1][:-1], payloads[1] + b"\0"):
        with pytest.raises(PayloadError):
            total.add(wrong, 1.0, shared=shared)
    assert total.weight == 2.0 and as_dense(total.mean()).tobytes() == before


@every_codec
def test_empty_sums_and_bad_weights(codec: AnyCodec) -> None:
    total = codec.accumulator()
    with pytest.raises(ValueError, match="no payloads"):
        total.mean()
    for weight in (0.0, -1.0, float("nan"), float("inf"), -float("inf")):
        with pytest.raises(ValueError, match=r"^the weight is .*, expected a positive finite number$"):
            total.add(payload_of(codec, 0), weight, shared=checks.shared_of(codec))
        assert total.weight == 0


@every_codec
def test_batch_with_a_bad_payload_is_refused(codec: AnyCodec) -> None:
    """A bad payload among good ones is found at every place; an empty batch changes nothing."""
    good = payloads_of(codec, 3)
    codec.validate_all(good)
    codec.validate_all([])
    for place in range(4):
        for wrong in (b"", good[0][:-1], good[0] + b"\0"):
            batch = [*good[:place], wrong, *good[place:]]
            with pytest.raises(PayloadError, match=f"^{codec.name}: "):
                codec.validate_all(batch)
            with pytest.raises(PayloadError, match=f"^{codec.name}: "):
                codec.accumulator().add_all(batch, shared=[checks.shared_of(codec)] * 4)
    total = codec.accumulator()
    total.add_all([])
    with pytest.raises(ValueError, match="expected a positive finite number"):
        total.add_all(good, [1.0, 0.0, 1.0], shared=[checks.shared_of(codec)] * 3)
    assert total.weight == 0


@every_codec_and_large
def test_index_domain(codec: AnyCodec) -> None:
    """Where payloads add up as indices, the sum of few stays sparse, and its indices ascend."""
    total, shared = codec.accumulator(), checks.shared_of(codec)
    for payload in payloads_of(codec, 3):
        total.add(payload, shared=shared)
    mean = total.mean()
    if isinstance(mean, Sparse):
        assert codec.index_domain and (np.diff(mean.indices) > 0).all() and mean.values.dtype == np.float32
        assert mean.indices[0] >= 0 and mean.indices[-1] < codec.dim == mean.size
    if codec.index_domain and codec.nbits < codec.dim / 32:
        assert codec.index_size > codec.dim or isinstance(mean, Sparse)


@settings(max_examples=30)
@given(weights=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=30), seed=st.integers(0, 1000))
def test_order_fixes_the_bits(weights: list[float], seed: int) -> None:
    """Sparse and dense sums of the same payloads in the same order agree to the bit."""
    codec = parse("cross_polytope(repeats=3)", 40)
    payloads = [checks.encode(codec, ramp(40), seed + 7 * k) for k in range(len(weights))]
    checks.check_accumulator(codec, payloads, weights)
    terms = [codec.partial_decode(p) for p in payloads]
    total = codec.accumulator()
    slow = np.zeros(40)
    for term, payload, weight in zip(terms, payloads, weights, strict=True):
        total.add(payload, weight)
        for index, value in zip(term.indices, term.weights, strict=True):
            slow[index] += value * weight
    assert as_dense(total.mean()).tobytes() == (slow / total.weight).astype(np.float32).tobytes()
