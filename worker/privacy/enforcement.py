"""What a worker holds a run to, whatever its server asks for.

The server names codec, task and weights; the worker's owner set the limits. In a run whose codec is private a worker

- draws its coins from the operating system, never from the run's seed;
- sends nothing of its data but payloads: no loss and no metrics unless its owner opted in, and no example counts: as
  weights they would be data that no mechanism randomised, so they are refused;
- has paid for a round in its ledger before a payload of it leaves, and re-sends the same bytes for that round from then
  on: after lost connections, restarts, and when the server asks again after it sent another model;
- answers every round, with zero in place of a gradient that cannot be encoded: stopping would depend on the data.

Error feedback keeps the guarantee: a private codec clips whatever it is given, so a payload's epsilon holds for
gradient plus memory, and the memory is a function of the data and of payloads that are paid for. A codec that does not
clip has no finite epsilon, so it is not private.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from gradwire.common.codecs import AnyCodec
from gradwire.common.privacy.budget import Run
from gradwire.common.spec import fingerprint
from gradwire.common.transport.specs import spec_from_message
from gradwire.proto import wire_pb2
from gradwire.worker.privacy.ledger import Ledger
from gradwire.worker.privacy.limits import Limits


class Privacy:
    """The limits of one worker process and its ledger, which is opened for the first private run."""

    def __init__(self, limits: Limits, state_dir: Path | None) -> None:
        self.limits = limits
        self._state_dir = state_dir
        self._ledger: Ledger | None = None

    def admit(self, run: wire_pb2.Run, codec: AnyCodec, workers: Collection[int]) -> Ledger | None:
        """Take part in a run as those workers; the ledger that pays for its payloads, None where none are private.

        Raises:
            PrivacyError: the run asks for more than the limits allow, or has changed since it was joined first.
            BudgetError: its first push would exceed the budget.
            LogError: the ledger cannot be used.
        """
        self.limits.check(run, codec)
        if not codec.private:
            return None
        if self._ledger is None:
            self._ledger = Ledger(self._state_dir, self.limits.budget)
        self._ledger.admit(ledger_run(run, codec, workers))
        return self._ledger

    def close(self) -> None:
        """Close the ledger and let another process have it."""
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None

    def notice(self, codec: AnyCodec) -> str | None:
        """A line for the user about an admitted run's cost and the budget; None where the run is not private."""
        if self._ledger is None or not codec.private:
            return None
        budget, totals = self.limits.budget, self._ledger.totals
        each = f"each push costs epsilon {codec.epsilon:.4g}"
        so_far = f"in {totals.pushes:,} pushes over all runs"
        if budget is None:
            return f"{each}; {totals.pure:.4g} is spent {so_far}, no limit is set"
        spent = totals.epsilon(budget.delta)
        return f"{each}; of {budget}, {spent:.4g} is spent {so_far}, {self._ledger.pushes_left:,} more fit"


def ledger_run(run: wire_pb2.Run, codec: AnyCodec, workers: Collection[int]) -> Run:
    """A run as a ledger identifies it: the fingerprint covers everything that decides whose data a payload is of.

    A run costs what its busiest worker sent, because its workers hold disjoint data. A server that dealt the data anew
    under the id of the same run would leave some in the memory of one worker and in the gradients of another.
    """
    dealt = (
        f"{spec_from_message(run.task)} workers={run.workers} seed={run.seed} feedback={run.error_feedback}"
    )
    for name in ("local", "partition"):  # absent in a plain run, whose fingerprint is as it was
        if run.HasField(name):
            dealt += f" {name}={spec_from_message(getattr(run, name))}"
    mark = fingerprint(f"{codec.spec} dim={codec.dim} {dealt}")
    return Run(run.run_id, mark, codec.epsilon, frozenset(workers))
