"""Arithmetic coding: what is written is read, in exactly the bits promised, and nothing else is read."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gradwire.common.errors import PayloadError
from gradwire.common.lossless.range_coder import MAX_TOTAL, PRECISION, RangeDecoder, RangeEncoder

Symbol = tuple[int, int, int]


def encode(symbols: list[Symbol], nbits: int, raw: int = 0, raw_bits: int = 0) -> int:
    coder = RangeEncoder()
    for symbol in symbols:
        coder.encode(*symbol)
    return coder.finish(nbits, raw, raw_bits)


def check_reads(symbols: list[Symbol], code: int, nbits: int, raw: int = 0, raw_bits: int = 0) -> None:
    coder = RangeDecoder(code, nbits)
    for start, size, total in symbols:
        assert start <= coder.target(total) < start + size
        coder.take(start, size)
    assert coder.finish(raw_bits) == raw


def information(symbols: list[Symbol]) -> float:
    return sum(math.log2(total / size) for _, size, total in symbols)


@st.composite
def symbol(draw: st.DrawFn) -> Symbol:
    """Anywhere in a total of any size; often at an end, where carries start."""
    total = draw(st.one_of(st.integers(1, 9), st.integers(1, MAX_TOTAL)))
    size = draw(st.one_of(st.just(1), st.integers(1, total)))
    start = draw(st.one_of(st.just(0), st.just(total - size), st.integers(0, total - size)))
    return start, size, total


@given(symbols=st.lists(symbol(), max_size=60), raw_bits=st.integers(0, 3000), data=st.data())
def test_round_trip(symbols: list[Symbol], raw_bits: int, data: st.DataObject) -> None:
    raw = data.draw(st.integers(0, (1 << raw_bits) - 1))
    nbits = math.ceil(information(symbols) + 1e-9) + raw_bits
    code = encode(symbols, nbits, raw, raw_bits)
    assert 0 <= code < 1 << nbits or code == nbits == 0
    check_reads(symbols, code, nbits, raw, raw_bits)


@pytest.mark.parametrize(("radix", "count"), [(3, 4), (2, 6), (5, 3), (7, 2), (1, 3), (6, 3)])
def test_messages_are_a_bijection(radix: int, count: int) -> None:
    nbits = (radix**count - 1).bit_length()
    messages = [[(d, 1, radix) for d in digits] for digits in itertools.product(range(radix), repeat=count)]
    codes = {encode(m, nbits): m for m in messages}
    assert len(codes) == radix**count and max(codes) < 1 << nbits
    for code in range(1 << nbits):
        coder = RangeDecoder(code, nbits)
        try:
            for _ in range(count):
                digit = coder.target(radix)
                assert code not in codes or codes[code][0][2] == radix
                coder.take(digit, 1)
            coder.finish()
        except PayloadError:
            assert code not in codes
        else:
            assert code in codes
            check_reads(codes[code], code, nbits)


def test_carry_propagation() -> None:
    """The top of the interval again and again, so that low is all ones, then a step up, thousands of bits later."""
    last, total = (1 << 40) - 1, 1 << 40
    symbols = [(last, 1, total)] * 500 + [(2, 1, 3)] * 200
    nbits = math.ceil(information(symbols) + 1e-9)
    check_reads(symbols, encode(symbols, nbits), nbits)
    # A third in binary is 0101…: no byte of it is a boundary, and every carry passes through many.
    thirds = [(1, 1, 3)] * 20_000
    nbits = math.ceil(20_000 * math.log2(3))
    check_reads(thirds, encode(thirds, nbits), nbits)


def test_too_short_code_is_an_error() -> None:
    with pytest.raises(AssertionError, match="needs more than 7 bits"):
        encode([(0, 1, 3)] * 5, 7)
    assert encode([(0, 1, 3)] * 5, 8) == 0


def test_other_codes_of_a_message_are_refused() -> None:
    symbols = [(1, 1, 3)]
    code = encode(symbols, 10)
    for other in (code + 1, code + 2):
        coder = RangeDecoder(other, 10)
        coder.take(*(coder.target(3), 1))
        with pytest.raises(PayloadError, match="not canonical"):
            coder.finish()


def test_range_width_is_bounded() -> None:
    coder = RangeEncoder()
    for k in range(2000):
        coder.encode(k % 2, 1, 3)
        assert PRECISION - 8 <= coder._range.bit_length() <= PRECISION + 1
