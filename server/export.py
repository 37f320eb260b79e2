"""The model of a run as a user takes it: what was evaluated, by the names of the user's module."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from gradwire.common.errors import LayoutError, LogError
from gradwire.common.training.config import RunConfig
from gradwire.common.training.digest import digest_of
from gradwire.common.training.layout import Layout
from gradwire.common.weights.arrays import Array, Weights, constants_from, named
from gradwire.common.weights.start import Start
from gradwire.server.log.run_log import RunLog
from gradwire.server.replay import replay


@dataclass(frozen=True, eq=False)
class ExportedModel:
    """The model of a run after some of its rounds.

    Attributes:
        config: of the run.
        layout: of the model; None where no worker stated one.
        params: float32 [dim]: what is evaluated, or the last iterate where that was asked for.
        constants: the values of the constant arrays, in order; none where the log was too small for them.
        round: rounds folded into it.
    """

    config: RunConfig
    layout: Layout | None
    params: NDArray[np.float32]
    constants: tuple[bytes, ...]
    round: int

    def arrays(self, base: Weights | None = None) -> dict[str, Array]:
        """The arrays by their names; one array ``parameters`` where no worker stated a layout.

        Args:
            base: has the constant arrays that the log does not have.

        Raises:
            LayoutError: constant arrays are nowhere, or are not the run's.
        """
        layout = self.layout or Layout.flat(self.params.size)
        constants = self.constants
        if len(constants) != len(layout.constants):
            if base is None:
                raise LayoutError(
                    f"the log does not have the {len(layout.constants)} constant arrays of the model "
                    f"({layout.constants[0].name}, …), which are too large: name a file that has them with --base"
                )
            constants = constants_from(layout, base)
        return named(layout, self.params, constants)

    def start(self, source: str) -> Start:
        """What another run begins from that is to go on from this model: its float32 values, as they are.

        Args:
            source: names the model in errors.
        """
        layout = self.layout or Layout.flat(self.params.size)
        weights = {array.name: Array("float32", view) for array, view in layout.views(self.params)}
        digests = {array.name: array.digest for array in layout.constants}
        return Start(source, weights, MappingProxyType(digests))

    @property
    def about(self) -> dict[str, str]:
        """What a file says of it besides the arrays."""
        return {
            "format": "pt",  # what readers of safetensors files expect: shapes as torch has them
            "gradwire": version("gradwire"),
            "task": self.config.task,
            "round": str(self.round),
            "digest": f"{digest_of(self.params):016x}",
        }


BEST = "best"


def export_model(
    log: RunLog, round_: int | str | None = None, *, last_iterate: bool = False
) -> ExportedModel:
    """The model of a run; nothing is written to its log.

    Args:
        log: of the run.
        round_: rounds to fold; None for all, ``BEST`` for the best evaluation that the run has kept.
        last_iterate: the last iterate, where the mean of the iterates is evaluated.

    Raises:
        LogError: as ``replay``; the run has kept no best evaluation.
    """
    if isinstance(round_, str):
        round_, params = _best(log)
        if not last_iterate:
            return ExportedModel(log.config, log.layout(), params, log.constants(), round_)
    started = replay(log, round_)
    model = started.model
    params = model.params if last_iterate else model.reported
    return ExportedModel(log.config, started.layout, params, log.constants(), model.round)


def _best(log: RunLog) -> tuple[int, NDArray[np.float32]]:
    found = log.best()
    if found is None:
        had = (
            f"no evaluation of it had {log.config.keep_best}"
            if log.config.keep_best
            else "it has no --keep-best"
        )
        raise LogError(f"the run in {log.where} has kept no best model: {had}")
    return found[0], np.frombuffer(found[1], "<f4")
