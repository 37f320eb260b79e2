"""Tasks: data and a model in, a gradient out. Importing this package registers every kind."""

from gradwire.worker.tasks import kinds
from gradwire.worker.tasks.base import Gradient, Task, TaskKind
from gradwire.worker.tasks.registry import build_task, parse_task, register_task, task_kinds

__all__ = [
    "Gradient",
    "Task",
    "TaskKind",
    "build_task",
    "kinds",
    "parse_task",
    "register_task",
    "task_kinds",
]
