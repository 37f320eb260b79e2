"""A digest of float32 parameters that a sparse step updates in time proportional to what it touched.

The digest is the sum over i, modulo 2^64, of a mixed word of (i, bits of params[i]): equal parameters have
equal digests, and a changed coordinate changes the sum by a term that depends on index and value. It detects
divergence and damage; it is not a signature.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SLAB = 1 << 16  # coordinates mixed at once: temporaries stay in the cache
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)


def digest_of(params: NDArray[np.float32]) -> int:
    """The 64-bit digest of parameters [dim], in one pass."""
    total = 0
    for start in range(0, params.size, SLAB):
        part = params[start : start + SLAB]
        total += digest_terms(np.arange(start, start + part.size, dtype=np.uint64), part)
    return total & 0xFFFFFFFFFFFFFFFF


def digest_terms(indices: NDArray[np.integer], values: NDArray[np.float32]) -> int:
    """What the coordinates ``indices`` [k] with ``values`` [k] contribute to the digest, modulo 2^64."""
    word = indices.astype(np.uint64) * _GOLDEN
    word += np.ascontiguousarray(values).view(np.uint32)
    # The finaliser of splitmix64 [SplitMix]: every input bit reaches every output bit.
    word ^= word >> np.uint64(30)
    word *= _MIX1
    word ^= word >> np.uint64(27)
    word *= _MIX2
    word ^= word >> np.uint64(31)
    return int(word.sum(dtype=np.uint64))
