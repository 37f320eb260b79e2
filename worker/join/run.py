"""A run as the user's training loop sees it: steps, and every so many of them an exchange."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gradwire.common.errors import DataError, FailedPrecondition, GradwireError, NotFiniteError
from gradwire.worker.join.evaluation import Evaluate, evaluated
from gradwire.worker.join.frames import Message
from gradwire.worker.join.link import Link
from gradwire.worker.join.losses import Losses
from gradwire.worker.join.memory import SharedVectors
from gradwire.worker.join.models import JoinedModel
from gradwire.worker.join.progress import ProgressLine

T = TypeVar("T")


class Finished(Exception):
    """The run is finished. ``step`` raises it in a loop that does not end by itself; the ``with`` block absorbs it.

    Attributes:
        run: that is finished.
    """

    def __init__(self, run: JoinedRun) -> None:
        super().__init__(f"the run is finished after {run.round} rounds")
        self.run = run


class JoinedRun:
    """One site's part in a run; see ``gradwire.join``.

    Attributes:
        name: of this site in the run.
        finished: whether the run is finished; the model is then the run's.
        every: steps from one exchange to the next; may be set between two of them.
    """

    def __init__(
        self,
        model: JoinedModel,
        vectors: SharedVectors,
        link: Link,
        progress: ProgressLine,
        on_close: Callable[[], None],
        *,
        every: int,
        gradients: bool,
        evaluate: Evaluate | None,
        size: int | None,
    ) -> None:
        """Wait until this site is due in a round, and set the model to the run's.

        Raises:
            GradwireError: the server refused this site, or cannot be reached.
        """
        self.finished = False
        self._model, self._vectors, self._link, self._progress = model, vectors, link, progress
        self._on_close: Callable[[], None] | None = on_close
        self.every, self._gradients, self._evaluate, self._size = every, gradients, evaluate, size
        self._base = vectors.model
        self._final: NDArray[np.float32] | None = None
        self._losses = Losses()
        self._steps = 0
        self._ended = False  # the loop has been told that the run is finished
        self._iterating = 0  # loops over ``batches`` that are in a batch
        self._status: Message = {}
        # A run that nobody leaves is left when the program drops it or ends.
        self._finalizer = weakref.finalize(self, _abandon, link, on_close)
        try:
            self._ask({"update": False}, None)
        except BaseException as error:
            self._close(_reason(error))
            raise

    # ---- the loop --------------------------------------------------------------------------------------------

    def step(self, model: Any = None, *, loss: Any = None, examples: int = 1) -> Any:
        """Count one training step; at every ``every``-th exchange the update and set the model to the run's.

        Args:
            model: arrays by name as they are now, where they are not those that joined; None for the model itself.
            loss: of this step, a number or a tensor of one; the mean is reported. None for none.
            examples: of this step, the site's weight in a run that weighs by examples, and the loss's.

        Returns:
            ``model``; after an exchange with the run's values, and the model that joined where it is None.

        Raises:
            Finished: the run is finished, in a loop that is not over ``batches``.
            NotFiniteError: the model, or a gradient, is not finite.
            TaskError: the model has other arrays than before.
            FailedPrecondition: the run was finished or left before.
            GradwireError: the run refused this site or cannot be reached.
        """
        self._steps += 1
        self._losses.add(loss, examples)
        if self._steps < self.every and self._on_close is not None:
            return model
        return self._exchange(model)

    def batches(self, loader: Iterable[T]) -> Iterator[T]:
        """The batches of a loader, epoch after epoch, until the run is finished.

        Args:
            loader: gives the batches of an epoch each time that it is iterated over, as a DataLoader does.

        Raises:
            DataError: it gave none.
        """
        while not self.finished:
            empty = True
            for batch in loader:
                empty = False
                self._iterating += 1
                try:
                    yield batch
                finally:
                    self._iterating -= 1
                if self.finished:
                    return
            if empty:
                raise DataError(
                    "the loader gave no batch: it is empty, or an iterator that is used up; pass what can be iterated "
                    "over again, such as a DataLoader or a list"
                )
        self._ended = True

    def _exchange(self, given: Any) -> Any:
        if self.finished and not self._ended:  # before this site was due in any round
            self._ended = True
            assert self._final is not None
            self._model.load(self._final, given)  # whatever the loop has made of it since
            raise Finished(self)
        if self.finished:
            raise FailedPrecondition(
                f"the run is finished after {self.round} rounds and takes no more steps: end the loop when "
                "run.finished is true, or iterate over run.batches(loader)"
            )
        if self._on_close is None:
            raise FailedPrecondition("this site has left the run: call gradwire.join again to go on")
        message = self._update(given)
        try:
            result = self._ask(message, given)
        except BaseException as error:  # the wire process may wait for a message, or this one for an answer
            self.leave(_reason(error))
            raise
        self._ended = self.finished
        if self.finished and not self._iterating:
            raise Finished(self)
        return result

    def _update(self, given: Any) -> Message:
        """Write the update to the shared memory; what goes with it."""
        update, private = self._vectors.update, bool(self._status.get("private"))
        if self._gradients:
            self._model.read_gradients(update)
            trained = self._model.layout.trained
            np.subtract(self._base[trained:], update[trained:], out=update[trained:])
        else:
            self._model.read(given, update)
            if not private:
                self._model.require_finite(update, "the array")
            with np.errstate(invalid="ignore", over="ignore"):
                np.subtract(self._base, update, out=update)
        loss, examples = self._losses.take()
        finite = bool(np.isfinite(update).all()) and (loss is None or math.isfinite(loss))
        if not finite and not private:
            self._model.require_finite(update, "the gradient of" if self._gradients else "the update of")
            raise NotFiniteError(
                f"the mean loss of the last {self._steps} steps is {loss}: lower the learning rate"
            )
        self._steps = 0
        return {"update": True, "loss": loss if finite else None, "examples": examples, "finite": finite}

    # ---- the wire --------------------------------------------------------------------------------------------

    def _ask(self, message: Message, given: Any) -> Any:
        """Hand over a message, evaluate as often as asked, and set the model to that of the answer."""
        if self._size is not None:
            message["size"] = self._size
        while (answer := self._link.ask(message, self._progress.say))["answer"] == "evaluate":
            self._model.load(self._vectors.model, given)
            assert self._evaluate is not None
            message = evaluated(self._evaluate)
        self._status = answer["status"]
        result = self._model.load(self._vectors.model, given)
        if answer["answer"] == "finished":
            self.finished, self._final = True, self._vectors.model.copy()
        elif not self._model.exact:  # what the model was set to is not what came
            self._base = np.empty_like(self._vectors.model)
            self._model.read(given if given is None else result, self._base)
        self._progress.exchanged(self._status, answer.get("late"), self._losses.last, finished=self.finished)
        if self.finished:
            self._close("")
        return result

    # ---- what the user asks ----------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name of this site in the run."""
        return str(self._status.get("process", ""))

    @property
    def round(self) -> int:
        """Rounds that are folded into the model which this site trains from."""
        return int(self._status.get("round", 0))

    @property
    def rounds(self) -> int:
        """Rounds of the run."""
        return int(self._status.get("rounds", 0))

    def model(self) -> dict[str, Any]:
        """The run's model of the last exchange: a state dict of a torch module, or NumPy arrays by name. Copies."""
        return self._model.exported(self._vectors.model if self._final is None else self._final)

    @property
    def summary(self) -> dict[str, Any]:
        """This site's part in the run until now, as JSON.

        ``finished``; ``round`` of ``rounds``; ``process`` and ``workers``; ``run``, its id; ``codec`` and
        ``optimizer``; ``uplink`` and ``downlink``, messages and bytes of pushes and entries as this site counted them;
        ``loss`` of the last exchange; ``every`` and what is exchanged.
        """
        return {
            **self._status,
            "finished": self.finished,
            "loss": self._losses.last,
            "every": self.every,
            "exchanges": "gradients" if self._gradients else "updates",
        }

    # ---- leaving ---------------------------------------------------------------------------------------------

    def leave(self, reason: str = "its loop ended before the run did") -> None:
        """Leave the run: the server is told, and keeps this site's seat. Nothing where the run is finished or left."""
        if self._on_close is None:
            return
        self._close(reason)
        self._progress.left(self.name, self.round, self.rounds)

    def _close(self, reason: str) -> None:
        on_close, self._on_close = self._on_close, None
        if on_close is None:
            return
        self._final = self._vectors.model.copy() if self._final is None else self._final
        self._finalizer.detach()
        try:
            self._link.close(reason)
        finally:
            on_close()

    def __enter__(self) -> JoinedRun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Leave, unless the run is finished; absorbs its ``Finished`` and nothing else."""
        over = isinstance(error, Finished) and error.run is self
        if error is None or over:
            self.leave()
        else:
            self.leave(_reason(error))
        return over


def _reason(error: BaseException) -> str:
    """Why a site leaves, for the server: messages of the program's own errors may speak of its data."""
    text = f": {error}" if isinstance(error, GradwireError) else ""
    return f"its loop ended with {type(error).__name__}{text}"


def _abandon(link: Link, on_close: Callable[[], None]) -> None:
    """Leave a run that the program dropped."""
    try:
        link.close("its program dropped the run without leaving it")
    finally:
        on_close()
