"""What every codec must refuse, as plain functions: gradients outside its domain, and bytes that no encoder made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from gradwire.common.arrays.bits import BitWriter
from gradwire.common.arrays.update import Terms
from gradwire.common.codecs import AnyCodec
from gradwire.common.codecs.forms.vertex import Draws, VertexCodec
from gradwire.common.codecs.payloads import unpack_checked
from gradwire.common.errors import DomainError, PayloadError
from tests.common.codecs.checks import decode, shared_of
from tests.common.codecs.coins import ReplayCoins


def check_raises(kind: type[Exception], call: Callable[[], object], what: Callable[[], str]) -> None:
    """That exception with a message of one line; another one is passed on. ``what`` is asked for on failure alone."""
    try:
        call()
    except kind as error:
        message = str(error)
    else:
        raise AssertionError(f"{what()}: nothing was refused")
    assert message and "\n" not in message, f"{what()}: {message!r} is not one line"


def check_refuses_gradient(codec: AnyCodec, x: object, start: int = 0) -> None:
    """DomainError, in one line, and not another exception."""
    check_raises(
        DomainError,
        lambda: codec.encode(x, ReplayCoins(start), shared=shared_of(codec)),
        lambda: f"{codec} of {x!r}",
    )


def check_refuses_payload(codec: AnyCodec, payload: bytes) -> None:
    """PayloadError from every way in, and a sum that is not touched."""
    total = codec.accumulator()

    def what() -> str:
        return f"{codec} of {payload[:40].hex()} ({len(payload)} bytes)"

    check_raises(PayloadError, lambda: codec.validate(payload), what)
    check_raises(PayloadError, lambda: decode(codec, payload), what)
    check_raises(PayloadError, lambda: total.add(payload, shared=shared_of(codec)), what)
    assert total.weight == 0


def check_refuses_other_lengths(codec: AnyCodec, payload: bytes) -> None:
    for wrong in (payload[:-1], b"", payload + b"\0", payload + b"\1", payload * 2):
        check_refuses_payload(codec, wrong)


def check_refuses_padding(codec: AnyCodec, payload: bytes) -> None:
    """Each padding bit set alone."""
    for bit in range(codec.nbits, 8 * codec.nbytes) if codec.fixed_length else ():
        wrong = bytearray(payload)
        wrong[bit // 8] |= 1 << bit % 8
        check_refuses_payload(codec, bytes(wrong))


def check_reads_or_refuses(codec: AnyCodec, payload: bytes) -> None:
    """Bytes off the wire decode to finite values or raise PayloadError: nothing else."""
    try:
        codec.validate(payload)
    except PayloadError:
        check_refuses_payload(codec, payload)
        return
    assert np.isfinite(decode(codec, payload)).all(), (
        f"{codec}: {payload[:40].hex()} decodes to what is not finite"
    )


def read_as_written(codec: AnyCodec, payloads: Iterable[bytes]) -> int:
    """How many of the payloads are read; each of these is what its symbols are written as, so no two say the same."""
    read = 0
    for payload in payloads:
        try:
            symbols = unpack_checked(codec, payload)
        except PayloadError:
            continue
        out, read = BitWriter(), read + 1
        codec._pack(symbols, out)
        assert out.tobytes() == payload, (
            f"{codec}: what {payload.hex()} says is written {out.tobytes().hex()}"
        )
    return read


def random_behind(header: bytes, codec: AnyCodec, count: int) -> Iterator[bytes]:
    """So many payloads of random bits behind the header: of the codec's length, or of any up to its longest."""
    rng, longest = np.random.default_rng(0), codec.nbytes - len(header)
    mask = (1 << codec.nbits - 8 * len(header)) - 1  # no padding
    for _ in range(count):
        if codec.fixed_length:
            yield header + (int.from_bytes(rng.bytes(longest), "little") & mask).to_bytes(longest, "little")
        else:
            yield header + rng.bytes(int(rng.integers(1, longest + 1)))


def check_refuses_indices(codec: VertexCodec, payload: bytes) -> None:
    """Every index at or beyond the number of vertices, in the first and in the last place of a tuple."""
    if codec.coding != "tuple":
        return
    beyond = {codec.vertices, codec.vertices + 1, (1 << codec.width) - 1}
    for index in (i for i in beyond if codec.vertices <= i < 1 << codec.width):
        for place in {0, codec.draws - 1}:
            at = codec.nbits - (codec.draws - place) * codec.width
            check_refuses_payload(codec, with_field(payload, at, codec.width, index))
    for place in {0, codec.draws - 1}:
        at = codec.nbits - (codec.draws - place) * codec.width
        codec.validate(with_field(payload, at, codec.width, codec.vertices - 1))


def check_indices_survive(codec: VertexCodec) -> None:
    """Indices come through a payload exactly, and neighbours stand for different points: beyond 2^24 too."""
    seen = set()
    tried = {0, 1, codec.dim - 1, codec.dim // 3, codec.dim // 3 + 1, codec.vertices - 2, codec.vertices - 1}
    for vertex in tried:
        out = BitWriter()
        codec._pack(Draws(1.0, np.full(codec.draws, vertex)), out)
        assert (unpack_checked(codec, out.tobytes()).vertices == vertex).all(), (
            f"{codec}: vertex {vertex} is lost"
        )
        terms = codec.partial_decode(out.tobytes(), shared=shared_of(codec))
        assert isinstance(terms, Terms)  # nothing of size dim is made
        seen.add((terms.indices.tobytes(), terms.weights.tobytes()))
    assert len(seen) == len(tried), f"{codec}: different vertices among {tried} stand for the same point"


def check_refuses_gains(codec: AnyCodec, payload: bytes) -> None:
    """NaN, infinities, negative numbers and negative zero in the leading float32."""
    for bits in (0x7FC00000, 0x7F800001, 0x7F800000, 0xFF800000, 0x80000000, 0x80000001, 0xBF800000):
        check_refuses_payload(codec, with_field(payload, 0, 32, bits))


def with_field(payload: bytes, at: int, width: int, value: int) -> bytes:
    """The payload with ``width`` bits from bit ``at`` on replaced."""
    whole = int.from_bytes(payload, "little")
    mask = (1 << width) - 1 << at
    return ((whole & ~mask) | value << at).to_bytes(len(payload), "little")
