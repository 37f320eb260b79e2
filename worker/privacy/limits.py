"""Limits that a worker's owner sets, and what the server must not ask for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from gradwire.common.codecs import AnyCodec
from gradwire.common.errors import ConfigError, PrivacyError
from gradwire.common.privacy.accounting import check_delta, require_accountant
from gradwire.common.privacy.budget import Budget
from gradwire.proto import wire_pb2


@dataclass(frozen=True)
class Limits:
    """What a worker's owner allows.

    Attributes:
        budget: over the lifetime of the data; None for no limit, and then codecs need not be private.
        report_metrics: losses and metrics may be sent in private runs too.
    """

    budget: Budget | None = None
    report_metrics: bool = False

    def check(self, run: wire_pb2.Run, codec: AnyCodec) -> None:
        """Check what the server asks for.

        Raises:
            PrivacyError: the codec is not private although there is a budget, or a private run weighs by example
                counts.
        """
        if self.budget is not None and not codec.private:
            raise PrivacyError(
                f"the run's codec {codec} is not private and this worker has --max-epsilon {self.budget.epsilon:g}: "
                "choose a private codec (`gradwire plan --epsilon`), or start it without the limit"
            )
        if codec.private and (run.weigh_by_examples or run.weigh_by_size):
            raise PrivacyError(
                "the run weighs workers by their example counts, which would be sent in the clear: use weighting equal"
            )

    def allow_metrics(self, codec: AnyCodec) -> bool:
        """Whether losses and metrics may be sent in a run with this codec."""
        return self.report_metrics or not codec.private


def budget_from(max_epsilon: float | None, delta: float | None, state_dir: Path | None) -> Budget | None:
    """The privacy budget that a worker's owner asks for.

    Raises:
        ConfigError: values out of range, a delta without a budget, or a budget without a folder for its ledger.
    """
    if max_epsilon is None:
        if delta is not None:
            raise ConfigError("--delta without --max-epsilon limits nothing: pass both")
        return None
    if state_dir is None:
        raise ConfigError("--max-epsilon needs --state-dir: the ledger must survive a restart")
    if delta is None:
        return Budget(max_epsilon)
    budget = Budget(max_epsilon, check_delta(delta))
    require_accountant()
    return budget


def check_assignment(asked: wire_pb2.Join, assigned: Collection[int]) -> None:
    """Check that the server assigned the workers that were asked for: each counts as holding data of its own.

    Raises:
        PrivacyError: others, or another number of them.
    """
    ids = sorted(assigned)
    wanted = sorted(asked.workers)
    if len(set(ids)) != len(ids) or (ids != wanted if wanted else len(ids) != asked.count):
        raise PrivacyError(
            f"the server assigned workers {ids} to a process that asked for {wanted or asked.count}: do not trust it"
        )
