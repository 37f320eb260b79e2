"""The contract of a task, which computes a worker's gradients.

A task is deterministic: the same seed, round, worker and parameters give the same gradient bits on the same machine,
so that a restarted worker repeats its gradients. One process builds one task for all of its logical workers and calls
it from one thread at a time.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from gradwire.common.errors import NotFiniteError, SpecError, TaskError
from gradwire.common.spec import Spec
from gradwire.common.training.layout import Layout
from gradwire.common.transport.limits import CONSTANT_BYTES
from gradwire.worker.site import Site

LARGEST_LOSS = float(np.finfo(np.float32).max)


@dataclass(frozen=True, eq=False)
class Gradient:
    """One worker's gradient in one round.

    Attributes:
        value: floating array [dim], NumPy or torch (on any device); the caller does not write to it.
        loss: mean training loss at the given parameters on the same samples; None where there is none.
        examples: number of samples that it is the mean over, the worker's weight in a weighted round.
    """

    value: Any
    loss: float | None
    examples: int


@runtime_checkable
class Task(Protocol):
    """Data and a model in, a gradient out. Any object with these members is a task.

    A task may have more: ``layout``, the ``Layout`` of its parameter vector (``layout_of``); ``constants()``, the bytes
    of the layout's constant arrays (``constants_of``); ``size(worker)``, the number of samples that a worker trains on
    (``training_size``); ``evaluation_size()``, the number of held-out samples that ``evaluate`` means over
    (``evaluation_size``); ``worker_state(worker)``, arrays by name of what it keeps of a worker between rounds, and
    ``restore_worker_state(worker, arrays)``, which continues from them after a restart. A task on a device may take
    the parameters as a tensor, too.
    """

    @property
    def dim(self) -> int:
        """Length of the parameter vector."""

    def initial(self) -> NDArray[np.float32]:
        """Starting parameters [dim], the same for every process of a run."""

    def gradient(self, params: NDArray[np.float32], *, round: int, worker: int) -> Gradient:
        """The gradient at ``params`` [dim] of the mean loss over this worker's samples of this round."""

    def evaluate(self, params: NDArray[np.float32]) -> dict[str, float]:
        """Named measures of ``params`` [dim] on held-out data; may be empty."""


class TaskKind(ABC):
    """The parameters of a task, from its spec: a frozen dataclass, whose fields are what the spec may set, in order.

    Attributes:
        name: the spec's name.
    """

    name: ClassVar[str]

    @property
    def own_data(self) -> bool:
        """Whether a site trains on data of its own, unless a partition deals one data set to all of them."""
        return False

    @property
    @abstractmethod
    def known_dim(self) -> int | None:
        """Length of the parameter vector if it is known without building the task, else None."""

    @abstractmethod
    def build(self, site: Site, *, workers: int, partition: Spec | None = None) -> Task:
        """Load the data and make the task for the workers that a site hosts.

        Args:
            site: the process, its workers and its own data; its seed is the run's.
            workers: logical workers in the whole run.
            partition: how one data set, the same at every process, is dealt to all workers; None where each site has
                its own data, and for the catalogue's data sets, which are then dealt evenly.
        """


def layout_of(task: Task) -> Layout:
    """The layout of a task's parameter vector: its own, or one array of ``dim`` parameters.

    Raises:
        TaskError: its layout has another length than ``dim``.
    """
    layout: Layout = getattr(task, "layout", None) or Layout.flat(task.dim)
    if layout.dim != task.dim:
        raise TaskError(
            f"a task with {task.dim} parameters and a layout of {layout.dim}: correct one of them"
        )
    return layout


def constants_of(task: Task) -> list[bytes]:
    """The values of a task's constant arrays, little-endian, in the order of its layout; none if they are too many.

    Raises:
        TaskError: not one for each constant array of the layout.
    """
    arrays = layout_of(task).constants
    if not arrays or sum(array.nbytes for array in arrays) > CONSTANT_BYTES:
        return []
    values = list(task.constants()) if hasattr(task, "constants") else []
    if [len(data) for data in values] != [array.nbytes for array in arrays]:
        raise TaskError(
            f"the task's constants() do not fit its layout, which has {len(arrays)} constant arrays"
        )
    return values


def training_size(task: Task, worker: int) -> int:
    """How many samples a worker trains on, its weight where a run weighs by size.

    Raises:
        TaskError: the task does not say.
    """
    size = getattr(task, "size", None)
    if size is None:
        raise TaskError(
            "the run weighs workers by the size of their training sets, and this task has no size(worker): "
            "add it, or use --weighting examples"
        )
    return int(size(worker))


def evaluation_size(task: Task) -> int | None:
    """How many held-out samples a process's measures are means over; 0 where it has none, None where that is not known.

    It is asked for before the first evaluation, and again after each.
    """
    size = getattr(task, "evaluation_size", None)
    found: int | None = size() if size is not None else None
    return found


def require_at_least(least: int, kind: str, **values: int) -> None:
    """Refuse parameters below ``least``.

    Args:
        least: the smallest allowed value.
        kind: names the task in the error.
        values: the parameters, by name.

    Raises:
        SpecError: one of them is smaller.
    """
    for name, value in values.items():
        if value < least:
            raise SpecError(
                f"{kind}: {name} is {value}, expected at least {least}; write {name}={least} or more"
            )


def checked_params(params: NDArray[np.float32], dim: int) -> NDArray[np.float32]:
    """``params`` as contiguous float32 [dim], without a copy where it is that already.

    Raises:
        TaskError: another shape.
    """
    if params.shape != (dim,):
        raise TaskError(
            f"the parameters have shape {list(params.shape)}, expected [{dim}]: another task made this model"
        )
    return np.ascontiguousarray(params, np.float32)


def check_worker(worker: int, workers: int) -> None:
    """Check that a task of so many logical workers has this one.

    Raises:
        TaskError: it has not.
    """
    if not 0 <= worker < workers:
        raise TaskError(f"worker {worker} is outside 0 … {workers - 1}")


def checked_loss(loss: float, *, round: int, worker: int) -> float:
    """The training loss, if it is finite: no gradient of another can be encoded.

    Raises:
        NotFiniteError: infinite, NaN, or beyond float32, as which it crosses the wire.
    """
    if not abs(loss) <= LARGEST_LOSS:
        raise NotFiniteError(
            f"worker {worker}, round {round}: the training loss is {loss}; lower the learning rate"
        )
    return loss
