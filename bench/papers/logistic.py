"""The runs of [V] Table 4: logistic regression at 20 workers, several seeds at one step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gradwire.bench.papers import logistic_tasks
from gradwire.bench.papers.curves import curve
from gradwire.common.errors import ConfigError
from gradwire.worker.data import load
from gradwire.worker.data.catalog import entry_of
from gradwire.worker.data.dataset import Labels

WORKERS, EVALUATIONS = 20, 50
VQSGD, QSGD, DME, FLOAT32 = "vqSGD", "QSGD, 1 level", "DME, 1 bit", "float32"
SCHEMES = {DME: "dme", QSGD: "qsgd", VQSGD: "cross_polytope", FLOAT32: "float32"}
MEANT, PRINTED, OWN_N, NONE, SCALED = (
    "as meant",
    "as printed",
    "with a worker's n",
    "none",
    "columns scaled",
)


def task_of(data: str, variant: str) -> tuple[str, list[str]]:
    """The task's spec, and what it must be allowed to import.

    Args:
        data: of the catalogue.
        variant: ``as meant``: eq. 29 with |θ|²/2n beside the mean; ``as printed``: inside the logarithm, where the
            missing parenthesis leaves it; ``with a worker's n``: n is a worker's rows, so |θ|² counts 20 times as
            much; ``none``; ``columns scaled``: as meant, features on [-1, 1].
    """
    penalties = {MEANT: "auto", OWN_N: f"{WORKERS / entry_of(data).samples!r}", NONE: "0.0"}
    if variant in penalties:
        return f"logistic({data}, l2={penalties[variant]})", []
    factory = f"{data}_{'scaled' if variant == SCALED else 'inside'}"
    if variant not in (SCALED, PRINTED) or not hasattr(logistic_tasks, factory):
        raise ConfigError(f"there is no variant {variant!r} of {data}")
    target = f"{logistic_tasks.MODULE}:{factory}"
    return f"custom({target})", [target]


def measure(
    data: str, scheme: str, variant: str, step: float, rounds: int, seeds: Sequence[int]
) -> dict[str, Any]:
    """Test errors of the seeds, each of which deals the rows anew.

    Returns:
        ``errors`` after the last round, None where the run diverged; ``rounds`` and ``values``, the first seed's error
        by round; ``bits`` of a payload; ``larger``, the error of always answering the larger class of the test set.
    """
    task, allowed = task_of(data, variant)
    runs = [
        curve(
            "test_error",
            allow_import=allowed,
            task=task,
            codec=SCHEMES[scheme],
            optimizer=f"sgd(lr={step})",
            workers=WORKERS,
            rounds=rounds,
            seed=seed,
            downlink="model",
            evaluate_every=max(1, rounds // EVALUATIONS),
        )
        for seed in seeds
    ]
    first = next((run for run in runs if run is not None), None)
    return {
        "errors": [None if run is None else run["values"][-1] for run in runs],
        "rounds": first["rounds"] if first else [],
        "values": first["values"] if first else [],
        "bits": first["bits"] if first else None,
        "larger": larger_class_error(load(data).y_test),
    }


def larger_class_error(labels: Labels) -> float:
    """The error of always answering the larger class.

    >>> larger_class_error(np.array([0, 1, 0, 0]))
    0.25
    """
    return float(1 - np.bincount(labels).max() / len(labels))
