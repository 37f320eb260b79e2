"""Where a worker's updates come from: a task's gradient, or local steps around a task."""

from gradwire.worker.updates.base import State, UpdateSource
from gradwire.worker.updates.gradient import TaskGradient
from gradwire.worker.updates.local import LocalUpdate

__all__ = ["LocalUpdate", "State", "TaskGradient", "UpdateSource"]
