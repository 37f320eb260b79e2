"""Unpacked payloads as values: a batch taken apart and put together again, and the memory that they hold.

Symbols are arrays, numbers, and tuples of them. A batch has one more axis in front of each, or a number that holds for
all of its payloads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def unstack(batch: Any, count: int) -> list[Any]:
    """The symbols of each of ``count`` payloads that were unpacked together."""
    if not isinstance(batch, tuple):
        return list(batch) if np.ndim(batch) else [batch] * count
    parts = [unstack(part, count) for part in batch]
    return [_like(batch, row) for row in zip(*parts, strict=True)] if parts else [batch] * count


def stack(symbols: Sequence[Any]) -> Any:
    """The batch of at least one payload's symbols, in order."""
    if not isinstance(symbols[0], tuple):
        return np.stack(symbols)
    return _like(symbols[0], [stack(part) for part in zip(*symbols, strict=True)])


def memory_bytes(symbols: Any) -> int:
    """Bytes of the arrays in one payload's symbols."""
    if isinstance(symbols, tuple):
        return sum(map(memory_bytes, symbols))
    return symbols.nbytes if isinstance(symbols, np.ndarray) else 0


def _like(template: tuple[Any, ...], parts: Sequence[Any]) -> Any:
    make = getattr(template, "_make", tuple)  # a named tuple has it
    return make(parts)
