"""A model evaluated by its task on this machine, without a server."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradwire.common.errors import LayoutError
from gradwire.common.spec import parse_spec
from gradwire.common.training.config import RunConfig
from gradwire.common.weights.forms import weight_file
from gradwire.common.weights.start import vector_from
from gradwire.deploy.preflight import check_task
from gradwire.server.export import ExportedModel
from gradwire.worker.site import Site
from gradwire.worker.tasks import Task, build_task
from gradwire.worker.tasks.base import layout_of


@dataclass(frozen=True)
class Evaluation:
    """What a task measured of a model.

    Attributes:
        round: rounds folded into the model; None where it came from a file.
    """

    task: str
    round: int | None
    metrics: Mapping[str, float]

    def rows(self) -> dict[str, Any]:
        """The same as JSON."""
        return {"task": self.task, "round": self.round, "metrics": dict(self.metrics)}


def evaluate_run(model: ExportedModel, site: Site, allow_task: Collection[str]) -> Evaluation:
    """Evaluate the model of a run with the run's task, as a worker with this machine's data does.

    Args:
        model: of the run.
        site: the data of this machine.
        allow_task: the code that the task may import.

    Raises:
        LayoutError: the task makes another model here.
        GradwireError: the task cannot be built here.
    """
    task = task_of(model, site, allow_task)
    return Evaluation(model.config.task, model.round, task.evaluate(_copy(model.params)))


def task_of(model: ExportedModel, site: Site, allow_task: Collection[str]) -> Task:
    """The task of a run, built here, whose model is the run's.

    Raises:
        LayoutError: the task makes another model here.
        GradwireError: the task cannot be built here.
    """
    task = _built(model.config, site, allow_task)
    here = layout_of(task)
    if model.layout is not None and (difference := here.difference(model.layout)):
        raise LayoutError(f"the task's model is not the run's: {difference}")
    if here.dim != model.params.size:
        raise LayoutError(f"the task's model has {here.dim} parameters, the run's has {model.params.size}")
    return task


def evaluate_file(path: Path, config: RunConfig, site: Site, allow_task: Collection[str]) -> Evaluation:
    """Evaluate the arrays in a file with a task.

    Args:
        path: of the file.
        config: names the task, its seed and the number of workers.
        site: the data of this machine.
        allow_task: the code that the task may import.

    Raises:
        ConfigError: the file cannot be read.
        LayoutError: it is not of the task's model.
        GradwireError: the task cannot be built here.
    """
    weights = weight_file(path).read()
    task = _built(config, site, allow_task)
    try:
        params = vector_from(layout_of(task), weights)
    except LayoutError as error:
        raise LayoutError(f"{path}: {error}") from error
    return Evaluation(config.task, None, task.evaluate(params))


def _built(config: RunConfig, site: Site, allow_task: Collection[str]) -> Task:
    """The task as a process of the run builds it: with this machine's data, or with those that all processes share."""
    check_task(config.task, allow_task)
    return build_task(
        config.task,
        workers=config.workers,
        seed=config.seed,
        site=replace(site, seed=config.seed),
        partition=parse_spec(config.partition) if config.partition else None,
        allow_import=frozenset(allow_task),
    )


def _copy(params: NDArray[np.float32]) -> NDArray[np.float32]:
    """Writable: those of a log are not, and a task may have torch look at them."""
    return np.array(params)
