"""Where a worker's updates come from: a task's gradient, local steps around a task, or a loop of the user's own."""

from gradwire.worker.updates.base import State, UpdateSource
from gradwire.worker.updates.gradient import TaskGradient
from gradwire.worker.updates.handed_over import HandedOver
from gradwire.worker.updates.local import LocalUpdate

__all__ = ["HandedOver", "LocalUpdate", "State", "TaskGradient", "UpdateSource"]
