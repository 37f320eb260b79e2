"""A torch task's samples by row number, from tensors on the device or from a Dataset that is read on demand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, default_collate

from gradwire.common.errors import TaskError

Source: TypeAlias = tuple[torch.Tensor, torch.Tensor] | Dataset[Any]


class Samples(Protocol):
    """Rows of (inputs, targets) on one device."""

    @property
    def device(self) -> torch.device:
        """The device of the rows."""

    def __len__(self) -> int: ...

    def rows(self, numbers: NDArray[np.intp]) -> tuple[Any, Any]:
        """Inputs and targets of these rows, in this order."""


@dataclass(frozen=True, eq=False)
class TensorSamples:
    """Two tensors on the device."""

    inputs: torch.Tensor
    targets: torch.Tensor

    @property
    def device(self) -> torch.device:
        """The device of the tensors."""
        return self.inputs.device

    def __len__(self) -> int:
        return len(self.inputs)

    def rows(self, numbers: NDArray[np.intp]) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs and targets of these rows, in this order."""
        index = torch.tensor(numbers, device=self.device)
        return self.inputs[index], self.targets[index]


@dataclass(frozen=True, eq=False)
class DatasetSamples:
    """A map-style Dataset; its items are collated as a DataLoader would, then moved."""

    dataset: Any
    device: torch.device

    def __len__(self) -> int:
        return len(self.dataset)

    def rows(self, numbers: NDArray[np.intp]) -> tuple[Any, Any]:
        """Inputs and targets of these rows, in this order."""
        inputs, targets = default_collate([self.dataset[int(number)] for number in numbers])
        return inputs.to(self.device), targets.to(self.device)


def samples_of(source: Any, device: torch.device, name: str) -> Samples:
    """The samples of a TorchProblem's ``train`` or ``test``.

    Raises:
        TaskError: neither a pair of tensors of equal length nor a Dataset with a length.
    """
    if isinstance(source, Dataset) and hasattr(source, "__len__"):
        return DatasetSamples(source, device)
    pair = isinstance(source, tuple) and len(source) == 2 and all(isinstance(t, torch.Tensor) for t in source)
    if not pair or len(source[0]) != len(source[1]):
        raise TaskError(f"{name} is neither two tensors of equal length nor a Dataset with a length")
    return TensorSamples(source[0].to(device), source[1].to(device))
