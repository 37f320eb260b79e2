"""What a process evaluates and reports, every so many rounds and at the end."""

from __future__ import annotations

from collections.abc import Mapping

from gradwire.common.training.model import Model
from gradwire.proto import wire_pb2
from gradwire.worker.tasks import Task
from gradwire.worker.tasks.base import evaluation_size


class Reports:
    """The evaluations of one run; they outlive a connection.

    Attributes:
        evaluates: this process has held-out data of its own, on which it evaluates whatever others do.
        named: the server has named this process, on the present stream, to evaluate for all.
        last: the newest report; None before the first.
    """

    def __init__(self, task: Task, every: int, *, own: bool = False, counted: bool = True) -> None:
        """Nothing is evaluated yet.

        Args:
            task: whose ``evaluate`` is called.
            every: rounds from one evaluation to the next; 0: at the end alone.
            own: the task's data are this process's own, not dealt from data that all share.
            counted: the number of held-out samples may be sent.
        """
        self._every = every
        self._own, self._counted = own, counted
        self.evaluate_with(task)
        self._evaluated = -1  # the round that was evaluated last
        self.named = False
        self.last: wire_pb2.Report | None = None

    @property
    def wanted(self) -> bool:
        """Whether the server takes reports of this process."""
        return self.named or self.evaluates

    def evaluate_with(self, task: Task) -> None:
        """Continue with another task: the process hosts other workers of the run."""
        self._task = task
        self.evaluates = self._own and evaluation_size(task) != 0

    def is_due(self, round_: int, newest: int | None = None) -> bool:
        """Whether an evaluation is due at the parameters of this round: all sites evaluate the same rounds.

        Args:
            round_: of the replica.
            newest: of the replica once everything is folded that has arrived; None where that is the same. A process
                that is so far behind that the next evaluation is due already leaves this one out.
        """
        if not self._every or round_ % self._every or round_ <= self._evaluated:
            return False
        return newest is None or newest // self._every <= round_ // self._every

    def restored(self, round_: int) -> None:
        """The replica took the server's model of this round: what was evaluated from there on was another model."""
        self._evaluated = min(self._evaluated, round_ - 1)
        if self.last is not None and self.last.round >= round_:
            self.last = None

    def evaluate(self, model: Model) -> wire_pb2.Report | None:
        """Evaluate the model; None when the task has no measures. Blocks."""
        return self.measured(model.round, self._task.evaluate(model.reported))

    def measured(self, round_: int, values: Mapping[str, float]) -> wire_pb2.Report | None:
        """The report of what was measured at the parameters of a round; None when that is nothing."""
        self._evaluated = round_
        if not values:
            return None
        metrics = [wire_pb2.Metric(name=name, value=value) for name, value in values.items()]
        examples = evaluation_size(self._task) if self._counted else None
        self.last = wire_pb2.Report(round=round_, metrics=metrics, examples=examples or 0)
        return self.last
