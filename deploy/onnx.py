"""The model of a run as ONNX: the user's module, built here, with the run's arrays."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from gradwire.common.errors import ConfigError
from gradwire.common.weights.files import require_place, write_whole
from gradwire.deploy.evaluation import task_of
from gradwire.server.export import ExportedModel
from gradwire.worker.site import Site

ENDING = ".onnx"


def save_onnx(model: ExportedModel, out: Path, site: Site, allow_task: Collection[str]) -> list[str]:
    """Write the module of a torch task to a file; what is to be said of it, a line each.

    Args:
        model: of a run.
        out: the file.
        site: the data of this machine: the module is traced with some of them.
        allow_task: the code that the task may import.

    Raises:
        ConfigError: the task is no torch task, a package is missing, or the file cannot be written.
        TaskError: torch cannot export the module.
        LayoutError: the task makes another model here.
    """
    require_place(out)
    task = task_of(model, site, allow_task)
    export = getattr(getattr(task, "task", task), "to_onnx", None)
    if export is None:
        raise ConfigError(
            f"{model.config.task} is no torch task, and only those have a module to export to ONNX"
        )
    write_whole(out, [export(model.params)])
    return [f"saved {out}: the module with its arrays after round {model.round}"]
