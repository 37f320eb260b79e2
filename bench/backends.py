"""Backends that measurements run on, and arrays there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Annotated

import numpy as np
import typer

from gradwire.common.arrays.compat import Array
from gradwire.common.errors import ConfigError

BACKENDS = {"numpy": "", "torch": "cpu", "cuda": "cuda"}  # torch's names of their devices
BackendOption = Annotated[
    list[str] | None,
    typer.Option(help="numpy, torch (CPU) or cuda; may be repeated [all that are installed]"),
]


@dataclass(frozen=True)
class Placed:
    """An array on its device, a function that copies it there, and one that waits for the device."""

    values: Array
    copy: Callable[[], object]
    wait: Callable[[], object]

    def copy_and_wait(self) -> None:
        """The baseline of timings."""
        self.copy()
        self.wait()


def place(x: np.ndarray, backend: str) -> Placed:
    """An array on a backend."""
    if backend == "numpy":
        return Placed(x, partial(np.copyto, np.empty_like(x), x), _no_wait)
    import torch

    values = torch.from_numpy(x).to(BACKENDS[backend])
    wait = torch.cuda.synchronize if backend == "cuda" else _no_wait
    return Placed(values, partial(torch.empty_like(values).copy_, values), wait)


def _no_wait() -> None:
    """The CPU has finished when a call returns."""


def chosen(wanted: list[str] | None) -> list[str]:
    """The installed backends, or those asked for; torch is set to one thread, as NumPy uses one.

    Raises:
        ConfigError: one that is unknown or not installed.
    """
    found = ["numpy"]
    if find_spec("torch"):
        import torch

        torch.set_num_threads(1)
        found += ["torch", "cuda"] if torch.cuda.is_available() else ["torch"]
    for name in wanted or []:
        if name not in BACKENDS:
            raise ConfigError(f"--backend is {name!r}, expected one of {', '.join(BACKENDS)}")
        if name not in found:
            advice = (
                "pip install 'gradwire[torch]'" if name == "torch" else "it needs torch and a CUDA device"
            )
            raise ConfigError(f"the backend {name} is not available: {advice}")
    return list(dict.fromkeys(wanted)) if wanted else found
