"""The contract of a source of updates: model, round and worker in, an update of the model out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, TypeAlias, runtime_checkable

from numpy.typing import NDArray

from gradwire.common.arrays.compat import Array
from gradwire.common.training.model import Model
from gradwire.worker.tasks import Gradient, Task

State: TypeAlias = dict[str, Array]  # NumPy, or torch on a device; nobody writes to the arrays
TASK = "task."  # before the names of arrays that are the task's own


@runtime_checkable
class Remembering(Protocol):
    """A task that keeps something for a worker from round to round, such as buffers that stay local."""

    def worker_state(self, worker: int) -> dict[str, NDArray[Any]]:
        """What it keeps, by name; empty while that is nothing. Later rounds do not write to the arrays."""

    def restore_worker_state(self, worker: int, arrays: dict[str, NDArray[Any]]) -> None:
        """Become what ``worker_state`` returned."""


class UpdateSource(ABC):
    """Computes updates for the logical workers of a process, and keeps what each remembers from round to round.

    After ``update`` the worker's memories are those after the round; where it raises, they are not defined until the
    caller restores those from before. ``state`` and ``restore`` carry them over a restart, bit for bit, and undo a
    round that has to be computed again.
    """

    waits: ClassVar[bool] = False  # ``ready`` has to be awaited before ``update`` is called for a round

    @property
    @abstractmethod
    def dim(self) -> int:
        """Length of an update."""

    @property
    @abstractmethod
    def remembers(self) -> bool:
        """Whether a worker may have a state, now or later."""

    @property
    def arrays_kept(self) -> int:
        """Float32 arrays [dim] that this process holds for each worker, those from before the last round included."""
        return 0

    @abstractmethod
    def update(self, model: Model, *, round: int, worker: int) -> Gradient:
        """The update at ``model`` [dim]: what the server subtracts from it, scaled by its optimizer.

        Raises:
            TaskError: the task cannot compute it.
            NotFiniteError: a loss is not finite.
        """

    async def ready(self, model: Model, round_: int) -> None:  # noqa: B027 - most compute at once
        """Wait until ``update`` can be called for this round without waiting; may be cancelled and called again."""

    def discard(self) -> None:  # noqa: B027 - most compute from the model that they are given
        """The model of the last round was not the server's: an update that was begun at it is not sent."""

    @property
    def follows_payloads(self) -> bool:
        """Whether ``follow`` is called for the payload of each update."""
        return False

    def follow(self, model: Model, *, round: int, worker: int, carried: Array) -> None:  # noqa: B027 - see above
        """Let a round count for what follows the server's model.

        Args:
            model: of the round.
            round: the round.
            worker: its id.
            carried: [dim], what the worker's payload carries of the update; all of it where error feedback keeps the
                rest for later payloads.
        """

    def state(self, worker: int) -> State:
        """The memories of a worker, by name; empty where there are none. Later rounds do not write to the arrays."""
        return {}

    def restore(self, worker: int, state: Mapping[str, Array]) -> None:  # noqa: B027 - most have nothing to restore
        """Become what ``state`` returned.

        Raises:
            LogError: the arrays are not those of such a state.
        """

    def take_back(self, worker: int, round_: int) -> bool:
        """Undo what must not outlast a round that was committed without this worker; whether there was anything."""
        return False


def task_state(task: Task, worker: int) -> State:
    """What the task itself keeps for a worker (buffers that stay local), under names of its own."""
    if not isinstance(task, Remembering):
        return {}
    return {TASK + name: array for name, array in task.worker_state(worker).items()}


def restore_task_state(task: Task, worker: int, state: Mapping[str, Array]) -> None:
    """Give the task back what ``task_state`` read."""
    if isinstance(task, Remembering):
        own = {name.removeprefix(TASK): array for name, array in state.items() if name.startswith(TASK)}
        task.restore_worker_state(worker, own)
