"""A torch module that takes part in a run: its parameters and running statistics as one flat vector."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.parameter import is_lazy

from gradwire.common.errors import TaskError
from gradwire.common.training.layout import Layout, LayoutArray, Role, constant_digest
from gradwire.common.weights.start import COUNT
from gradwire.worker.join.models.base import JoinedModel, exchanges
from gradwire.worker.tasks.torch.arrays import ModuleArrays, unwrapped

_KEEPS = "a module keeps its arrays for the whole run"


class TorchModel(JoinedModel):
    """A module on any device, its wrappers looked through.

    Parameters that require gradients are trained, running statistics of normalisation layers averaged, everything else
    is constant. Tensors are looked up by name at each exchange, so that a module may move to another device.
    """

    def __init__(self, module: torch.nn.Module, *, gradients: bool, local_buffers: bool) -> None:
        """Fix the layout.

        Raises:
            TaskError: no trainable parameter, one without values, or statistics that cannot be averaged.
            LayoutError: a dtype that cannot be laid out.
        """
        self._module = unwrapped(module)
        for name, tensor in self._tensors().items():
            if is_lazy(tensor):
                raise TaskError(f"{name} has no shape yet: call the module once before joining")
            if tensor.is_meta:
                raise TaskError(
                    f"{name} is on the device meta and has no values: load the weights before joining"
                )
        arrays = ModuleArrays(module, local=local_buffers)
        values = dict(zip((a.name for a in arrays.layout.constants), arrays.constants(), strict=True))
        # How many batches a normalisation layer has counted differs between sites that have trained, and nothing
        # depends on it where the layer has a momentum.
        values = {name: bytes(len(data)) if _counts(name) else data for name, data in values.items()}
        rows = tuple(_with_digest(array, values) for array in arrays.layout.arrays)
        self.layout = Layout(rows, schema=exchanges(gradients=gradients))
        self._values = values
        self._names = _names(self._module)
        self._gradients = gradients

    def constants(self) -> list[bytes]:
        return [self._values[array.name] for array in self.layout.constants]

    def read(self, given: Any, out: NDArray[np.float32]) -> None:
        tensors = self._checked()
        with torch.no_grad():
            for array, place in self.layout.views(out):
                _view(place).copy_(_dense(tensors[array.name]))

    def read_gradients(self, out: NDArray[np.float32]) -> None:
        tensors = self._checked()
        with torch.no_grad():
            for array, place in self.layout.views(out):
                tensor = tensors[array.name]
                if array.role is Role.AVERAGED:
                    _view(place).copy_(tensor)
                elif tensor.grad is None:
                    place.fill(0)
                else:
                    _view(place).copy_(_dense(tensor.grad))

    def load(self, vector: NDArray[np.float32], given: Any) -> Any:
        tensors = self._tensors()
        with torch.no_grad():
            for array, values in self.layout.views(vector):
                tensors[array.name].copy_(_view(values))
                if self._gradients:
                    tensors[array.name].grad = None
        return self._module

    def exported(self, vector: NDArray[np.float32]) -> dict[str, Any]:
        held = self._module.state_dict()
        state = {_plain(name): tensor.detach().clone() for name, tensor in held.items()}
        for array, values in self.layout.views(vector):
            for name in (array.name, *array.aliases):
                if name in state:
                    state[name].copy_(_view(values))
        return state

    def _tensors(self) -> dict[str, torch.Tensor]:
        """Parameters and buffers by name."""
        named = [*self._module.named_parameters(remove_duplicate=False), *self._module.named_buffers()]
        return {_plain(name): tensor for name, tensor in named}

    def _checked(self) -> dict[str, torch.Tensor]:
        """The same, once the module has the arrays that it joined with.

        Raises:
            TaskError: it has others now.
        """
        tensors = self._tensors()
        known = self._names.union(*((array.name, *array.aliases) for array in self.layout.arrays))
        if other := (_names(self._module) - self._names) | (known - tensors.keys()):
            raise TaskError(f"the array {min(other)} was added or removed since the module joined: {_KEEPS}")
        for array in self.layout.arrays:
            tensor = tensors[array.name]
            _check(array, tensor)
            if others := {name for name in array.aliases if tensors[name] is not tensor}:
                raise TaskError(
                    f"{array.name} and {min(others)} were one array when the module joined, and are two now: {_KEEPS}"
                )
        return tensors


def _check(array: LayoutArray, tensor: torch.Tensor) -> None:
    """Refuse a tensor that is not what the module joined with.

    Raises:
        TaskError: it has another shape or dtype, no values, or is no constant any more.
    """
    if tensor.shape != array.shape:
        raise TaskError(
            f"{array.name} has the shape {list(tensor.shape)}, the module joined with {list(array.shape)}: {_KEEPS}"
        )
    if _dtype(tensor) != array.dtype:
        raise TaskError(f"{array.name} is {_dtype(tensor)}, the module joined with {array.dtype}: {_KEEPS}")
    if array.role is Role.CONSTANT and tensor.requires_grad:
        raise TaskError(
            f"{array.name} was frozen when the module joined and requires gradients now: unfreeze it before"
        )
    if tensor.is_meta:
        raise TaskError(f"{array.name} is on the device meta and has no values: {_KEEPS}")


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _plain(name: str) -> str:
    """A name as it is without ``torch.compile`` of a part of the module."""
    return name.replace("_orig_mod.", "")


def _names(module: torch.nn.Module) -> frozenset[str]:
    return frozenset(_plain(name) for name, _ in module.named_parameters(remove_duplicate=False))


def _counts(name: str) -> bool:
    return name.rpartition(".")[2] == COUNT


def _with_digest(array: LayoutArray, values: dict[str, bytes]) -> LayoutArray:
    return replace(array, digest=constant_digest(values[array.name])) if array.name in values else array


def _dense(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach() if tensor.layout is torch.strided else tensor.detach().to_dense()


def _view(array: NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(array)
