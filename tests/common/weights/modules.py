"""Torch modules with arrays of every role, and what a run's layout of them is."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gradwire.common.training.layout import Layout, LayoutArray, Role, constant_digest

torch: Any = pytest.importorskip("torch")
nn = torch.nn


def batch_norm() -> Any:
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 2))


def tied() -> Any:
    """A small GPT's ends: embedding and head are one array."""
    module = nn.Module()
    module.embedding = nn.Embedding(5, 4)
    module.norm = nn.LayerNorm(4)
    module.head = nn.Linear(4, 5, bias=False)
    module.head.weight = module.embedding.weight
    return module


def frozen_backbone() -> Any:
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    module[0].requires_grad_(False)
    module.register_buffer("steps", torch.arange(3))
    return module


def half() -> Any:
    return nn.Sequential(nn.Linear(3, 2).bfloat16(), nn.Linear(3, 2).half(), nn.Linear(2, 2).double())


MODULES = [batch_norm, tied, frozen_backbone, half]


def model_of(module: Any) -> tuple[Layout, NDArray[np.float32], tuple[bytes, ...]]:
    """Layout, flat vector and constants of a module."""
    entries = sorted(_entries(module), key=lambda entry: list(Role).index(entry[0].role))
    moving = [t.detach().float().reshape(-1) for array, t in entries if array.role is not Role.CONSTANT]
    constants = tuple(_bytes(t) for array, t in entries if array.role is Role.CONSTANT)
    return Layout(tuple(array for array, _ in entries)), torch.cat(moving).numpy(), constants


def _entries(module: Any) -> Iterator[tuple[LayoutArray, Any]]:
    names: dict[int, list[str]] = {}
    tensors = dict(module.state_dict(keep_vars=True))
    for name, tensor in tensors.items():
        names.setdefault(id(tensor), []).append(name)
    for (name, *aliases), tensor in ((group, tensors[group[0]]) for group in names.values()):
        role = Role.TRAINED if tensor.requires_grad else Role.CONSTANT
        if name.rpartition(".")[2] in ("running_mean", "running_var"):
            role = Role.AVERAGED
        dtype = str(tensor.dtype).removeprefix("torch.")
        digest = constant_digest(_bytes(tensor)) if role is Role.CONSTANT else b""
        yield LayoutArray(name, tuple(tensor.shape), dtype, role, digest, tuple(aliases)), tensor


def _bytes(tensor: Any) -> bytes:
    return bytes(tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy())
