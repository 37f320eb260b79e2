"""The largest model that fits this machine: checked before arrays are made, not when the kernel ends the process."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from gradwire.common.errors import ConfigError

# What a process needs at its peak, in float32 arrays [dim]: parameters, a gradient, an update in float64, and the
# model once more as a message.
ARRAYS = 5
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@cache
def memory_bytes() -> int:
    """This machine's memory, or the part of it that a container may use."""
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _LIMITS:
        try:
            sizes.append(int(Path(path).read_text(encoding="ascii")))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return min(sizes)


def largest_dim() -> int:
    """Coordinates of the largest model that fits this machine."""
    return memory_bytes() // (4 * ARRAYS)


def require_fits(dim: int, what: str) -> None:
    """Refuse a model of ``dim`` coordinates that this machine cannot hold.

    Raises:
        ConfigError: it takes more memory than there is.
    """
    require_memory(4 * ARRAYS * dim, f"{what} has {dim:,} coordinates, which")


def require_memory(needed: int, what: str, remedy: str = "choose a smaller one") -> None:
    """Refuse what takes more memory than this machine has.

    Args:
        needed: bytes.
        what: names it in the error.
        remedy: ends the error.

    Raises:
        ConfigError: it takes more.
    """
    if needed > memory_bytes():
        raise ConfigError(
            f"{what} takes {1e-9 * needed:,.1f} GB: this machine has {1e-9 * memory_bytes():.1f} GB, {remedy}"
        )
