"""Trits, five to a byte: 1.6 bits each, where log2 3 = 1.585 is the least possible."""

from __future__ import annotations

import numpy as np

from gradwire.common.arrays.bits import BitReader, BitWriter
from gradwire.common.arrays.compat import Array, is_tensor, namespace
from gradwire.common.errors import PayloadError

PER_BYTE = 5  # 3**5 = 243
_TAIL_BITS = (0, 2, 4, 5, 7)  # ceil(log2 3**r) for the r trits that fill no byte


def trits_nbits(count: int) -> int:
    """Bits of ``count`` trits.

    >>> trits_nbits(5), trits_nbits(6)
    (8, 10)
    """
    return 8 * (count // PER_BYTE) + _TAIL_BITS[count % PER_BYTE]


def write_trits(trits: Array, out: BitWriter) -> None:
    """Append integers [n] in 0, 1, 2 (NumPy or torch; a tensor is packed on its device), the first one lowest."""
    whole = trits.shape[0] // PER_BYTE * PER_BYTE
    out.write(_joined(trits[:whole].reshape(-1, PER_BYTE)), 8)
    tail = trits[whole:]
    out.write(_joined(tail.reshape(1, -1)), _TAIL_BITS[tail.shape[0]])


def read_trits(bits: BitReader, count: int) -> np.ndarray:
    """The next ``count`` trits: uint8 [count].

    Raises:
        PayloadError: a byte that five trits never make, or a tail beyond its trits.
    """
    packed = bits.read_packed(8 * (count // PER_BYTE))
    tail = bits.read(1, _TAIL_BITS[count % PER_BYTE]).astype(np.uint8)
    if packed.size and packed.max() >= 3**PER_BYTE:
        raise PayloadError(
            f"a byte of five trits is {packed.max()}, expected at most 242: the payload is corrupt"
        )
    if tail[0] >= 3 ** (count % PER_BYTE):
        raise PayloadError(
            f"the last trits are {tail[0]}, beyond {count % PER_BYTE} trits: the payload is corrupt"
        )
    return np.concatenate([_split(packed, PER_BYTE), _split(tail, count % PER_BYTE)])


def _joined(rows: Array) -> Array:
    """Rows of trits [n, r] as numbers [n] in base three."""
    xp = namespace(rows)
    device = {"device": rows.device} if is_tensor(rows) else {}
    total = xp.zeros(rows.shape[0], dtype=xp.int32, **device)
    for place in reversed(range(rows.shape[1])):
        total = total * 3 + rows[:, place]
    return total


def _split(numbers: np.ndarray, places: int) -> np.ndarray:
    """The inverse of ``_joined``, flat: uint8 [n * places]."""
    trits = np.empty((numbers.size, places), np.uint8)
    for place in range(places):
        trits[:, place] = numbers % 3
        numbers = numbers // 3
    return trits.reshape(-1)
