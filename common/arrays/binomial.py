"""Exact Binomial(m, 1/2) variables: the ones among m fair coins."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.compat import I64
from gradwire.common.randomness import Coins

SLAB = 1 << 16  # words counted at once: 512 KiB
_LANES = (8, 16, 32, 64)  # bits of a word that one variable may take for itself


def fair_binomials(trials: int, count: int, coins: Coins) -> I64:
    """Independent Binomial(trials, 1/2) variables: int64 [count].

    Each counts the ones among ``trials`` bits of its own, so the law is exact. More than 64 trials take whole
    words; the rest takes the low bits of a lane of 8, 16, 32 or 64 bits.

    >>> from gradwire.common.randomness import SystemCoins
    >>> bool((fair_binomials(3, 1000, SystemCoins()) <= 3).all())
    True
    """
    total = np.zeros(count, np.int64)
    whole, rest = divmod(trials, 64)
    if whole:
        _add_ones(total, 64 * whole, coins)
    if rest:
        _add_ones(total, rest, coins)
    return total


def _add_ones(total: I64, trials: int, coins: Coins) -> None:
    """Add such variables to ``total``, for up to 64 trials or a multiple of 64; slabs start on whole words."""
    lane = next((bits for bits in _LANES if bits >= trials), 64)
    fields = -(-trials // lane)  # lanes that one variable takes
    rows = max(1, SLAB * (64 // lane) // fields)
    keep = (1 << min(trials, lane)) - 1
    for start in range(0, total.size, rows):
        part = total[start : start + rows]
        words = coins.words(-(-part.size * fields * lane // 64)).astype("<u8", copy=False)
        lanes = words.view(f"<u{lane // 8}")[: part.size * fields]
        part += _popcount(lanes & lanes.dtype.type(keep)).reshape(part.size, fields).sum(axis=1)


def _popcount(words: NDArray[np.unsignedinteger]) -> I64:
    """The ones in every word, by pairs, nibbles, bytes and a product that adds bytes up (Hacker's Delight, 5-1)."""
    kind, bits = words.dtype.type, 8 * words.dtype.itemsize
    pattern = [kind(int(byte * (bits // 8), 16)) for byte in ("55", "33", "0f", "01")]
    words = words - ((words >> kind(1)) & pattern[0])
    words = (words & pattern[1]) + ((words >> kind(2)) & pattern[1])
    words = (words + (words >> kind(4))) & pattern[2]
    with np.errstate(over="ignore"):
        ones: I64 = ((words * pattern[3]) >> kind(bits - 8)).astype(np.int64)
    return ones
