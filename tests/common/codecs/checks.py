"""What every codec must do with single payloads, as plain functions: mutants are put through the same ones.

Each raises AssertionError and returns nothing. A codec is asked for no more than its contract, so toy codecs pass too.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.update import as_dense
from gradwire.common.codecs import AnyCodec, parse
from gradwire.common.errors import DomainError, SpecError
from gradwire.common.lossless.codings.base import CODINGS
from gradwire.common.spec import Spec, parameter_fields
from tests.common.codecs.coins import ReplayCoins
from tests.common.codecs.vectors import ramp

EVERYTHING = "every finite vector"
Gradient = NDArray[np.floating]


def shared_of(codec: AnyCodec, seed: int = 7) -> int | None:
    return seed if codec.shared_randomness else None


def encode(codec: AnyCodec, x: Gradient, start: int = 0) -> bytes:
    """Encode with the replayed coins from ``start`` on."""
    return codec.encode(x, ReplayCoins(start), shared=shared_of(codec))


@cache
def typical_payload(codec: AnyCodec) -> bytes:
    """One true payload of a codec, for tests that damage or count it: equal coins give equal bytes, so made once."""
    return encode(codec, typical(codec))


def decode(codec: AnyCodec, payload: bytes) -> NDArray[np.float64]:
    return codec.decode(payload, shared=shared_of(codec))


def is_inside(codec: AnyCodec, x: Gradient) -> bool:
    """Whether the codec takes this vector; one that promises to take every vector is not asked."""
    if codec.domain == EVERYTHING:
        return True
    try:
        encode(codec, x)
    except DomainError:
        return False
    return True


def into_domain(codec: AnyCodec, x: Gradient) -> Gradient:
    """The vector, halved until it lies in the codec's domain."""
    while not is_inside(codec, x):
        x = x / 2
    return x


def typical(codec: AnyCodec) -> Gradient:
    """A gradient that the codec takes, with all coordinates different."""
    return into_domain(codec, ramp(codec.dim))


# ---- lengths -----------------------------------------------------------------------------------------------


def check_length(codec: AnyCodec, x: Gradient) -> None:
    """Exactly ``nbits`` bits and zero padding, or a DomainError where the codec does not promise every vector."""
    try:
        payload = encode(codec, x)
    except DomainError:
        assert codec.domain != EVERYTHING or np.abs(x).max() > 1e30, f"{codec} refuses {x!r}"
        return
    assert isinstance(payload, bytes)
    if codec.fixed_length:
        assert len(payload) == codec.nbytes == math.ceil(codec.nbits / 8), (
            f"{codec}: {len(payload)} bytes for {x!r}"
        )
    else:
        assert len(payload) <= codec.nbytes, f"{codec}: {len(payload)} bytes are more than the stated maximum"
    check_padding(codec, payload)
    xhat = decode(codec, payload)
    assert xhat.shape == (codec.dim,) and xhat.dtype == np.float64, (
        f"{codec} decodes to {xhat.dtype} {xhat.shape}"
    )
    assert np.isfinite(xhat).all(), f"{codec}: {x!r} decodes to {xhat!r}"


def check_padding(codec: AnyCodec, payload: bytes) -> None:
    if codec.fixed_length:
        bits = np.unpackbits(np.frombuffer(payload, np.uint8), bitorder="little")
        assert not bits[codec.nbits :].any(), f"{codec}: the padding of {payload.hex()} is not zero"


# ---- one payload is a function of spec, vector and coins ---------------------------------------------------


def check_same_coins_same_bytes(codec: AnyCodec, x: Gradient) -> None:
    first = encode(codec, x)
    encode(codec, x[::-1].copy(), 3)  # state left behind would show in what follows
    assert encode(codec, x) == first, f"{codec}: equal coins, different bytes"
    assert encode(codec, x.astype(x.dtype)) == first
    assert encode(dataclasses.replace(codec), x) == first, f"{codec}: an equal codec, different bytes"


