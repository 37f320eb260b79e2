"""Where a run stands: the whole state that the round state machine decides by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType

from gradwire.server.rounds.drawing import Draw
from gradwire.server.rounds.events import Contribution


class Phase(Enum):
    """Where a run stands.

    GATHERING: too few workers are connected; pushes are kept, nothing commits. OPEN: a round is open. FINISHED: the
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
        draw: how rounds draw who takes part; None where all workers of the run always do.
        opening: live workers with which a round opens; 0 for all of the run.
        drawn: the workers that may push for the round; None for all of the run.
    """

    workers: int
    rounds: int
    needed: int
    round: int = 0
    phase: Phase = Phase.GATHERING
    sessions: Mapping[int, tuple[int, ...]] = field(default_factory=lambda: MappingProxyType({}))
    pushed: Mapping[int, Contribution] = field(default_factory=lambda: MappingProxyType({}))
    overdue: bool = False
    draw: Draw | None = None
    opening: int = 0
    drawn: frozenset[int] | None = None

    @property
    def live(self) -> frozenset[int]:
        """Workers that are connected."""
        return frozenset(w for workers in self.sessions.values() for w in workers)

    @property
    def due(self) -> frozenset[int]:
        """Live workers of whom a push is expected in the open round."""
        expected = self.live if self.drawn is None else self.live & self.drawn
        return expected.difference(self.pushed)

    @property
    def least(self) -> int:
        """Live workers with which a round opens at the deadline, and goes on."""
        return self.needed if self.draw is None else self.draw.least


def start(
    workers: int, rounds: int, needed: int, round_: int = 0, *, draw: Draw | None = None, opening: int = 0
) -> State:
    """The state of a run at the start of its server.

    Args:
        workers: logical workers of the run.
        rounds: rounds of the run.
        needed: pushes that a round needs at least.
        round_: rounds that are in the log.
        draw: how rounds draw who takes part; None where all workers of the run always do.
        opening: live workers with which the first round opens; 0 for all of the run.
    """
    phase = Phase.FINISHED if round_ >= rounds else Phase.GATHERING
    state = State(
        workers=workers, rounds=rounds, needed=needed, round=round_, phase=phase, draw=draw, opening=opening
    )
    return undrawn(state)


def undrawn(state: State) -> State:
    """The state of a round that is not open: its cohort is not drawn, and without cohorts early pushes are kept."""
    cohorts = state.draw is not None and state.draw.cohort > 0
    return replace(state, drawn=frozenset() if cohorts else None)
