"""Cores of this machine, shared by its worker processes."""

from __future__ import annotations

import os

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def thread_variables(processes: int) -> dict[str, str]:
    """Environment variables that give each process its share of the cores; the user's own values are kept."""
    threads = str(max(1, cores() // processes))
    return {name: os.environ.get(name, threads) for name in THREADS}


def worker_environment(processes: int) -> dict[str, str]:
    """The environment of each of several worker processes."""
    return {**os.environ, **thread_variables(processes)}
