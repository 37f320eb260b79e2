"""The user's evaluation of the run's model, between two exchanges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from gradwire.common.errors import TaskError
from gradwire.worker.join.frames import Message

Evaluate: TypeAlias = Callable[[], Any]


def evaluated(evaluate: Evaluate) -> Message:
    """Call it while the model is the run's; what the wire process is told.

    Raises:
        TaskError: it returned something else than measures by name, alone or with a number of samples.
    """
    found = evaluate()
    metrics, examples = found if isinstance(found, tuple) and len(found) == 2 else (found, 0)
    if not isinstance(metrics, Mapping):
        raise TaskError(
            f"evaluate returned a {type(metrics).__name__}, expected a dict of numbers by name, or that dict and the "
            "number of samples"
        )
    try:
        values = {str(name): float(value) for name, value in metrics.items()}
        return {"metrics": values, "examples": max(0, int(examples))}
    except (TypeError, ValueError) as error:
        raise TaskError(f"evaluate returned a value that is no number: {error}") from error
