"""Input (events) and output (effects) of the round state machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

# ---- events ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Joined:
    """A process is up to date and hosts these workers; sessions are numbered by the caller and never reused."""

    session: int
    workers: tuple[int, ...]


@dataclass(frozen=True)
class Contribution:
    """One worker's valid payload, with its example count (1 where workers weigh equally).

    What follows is kept while the round is open and handed back with Commit. It is not compared: a retry may come from
    another process.

    Attributes:
        unpacked: the payload as its validation unpacked it, so that it is not unpacked again.
        process: the name of the process that sent it first.
    """

    worker: int
    payload: bytes
    examples: int = 1
    unpacked: object = field(default=None, compare=False, repr=False)
    process: str = field(default="", compare=False)


@dataclass(frozen=True)
class Pushed:
    """A process sent payloads for a round."""

    session: int
    round: int
    contributions: tuple[Contribution, ...]


@dataclass(frozen=True)
class DeadlinePassed:
    """The deadline that was armed for a round has passed."""

    round: int


@dataclass(frozen=True)
class Left:
    """A process's stream ended, for whatever reason."""

    session: int


Event: TypeAlias = Joined | Pushed | DeadlinePassed | Left


# ---- effects -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Opened:
    """Tell these sessions that the round is open, and of which workers a push is expected."""

    round: int
    sessions: tuple[int, ...]
    due: frozenset[int]


@dataclass(frozen=True)
class Commit:
    """Append the round to the log, fold it, then announce it.

    Attributes:
        round: which.
        contributions: in worker order.
        cohort: who is drawn for the next round, increasing; empty where the run draws no cohorts, or none is open.
        missing: live workers whose push was expected and did not come in time.
    """

    round: int
    contributions: tuple[Contribution, ...]
    cohort: tuple[int, ...] = ()
    missing: frozenset[int] = frozenset()


@dataclass(frozen=True)
class ArmDeadline:
    """Send DeadlinePassed(round) when the configured time has passed; replaces an earlier one."""

    round: int


@dataclass(frozen=True)
class AnswerLate:
    """Answer a session's push of these workers with Late: its round was committed before it came."""

    session: int
    round: int
    workers: tuple[int, ...]


@dataclass(frozen=True)
class Finish:
    """The last round is committed."""


Effect: TypeAlias = Opened | Commit | ArmDeadline | AnswerLate | Finish
