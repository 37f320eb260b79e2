"""Integers in a fixed number of bits each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.bits import BitReader
from gradwire.common.errors import PayloadError


def read_levels(bits: BitReader, count: int, levels: int) -> NDArray[np.int64]:
    """The next ``count`` numbers below ``levels``, ceil(log2 levels) bits each.

    Raises:
        PayloadError: one is too large.
    """
    read = bits.read(count, (levels - 1).bit_length())
    highest = int(read.max(initial=0))
    if highest >= levels:
        raise PayloadError(f"a level is {highest}, expected below {levels}: the payload is corrupt")
    return read
