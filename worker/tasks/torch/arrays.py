"""A torch module's arrays: their names and roles, and the flat vector between the module and the run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.nn.parameter import is_lazy

from gradwire.common.errors import TaskError
from gradwire.common.training.layout import Layout, LayoutArray, Role, constant_digest
from gradwire.worker.tasks.torch.buffers import BufferStates, buffers_of, require_momentum

T = TypeVar("T")


class ModuleArrays:
    """Trained parameters, averaged statistics and constants of a module.

    Trained: parameters that require gradients, tied ones once. Averaged: the running statistics of normalisation
    layers. Constant: every other parameter and buffer of ``state_dict()``. The flat vector [dim] is float32: the master
    copy of parameters that are bfloat16, float16 or float64 in the module.

    Attributes:
        layout: named as in the state dict of the module, without DataParallel, DistributedDataParallel, torch.compile.
        trained: the parameters, in the order of the vector.
        averaged: the statistics, in the order of the vector.
        states: the other buffers.
    """

    def __init__(self, module: torch.nn.Module, *, local: bool) -> None:
        """Read the module's arrays.

        Args:
            module: on its device; a wrapper is looked through.
            local: whether running statistics stay with each worker, constants of the run, instead of being averaged.

        Raises:
            TaskError: no trainable parameter, one that is not initialised, or statistics that cannot be averaged.
            LayoutError: an array of a dtype that cannot be laid out.
        """
        inner = unwrapped(module)
        parameters = [
            _Entry(names, p, _role(p)) for names, p in _once(inner.named_parameters(remove_duplicate=False))
        ]
        _require_trainable(parameters)
        owners = dict(buffers_of(inner))
        aliases = {n[0]: n for n, _ in _once((name, buffer.tensor) for name, buffer in owners.items())}
        self.averaged = [owners[name] for name in aliases if owners[name].is_statistic and not local]
        require_momentum(self.averaged)
        rest = [owners[name] for name in aliases if owners[name] not in self.averaged]
        self.states = BufferStates(rest, local=local)
        entries = [
            *parameters,
            *(_Entry(aliases[b.name], b.tensor, Role.AVERAGED) for b in self.averaged),
            *(_Entry(aliases[b.name], self.states.initial[b.name], Role.CONSTANT) for b in rest),
        ]
        entries.sort(key=lambda entry: list(Role).index(entry.role))
        self.trained = [entry.tensor for entry in entries if entry.role is Role.TRAINED]
        self._constants = [entry.tensor for entry in entries if entry.role is Role.CONSTANT]
        self.layout = Layout(tuple(entry.described() for entry in entries))

    def vector(self) -> torch.Tensor:
        """The flat vector [dim] of what the module holds, float32."""
        return flat([*self.trained, *(buffer.tensor for buffer in self.averaged)])

    def load(self, vector: torch.Tensor) -> None:
        """Set the module from a flat vector [dim] on its device, which is only read."""
        tensors = [*self.trained, *(buffer.tensor for buffer in self.averaged)]
        with torch.no_grad():
            for tensor, values in zip(
                tensors, torch.split(vector, [t.numel() for t in tensors]), strict=True
            ):
                tensor.copy_(values.view(tensor.shape))

    def update(self, vector: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """The gradient [trained], then by how much the statistics fell since ``vector`` was loaded: float32 [dim]."""
        if not self.averaged:
            return gradient
        return torch.cat([gradient, vector[self.layout.trained :] - flat([b.tensor for b in self.averaged])])

    def constants(self) -> list[bytes]:
        """Values of the constant arrays in the order of the layout, little-endian, in their own dtypes."""
        return [_bytes(tensor) for tensor in self._constants]


@dataclass(frozen=True, eq=False)
class _Entry:
    """A tensor with all of its names, the first one first."""

    names: Sequence[str]
    tensor: torch.Tensor
    role: Role

    def described(self) -> LayoutArray:
        dtype = str(self.tensor.dtype).removeprefix("torch.")
        digest = constant_digest(_bytes(self.tensor)) if self.role is Role.CONSTANT else b""
        name, *aliases = [name.replace("_orig_mod.", "") for name in self.names]
        return LayoutArray(name, tuple(self.tensor.shape), dtype, self.role, digest, tuple(aliases))


def unwrapped(module: torch.nn.Module) -> torch.nn.Module:
    """The module inside wrappers that add a prefix to its names."""
    while True:
        if isinstance(module, DataParallel | DistributedDataParallel):
            module = module.module
        elif isinstance(inner := getattr(module, "_orig_mod", None), torch.nn.Module):
            module = inner
        else:
            return module


def _once(named: Iterable[tuple[str, T]]) -> list[tuple[list[str], T]]:
    """Each tensor once, with all of its names."""
    found: dict[int, tuple[list[str], T]] = {}
    for name, tensor in named:
        found.setdefault(id(tensor), ([], tensor))[0].append(name)
    return list(found.values())


def _role(parameter: torch.nn.Parameter) -> Role:
    return Role.TRAINED if parameter.requires_grad else Role.CONSTANT


def _require_trainable(parameters: Sequence[_Entry]) -> None:
    for entry in parameters:
        if is_lazy(entry.tensor):
            raise TaskError(f"{entry.names[0]} has no shape yet: call the module once in the factory")
    if not any(entry.role is Role.TRAINED for entry in parameters):
        raise TaskError("the module has no trainable parameters, expected at least one")
    places: dict[int, str] = {}
    for entry in parameters:
        name = entry.names[0]
        if entry.tensor.numel() and (other := places.setdefault(entry.tensor.data_ptr(), name)) != name:
            raise TaskError(
                f"{other} and {name} are two parameters in one place: tie them by assigning the Parameter"
            )


def flat(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Tensors one after the other, float32 [n]; sparse gradients dense."""
    parts = [tensor.detach() for tensor in tensors]
    dense = [part if part.layout is torch.strided else part.to_dense() for part in parts]
    return torch.cat([part.reshape(-1).float() for part in dense])


def _bytes(tensor: torch.Tensor) -> bytes:
    raw: Any = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return bytes(raw)
