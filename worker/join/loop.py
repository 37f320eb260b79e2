"""The user's loop as the wire process sees it: a task without data, and a source of updates that somebody hands over.

The program speaks first and then waits for one answer: the next model, or that the run is finished. Before that it may
be asked to evaluate. Between the answer and its next message it computes, and the stream goes on without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from gradwire.common.errors import NotFiniteError, TaskError
from gradwire.common.training.layout import Layout
from gradwire.common.training.model import Model
from gradwire.worker.join.frames import Message
from gradwire.worker.join.memory import SharedVectors
from gradwire.worker.tasks import Gradient
from gradwire.worker.updates.handed_over import LoopLeft


class OwnLoop:
    """The program's side of a run: it hands over updates and takes models.

    Attributes:
        layout: of the program's model.
        evaluates: whether it has held-out data of its own.
        left: why the program left; None while it takes part.
    """

    def __init__(
        self,
        vectors: SharedVectors,
        layout: Layout,
        constants: Sequence[bytes],
        send: Callable[[Message], None],
        *,
        evaluates: bool,
    ) -> None:
        """Wait for the program's first message.

        Args:
            vectors: shared with the program; ``update`` holds its initial model.
            layout: of the model.
            constants: values of its constant arrays; none where they are too long.
            send: writes a message to the program.
            evaluates: whether the program evaluates.
        """
        self.layout, self.evaluates = layout, evaluates
        self.left: str | None = None
        self._vectors, self._constants, self._send = vectors, list(constants), send
        self._initial = vectors.update.copy()
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._request: Message | None = None  # the program waits for the answer
        self._metrics: asyncio.Future[Message] | None = None  # the program evaluates
        self._given: int | None = None  # the round whose model the program has
        self._carried: NDArray[np.float32] | None = None  # of updates that came after their round
        self._size: int | None = None  # of the training set
        self._tested = 0  # samples of the last evaluation
        self.status: Callable[[], Message] = dict

    # ---- the program's messages ------------------------------------------------------------------------------

    def receive(self, message: Message) -> None:
        """Take a message of the program."""
        if "metrics" in message:
            if self._metrics is not None and not self._metrics.done():
                self._metrics.set_result(message)
            return
        self._request = message
        self._size = message.get("size", self._size)
        self._wake()

    def leave(self, reason: str) -> None:
        """The program leaves the run, or is gone."""
        if self.left is None:
            self.left = reason
        if self._metrics is not None and not self._metrics.done():
            self._metrics.set_exception(LoopLeft(self.left))
        self._wake()

    def _wake(self) -> None:
        self._changed.set()

    async def requested(self) -> Message:
        """The message that the program waits for an answer to.

        Raises:
            LoopLeft: the program has left.
        """
        while self._request is None:
            if self.left is not None:
                raise LoopLeft(self.left)
            self._changed.clear()
            await self._changed.wait()
        return self._request

    @property
    def waits(self) -> bool:
        """Whether the program waits for an answer: it does not compute."""
        return self._request is not None

    def answer(self, message: Message) -> None:
        """Answer the program, which then computes."""
        self._request = None
        self._send({**message, "status": self.status()})

    # ---- models and updates ----------------------------------------------------------------------------------

    def begin(self) -> None:
        """Another run, or another part in it: what the program computes now belongs to none of its rounds."""
        self._given, self._carried = None, None

    def discard(self) -> None:
        """The model that the program has was not the server's: what it computes from it is not sent."""
        self._given = None

    async def ready(self, model: Model, round_: int, *, keep: bool) -> None:
        """Wait until the program has handed over its update for this round.

        A program that waits with an update of another round gets this round's model instead. May be cancelled, and
        called again.

        Args:
            model: after ``round_`` rounds.
            round_: the round that is open.
            keep: whether an update that came after its round is added to the next one, as error feedback would.

        Raises:
            LoopLeft: the program has left.
        """
        while True:
            request = await self.requested()
            if request.get("update") and self._given == round_:
                return
            late = self._late(request)
            if late is not None and keep and request["finite"]:
                update = self._vectors.update
                self._carried = update.copy() if self._carried is None else self._carried + update
            np.copyto(self._vectors.model, model.params)
            self._given = round_
            self.answer({"answer": "model", "round": round_, "late": late})

    def _late(self, request: Message) -> int | None:
        """The round of an update that came after it was committed; None where the program waits with none."""
        return self._given if request.get("update") else None

    def taken(self, round_: int, worker: int) -> Gradient:
        """The update that ``ready`` waited for. It is read before the program goes on.

        Raises:
            NotFiniteError: it is not finite.
        """
        request = self._request
        assert request is not None and request["update"]
        request["update"] = False
        if not request["finite"]:
            raise NotFiniteError(
                f"worker {worker}, round {round_}: the model is not finite after these steps"
            )
        value, carried, self._carried = self._vectors.update, self._carried, None
        return Gradient(
            value.copy() if carried is None else value + carried, request["loss"], request["examples"]
        )

    def finish(self, params: NDArray[np.float32], round_: int) -> None:
        """Answer that the run is finished, with its model."""
        assert self._request is not None
        late = self._late(self._request)
        np.copyto(self._vectors.model, params)
        self.answer({"answer": "finished", "round": round_, "late": late})

    # ---- the task --------------------------------------------------------------------------------------------

    @property
    def dim(self) -> int:
        """Length of the flat vector."""
        return self.layout.dim

    def initial(self) -> NDArray[np.float32]:
        """The model with which the program joined [dim]."""
        return self._initial.copy()

    def constants(self) -> list[bytes]:
        """Values of its constant arrays."""
        return self._constants

    def size(self, worker: int) -> int:
        """Samples that the program trains on.

        Raises:
            TaskError: it did not say.
        """
        if self._size is None:
            raise TaskError(
                "the run weighs workers by the size of their training sets: pass size=… to gradwire.join, or use "
                "--weighting examples"
            )
        return self._size

    def gradient(self, params: NDArray[np.float32], *, round: int, worker: int) -> Gradient:
        """Never called: the updates are those that the program hands over."""
        raise NotImplementedError

    def evaluate(self, params: NDArray[np.float32]) -> dict[str, float]:
        """Measures of ``params`` [dim] on the program's held-out data. Blocks until it comes and has evaluated.

        Raises:
            LoopLeft: the program has left.
        """
        if not self.evaluates:
            return {}
        message = asyncio.run_coroutine_threadsafe(self._evaluate(params), self._loop).result()
        self._tested = message["examples"]
        values: dict[str, float] = message["metrics"]
        return values

    async def _evaluate(self, params: NDArray[np.float32]) -> Message:
        await self.requested()
        np.copyto(self._vectors.model, params)
        self._metrics = self._loop.create_future()
        self._send({"answer": "evaluate"})
        return await self._metrics

    def evaluation_size(self) -> int | None:
        """Samples of the last evaluation, None where the program did not say; 0 where it does not evaluate."""
        return (self._tested or None) if self.evaluates else 0
