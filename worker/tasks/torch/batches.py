"""Batches as people have them: tensors in tuples, lists and dicts, nested, or objects that know how to move."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

Change = Callable[[Any], Any]


def mapped(batch: Any, change: Change, to: Callable[[Any], bool] = torch.is_tensor) -> Any:
    """The batch with ``change`` applied to its tensors, or to what ``to`` accepts; other values stay as they are."""
    if to(batch):
        return change(batch)
    if isinstance(batch, Mapping):
        return {key: mapped(value, change, to) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(mapped(value, change, to) for value in batch))
    if isinstance(batch, tuple | list):
        return type(batch)(mapped(value, change, to) for value in batch)
    return batch


def moved(batch: Any, device: torch.device) -> Any:
    """The batch on a device; a library's own class of batches is moved by its own ``to``."""
    return mapped(batch, lambda value: value.to(device), lambda value: hasattr(value, "to"))


def tensors(batch: Any) -> Iterator[torch.Tensor]:
    """The tensors in a batch, in order."""
    if isinstance(batch, torch.Tensor):
        yield batch
    elif isinstance(batch, Mapping):
        for value in batch.values():
            yield from tensors(value)
    elif isinstance(batch, tuple | list):
        for value in batch:
            yield from tensors(value)


def samples_in(batch: Any) -> int | None:
    """Samples in a batch: the length of its first tensor; None where it holds none."""
    return next((len(tensor) for tensor in tensors(batch) if tensor.ndim), None)


def is_finite(batch: Any) -> bool:
    """Whether all floating tensors of a batch are finite."""
    return all(bool(torch.isfinite(part).all()) for part in tensors(batch) if part.is_floating_point())
