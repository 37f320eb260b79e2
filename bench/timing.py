"""Timing against a baseline in the same run: what is reported is the ratio, because machines differ and drift."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Timing:
    """Seconds of one call: the median over repeats that alternate with the baseline's, and the median of the ratios."""

    seconds: float
    ratio: float


def against(baseline: Callable[[], object], call: Callable[[], object], repeats: int = 15) -> Timing:
    """Time ``call``, each time right after ``baseline``, so that both see the same state of the machine."""
    baseline()
    call()
    pairs = [(_once(baseline), _once(call)) for _ in range(repeats)]
    return Timing(_median([b for _, b in pairs]), _median([b / a for a, b in pairs]))


def _once(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def machine() -> str:
    """What the numbers were taken on."""
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{_processor()}, {os.cpu_count()} cores, {system}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or "unknown processor"
