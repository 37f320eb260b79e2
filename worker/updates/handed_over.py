"""The updates that a training loop of the user's own hands over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gradwire.common.training.model import Model
from gradwire.worker.tasks import Gradient
from gradwire.worker.updates.base import UpdateSource

if TYPE_CHECKING:
    from gradwire.worker.join.loop import OwnLoop


class LoopLeft(Exception):
    """The user's program has left the run; the text says how."""


class HandedOver(UpdateSource):
    """One update per round that the process is due in; ``ready`` waits for the user's program."""

    waits = True

    def __init__(self, loop: OwnLoop, *, keep: bool) -> None:
        """Begin a part in a run.

        Args:
            loop: the program.
            keep: whether an update that came after its round is added to the next one, as error feedback would.
        """
        self._loop, self._keep = loop, keep
        loop.begin()

    @property
    def dim(self) -> int:
        return self._loop.dim

    @property
    def remembers(self) -> bool:
        return False

    async def ready(self, model: Model, round_: int) -> None:
        await self._loop.ready(model, round_, keep=self._keep)

    def discard(self) -> None:
        self._loop.discard()

    def update(self, model: Model, *, round: int, worker: int) -> Gradient:
        return self._loop.taken(round, worker)
