"""Timing against a baseline in the same run: what is reported is the ratio, because machines differ and drift."""

from __future__ import annotations

import math
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Timing:
    """Seconds of one call, over repeats that alternate with the baseline's, and what multiple of it that is.

    ``seconds`` and ``ratio`` are medians; ``least`` and ``least_ratio`` compare the fastest calls of both, which is
    what remains where other processes are in the way.
    """

    seconds: float
    ratio: float
    least: float
    least_ratio: float

    def medians(self, prefix: str = "") -> dict[str, float]:
        """The medians, in milliseconds and as a multiple of the baseline, a copy."""
        return {f"{prefix}ms": 1e3 * self.seconds, f"{prefix}copies": self.ratio}

    def fastest(self, prefix: str = "") -> dict[str, float]:
        """The fastest call likewise."""
        return {f"{prefix}ms": 1e3 * self.least, f"{prefix}copies": self.least_ratio}


def against(
    baseline: Callable[[], object], call: Callable[[], object], repeats: int = 15, seconds: float = math.inf
) -> Timing:
    """Time ``call``, each time right after ``baseline``, so that both see the same state of the machine.

    Args:
        baseline, call: run once before they are timed.
        repeats: timed runs, fewer where these would take more than ``seconds``, but at least one.
    """
    baseline()
    took = _once(call)
    fitting = min(repeats, seconds / took) if took > 0 else repeats
    pairs = [(_once(baseline), _once(call)) for _ in range(max(1, int(fitting)))]
    least, fastest_copy = min(b for _, b in pairs), min(a for a, _ in pairs)
    return Timing(
        _median([b for _, b in pairs]), _median([b / a for a, b in pairs]), least, least / fastest_copy
    )


def _once(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def conditions() -> dict[str, Any]:
    """The machine, and how busy it is: load averages over 1, 5 and 15 minutes."""
    return {"machine": machine(), "load": [round(load, 2) for load in os.getloadavg()]}


def machine() -> str:
    """The machine that the numbers were taken on."""
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{_processor()}, {os.cpu_count()} cores, {system}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or "unknown processor"
