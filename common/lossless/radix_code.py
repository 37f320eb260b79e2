"""Digits of any radix as one integer: ceil(log2 of the number of digit strings) bits, in linear time.

The number sum d_j r^j with r not a power of two takes big-integer products and quotients, which are slow where
there are many digits. A range coder with equal probabilities spends the same whole number of bits: 2^-100 bits are
lost on rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache

import numpy as np

from gradwire.common.arrays.compat import I64
from gradwire.common.arrays.logarithms import ceiling, log2_power
from gradwire.common.lossless.range_coder import RangeDecoder, RangeEncoder

SLACK = Decimal(2.0**-80)  # bits for all roundings; no count that is not a power of two is so near to one
SUPERDIGIT_BITS = 62  # of digits that are coded in one step

Radices = tuple[tuple[int, int], ...]  # runs of digits: (how many, their radix), in order


@lru_cache(maxsize=256)
def radix_bits(radices: Radices) -> int:
    """Bits of the code: ceil(log2 of the product of all radices).

    >>> radix_bits(((100, 2 * 795_010),)), radix_bits(((8, 16),)), radix_bits(((1, 3), (2, 5)))
    (2061, 32, 7)
    """
    whole = sum(count * (radix - 1).bit_length() for count, radix in radices if radix & (radix - 1) == 0)
    others = [log2_power(radix, count) for count, radix in radices if count and radix & (radix - 1)]
    return whole + (ceiling(*others, SLACK) if others else 0)


def encode_digits(digits: Sequence[I64], radices: Radices) -> int:
    """The code of the digits int64 [count] of every run, below 2**radix_bits(radices)."""
    coder = RangeEncoder()
    for run, (count, radix) in zip(digits, radices, strict=True):
        for values, size in _superdigits(run, count, radix):
            for value in values.tolist():
                coder.encode(value, 1, size)
    return coder.finish(radix_bits(radices))


def decode_digits(code: int, radices: Radices) -> list[I64]:
    """The digits int64 [count] of every run, each below its radix.

    Args:
        code: below 2**radix_bits(radices).

    Raises:
        PayloadError: an integer that no digits have.
    """
    coder = RangeDecoder(code, radix_bits(radices))
    digits = [_decode_run(coder, count, radix) for count, radix in radices]
    coder.finish()
    return digits


def _group(radix: int) -> int:
    """Digits in a superdigit."""
    return max(1, SUPERDIGIT_BITS // max(1, radix.bit_length()))


def _superdigits(run: I64, count: int, radix: int) -> list[tuple[I64, int]]:
    """Groups of digits as one digit of radix^group each, and the shorter group at the end, with their radices."""
    group = _group(radix)
    whole = count // group * group
    parts = (run[:whole].reshape(-1, group), run[whole:].reshape(-1, max(1, count - whole)))
    return [(_horner(part, radix), radix ** part.shape[1]) for part in parts if part.size]


def _horner(rows: I64, radix: int) -> I64:
    value = np.zeros(rows.shape[0], np.int64)
    for column in rows.T:
        value = value * radix + column
    return value


def _decode_run(coder: RangeDecoder, count: int, radix: int) -> I64:
    group = _group(radix)
    parts = [(count // group, group), (int(count % group > 0), count % group)]
    return np.concatenate([_split(_read(coder, many, radix**size), size, radix) for many, size in parts])


def _read(coder: RangeDecoder, count: int, size: int) -> I64:
    values = np.empty(count, np.int64)
    for k in range(count):
        values[k] = value = coder.target(size)
        coder.take(value, 1)
    return values


def _split(values: I64, size: int, radix: int) -> I64:
    """Superdigits [n] back into digits [n * size]."""
    digits = np.empty((values.size, size), np.int64)
    for column in range(size - 1, -1, -1):
        values, digits[:, column] = np.divmod(values, radix)
    return digits.reshape(-1)
