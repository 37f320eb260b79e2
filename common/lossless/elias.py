"""Elias codes of positive integers, bit plane by bit plane, so that neither end loops over the integers.

A codeword's bits are those of [Elias75], and so is its length; only their order in the stream differs.
Instead of one codeword after the other, the stream holds the first bit of all of them, then the next bits of
those that go on, and so on: how many bits a plane has follows from the planes before it, and each plane is read
at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import I64, Array, namespace
from gradwire.common.errors import PayloadError


class IntegerCode(NamedTuple):
    """A prefix code of the positive integers.

    Attributes:
        write: append integers [n] of at least 1 (NumPy or torch; a tensor is packed on its device).
        read: the next ``count`` integers, int64; PayloadError for one that is 2**(bits of ``largest``) or more.
        length: the bits of one integer's codeword, the same for all with one bit length, and growing with that.
    """

    write: Callable[[Array, BitWriter], None]
    read: Callable[[BitReader, int, int], I64]
    length: Callable[[int], int]


def gamma_length(n: int) -> int:
    """Bits of Elias' gamma code of n >= 1: 2 floor(log2 n) + 1."""
    return 2 * n.bit_length() - 1


def write_gamma(values: Array, out: BitWriter) -> None:
    """Append integers [n] in Elias' gamma code: floor(log2 n) in unary, and the bits below the highest.

    >>> out = BitWriter()
    >>> write_gamma(np.array([1, 5, 2]), out)
    >>> out.nbits, read_gamma(BitReader(out.tobytes()), 3, 7)
    (9, array([1, 5, 2]))
    """
    while values.shape[0]:
        more = values > 1
        out.write(more, 1)
        values = values[more]
        out.write(values & 1, 1)
        values = values >> 1


def read_gamma(bits: BitReader, count: int, largest: int) -> I64:
    """Read back what ``write_gamma`` wrote.

    Raises:
        PayloadError: the stream ends early, or an integer has more bits than ``largest``.
    """
    low = np.zeros(count, np.int64)
    length = np.zeros(count, np.int8)
    going = _which(bits, count)
    plane = 0
    while going.size:
        if plane + 1 >= largest.bit_length():
            raise PayloadError(
                f"an Elias code stands for an integer beyond {largest}: the payload is corrupt"
            )
        length[going] += 1
        low[going] |= _plane(bits, going.size).astype(np.int64) << plane
        going = going[_which(bits, going.size)]
        plane += 1
    return low | (np.int64(1) << length)


def omega_length(n: int) -> int:
    """Bits of Elias' omega code of n >= 1: those of n, of floor(log2 n), and so on down to 1, and a zero."""
    length = 1
    while n > 1:
        length += n.bit_length()
        n = n.bit_length() - 1
    return length


def write_omega(values: Array, out: BitWriter) -> None:
    """Append integers [n] in Elias' omega ("recursive") code, which QSGD uses.

    A codeword is a sequence of groups, each one bit longer than the value of the group before it, and a zero; the
    last group is the integer. Plane by plane here: whether a group follows (its highest bit), then its lower bits.

    >>> out = BitWriter()
    >>> write_omega(np.array([1, 5, 100]), out)
    >>> out.nbits, read_omega(BitReader(out.tobytes()), 3, 100)
    (20, array([  1,   5, 100]))
    """
    chain, depth = _groups(values)
    for step in range(len(chain)):
        more = depth > step
        out.write(more, 1)
        chain, depth = [group[more] for group in chain], depth[more]
        if not depth.shape[0]:
            break
        before, group = _group_at(chain, depth - step), _group_at(chain, depth - step - 1)
        for plane in range(int(namespace(before).max(before))):
            out.write((group[before > plane] >> plane) & 1, 1)


def read_omega(bits: BitReader, count: int, largest: int) -> I64:
    """Read back what ``write_omega`` wrote.

    Raises:
        PayloadError: the stream ends early, or an integer has more bits than ``largest``.
    """
    values = np.ones(count, np.int64)
    going = _which(bits, count)
    while going.size:
        before = values[going]
        longest = int(before.max())
        if longest >= largest.bit_length():
            raise PayloadError(
                f"an Elias code stands for an integer beyond {largest}: the payload is corrupt"
            )
        group = np.int64(1) << before
        for plane in range(longest):
            longer = np.flatnonzero(before > plane)
            group[longer] |= _plane(bits, longer.size).astype(np.int64) << plane
        values[going] = group
        going = going[_which(bits, going.size)]
    return values


GAMMA = IntegerCode(write_gamma, read_gamma, gamma_length)
OMEGA = IntegerCode(write_omega, read_omega, omega_length)


def _plane(bits: BitReader, count: int) -> np.ndarray:
    return np.unpackbits(bits.read_packed(count), count=count, bitorder="little")


def _which(bits: BitReader, count: int) -> I64:
    """The places of the ones among the next ``count`` bits."""
    return np.flatnonzero(_plane(bits, count))


def _groups(values: Array) -> tuple[list[Array], Array]:
    """The numbers n, floor(log2 n), … down to 1 of every integer [n], and how many of them are above 1."""
    xp = namespace(values)
    chain = [values]
    depth = xp.astype(values > 1, xp.int64)
    while values.shape[0] and int(xp.max(chain[-1])) > 1:
        chain.append(xp.where(chain[-1] > 1, _floor_log2(chain[-1]), 1))
        depth += chain[-1] > 1
    return chain, depth


def _group_at(chain: list[Array], place: Array) -> Array:
    """``chain[place[i]][i]`` for every i."""
    xp = namespace(place)
    picked = chain[0]
    for k in range(1, len(chain)):
        picked = xp.where(place == k, chain[k], picked)
    return picked


def _floor_log2(values: Array) -> Array:
    """floor(log2 n), exact for 1 <= n < 2**53, from the exponent of the float64 that n is."""
    xp = namespace(values)
    return (xp.astype(values, xp.float64).view(xp.int64) >> 52) - 1023
