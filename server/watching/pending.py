"""Who an open round waits for; computed when somebody looks, so that rounds do not pay for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gradwire.server.rounds.state import Phase, State

MOMENT = 2.0  # seconds that a round may be open before anybody is said to be waited for
MOST_NAMES = 8  # of processes


def pending(state: State, names: Mapping[int, str], seconds: float) -> dict[str, Any] | None:
    """The event that names who has not pushed for the open round; None where no round is open, or only for a moment.

    Args:
        state: of the rounds.
        names: of the process of each session.
        seconds: for which the round has been open.
    """
    if state.phase is not Phase.OPEN or seconds < MOMENT:
        return None
    late = state.due
    if not late:
        return None
    processes = sorted(
        names[number] for number, workers in state.sessions.items() if not late.isdisjoint(workers)
    )
    return {
        "event": "pending",
        "round": state.round,
        "seconds": round(seconds, 1),
        "workers": len(late),
        "processes": processes[:MOST_NAMES],
        "more": len(processes[MOST_NAMES:]),
    }
