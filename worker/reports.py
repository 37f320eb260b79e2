"""What the process that hosts worker 0 evaluates and reports, every so many rounds."""

from __future__ import annotations

from gradwire.common.training.model import Model
from gradwire.proto import wire_pb2
from gradwire.worker.tasks import Task


class Reports:
    """The evaluations of one run; they outlive a connection."""

    def __init__(self, task: Task, every: int) -> None:
        """Nothing is evaluated yet.

        Args:
            task: whose ``evaluate`` is called.
            every: rounds from one evaluation to the next; 0: at the end alone.
        """
        self._task = task
        self._every = every
        self._evaluated = -1  # the round that was evaluated last
        self.last: wire_pb2.Report | None = None

    def evaluate_with(self, task: Task) -> None:
        """Continue with another task: the process hosts other workers of the run."""
        self._task = task

    def is_due(self, round_: int) -> bool:
        """Whether an evaluation is due at the parameters of this round."""
        return bool(self._every) and round_ // self._every > self._evaluated // self._every

    def skip_to(self, round_: int) -> None:
        """Do not evaluate rounds before this one: the replica has passed them."""
        self._evaluated = max(self._evaluated, round_ - 1)

    def evaluate(self, model: Model) -> wire_pb2.Report | None:
        """Evaluate the model; None when the task has no measures. Blocks."""
        values = self._task.evaluate(model.reported)
        self._evaluated = model.round
        if not values:
            return None
        metrics = [wire_pb2.Metric(name=name, value=value) for name, value in values.items()]
        self.last = wire_pb2.Report(round=model.round, metrics=metrics)
        return self.last
