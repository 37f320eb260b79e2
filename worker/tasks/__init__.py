"""Tasks: data and a model in, a gradient out.

Importing this package registers every kind; each stands in the module of its name.
"""

from gradwire.worker.tasks import (
    custom,
    least_squares,
    logistic,
    mlp,
    softmax,
    synthetic,
    torch_kind,
)
from gradwire.worker.tasks.base import Gradient, Task, TaskKind
from gradwire.worker.tasks.registry import build_spec, build_task, kind_of, register_task, task_kinds

__all__ = [
    "Gradient",
    "Task",
    "TaskKind",
    "build_spec",
    "build_task",
    "custom",
    "kind_of",
    "least_squares",
    "logistic",
    "mlp",
    "register_task",
    "softmax",
    "synthetic",
    "task_kinds",
    "torch_kind",
]
