"""What codecs share that send some coordinates as they are and leave out the others."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gradwire.common.arrays.bits import BitReader
from gradwire.common.arrays.compat import F32, I64, Array, like, namespace, to_host
from gradwire.common.errors import DomainError, PayloadError, SpecError


class Kept(NamedTuple):
    """Coordinates ``indices`` (int64 [k], increasing) and their ``values`` (float32 [k])."""

    indices: I64
    values: F32


def check_kept(name: str, k: int, dim: int) -> None:
    """How many coordinates are kept.

    Raises:
        SpecError: none, or more than there are.
    """
    if not 1 <= k <= dim:
        raise SpecError(f"{name}: k is {k}, expected 1 to {dim}, the number of coordinates")


def keep(values: Array, indices: I64) -> Kept:
    """The values of a gradient at ``indices``, narrowed to float32 on its device.

    Raises:
        DomainError: one is beyond float32.
    """
    xp = namespace(values)
    with np.errstate(over="ignore"):
        kept = to_host(xp.astype(values[like(indices, values)], xp.float32))
    if not np.isfinite(kept).all():
        raise DomainError("the gradient holds values beyond float32: scale the loss down")
    return Kept(indices, kept)


def read_values(bits: BitReader, count: int) -> F32:
    """The next float32 values [count].

    Raises:
        PayloadError: one is NaN or infinite.
    """
    values: F32 = np.frombuffer(bits.read_packed(32 * count).tobytes(), "<f4")
    if not np.isfinite(values).all():
        raise PayloadError("a value is NaN or infinite, expected finite numbers: the payload is corrupt")
    return values
