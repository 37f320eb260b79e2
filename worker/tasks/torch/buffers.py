"""The buffers of a module: which ones there are, and what each worker has in those that a forward pass changes."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch.nn.modules.batchnorm import _NormBase

from gradwire.common.errors import TaskError

STATISTICS = ("running_mean", "running_var")
COUNT = "num_batches_tracked"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Buffer:
    """A buffer by the module that owns it: a forward pass may put another tensor in its place."""

    name: str
    owner: torch.nn.Module
    key: str

    @property
    def tensor(self) -> torch.Tensor:
        """The tensor that is there now."""
        tensor = self.owner._buffers[self.key]
        assert tensor is not None
        return tensor

    @property
    def is_statistic(self) -> bool:
        """Whether it is a running mean or variance of a normalisation layer, SyncBatchNorm and subclasses included."""
        return isinstance(self.owner, _NormBase) and self.key in STATISTICS

    @property
    def is_count(self) -> bool:
        """Whether a normalisation layer counts its batches in it."""
        return isinstance(self.owner, _NormBase) and self.key == COUNT

    def assign(self, values: torch.Tensor) -> None:
        """Copy values into it, cast to its dtype."""
        with torch.no_grad():
            if self.tensor.shape == values.shape:
                self.tensor.copy_(values)
            else:
                self.owner._buffers[self.key] = values.clone()


def buffers_of(module: torch.nn.Module) -> Iterator[tuple[str, Buffer]]:
    """The buffers that ``state_dict()`` has, by each of their names."""
    for prefix, owner in module.named_modules(remove_duplicate=False):
        for key, tensor in owner._buffers.items():
            if tensor is not None and key not in owner._non_persistent_buffers_set:
                name = f"{prefix}.{key}" if prefix else key
                yield name, Buffer(name, owner, key)


def require_momentum(statistics: Sequence[Buffer]) -> None:
    """Refuse layers whose statistics cannot be averaged over workers.

    Raises:
        TaskError: one keeps a cumulative average, which depends on a count that workers do not share.
    """
    for buffer in statistics:
        if getattr(buffer.owner, "momentum", 0.1) is None:
            layer = buffer.name.rpartition(".")[0] or "the module"
            raise TaskError(
                f"{layer} has momentum=None, a cumulative average over batches that workers do not count together: "
                "give it a momentum such as 0.1, or write buffers=local"
            )


class BufferStates:
    """Buffers that are no part of the flat vector: constant, or local to each worker.

    What a forward pass changed is put back, so that neither a gradient nor an evaluation depends on how many were
    computed before: to the initial values, or, where buffers are local, to what the worker had.
    """

    def __init__(self, buffers: Sequence[Buffer], *, local: bool) -> None:
        """Remember the initial values.

        Args:
            buffers: those of the state dict that are not averaged.
            local: whether each worker keeps its own values of those that change.
        """
        self._buffers = {buffer.name: buffer for buffer in buffers}
        self._local = local
        self.initial = {name: buffer.tensor.clone() for name, buffer in self._buffers.items()}
        self._seen = {name: _state(buffer) for name, buffer in self._buffers.items()}
        # Batch norm's kernels write running statistics without counting it as a change of the tensor.
        self._changing = {buffer.name for buffer in buffers if buffer.is_statistic or buffer.is_count}
        self._workers: dict[int, dict[str, torch.Tensor]] = {}

    def enter(self, worker: int) -> None:
        """Before a forward pass: the buffers become those of a worker."""
        self._note_changes()
        for name, values in self._of(worker).items():
            self._buffers[name].assign(values)
            self._seen[name] = _state(self._buffers[name])

    def leave(self, worker: int) -> None:
        """After a gradient: the worker keeps what it changed, where buffers are local."""
        self._note_changes()
        if self._local:
            self._workers[worker] = {name: self._buffers[name].tensor.clone() for name in self._changing}

    def _of(self, worker: int) -> dict[str, torch.Tensor]:
        """What a worker has in the buffers that change."""
        own = self._workers.get(worker, {})
        return {name: own.get(name, self.initial[name]) for name in sorted(self._changing)}

    def _note_changes(self) -> None:
        """Find out which buffers a forward pass changes."""
        now = {name: _state(buffer) for name, buffer in self._buffers.items()}
        for name in sorted(name for name, state in now.items() if state != self._seen[name]):
            if not self._local and name not in self._changing:
                _log.warning(
                    "the forward pass changes %s, a constant of the run: it is put back; buffers=local keeps it",
                    name,
                )
            self._changing.add(name)
        self._seen = now

    def arrays(self, worker: int) -> dict[str, NDArray[Any]]:
        """Copies of a worker's own buffers by name, bfloat16 as float32; empty where buffers are not local."""
        own = self._of(worker) if self._local else {}
        return {name: _plain(tensor).cpu().numpy().copy() for name, tensor in own.items()}

    def restore(self, worker: int, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Give a worker back what ``arrays`` returned.

        Raises:
            TaskError: of another module.
        """
        for name, array in arrays.items():
            if name not in self._buffers or self.initial[name].shape != array.shape:
                raise TaskError(
                    f"worker {worker} left a buffer {name} {list(array.shape)}, which this module has not: another did"
                )
        self._workers[worker] = {n: torch.tensor(array).to(self.initial[n]) for n, array in arrays.items()}
        self._changing |= set(arrays)


def _state(buffer: Buffer) -> tuple[int, int]:
    """Differs after every change of a buffer, in place or by assignment."""
    return id(buffer.tensor), buffer.tensor._version


def _plain(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor
