"""Arithmetic coding with exact integers: a message takes -log2 of its probability, in bits.

The interval [low, low + range) / 2^scale is an exact fraction: ``low`` is an integer of any length, so a carry runs
as far as it has to, and nothing is ever truncated. The range keeps 248 to 256 bits, so that a symbol of ``size``
out of ``total`` narrows it by size / total less a part of at most total / 2^248: thousands of millions of symbols
cost 2^-100 bits.

A message may end in a plain integer of many bits, ``raw``: it takes part in the last rounding, so whole bits that
no model improves cost neither a fraction of a bit nor a step each.
"""

from __future__ import annotations

from gradwire.common.errors import PayloadError

PRECISION = 256  # bits of the range when it is full
MAX_TOTAL = 1 << 128  # of a symbol's probabilities; far below the range
_FULL = 1 << (PRECISION - 8)  # below this the range is widened by whole bytes
_LONG = 1 << 13  # bits of ``low`` from which its leading part is stored apart


class RangeEncoder:
    """Symbols in, one integer of a given number of bits out.

    >>> coder = RangeEncoder()
    >>> coder.encode(2, 1, 3)  # the third of three
    >>> coder.encode(0, 1, 3)
    >>> coder.finish(nbits=4)  # 9 outcomes
    11
    """

    def __init__(self) -> None:
        self._low, self._range, self._scale = 0, 1 << PRECISION, PRECISION
        self._older: list[tuple[int, int]] = []  # parts of low, each with its scale
        self._aside = PRECISION

    def encode(self, start: int, size: int, total: int) -> None:
        """Narrow the interval to [start, start + size) out of ``total``; 1 <= size, total <= MAX_TOTAL."""
        unit = self._range // total
        self._low += start * unit
        self._range = size * unit
        if self._range < _FULL:
            shift = _whole_bytes(self._range)
            self._low <<= shift
            self._range <<= shift
            self._scale += shift
            if self._scale - self._aside > _LONG:
                self._older.append((self._low, self._scale))
                self._low, self._aside = 0, self._scale

    def finish(self, nbits: int, raw: int = 0, raw_bits: int = 0) -> int:
        """The least integer of ``nbits`` bits in the interval, after ``raw`` < 2**raw_bits has narrowed it.

        Raises:
            AssertionError: the interval is narrower than 2**-nbits: the model promised too short a code.
        """
        low = (_joined([*self._older, (self._low, self._scale)]) << raw_bits) + raw * self._range
        drop = self._scale + raw_bits - nbits
        if self._range >> drop == 0:
            raise AssertionError(f"the message needs more than {nbits} bits")
        return -(-low >> drop)


class RangeDecoder:
    """Reads what ``RangeEncoder`` wrote: ask for the next ``target``, find the symbol there, and ``take`` it.

    Args:
        value: an integer of ``nbits`` bits, from anywhere.
    """

    def __init__(self, value: int, nbits: int) -> None:
        self._bytes = (value << -nbits % 8).to_bytes((nbits + 7) // 8, "big")
        self._nbits, self._at = nbits, PRECISION
        self._range, self._unit = 1 << PRECISION, 0
        self._offset = self._bits(0, PRECISION)

    def target(self, total: int) -> int:
        """A number below ``total``, inside the next symbol.

        Raises:
            PayloadError: between two symbols, which no encoder writes.
        """
        self._unit = self._range // total
        target = self._offset // self._unit
        if target >= total:
            raise PayloadError("the entropy code lies outside its range: it is corrupt")
        return target

    def take(self, start: int, size: int) -> None:
        """Consume the symbol [start, start + size), which holds the target."""
        self._offset -= start * self._unit
        self._range = size * self._unit
        if self._range < _FULL:
            shift = _whole_bytes(self._range)
            self._offset = (self._offset << shift) | self._bits(self._at, shift)
            self._range <<= shift
            self._at += shift

    def finish(self, raw_bits: int = 0) -> int:
        """The plain integer at the end.

        Raises:
            PayloadError: not the least integer in the interval, which is the one that an encoder sends.
        """
        offset = (self._offset << raw_bits) | self._bits(self._at, raw_bits)
        raw, rest = divmod(offset, self._range)
        drop = self._at + raw_bits - self._nbits
        if drop < 0 or rest >> drop:
            raise PayloadError("the entropy code is not canonical: it is corrupt")
        return raw

    def _bits(self, start: int, count: int) -> int:
        """Bits [start, start + count) of the value, the most significant first; zeros beyond its end."""
        first, stop = start // 8, (start + count + 7) // 8
        window = int.from_bytes(self._bytes[first:stop], "big") << 8 * max(
            0, stop - max(first, len(self._bytes))
        )
        return (window >> (8 * stop - start - count)) & ((1 << count) - 1)


def _whole_bytes(range_: int) -> int:
    """Bits, a multiple of 8, by which a range is widened to have more than 248 of them."""
    return (PRECISION - range_.bit_length()) & ~7


def _joined(parts: list[tuple[int, int]]) -> int:
    """The sum of value / 2^scale at the last scale, in pairs, so that long numbers are added few times."""
    while len(parts) > 1:
        pairs = zip(parts[0::2], parts[1::2], strict=False)
        joined = [((a << (t - s)) + b, t) for (a, s), (b, t) in pairs]
        parts = joined + parts[len(parts) - len(parts) % 2 :]
    return parts[0][0]
