"""What one logical worker remembers from round to round, in this process and in its durable record."""

from __future__ import annotations

from gradwire.common.errors import TaskError
from gradwire.worker.feedback import ErrorFeedback
from gradwire.worker.record_file import Sent
from gradwire.worker.records import Records
from gradwire.worker.updates import State, UpdateSource

FEEDBACK = "feedback"  # the array's name in a record


class WorkerMemory:
    """The memories of one worker: error feedback, those of its source of updates, and what it sent last.

    A round is ``begin``, an update and its payload, then ``finish``, which makes the record durable: after it the
    payload may leave. A process that is killed before ``finish`` computes the round again from the memories before it;
    one that is killed later sends the same bytes again.

    What was sent last is enough to take back what was not counted: before the next round is computed the worker knows
    whether that one was. On a stream the server says so before the round's entry, and on a new one after Ready, which
    names the round.
    """

    def __init__(
        self, worker: int, source: UpdateSource, feedback: ErrorFeedback | None, records: Records | None
    ) -> None:
        """Continue from the worker's record, if it has one.

        Args:
            worker: its id.
            source: computes the updates of this worker, and others'.
            feedback: of this worker; None for none.
            records: where its record is kept; None keeps it in this process alone.

        Raises:
            LogError: the record cannot be used here.
        """
        self.worker, self.feedback = worker, feedback
        self._source, self._records = source, records
        self._round = 0  # the next one
        self._sent: Sent | None = None  # last, unless it was taken back
        self._before: State | None = None  # the memories before the last round, if this process computed it
        record = records.load(worker) if records is not None else None
        if record is not None:
            self._round = record.round
            self._sent = record.last
            self._restore(dict(record.arrays))

    # ---- one round -------------------------------------------------------------------------------------------

    def sent(self, round_: int) -> Sent | None:
        """What was sent for the last round, if that is the one."""
        last = self._sent
        return last if last is not None and last.round == round_ else None

    def keeps(self, round_: int, discarded: bool) -> bool:
        """Whether what was sent for a round is sent again, also after ``discard`` where it is called for."""
        return self.sent(round_) is not None and not (discarded and self._before is not None)

    @property
    def undecided(self) -> int | None:
        """The last round that a payload was encoded for, if the memories depend on whether it was counted."""
        if self._sent is None or (self.feedback is None and not self._source.follows_payloads):
            return None
        return self._sent.round

    def begin(self, round_: int) -> None:
        """Before the round's update is computed.

        Raises:
            TaskError: the round is before the last one, and the memories have gone on.
        """
        state = self._state()
        if round_ < self._round and state:
            raise TaskError(
                f"round {round_} is over: worker {self.worker}'s memories are at round {self._round}"
            )
        self._before = state

    def undo(self) -> None:
        """Be as at ``begin``: the round gave nothing to send."""
        assert self._before is not None
        self._restore(self._before)

    def finish(self, sent: Sent) -> None:
        """The round's payload is made; it may leave once this has returned.

        Raises:
            LogError: the disk refused the record; the payload must not leave.
        """
        self._sent = sent
        self._round = sent.round + 1
        self._save()

    def discard(self, round_: int) -> None:
        """Compute a round anew, from the memories before it, if this process computed it."""
        if self.sent(round_) is not None and self._before is not None:
            self._restore(self._before)
            self._sent = None
            self._round = round_

    def take_back(self, round_: int, shared: int | None) -> bool:
        """Undo the last round, which was committed without this worker, once; whether there was anything to undo.

        What its payload carried returns to the error feedback, and the source takes back what it must. The record then
        holds neither, so that a restart does not undo it again.
        """
        known = self.sent(round_)
        taken = self._source.take_back(self.worker, round_)
        if known is not None and self.feedback is not None:
            self.feedback.add_back(known.payload, shared=shared)
            taken = True
        if taken:
            self._before = None  # lacks this
            self._sent = None if known is not None else self._sent
            self._save()
        return taken

    # ---- all memories ----------------------------------------------------------------------------------------

    def _state(self) -> State:
        own = {FEEDBACK: self.feedback.memory} if self.feedback is not None else {}
        return {**own, **self._source.state(self.worker)}

    def _restore(self, state: State) -> None:
        if self.feedback is not None:
            self.feedback.restore(state.get(FEEDBACK))
        self._source.restore(self.worker, {k: v for k, v in state.items() if k != FEEDBACK})

    def _save(self) -> None:
        if self._records is not None:
            self._records.save(self.worker, self._round, self.sent(self._round - 1), self._state())
