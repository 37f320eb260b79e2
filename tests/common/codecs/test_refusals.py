"""Gradients that no codec takes, and bytes that no encoder made."""

from dataclasses import replace

import numpy as np
import pytest

from gradwire.common.codecs import AnyCodec, Example
from gradwire.common.codecs.forms.vertex import VertexCodec
from gradwire.common.errors import PayloadError
from gradwire.common.spec import Spec
from tests.common.codecs import checks, refusal_checks
from tests.common.codecs.examples import EXAMPLES, every_codec, is_buildable, parameters
from tests.common.codecs.vectors import ramp

BYTES = (0, 1, 0x7F, 0x80, 0xFF)
VERTEX_CODECS = [p for p in parameters(EXAMPLES) if isinstance(p.values[0], VertexCodec)]
every_vertex_codec = pytest.mark.parametrize("codec", VERTEX_CODECS)
SIGNALLING = np.array([0x7F800001], np.uint32).view(np.float32)[0]


@every_codec
def test_non_finite_values(codec: AnyCodec) -> None:
    for dtype in (np.float32, np.float64):
        good = ramp(codec.dim).astype(dtype)
        for value in (np.nan, np.inf, -np.inf):
            for at in {0, codec.dim // 2, codec.dim - 1}:
                x = good.copy()
                x[at] = value
                refusal_checks.check_refuses_gradient(codec, x)
            refusal_checks.check_refuses_gradient(codec, np.full(codec.dim, value, dtype))


@every_codec
def test_other_shapes_dtypes_and_ranges(codec: AnyCodec) -> None:
    """Warnings are errors here: an overflow on the way to the refusal would show."""
    x = ramp(codec.dim)
    wrong = [x[None], x[:, None], x[:0], np.append(x, 0.0), x[:-1], np.array(1.0), 1.0]
    wrong += [np.zeros(codec.dim, d) for d in ("i4", "u1", "i8", "?", "c8", "c16", "O", "U4", "M8[s]")]
    wrong += [np.full(codec.dim, beyond) for beyond in (np.finfo(np.float64).max, 1e300, SIGNALLING)]
    if np.finfo(np.longdouble).max > np.finfo(np.float64).max:
        wrong.append(np.full(codec.dim, np.finfo(np.longdouble).max))
    for gradient in wrong:
        refusal_checks.check_refuses_gradient(codec, gradient)


@every_codec
def test_other_lengths_and_padding(codec: AnyCodec) -> None:
    payload = checks.typical_payload(codec)
    refusal_checks.check_refuses_other_lengths(codec, payload)
    refusal_checks.check_refuses_padding(codec, payload)
    if codec.fixed_length:
        message = rf"^{codec.name}: the payload has 0 bytes, expected {codec.nbytes}$"
        with pytest.raises(PayloadError, match=message):
            codec.validate(b"")


@every_vertex_codec
def test_indices_out_of_range(codec: VertexCodec) -> None:
    refusal_checks.check_refuses_indices(codec, checks.typical_payload(codec))


@every_vertex_codec
def test_large_indices(codec: VertexCodec) -> None:
    """At dimensions that no test could hold a vector of, where the family has such codecs."""
    for dim in (3, 2**24 + 1, 2**33 + 5):
        if is_buildable(Example(codec.spec, dim)):
            refusal_checks.check_indices_survive(replace(codec, dim=dim))


@pytest.mark.parametrize("codec", [p for p in VERTEX_CODECS if p.values[0].gain == Spec("exact")])
def test_bad_gains(codec: VertexCodec) -> None:
    refusal_checks.check_refuses_gains(codec, checks.typical_payload(codec))


@every_codec
def test_arbitrary_bytes(codec: AnyCodec, fresh: np.random.Generator) -> None:
    for padded in [False, True] * 10:
        payload = bytearray(fresh.bytes(codec.nbytes))
        if padded and codec.nbits % 8:
            payload[-1] &= (1 << codec.nbits % 8) - 1
        refusal_checks.check_reads_or_refuses(codec, bytes(payload))


@every_codec
def test_damaged_payloads(codec: AnyCodec, fresh: np.random.Generator) -> None:
    """One true payload with some bytes replaced, apart or in a row: most of it is still what a decoder expects."""
    true = checks.typical_payload(codec)
    for trial in range(40):
        first, count = fresh.integers(0, len(true)), fresh.integers(1, 4)
        places = first + np.arange(count) if trial % 2 else fresh.integers(0, len(true), count)
        payload = bytearray(true)
        for place in places:
            payload[place % len(true)] = fresh.choice(BYTES)
        refusal_checks.check_reads_or_refuses(codec, bytes(payload))
