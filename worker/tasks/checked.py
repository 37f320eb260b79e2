"""Validates what a user's own task returns, and wraps its exceptions: one line that names the task and the remedy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradwire.common.arrays.compat import all_finite, is_tensor
from gradwire.common.errors import GradwireError, TaskError
from gradwire.common.transport import limits
from gradwire.worker.tasks.base import Gradient, Task, checked_loss, evaluation_size, layout_of, training_size


class CheckedTask:
    """A task whose results are validated and whose errors name it.

    It gets the parameters read-only, because they are the replica's.
    """

    def __init__(self, task: Task, target: str) -> None:
        self.task, self.target = task, target
        self.dim = int(task.dim)
        self.takes_tensors = bool(getattr(task, "takes_tensors", False))
        self.shares_samples = bool(getattr(task, "shares_samples", False))
        with user_code(f"{self.target}: layout"):
            self.layout = layout_of(task)

    def initial(self) -> NDArray[np.float32]:
        """Starting parameters [dim].

        Raises:
            TaskError: it raised, or returned something else than finite numbers [dim].
        """
        with user_code(f"{self.target}: initial()"):
            given = np.asarray(self.task.initial())
        if given.shape != (self.dim,) or given.dtype.kind not in "fiu":
            raise TaskError(
                f"{self.target}: initial() returned {described(given)}, expected float32 [{self.dim}], like its dim"
            )
        with np.errstate(over="ignore"):
            params = given.astype(np.float32)
        if not all_finite(params):
            raise TaskError(f"{self.target}: initial() returned numbers that are not finite: correct them")
        return params

    def gradient(self, params: Any, *, round: int, worker: int) -> Gradient:
        """The task's gradient at ``params`` [dim], a NumPy array or, for torch tasks, a tensor.

        Raises:
            TaskError: it raised, or returned something else than a Gradient that can be encoded.
            NotFiniteError: its loss is not finite.
        """
        where = f"{self.target}: gradient(round={round}, worker={worker})"
        with user_code(where):
            given = self.task.gradient(_read_only(params), round=round, worker=worker)
        if not isinstance(given, Gradient):
            raise TaskError(
                f"{where} returned {described(given)}, expected gradwire.Gradient(value, loss, examples)"
            )
        if not (isinstance(given.value, np.ndarray) or is_tensor(given.value)) or tuple(
            given.value.shape
        ) != (self.dim,):
            raise TaskError(
                f"{where} returned the value {described(given.value)}, expected an array [{self.dim}]"
            )
        if not _is_whole(given.examples) or not 1 <= given.examples <= limits.MAX_EXAMPLES:
            raise TaskError(
                f"{where} returned examples={described(given.examples)}, expected a whole number of at least 1"
            )
        if given.loss is None:
            return Gradient(given.value, None, int(given.examples))
        loss = checked_loss(
            as_number(given.loss, f"{where} returned the loss", " or None"), round=round, worker=worker
        )
        return Gradient(given.value, loss, int(given.examples))

    def worker_state(self, worker: int) -> dict[str, NDArray[Any]]:
        """What the task keeps of a worker between rounds, by name; empty for tasks that keep nothing.

        Raises:
            TaskError: it raised.
        """
        if not hasattr(self.task, "worker_state"):
            return {}
        with user_code(f"{self.target}: worker_state(worker={worker})"):
            return dict(self.task.worker_state(worker))

    def restore_worker_state(self, worker: int, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Continue from what ``worker_state`` returned.

        Raises:
            TaskError: it raised, or the arrays are another task's.
        """
        if not hasattr(self.task, "restore_worker_state"):
            if arrays:
                raise TaskError(
                    f"{self.target} has no restore_worker_state, and worker {worker} left {', '.join(arrays)}"
                )
            return
        with user_code(f"{self.target}: restore_worker_state(worker={worker})"):
            self.task.restore_worker_state(worker, arrays)

    def size(self, worker: int) -> int:
        """How many samples a worker trains on.

        Raises:
            TaskError: the task does not say, it raised, or returned something else than a whole number of at least 1.
        """
        where = f"{self.target}: size(worker={worker})"
        with user_code(where):
            size = training_size(self.task, worker)
        if not 1 <= size <= limits.MAX_EXAMPLES:
            raise TaskError(f"{where} returned {size}, expected a whole number of at least 1")
        return size

    def evaluation_size(self) -> int | None:
        """How many held-out samples ``evaluate`` means over, 0 for none; None where the task does not say.

        Raises:
            TaskError: it raised, or returned something else than a whole number of at least 0, or None.
        """
        where = f"{self.target}: evaluation_size()"
        with user_code(where):
            size = evaluation_size(self.task)
        if size is not None and (not _is_whole(size) or not 0 <= size <= limits.MAX_HELD_OUT):
            raise TaskError(
                f"{where} returned {described(size)}, expected a whole number of at least 0, or None"
            )
        return None if size is None else int(size)

    def constants(self) -> list[bytes]:
        """The values of the layout's constant arrays; empty where the task has none."""
        with user_code(f"{self.target}: constants()"):
            return list(self.task.constants()) if hasattr(self.task, "constants") else []

    def evaluate(self, params: NDArray[np.float32]) -> dict[str, float]:
        """The task's measures of ``params`` [dim].

        Raises:
            TaskError: it raised, or returned something else than numbers by name.
        """
        where = f"{self.target}: evaluate()"
        with user_code(where):
            given: Any = self.task.evaluate(_read_only(params))
        if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
            raise TaskError(
                f"{where} returned {described(given)}, expected numbers by name, such as {{'accuracy': 0.9}}"
            )
        if not limits.accepts_metrics(given):
            raise TaskError(
                f"{where} returned more than {limits.MAX_METRICS} measures, or a name that is not printable or longer "
                f"than {limits.MAX_METRIC_NAME} characters"
            )
        return {name: as_number(value, f"{where} returned {name}") for name, value in given.items()}


@contextmanager
def user_code(what: str) -> Iterator[None]:
    """Around a call of the user's code: turn its exceptions into one line that says where they were raised.

    Raises:
        TaskError: it raised an exception that is not one of gradwire's.
    """
    try:
        yield
    except (GradwireError, MemoryError):
        raise
    except Exception as error:
        words = " ".join(str(error).split())
        raise TaskError(
            f"{what} raised {type(error).__name__}{': ' * bool(words)}{words}; --debug before the command shows where"
        ) from error


def _read_only(params: Any) -> Any:
    if is_tensor(params):  # torch has no read-only tensors
        return params
    view = params.view()
    view.flags.writeable = False
    return view


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def as_number(value: Any, where: str, other: str = "") -> float:
    """A real number, from Python, NumPy (an array of one included) or torch.

    Raises:
        TaskError: something else; ``where`` begins the message, ``other`` names what is allowed besides.
    """
    if isinstance(value, np.ndarray | np.generic) or is_tensor(value):
        value = value.item() if math.prod(value.shape) == 1 else value
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TaskError(f"{where} {described(value)}, expected a number{other}")
    return float(value)


def described(value: Any) -> str:
    """A value, described briefly."""
    if isinstance(value, np.ndarray) or is_tensor(value):
        return f"{value.dtype} {list(value.shape)}"
    return repr(value)[:40] if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"
