"""Keeps the parameters of the best evaluation so far in the log.

A worker evaluates while the run goes on: its report of a round may arrive when the model is some rounds further. Copies
of the rounds that are due for evaluation wait for their reports; another round's parameters are computed from the log.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradwire.common.errors import LogError
from gradwire.common.training.best import parse_keep_best
from gradwire.server.fold import Fold
from gradwire.server.progress import Progress
from gradwire.server.replay import replay

MAX_COPIES = 4  # of rounds whose reports have not arrived


class BestModel:
    """The best model of a run that keeps one. All methods run on the thread that commits rounds."""

    def __init__(self, fold: Fold, progress: Progress) -> None:
        """Begin with the best one in the log.

        Args:
            fold: the run's model and log.
            progress: is called with warnings.
        """
        self._fold = fold
        self._progress = progress
        self._rule = parse_keep_best(fold.config.keep_best) if fold.config.keep_best else None
        self._copies: dict[int, NDArray[np.float32]] = {}
        self._warned = False
        self._best = self._stored()
        if fold.has_model:
            self.keep_if_due()

    @property
    def summary(self) -> dict[str, Any] | None:
        """Metric, round and value of the best evaluation as JSON; None where there is none."""
        if self._rule is None or self._best is None:
            return None
        return {"metric": self._rule.metric, "round": self._best[0], "value": self._best[1]}

    def keep_if_due(self) -> None:
        """Keep a copy of what a worker is to evaluate now."""
        config, model = self._fold.config, self._fold.model
        due = model.round == config.rounds or (
            config.evaluate_every and model.round % config.evaluate_every == 0
        )
        if self._rule is None or not due:
            return
        self._copies[model.round] = model.reported.copy()
        if len(self._copies) > MAX_COPIES:
            del self._copies[min(self._copies)]

    def record(self, round_: int, metrics: Mapping[str, float], notes: Mapping[str, Any]) -> None:
        """Store what was evaluated after so many rounds, and the parameters with it where it is the best so far.

        Args:
            round_: rounds folded into the evaluated parameters.
            metrics: what was evaluated.
            notes: what the log keeps of the round.
        """
        params = self._parameters(round_, metrics)
        self._copies = {at: copy for at, copy in self._copies.items() if at > round_}
        if params is None or self._rule is None:
            self._fold.log.record_metrics(round_, notes)
        else:
            self._fold.log.keep_best(round_, np.ascontiguousarray(params, "<f4").tobytes(), notes)
            self._best = round_, metrics[self._rule.metric]

    def _stored(self) -> tuple[int, float] | None:
        """Round and value of the best evaluation in the log."""
        found = self._fold.log.best_round()
        if self._rule is None or found is None:
            return None
        return found, float(self._fold.log.metrics()[found]["metrics"][self._rule.metric])

    def _parameters(self, round_: int, metrics: Mapping[str, float]) -> NDArray[np.float32] | None:
        """The evaluated parameters if they are the best so far and can be had."""
        if self._rule is None:
            return None
        value = metrics.get(self._rule.metric)
        if value is None:
            self._warn(
                f"the task evaluates {', '.join(metrics)}, not {self._rule.metric}: no best model is kept"
            )
            return None
        if not math.isfinite(value) or not self._rule.better(value, self._best[1] if self._best else None):
            return None
        if round_ in self._copies:
            return self._copies[round_]
        if round_ == self._fold.model.round:
            return self._fold.model.reported
        try:
            return replay(self._fold.log, round_).model.reported
        except LogError as error:
            self._warn(f"the model with the best {self._rule.metric} so far is not kept: {error}")
            return None

    def _warn(self, message: str) -> None:
        if not self._warned:
            self._progress({"event": "warning", "message": message})
        self._warned = True
