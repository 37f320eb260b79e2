"""Keeps the parameters of the best evaluation so far in the log.

A worker evaluates while the run goes on: its report of a round may arrive when the model is some rounds further. Copies
of the rounds that are due for evaluation wait for their reports; another round's parameters are computed from the log.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
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
        self._values = self._evaluated()  # by round, among which the best is
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

    def note(self, round_: int, notes: Mapping[str, Any]) -> None:
        """Store what was evaluated after so many rounds, as yet not by all: nothing is chosen by it.

        Args:
            round_: rounds folded into the evaluated parameters.
            notes: what the log keeps of the round.
        """
        self._fold.log.record_metrics(round_, notes)

    def record(self, round_: int, metrics: Mapping[str, float], notes: Mapping[str, Any]) -> None:
        """Store what was evaluated after so many rounds, and the parameters with it where it is the best so far.

        A round may be recorded again with other metrics. If it was the best one and is no more, the parameters of the
        round that is now are computed from the log; where they are gone, those that are kept stay.

        Args:
            round_: rounds folded into the evaluated parameters.
            metrics: what was evaluated.
            notes: what the log keeps of the round.
        """
        params = self._chosen(round_, metrics) if self._rule is not None else None
        self._copies = {at: copy for at, copy in self._copies.items() if at > round_}
        if self._best is None or params is None:
            self._fold.log.record_metrics(round_, notes)
            return
        best = self._best[0]
        if best != round_:
            self._fold.log.record_metrics(round_, notes)
            notes = self._fold.log.metrics()[best]
        self._fold.log.keep_best(best, np.ascontiguousarray(params, "<f4").tobytes(), notes)

    def _chosen(self, round_: int, metrics: Mapping[str, float]) -> NDArray[np.float32] | None:
        """Choose anew; the parameters of the best round, None where those are kept already."""
        self._take(round_, metrics)
        kept = self._best[0] if self._best is not None else None
        # The others were compared with the one that is kept, unless that one has changed.
        rounds = set(self._values)
        if kept is not None and kept != round_:
            rounds = {at for at in (round_, kept) if at in self._values}
        while (found := self._first_best(rounds)) is not None:
            if found[0] == kept:
                self._best = found
                return None
            params = self._parameters(found[0])
            if params is not None:
                self._best = found
                return params
            del self._values[found[0]]
            rounds.remove(found[0])
        return None

    def _take(self, round_: int, metrics: Mapping[str, float]) -> None:
        """Take a round's value, or that it has none."""
        assert self._rule is not None
        value = metrics.get(self._rule.metric)
        self._values.pop(round_, None)
        if value is None:
            self._warn(
                f"the task evaluates {', '.join(metrics)}, not {self._rule.metric}: no best model is kept"
            )
        elif math.isfinite(value):
            self._values[round_] = value

    def _first_best(self, rounds: Collection[int]) -> tuple[int, float] | None:
        """The first of these rounds than which none is better, and its value."""
        assert self._rule is not None
        best: tuple[int, float] | None = None
        for at in sorted(rounds):
            if self._rule.better(self._values[at], best[1] if best is not None else None):
                best = at, self._values[at]
        return best

    def _stored(self) -> tuple[int, float] | None:
        """Round and value of the best evaluation in the log."""
        found = self._fold.log.best_round()
        if self._rule is None or found is None:
            return None
        return found, float(self._fold.log.metrics()[found]["metrics"][self._rule.metric])

    def _evaluated(self) -> dict[int, float]:
        """The value of each round in the log, but of the newest one, which may not be settled, unless it is kept."""
        if self._rule is None:
            return {}
        rounds = {at: notes["metrics"] for at, notes in self._fold.log.metrics().items() if notes["metrics"]}
        if rounds and (self._best is None or self._best[0] != max(rounds)):
            del rounds[max(rounds)]
        values = {at: metrics.get(self._rule.metric) for at, metrics in rounds.items()}
        return {at: value for at, value in values.items() if value is not None and math.isfinite(value)}

    def _parameters(self, round_: int) -> NDArray[np.float32] | None:
        """The parameters after so many rounds, if they can be had."""
        if round_ in self._copies:
            return self._copies[round_]
        if round_ == self._fold.model.round:
            return self._fold.model.reported
        try:
            return replay(self._fold.log, round_).model.reported
        except LogError as error:
            assert self._rule is not None
            self._warn(f"the model with the best {self._rule.metric} so far is not kept: {error}")
            return None

    def _warn(self, message: str) -> None:
        if not self._warned:
            self._progress({"event": "warning", "message": message})
        self._warned = True
