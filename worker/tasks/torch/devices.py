"""The device of a torch task, and random numbers that are drawn from the run's seed and nothing else."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from gradwire.common.errors import TaskError
from gradwire.worker.tasks.random_streams import stream_key

AUTO = ("cuda", "xpu", "mps")  # in the order in which auto takes them


def device_named(name: str) -> torch.device:
    """The device for auto, cpu, cuda, cuda:1, mps or xpu.

    Raises:
        TaskError: another name, or torch has no such device here.
    """
    if name == "auto":
        name = next((kind for kind in AUTO if _count(kind)), "cpu")
    if name == "cpu":
        return torch.device("cpu")
    kind, _, index = name.partition(":")
    if kind not in AUTO or (index and not index.isdigit()):
        raise TaskError(f"the device is {name!r}, expected auto, cpu, cuda, cuda:1, mps or xpu")
    place = int(index or 0)
    if place >= (count := _count(kind)):
        raise TaskError(f"device {name}: torch sees {count} {kind} devices here; pass --device auto")
    if kind == "mps":
        return torch.device(kind)
    torch.backends.cudnn.deterministic = True  # a restarted worker must repeat its gradient
    getattr(torch, kind).set_device(place)  # where user code means that writes "cuda" alone
    return torch.device(kind, place)


def _count(kind: str) -> int:
    if kind == "mps":
        return int(torch.backends.mps.is_available())
    backend = getattr(torch, kind, None)
    return int(backend.device_count()) if backend is not None and backend.is_available() else 0


def has_float64(device: torch.device) -> bool:
    """Whether codecs can work on the device: they compute norms in float64."""
    if device.type == "xpu":
        return bool(torch.xpu.get_device_properties(device).has_fp64)
    return device.type != "mps"


_GENERATORS = threading.RLock()


@contextmanager
def seeded(device: torch.device, seed: int, purpose: str, *key: int) -> Iterator[None]:
    """Seed torch's, NumPy's and Python's global generators inside the block, and restore them after it.

    The generators are the process's: another thread that wants to seed them waits.

    Args:
        device: whose generator is seeded besides the CPU's.
        seed: of the run.
        purpose: what the numbers are for.
        key: further numbers that select the stream, such as round and worker.
    """
    with _GENERATORS:
        drawn = stream_key(seed, purpose, *key) % 2**32
        yield from _seeded(device, drawn)


def _seeded(device: torch.device, drawn: int) -> Iterator[None]:
    python, restore = random.getstate(), _torch_state(device)
    numpy = np.random.get_state()  # noqa: NPY002 - what Datasets draw from
    try:
        random.seed(drawn)
        np.random.seed(drawn)  # noqa: NPY002
        # torch.manual_seed also notes the seed for devices that are not in use, which takes longer than a small batch.
        (torch.default_generator if device.type == "cpu" else torch).manual_seed(drawn)
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        restore()


def _torch_state(device: torch.device) -> Callable[[], None]:
    """A call that puts torch's generators, of the CPU and of this device, back to where they are now."""
    cpu = torch.get_rng_state()
    if device.type == "cpu":
        return lambda: torch.set_rng_state(cpu)
    backend: Any = getattr(torch, device.type)
    where = () if device.type == "mps" else (device,)
    accelerator = backend.get_rng_state(*where)

    def restore() -> None:
        torch.set_rng_state(cpu)
        backend.set_rng_state(accelerator, *where)

    return restore
