"""A site: what a worker process has and no other process sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType


@dataclass(frozen=True)
class Site:
    """One worker process: its workers and its own data.

    ``data``, ``schema``, ``options`` and ``device`` come from the command line of this machine, never from the wire.

    Attributes:
        name: of the process.
        workers: ids of the logical workers that it hosts.
        seed: of the run.
        data: file or folder of its training data; None where none was named.
        schema: file that describes the columns, label, classes and scaling of the data; None likewise.
        options: further values, from ``--option key=value``.
        device: of torch tasks: auto, cpu, cuda, cuda:1, mps, xpu.
    """

    name: str = ""
    workers: tuple[int, ...] = (0,)
    seed: int = 0
    data: Path | None = None
    schema: Path | None = None
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    device: str = "auto"
