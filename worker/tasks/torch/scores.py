"""Measures of a model on test samples, as means over them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import torch

from gradwire.common.errors import TaskError
from gradwire.worker.tasks.checked import as_number, described
from gradwire.worker.tasks.torch.problem import Step


class Scores:
    """Sums over batches: ``test_loss``, and what ``metrics`` says or, without it, ``accuracy`` where it is certain."""

    def __init__(self, metrics: Callable[[Any, Any], Mapping[str, Any]] | None) -> None:
        """Nothing is counted yet.

        Args:
            metrics: the problem's own.
        """
        self._metrics = metrics
        self._sums: defaultdict[str, float] = defaultdict(float)
        self._counts: defaultdict[str, int] = defaultdict(int)

    def add(self, step: Step, samples: int) -> None:
        """Count one batch.

        Raises:
            TaskError: ``metrics`` returned something else than numbers by name.
        """
        self._add("test_loss", step.loss.item(), samples)
        if self._metrics is not None:
            for name, value in _numbers(self._metrics(step.outputs, step.targets)).items():
                self._add(name, value, samples)
        elif (correct := _correct(step.outputs, step.targets)) is not None and len(correct):
            self._add("accuracy", int(correct.sum()) / len(correct), len(correct))

    def _add(self, name: str, mean: float, samples: int) -> None:
        self._sums[name] += mean * samples
        self._counts[name] += samples

    @property
    def samples(self) -> int:
        """Samples that were counted."""
        return self._counts["test_loss"]

    def means(self) -> dict[str, float]:
        """Means over the samples by name.

        Raises:
            TaskError: no sample was counted.
        """
        if not self._counts:
            raise TaskError("test has no samples, expected at least one: leave it out where there are none")
        return {name: total / self._counts[name] for name, total in self._sums.items()}


def _correct(outputs: Any, targets: Any) -> torch.Tensor | None:
    """Which samples a classifier has right, bool [n]; None for what need not be one.

    Negative targets are those that losses ignore.
    """
    if not isinstance(outputs, torch.Tensor) or not isinstance(targets, torch.Tensor):
        return None
    classes = outputs.ndim == 2 and outputs.shape[1] >= 2 and outputs.is_floating_point()
    whole = not (targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool)
    if not classes or not whole or targets.shape != outputs.shape[:1]:
        return None
    return (outputs.argmax(dim=1) == targets)[targets >= 0]


def _numbers(given: Any) -> dict[str, float]:
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise TaskError(f"metrics returned {described(given)}, expected numbers by name")
    return {name: as_number(value, f"metrics returned {name}") for name, value in given.items()}
