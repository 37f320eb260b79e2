"""Where a run stands: the whole state that the round state machine decides by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from gradwire.server.rounds.events import Contribution


class Phase(Enum):
    """Where a run stands.

    GATHERING: not enough workers have joined; pushes are kept, nothing commits. OPEN: a round is open. FINISHED: the
    last round is committed.
    """

    GATHERING = "gathering"
    OPEN = "open"
    FINISHED = "finished"


@dataclass(frozen=True)
class State:
    """Everything that decides what happens next.

    Attributes:
        workers: logical workers of the run.
        rounds: rounds of the run.
        needed: pushes that a round needs at least.
        round: the open round; rounds below it are committed.
        sessions: workers of each live session.
        pushed: this round's contributions by worker; kept when their session leaves, because they are here.
        overdue: the open round's deadline has passed, so its quorum commits it.
    """

    workers: int
    rounds: int
    needed: int
    round: int = 0
    phase: Phase = Phase.GATHERING
    sessions: Mapping[int, tuple[int, ...]] = field(default_factory=lambda: MappingProxyType({}))
    pushed: Mapping[int, Contribution] = field(default_factory=lambda: MappingProxyType({}))
    overdue: bool = False

    @property
    def live(self) -> frozenset[int]:
        """Workers that are connected."""
        return frozenset(w for workers in self.sessions.values() for w in workers)


def start(workers: int, rounds: int, needed: int, round_: int = 0) -> State:
    """The state of a run at the start of its server.

    Args:
        workers: logical workers of the run.
        rounds: rounds of the run.
        needed: pushes that a round needs at least.
        round_: rounds that are in the log.
    """
    phase = Phase.FINISHED if round_ >= rounds else Phase.GATHERING
    return State(workers=workers, rounds=rounds, needed=needed, round=round_, phase=phase)
