"""Which payloads were not counted, for workers that remember what they send.

Error feedback and control variates must take back what was not counted. A worker has at most one payload that it does
not know about: before the entry of a round it is told if its own is not in it, and when it joins it names the last
round that it encoded a payload for, however old.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from gradwire.common.errors import InvalidArgument
from gradwire.common.training.config import RunConfig
from gradwire.common.training.local import parse_local
from gradwire.proto import wire_pb2
from gradwire.server.log.run_log import RunLog
from gradwire.server.rounds.events import Commit
from gradwire.server.rounds.state import State
from gradwire.server.stream.session import Session


class Memories:
    """Answers from the log."""

    def __init__(self, log: RunLog) -> None:
        self._log = log
        self._remembered = _remembers(log.config)

    def settle(self, session: Session, ready: wire_pb2.Ready, state: State) -> Mapping[int, Sequence[int]]:
        """The rounds that a process names in Ready and that were not counted, with their workers.

        Of a payload for the open round the commit decides. Where its worker is not to push it again, ``missed`` says
        so then.

        Raises:
            InvalidArgument: Ready names a worker that the process does not host.
        """
        found: defaultdict[int, list[int]] = defaultdict(list)
        session.undecided = {}
        for worker, round_ in _last_pushes(session, ready):
            if self._remembered and round_ < state.round and self._log.last_counted()[worker] < round_:
                found[round_].append(worker)
            elif round_ == state.round:
                session.undecided[worker] = round_
        return dict(sorted(found.items()))

    def missed(self, session: Session, commit: Commit) -> list[int]:
        """A session's workers that may have a payload for a round that is committed without them."""
        if not self._remembered:
            return []
        counted = {contribution.worker for contribution in commit.contributions}
        undecided = {w for w, round_ in session.undecided.items() if round_ == commit.round}
        return sorted((undecided.union(commit.missing) & set(session.workers)) - counted)

    def not_counted(self, round_: int, workers: Sequence[int]) -> list[int]:
        """Those of the workers whose payload for a committed round was not counted."""
        last = self._log.last_counted()
        return [worker for worker in workers if last[worker] != round_]


def _remembers(config: RunConfig) -> bool:
    return config.feedback != "none" or (bool(config.local) and parse_local(config.local).scaffold)


def _last_pushes(session: Session, ready: wire_pb2.Ready) -> Iterator[tuple[int, int]]:
    hosted = set(session.workers)
    for last in ready.last:
        if last.worker not in hosted:
            raise InvalidArgument(
                f"a last push of worker {last.worker}, expected workers of this process, once each"
            )
        hosted.discard(last.worker)
        yield last.worker, last.round
