"""Samples by row number, from tensors on the device or from a Dataset that is read on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset, Subset, TensorDataset, default_collate

from gradwire.common.errors import TaskError
from gradwire.worker.tasks.torch.batches import mapped, moved, tensors

Rows = NDArray[np.intp]
LABELS = ("labels", "label", "targets", "target", "y")  # keys and attributes that hold them
FORMS = (
    "tensors of equal length in a tuple or dict, a Dataset with a length, an IterableDataset or a DataLoader"
)


class Samples(Protocol):
    """A training or test set with a length."""

    def __len__(self) -> int: ...

    def rows(self, numbers: Rows) -> Any:
        """The batch of these rows, in this order, on the device."""

    def labels(self) -> NDArray[Any] | None:
        """The class of each row [len]; None where they are not at hand without reading every row."""


@dataclass(frozen=True, eq=False)
class TensorSamples:
    """Tensors of equal length on the device, in tuples and dicts."""

    tree: Any

    def __len__(self) -> int:
        return len(next(tensors(self.tree)))

    def rows(self, numbers: Rows) -> Any:
        """The batch of these rows, in this order, on the device."""
        index = torch.tensor(numbers, device=next(tensors(self.tree)).device)
        return mapped(self.tree, lambda tensor: tensor[index])

    def labels(self) -> NDArray[Any] | None:
        """Of a pair, the second; of a dict, that of a usual name."""
        if isinstance(self.tree, Mapping):
            return _classes(next((self.tree[key] for key in LABELS if key in self.tree), None))
        return _classes(self.tree[1]) if isinstance(self.tree, tuple) and len(self.tree) == 2 else None


@dataclass(frozen=True, eq=False)
class DatasetSamples:
    """A map-style Dataset; its items are collated as a DataLoader would, then moved."""

    dataset: Any
    device: torch.device
    collate: Callable[[list[Any]], Any] = default_collate

    def __len__(self) -> int:
        return len(self.dataset)

    def rows(self, numbers: Rows) -> Any:
        """The batch of these rows, in this order, on the device."""
        wanted = [int(number) for number in numbers]
        many = getattr(self.dataset, "__getitems__", None)  # as DataLoaders do
        return moved(self.collate(many(wanted) if many else [self.dataset[n] for n in wanted]), self.device)

    def labels(self) -> NDArray[Any] | None:
        """The Dataset's own list of them, which its usual attributes hold."""
        return _labels_of(self.dataset)


def samples_of(
    source: Any, device: torch.device, name: str, collate: Callable[[list[Any]], Any] | None
) -> Samples | None:
    """The samples of a TorchProblem's ``train`` or ``test`` by row number; None for one that can only be iterated.

    Args:
        source: as the problem has it.
        device: where batches go.
        name: train or test, for errors.
        collate: makes a batch of a Dataset's items; None for torch's.

    Raises:
        TaskError: neither tensors of equal length, nor a Dataset, nor batches to iterate; or it is empty.
    """
    tree = isinstance(source, torch.Tensor | tuple | Mapping)
    if not tree and not isinstance(source, list | str) and _is_map_style(source):
        samples: Samples = DatasetSamples(source, device, collate or default_collate)
    elif tree:
        samples = TensorSamples(moved(_tensor_tree(source, name), device))
    elif isinstance(source, Iterable) and not isinstance(source, list | str):
        return None
    else:
        raise TaskError(f"{name} is a {type(source).__name__}, expected {FORMS}")
    if not len(samples):
        raise TaskError(f"{name} has no samples, expected at least one")
    return samples


def _is_map_style(source: Any) -> bool:
    """Whether it has a length and items by number, as Datasets of other libraries have, too."""
    has_both = hasattr(source, "__len__") and hasattr(source, "__getitem__")
    return has_both and not isinstance(source, IterableDataset)


def _tensor_tree(source: Any, name: str) -> Any:
    """Tensors in tuples and dicts, NumPy arrays among them made tensors."""
    tree = _as_tensors(source)
    found = list(tensors(tree))
    lengths = sorted({len(tensor) if tensor.ndim else 0 for tensor in found})
    if not found or len(lengths) != 1:
        raise TaskError(f"{name} has tensors of {lengths or 'no'} samples, expected {FORMS}")
    return tree


def _as_tensors(source: Any) -> Any:
    if isinstance(source, Mapping):
        return {key: _as_tensors(value) for key, value in source.items()}
    if isinstance(source, tuple):
        return tuple(_as_tensors(value) for value in source)
    if isinstance(source, torch.Tensor | np.ndarray):
        return torch.as_tensor(source)
    raise TaskError(f"a {type(source).__name__} stands among the tensors of train or test, expected {FORMS}")


def _labels_of(dataset: Any) -> NDArray[Any] | None:
    if isinstance(dataset, TensorDataset):
        return _classes(dataset.tensors[1]) if len(dataset.tensors) == 2 else None
    if isinstance(dataset, Subset):
        labels = _labels_of(dataset.dataset)
        return None if labels is None else labels[np.asarray(dataset.indices)]
    return _classes(
        next((getattr(dataset, key) for key in LABELS if hasattr(dataset, key)), None), len(dataset)
    )


def _classes(values: Any, length: int | None = None) -> NDArray[Any] | None:
    """Labels as whole numbers [n]; None for what cannot be."""
    if values is None or callable(values):
        return None
    array = values.cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
    fits = array.ndim == 1 and array.dtype.kind in "biuUS" and length in (None, len(array))
    return array if fits else None
