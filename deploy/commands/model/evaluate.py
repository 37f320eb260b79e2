"""Evaluate a run's model, or one in a file, on this machine.

Examples:
    gradwire model evaluate --state-dir runs/one
    gradwire model evaluate --state-dir runs/one --round best --json
    gradwire model evaluate --model model.safetensors --task 'mlp(digits, hidden=64)'
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from gradwire.common.errors import ConfigError
from gradwire.common.system.results import to_json
from gradwire.common.training.config import RunConfig
from gradwire.deploy import models
from gradwire.deploy.commands.model.save import AllowTask, Data, Iterate, Round, SchemaFile, SiteOption
from gradwire.deploy.evaluation import Evaluation, evaluate_file, evaluate_run
from gradwire.deploy.external import AllowCodec, AllowOptimizer, PointFiles, import_allowed
from gradwire.deploy.flags import AsJson
from gradwire.deploy.site import site_from
from gradwire.deploy.units import number
from gradwire.worker.site import Site

NOTHING = "no measures: the task has no test data here; pass --option test=PATH for a task on file"


def evaluate(
    state_dir: Annotated[Path | None, typer.Option(help="Folder of a run; nothing in it is changed.")] = None,
    model: Annotated[
        Path | None, typer.Option(help="File of a model instead, with --task.", metavar="FILE")
    ] = None,
    task: Annotated[str | None, typer.Option(help="Task [that of the run]")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the task [that of the run; 0]")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Logical workers of the task [those of the run; 1]", min=1)
    ] = None,
    round_: Round = models.LAST,
    iterate: Iterate = models.REPORTED,
    allow_task: AllowTask = None,
    allow_codec: AllowCodec = None,
    allow_optimizer: AllowOptimizer = None,
    points: PointFiles = None,
    data: Data = None,
    schema: SchemaFile = None,
    option: SiteOption = None,
    device: Annotated[str | None, typer.Option(help="Device of torch tasks [auto]")] = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate a model by its task on this machine: the same measures as a worker with the same data reports.

    With --state-dir, task, seed and partition are the run's. With --model they are named here.
    """
    import_allowed(allow_codec, allow_optimizer, points)
    site, allowed = site_from(data, schema, option, device), allow_task or []
    given: dict[str, Any] = {"task": task, "seed": seed, "workers": workers}
    changes = {name: value for name, value in given.items() if value is not None}
    if (state_dir is None) == (model is None):
        raise ConfigError("pass --state-dir for a run's model, or --model for one in a file")
    if model is not None:
        found = _of_file(model, changes, site, allowed)
    else:
        assert state_dir is not None
        run = models.read_run(state_dir, round_, iterate)
        found = evaluate_run(replace(run, config=replace(run.config, **changes)), site, allowed)
    if as_json:
        print(to_json(found.rows(), indent=2))
        return
    for name, value in found.metrics.items():
        print(f"{name} {number(value)}")
    if not found.metrics:
        print(NOTHING)


def _of_file(path: Path, settings: dict[str, Any], site: Site, allowed: list[str]) -> Evaluation:
    if "task" not in settings:
        raise ConfigError("--model needs --task: a file does not have its task's data")
    return evaluate_file(path, RunConfig(**{"workers": 1, **settings}), site, allowed)
