"""What can be refused before any process is started: settings, names, data that is not at hand."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from gradwire.common.config import RunConfig, load_config
from gradwire.common.errors import SpecError, TaskError
from gradwire.common.spec import bind_arguments, did_you_mean, parse_spec


def resolve(config_file: Path | None, flags: Mapping[str, Any], state_dir: Path | None) -> RunConfig:
    """The run's configuration; that of the run in ``state_dir`` where no other is given.

    Raises:
        ConfigError: none was given, or one that cannot be used.
        LogError: the stored run cannot be read.
    """
    if config_file is None and not flags and state_dir is not None:
        from gradwire.server.log import RunLog

        if RunLog.exists(state_dir):
            with RunLog.open(state_dir) as log:
                return log.config
    return load_config(config_file, flags)


def check(config: RunConfig, allow_task: Collection[str]) -> None:
    """Check the names and arguments of task, codec and optimizer, and have the task's data at hand.

    What depends on the number of coordinates is known once the task is built: the server checks it.

    Raises:
        SpecError: no such codec, task or optimizer, or one that takes no such arguments.
        TaskError: the task runs code that was not allowed.
        DataError: the data set is unknown, or cannot be had.
    """
    from gradwire.common.optimizers import parse_optimizer

    parse_optimizer(config.optimizer)
    _check_codec(config.codec)
    _check_task(config.task, allow_task)


def _check_codec(text: str) -> None:
    from gradwire.common.codecs import codecs

    spec, known = parse_spec(text), codecs()
    if spec.name not in known:
        raise SpecError(f"unknown codec {spec.name!r}{did_you_mean(spec.name, known)}")
    bind_arguments(spec, known[spec.name])


def _check_task(text: str, allow_task: Collection[str]) -> None:
    from gradwire.worker.data import fetch
    from gradwire.worker.tasks import kind_of

    kind = kind_of(parse_spec(text))
    target = getattr(kind, "target", None)
    if target is not None and target not in allow_task:
        raise TaskError(f"the task runs code from {target}: if you trust it, pass --allow-task {target}")
    dataset = getattr(kind, "dataset", None)
    if dataset is not None:
        fetch(dataset)  # once, here: not in every worker at the same time