def check_other_coins_other_bytes(codec: AnyCodec, x: Gradient) -> None:
    """Somewhere in 64 encodings, with another public seed each, unless the codec is deterministic and says so."""
    if codec.variance(float(np.linalg.norm(x))) > 0 and (codec.unbiased or codec.shared_randomness):
        starts = range(0, 64 * 1009, 1009)
        payloads = (codec.encode(x, ReplayCoins(s), shared=shared_of(codec, s)) for s in starts)
        first = next(payloads)
        assert any(p != first for p in payloads), f"{codec} gives the same bytes whatever the coins"


def check_spec(codec: AnyCodec) -> None:
    """The canonical spec builds an equal codec, and every parameter changes the fingerprint."""
    again = parse(codec.spec, codec.dim)
    assert again == codec and hash(again) == hash(codec), f"{codec.spec} builds {again!r}, not {codec!r}"
    assert (
        again.spec == codec.spec and again.fingerprint == codec.fingerprint and len(codec.fingerprint) == 16
    )
    assert again.nbits == codec.nbits and str(codec) == codec.spec
    for other in _neighbours(codec):
        assert other != codec and other.fingerprint != codec.fingerprint, (
            f"{other.spec} has the fingerprint of {codec}"
        )


def _neighbours(codec: AnyCodec) -> list[AnyCodec]:
    """The same codec with one parameter changed at a time, where that makes a codec."""
    changes = [("dim", dim) for dim in (codec.dim + 1, 2 * codec.dim + 1)]
    for field in parameter_fields(type(codec)):
        changes += [(field.name, value) for value in _others(getattr(codec, field.name))]
    found = []
    for change in changes:
        with contextlib.suppress(SpecError):
            found.append(dataclasses.replace(codec, **dict([change])))
    return found


def _others(value: object) -> list[object]:
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value * 2]
    if isinstance(value, float) and math.isfinite(value):
        return [value * (1 + 2**-50), value * 1.5]
    if isinstance(value, str):
        return [name for name in CODINGS if name != value]
    if isinstance(value, Spec):
        return [s for s in (Spec("exact"), Spec("bound", (0.125,))) if s != value]
    return []


# ---- sums --------------------------------------------------------------------------------------------------


def check_accumulator(codec: AnyCodec, payloads: list[bytes], weights: list[float]) -> None:
    """The mean of payloads is the weighted mean of the decoded vectors, and its bits follow from the order alone."""
    total, again, at_once = codec.accumulator(), codec.accumulator(), codec.accumulator()
    for payload, weight in zip(payloads, weights, strict=True):
        total.add(payload, weight, shared=shared_of(codec))
        again.add(payload, weight, shared=shared_of(codec))
    half = len(payloads) // 2
    for part in (slice(half), slice(half, None)):
        at_once.add_all(payloads[part], weights[part], shared=[shared_of(codec)] * len(payloads[part]))
    decoded = np.array([decode(codec, p) for p in payloads])
    expected = np.average(decoded, axis=0, weights=weights)
    mean = as_dense(total.mean())
    assert mean.dtype == np.float32 and mean.shape == (codec.dim,)
    scale = np.average(np.abs(decoded), axis=0, weights=weights)
    # A coordinate may be nothing but rounding where a transform mixes all of them: judge it by the largest.
    worst = np.abs(mean - expected) - 2.0**-23 * scale - 2.0**-48 * np.abs(decoded).max()
    at = int(worst.argmax())
    assert worst[at] <= 2.0**-149, f"{codec}: the mean is {mean[at]} at {at}, the decoded mean {expected[at]}"
    assert math.isclose(total.weight, sum(weights))
    assert as_dense(again.mean()).tobytes() == mean.tobytes() == as_dense(total.mean()).tobytes()
    same = at_once.weight == total.weight and as_dense(at_once.mean()).tobytes() == mean.tobytes()
    assert same, f"{codec}: adding all at once gives other bits than one by one"
