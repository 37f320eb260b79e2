"""Where the run in a folder stands, while no server uses it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gradwire.common.codecs import parse
from gradwire.server.counters import Counters
from gradwire.server.log.notes import TALLY
from gradwire.server.log.run_log import RunLog
from gradwire.server.watching.describe import describe


def stored_state(folder: Path) -> dict[str, Any]:
    """The state of the run, as a server would send it to those who watch.

    Nothing in the folder is changed or locked: a server may start meanwhile.

    Raises:
        LogError: no run here, or a server writes it at this moment.
    """
    with RunLog.peek(folder) as log:
        counters = Counters.restored(log.get(TALLY), log.metrics())
        return describe(log.config, log.run_id, counters, log.next_round, epsilon=_epsilon(log))


def _epsilon(log: RunLog) -> float | None:
    """Of one push; None where payloads are not private, or the run has no model yet."""
    resolved = log.resolved()
    if resolved is None:
        return None
    codec = parse(resolved.codec_spec, resolved.dim)
    return codec.epsilon if codec.private else None
