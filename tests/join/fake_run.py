"""A run whose rounds are computed in the test itself, in place of a wire process and a server."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from gradwire.worker.join.frames import Message
from gradwire.worker.join.memory import SharedVectors
from gradwire.worker.join.models import joined_model
from gradwire.worker.join.progress import ProgressLine
from gradwire.worker.join.run import JoinedRun

Update = np.ndarray[Any, np.dtype[np.float32]]


class FakeLink:
    """Takes this site's update, and those of other sites where there are some, and steps by minus their mean."""

    def __init__(self, vectors: SharedVectors, rounds: int, others: Callable[[int], list[Update]]) -> None:
        self.updates: list[Update] = []  # of each round, as this site handed them over
        self.messages: list[Message] = []
        self.left: list[str] = []
        self.evaluate_at: Collection[int] = ()
        self.late_at: Collection[int] = ()
        self.failing: BaseException | None = None
        self.private = False
        self._vectors, self._rounds, self._others = vectors, rounds, others
        self._model = vectors.update.copy()
        self._round = 0

    def ask(self, message: Message, say: Callable[[str], None]) -> Message:
        self.messages.append(message)
        if self.failing is not None:
            raise self.failing
        late = None
        if message.get("update"):
            mine = self._vectors.update.copy()
            self.updates.append(mine)
            late = self._round if self._round in self.late_at else None
            counted = [*([mine] if late is None else []), *self._others(self._round)]
            total = np.zeros_like(mine)
            for update in counted:
                total += update
            self._model = self._model - total / np.float32(len(counted))
            self._round += 1
        self._vectors.model[:] = self._model
        if self._round in self.evaluate_at and "metrics" not in message:
            return {"answer": "evaluate"}
        kind = "finished" if self._round == self._rounds else "model"
        return {"answer": kind, "round": self._round, "late": late, "status": self._status()}

    def _status(self) -> Message:
        counts = {"messages": self._round, "payload_bytes": 0, "message_bytes": 0}
        place = {"process": "alice", "round": self._round, "rounds": self._rounds}
        return {**place, "private": self.private, "uplink": counts, "downlink": counts}

    def close(self, reason: str) -> None:
        self.left.append(reason)
        self._vectors.close()


def alone(round_: int) -> list[Update]:
    """No other sites."""
    return []


@contextmanager
def joined(
    model: Any,
    *,
    rounds: int = 100,
    others: Callable[[int], list[Update]] = alone,
    buffers: str = "averaged",
    **options: Any,
) -> Iterator[tuple[JoinedRun, FakeLink]]:
    """A model that has joined such a run; it leaves with the block, which absorbs nothing."""
    given = {"every": 1, "gradients": False, "evaluate": None, "size": None, **options}
    adapter = joined_model(model, gradients=given["gradients"], local_buffers=buffers == "local")
    vectors = SharedVectors.create(adapter.layout.dim)
    adapter.read(None, vectors.update)
    link: Any = FakeLink(vectors, rounds, others)
    run = JoinedRun(adapter, vectors, link, ProgressLine(False), lambda: None, **given)
    try:
        yield run, link
    finally:
        run.leave()
